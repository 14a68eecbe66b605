#!/usr/bin/python3
"""Lets in what the roles of this node say that others reach, and nothing else.

    firewall run            see that the rules are in place, again and again; until SIGTERM, which leaves them there, or
                            until the file is another, so that whoever started it starts it with that
    firewall status         JSON; with --in-place exit 1 while they are not as they should be
    firewall show           the rules, as `nft -f` reads them
    firewall check-config   exit 0 when the file of --config can be used, else 2 and the reason

Options before the verb: --config FILE. Exit codes: 0 done, 1 the kernel refused, 2 wrong file or usage. Needs
CAP_NET_ADMIN.

The rules keep no state of connections. Of TCP only what asks for a connection is judged: a packet in the middle of a
flow may have begun at another gateway (role second-chance), which no table of this node could know, and a table has a
size that a flood fills. What the kernel has no socket for it answers itself. Of UDP, answers to what this node asked
arrive at ports that are handed out to clients (ip_local_port_range).
"""

from __future__ import annotations

import ipaddress
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metrics_server import program, serve, until_told

CONFIG = "/etc/seter/now/firewall/firewall.json"
EVERY = 2.0  # seconds between two looks
TABLE = "seter_firewall"
PORTS = re.compile(r"[0-9]{1,5}(-[0-9]{1,5})?")
# What is of the ring alone comes in nowhere but on its own interfaces; see second_chance_ring.
RING4, RING6 = "198.18.0.0/15", "fd73:6574:6572::/48"
BFD = 3784  # RFC 5881, section 4
CLIENT_PORTS = "32768-60999"  # Linux's own default


@dataclass(frozen=True, slots=True)
class Opening:
    """Ports, and the addresses and prefixes that may reach them; nobody's in particular where `anyone` is set."""

    name: str
    protocol: str
    ports: tuple[str, ...]
    sources: tuple[str, ...]
    anyone: bool

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Opening:
        """Raises ValueError, KeyError."""
        ports, sources = tuple(map(str, found["ports"])), tuple(map(str, found["from"]))
        if found["protocol"] not in ("tcp", "udp") or not ports or not all(map(PORTS.fullmatch, ports)):
            raise ValueError(f"{found['name']}: wants tcp or udp, and ports")
        networks = tuple(str(ipaddress.ip_network(each, strict=False)) for each in sources if each != "anyone")
        return cls(f"{found['role']} {found['name']}", found["protocol"], ports, networks, "anyone" in sources)


@dataclass(frozen=True, slots=True)
class Config:
    """What seter wrote. `new_per_second` is connections; 0 is no limit."""

    openings: tuple[Opening, ...]
    new_per_second: int
    metrics_port: int
    metrics_address: str

    @classmethod
    def read(cls, path: str) -> Config:
        """Raises ValueError with the reason."""
        try:
            found = json.loads(Path(path).read_text(encoding="utf-8"))
            openings = tuple(map(Opening.read, found["openings"]))
            return cls(
                openings, int(found["new_per_second"]), int(found["metrics_port"]), str(found["metrics_address"])
            )
        except (OSError, KeyError, TypeError, ValueError, AttributeError) as fault:
            raise ValueError(f"{path} cannot be used: {type(fault).__name__}: {fault}") from fault


def rules(config: Config) -> str:
    """What `nft -f` reads: all of it or nothing comes to be, in place of what was there. Pure."""
    lets = "\n".join(f"    {line}" for opening in config.openings for line in _lets_in(opening, config.new_per_second))
    return f"""\
table inet {TABLE}
delete table inet {TABLE}
table inet {TABLE} {{
  counter refused {{ }}
  counter hasty {{ }}
  set hasty4 {{ type ipv4_addr; size 65535; flags dynamic, timeout; timeout 10s; }}
  set hasty6 {{ type ipv6_addr; size 65535; flags dynamic, timeout; timeout 10s; }}
  chain input {{
    type filter hook input priority filter; policy drop;
    iifname "lo" accept
    iifname != "hop*" ip saddr {RING4} counter name refused drop comment "of the ring alone"
    iifname != "hop*" ip6 saddr {RING6} counter name refused drop comment "of the ring alone"
    meta l4proto {{ icmp, ipv6-icmp }} accept comment "or no path has the right size of packets"
    tcp flags & (fin | syn | rst | ack) != syn accept comment "does not begin a connection"
    udp dport {CLIENT_PORTS} accept comment "answers to what this node asked"
    iifname "hop*" udp dport {BFD} accept comment "gateways see whether the next one is there"
{lets}
    counter name refused drop
  }}
}}
"""


