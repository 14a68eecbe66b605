#!/usr/bin/python3
"""Keeps this node in the ring of gateways (`second_chance_ring`): hop interfaces, rules, metrics.

    second-chance run            see that all is in place, again and again; until SIGTERM, which leaves it there
    second-chance status         JSON; with --in-place exit 1 while something is missing
    second-chance check-config   exit 0 when the file of --config can be used, else 2 and the reason

Options before the verb: --config FILE. Exit codes: 0 done, 1 the kernel refused, 2 wrong file or usage.
Needs CAP_NET_ADMIN. When it ends, the rules stay: flows are handed on by the kernel alone.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

from metrics_server import program, serve, until_told
from second_chance_ring import FAMILIES, MAC, Config, Kernel, counters_in, links, rules, without_counts

CONFIG = "/etc/seter/now/second-chance/second-chance.json"
EVERY = 2.0  # seconds between two looks


@dataclass(slots=True)
class State:
    """What is known since the last look; written by one thread, read by those of the server."""

    in_place: bool = False
    reason: str = "not looked at yet"
    corrections: int = 0
    packets: dict[str, dict[str, int]] = field(default_factory=dict)

    def report(self) -> dict[str, Any]:
        """For `second-chance status`."""
        return {
            "ok": self.in_place,
            "in_place": self.in_place,
            "reason": self.reason,
            "corrections": self.corrections,
            "packets": self.packets,
        }

    def metrics(self) -> str:
        """Prometheus text format 0.0.4."""
        rows = [(family, name, count) for family, found in self.packets.items() for name, count in found.items()]
        lines = [
            "# HELP second_chance_in_place 1 while hop interfaces and rules are there",
            "# TYPE second_chance_in_place gauge",
            f"second_chance_in_place {int(self.in_place)}",
            "# HELP second_chance_corrections_total Times that they had to be made again",
            "# TYPE second_chance_corrections_total counter",
            f"second_chance_corrections_total {self.corrections}",
            "# HELP second_chance_packets_total Packets handed on, by how many nodes were asked then",
            "# TYPE second_chance_packets_total counter",
            *(
                f'second_chance_packets_total{{family="{family}",asked="{name.removeprefix("asked")}"}} {count}'
                for family, name, count in rows
                if name.startswith("asked")
            ),
            "# HELP second_chance_given_up_packets_total Packets whose flow no node has, or that were too many",
            "# TYPE second_chance_given_up_packets_total counter",
            *(
                f'second_chance_given_up_packets_total{{family="{family}"}} {count}'
                for family, name, count in rows
                if name == "gave_up"
            ),
        ]
        return "\n".join(lines) + "\n"


class Keeper:
    """Looks whether all is in place, and puts it there."""

    def __init__(self, config: Config, kernel: Kernel, state: State) -> None:
        self._config, self._kernel, self.state = config, kernel, state
        self._versions = [version for version in FAMILIES if config.hops and config.of_family(version)]
        self._text = ""  # what this process has loaded, and as the kernel listed it then
        self._loaded: list[list[str]] = []

    def look(self) -> None:
        """Once; never raises for what the kernel does."""
        try:
            tables = zip(self._versions, self._corrected(), strict=True)
            self.state.packets = {FAMILIES[version][0]: counters_in(table) for version, table in tables}
            self._say(True, "")
        except (OSError, ValueError, KeyError) as fault:
            self._say(False, str(fault))

    def _corrected(self) -> list[dict[str, Any]]:
        """Put in place what is not; the tables as they are then."""
        config, kernel = self._config, self._kernel
        uplink, present = kernel.uplink(config.address), kernel.hops()
        wanted = {f"hop{hop}": MAC.format(hop=hop, number=config.number) for hop in config.hops}
        text, tables = rules(config, uplink), self._tables()
        if present == wanted and text == self._text and list(map(without_counts, tables)) == self._loaded:
            return tables
        again = bool(self._text)
        if lines := links(config, uplink, present):
            kernel.link(lines)
        if text:
            kernel.load(text)
        tables = self._tables()
        self._text, self._loaded = text, list(map(without_counts, tables))
        self.state.corrections += again
        log(f"{'put back' if again else 'put in place'}: {len(config.hops)} hops on {uplink}")
        return tables

    def _tables(self) -> list[dict[str, Any]]:
        return [self._kernel.table(version) for version in self._versions]

    def _say(self, in_place: bool, reason: str) -> None:
        if reason != self.state.reason and reason:
            log(reason)
        self.state.in_place, self.state.reason = in_place, reason


def run(config: Config) -> int:
    """Until SIGTERM or SIGINT."""
    ending = until_told()
    keeper = Keeper(config, Kernel(), State())
    keeper.look()
    serve(config.metrics_port, keeper.state, config.address)
    while not ending.wait(EVERY):
        keeper.look()
    return 0


def log(text: str) -> None:
    """One line to stderr."""
    print(f"second-chance: {text}", file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
    """See the top of this file."""
    return program(__doc__, CONFIG, argv, Config.read, run, strict="--in-place")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