def _lets_in(opening: Opening, new_per_second: int) -> Iterator[str]:
    """The rules for one opening."""
    there = f"{opening.protocol} dport {{ {', '.join(opening.ports)} }}"
    said = f'comment "{opening.name}"'
    if opening.anyone:
        if new_per_second and opening.protocol == "tcp":
            # A burst of a second's worth: browsers and SDKs open several connections at once.
            rate = f"limit rate over {new_per_second}/second burst {new_per_second} packets"
            for family, kept in (("ip", "hasty4"), ("ip6", "hasty6")):
                yield f"{there} update @{kept} {{ {family} saddr {rate} }} counter name hasty drop"
        yield f"{there} accept {said}"
        return
    networks = [ipaddress.ip_network(source) for source in opening.sources]
    # Without those that lie in another, which nft takes for a conflict.
    four = ipaddress.collapse_addresses(each for each in networks if isinstance(each, ipaddress.IPv4Network))
    six = ipaddress.collapse_addresses(each for each in networks if isinstance(each, ipaddress.IPv6Network))
    for family, those in (("ip", ", ".join(map(str, four))), ("ip6", ", ".join(map(str, six)))):
        if those:
            yield f"{there} {family} saddr {{ {those} }} accept {said}"


@dataclass(slots=True)
class State:
    """What is known since the last look; written by one thread, read by those of the server."""

    in_place: bool = False
    reason: str = "not looked at yet"
    corrections: int = 0
    refused: int = 0
    hasty: int = 0

    def report(self) -> dict[str, Any]:
        """For `firewall status`."""
        return {
            "ok": self.in_place,
            "summary": self.reason or f"in place, {self.refused} packets refused",
            "corrections": self.corrections,
            "refused": self.refused,
            "hasty": self.hasty,
        }

    def metrics(self) -> str:
        """Prometheus text format 0.0.4."""
        rows = (
            ("firewall_in_place", "gauge", "1 while the rules are there as they should be", int(self.in_place)),
            ("firewall_corrections_total", "counter", "Times that they had to be made again", self.corrections),
            (
                "firewall_refused_packets_total",
                "counter",
                "Packets to what is not open for their sender",
                self.refused,
            ),
            ("firewall_hasty_packets_total", "counter", "New connections beyond new_per_second", self.hasty),
        )
        lines = [f"# HELP {name} {about}\n# TYPE {name} {kind}\n{name} {value}" for name, kind, about, value in rows]
        return "\n".join(lines) + "\n"


class Kernel:
    """What `nft` does to this node. All raise OSError."""

    def load(self, text: str) -> None:
        """Exchange the rules."""
        _run("nft", "-f", "-", text=text)

    def listed(self) -> str:
        """The rules as they are, with what they have counted and without whom they took for hasty, which a flood makes
        many; empty where there are none."""
        try:
            return _run("nft", "--terse", "list", "table", "inet", TABLE)
        except OSError as fault:
            if "No such file or directory" in str(fault):
                return ""
            raise


def without_state(listed: str) -> str:
    """The rules without what they have counted. Pure."""
    return re.sub(r"packets \d+ bytes \d+", "", listed)


def packets_in(listed: str) -> dict[str, int]:
    """Packets by counter. Pure."""
    return {name: int(count) for name, count in re.findall(r"counter (\w+) \{\s*packets (\d+)", listed)}


def _run(*argv: str, text: str = "") -> str:
    done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout


class Keeper:
    """Looks whether the rules are in place, and puts them there."""

    def __init__(self, config: Config, kernel: Kernel, state: State) -> None:
        self._text, self._kernel, self.state = rules(config), kernel, state
        self._loaded = ""  # as the kernel listed them after this process had loaded them

    def look(self) -> None:
        """Once; never raises for what the kernel does."""
        try:
            listed = self._kernel.listed()
            if not self._loaded or without_state(listed) != self._loaded:
                listed = self._load()
            packets = packets_in(listed)
            self.state.refused, self.state.hasty = packets["refused"], packets["hasty"]
            self._say(True, "")
        except (OSError, ValueError, KeyError) as fault:
            self._say(False, str(fault))

    def _load(self) -> str:
        again = bool(self._loaded)
        self._kernel.load(self._text)
        listed = self._kernel.listed()
        self._loaded = without_state(listed)
        self.state.corrections += again
        log("somebody had changed the rules: put back" if again else "put in place")
        return listed

    def _say(self, in_place: bool, reason: str) -> None:
        if reason and reason != self.state.reason:
            log(reason)
        self.state.in_place, self.state.reason = in_place, reason


def run(config: Config) -> int:
    """Until SIGTERM or SIGINT, or until the file is another: a node that went back by itself cannot tell us."""
    ending = until_told()
    began = _file()
    keeper = Keeper(config, Kernel(), State())
    keeper.look()
    serve(config.metrics_port, keeper.state, config.metrics_address)
    while not ending.wait(EVERY):
        if _file() != began:
            log("its file is another now")
            break
        keeper.look()
    return 0


def _file() -> bytes:
    """What there is to read now; nothing while it is being exchanged is no change."""
    try:
        return Path(CONFIG).read_bytes()
    except OSError:
        return b""


def show(config: Config) -> None:
    """Print the rules."""
    print(rules(config), end="")


def log(text: str) -> None:
    """One line to stderr."""
    print(f"firewall: {text}", file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
    """See the top of this file."""
    return program(__doc__, CONFIG, argv, Config.read, run, strict="--in-place", more={"show": show})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
