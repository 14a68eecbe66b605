"""One agent on each gateway; the one that leads orders and renews the certificate for all."""

from __future__ import annotations

import hashlib
import json
import random
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import acme_policy
import acme_store
from acme_dns import Unwilling, Zone
from acme_order import Binding, Proof, Refused, Server, new_account
from acme_policy import Certificate, Window
from acme_report import Known
from acme_solver import listens, shows
from acme_store import BASE, CERTIFICATE, KEY, TOKENS, Order, Seen, plain
from etcd_lead import Lead, Lost
from traefik_etcd import OVER, Etcd, Failed

ACCOUNT, ORDER, STATE = BASE + "account", BASE + "order", BASE + "state"
EVERY = 2.0  # seconds between two looks
SEEN = 0.5  # seconds after which every agent knows a token that is in etcd (acme_solver.FRESH, and a read)
ALL_SHOW = 10.0  # seconds within which all gateways have to show a token; then the server is asked anyway
GATHER = 900.0  # seconds for which an order waits until the agents of all gateways run: a roll-out may be under way
ASK_AGAIN = 3600.0  # seconds until a server is asked anew that could not say when to renew


@dataclass(frozen=True, slots=True)
class Config:
    """What seter wrote. An empty `directory` orders nothing. Times are in seconds."""

    node: str
    etcd: Etcd
    members: tuple[str, ...]
    directory: str
    server_ca: Path
    contact: str
    names: tuple[str, ...]
    challenge: str
    fraction: float
    retry_first: float
    retry_most: float
    lease: int
    zone: Zone | None
    solver_port: int
    metrics_port: int
    metrics_address: str
    binding: Binding | None = None  # to an account that the server's owner knows

    @classmethod
    def read(cls, path: str) -> Config:
        """Raises ValueError with the reason."""
        try:
            found = json.loads(Path(path).read_text(encoding="utf-8"))
            config = cls.of(found)
        except (OSError, KeyError, TypeError, ValueError) as fault:
            raise ValueError(f"{path} cannot be used: {type(fault).__name__}: {fault}") from fault
        if config.directory and not found["terms_agreed"]:
            raise ValueError(f"{path}: read the terms of service of {config.directory}, then set terms_agreed = true")
        if not 0.1 <= config.fraction <= 0.85:
            raise ValueError(f"{path}: renew_at is from 10 to 85 (per cent of the lifetime)")
        if config.directory and config.zone is None and any(config.kind(name) == "dns-01" for name in config.names):
            raise ValueError(f"{path}: names with * and dns-01 need dns_server, the name server that takes updates")
        return config

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Config:
        """From the JSON. Raises KeyError, TypeError, ValueError."""
        host, _, port = str(found["etcd"]).rpartition(":")
        zone = found["zone"]
        return cls(
            node=str(found["node"]),
            etcd=Etcd(host.strip("[]"), int(port), Path(found["secrets"])),
            members=tuple(str(address) for address in found["members"]),
            directory=str(found["directory"]),
            server_ca=Path(found["server_ca"]),
            contact=str(found["contact"]),
            names=tuple(sorted(str(name) for name in found["names"])),
            challenge=str(found["challenge"]),
            fraction=float(found["renew_at"]) / 100,
            retry_first=float(found["retry_first"]),
            retry_most=float(found["retry_most"]),
            lease=int(found["lease"]),
            zone=Zone(**{**zone, "key_file": Path(zone["key_file"])}) if zone["server"] else None,
            solver_port=int(found["solver_port"]),
            metrics_port=int(found["metrics_port"]),
            metrics_address=str(found["metrics_address"]),
            binding=Binding(str(found["eab_kid"]), Path(found["eab_key"])) if found["eab_kid"] else None,
        )

    def server_digest(self) -> str:
        """Of what decides whose certificate is served, and whether it is trusted. Raises OSError."""
        told = f"{self.directory}\n{self.server_ca.read_text(encoding='utf-8')}"
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    def kind(self, name: str) -> str:
        """The kind of challenge for a name: wildcards are proved by DNS alone (RFC 8555, section 7.1.3)."""
        return "dns-01" if name.startswith("*.") else self.challenge


class Agent:
    """Looks; and works when it leads."""

    def __init__(self, config: Config, lead: Lead, known: Known, log: Callable[[str], None]) -> None:
        self._config, self._lead, self._known, self._log = config, lead, known, log
        self._said = ""
        self._alone_since = 0.0

    def run(self, ending: threading.Event) -> None:
        """Until the end. What fails is said, noted for all in etcd if it was the server's doing, and tried later."""
        while not ending.is_set():
            try:
                seen = self.look()
                if self._config.directory and self._lead.mine:
                    self.work(seen)
            except (Failed, Lost, KeyError, ValueError) as fault:
                self._known.away(str(fault))
                self.say(str(fault))
            ending.wait(EVERY)

    def say(self, text: str) -> None:
        """A line in the log, unless it is the same as the last."""
        if text != self._said:
            self._log(text)
        self._said = text

    def look(self) -> Seen:
        """What etcd has now. Raises Failed."""
        seen = acme_store.seen_in(self._config.etcd.call(acme_store.READ))
        self._known.learn(seen, leads=self._lead.mine)
        return seen

    def work(self, seen: Seen) -> None:
        """What there is to do now, if anything. Raises Failed, Lost."""
        route = acme_store.route(self._config.solver_port, self._config.members)
        there = {OVER + key: text for key, text in seen.over.items() if not key.startswith("tls/")}
        if there != route:
            self._lead.write(route, [key for key in there if key not in route])
        now = time.time()
        if seen.order is not None and not self._fits(seen.order):
            self._lead.write({}, [ORDER])
            seen = replace(seen, order=None)
        if now < seen.state.next_try:
            return
        try:
            if seen.order is None and not self._due(seen, now):
                self._ask_when(seen, now)
            elif seen.order is not None or (now >= seen.state.next_order and self._all_there(seen)):
                self._obtain(seen)
        except (Refused, Unwilling, OSError) as fault:
            self._failed(fault)

    def _all_there(self, seen: Seen) -> bool:
        """Whether every gateway could answer a challenge, and was told of the same server and its CA, so that it takes
        what comes of it for good; or has had its time."""
        away = [address for address in self._config.members if not listens(address, self._config.solver_port)]
        ours = self._config.server_digest()
        away += sorted(node for node, theirs in seen.agents.items() if theirs != ours)
        if not away:
            self._alone_since = 0.0
            return True
        self._alone_since = self._alone_since or time.monotonic()
        self.say(f"waits until {', '.join(away)} have agents with the same settings before it orders")
        return time.monotonic() - self._alone_since > GATHER

    def _fits(self, order: Order) -> bool:
        return (order.directory, order.names) == (self._config.directory, self._config.names)

    def _due(self, seen: Seen, now: float) -> bool:
        found = current(seen)
        if found is None or found.names != set(self._config.names) or seen.state.directory != self._config.directory:
            return True
        return now >= acme_policy.renew_at(found, self._config.fraction, window_of(seen))

    def _ask_when(self, seen: Seen, now: float) -> None:
        """Ask the server now and then when it would have the certificate renewed (RFC 9773). Raises Failed, Lost."""
        found, known = current(seen), window_of(seen)
        if found is None or not found.id or seen.account is None:
            return
        if known is not None and known.id == found.id and now < known.again:
            return
        window = None
        with suppress(Refused, OSError):
            window = self._server(seen).window(found.id)
        if window is None:  # it has no opinion, or cannot be asked: our own fraction holds
            window = Window(found.id, 0.0, -1.0, now + ASK_AGAIN)
        noted = {name: getattr(window, name) for name in Window.__dataclass_fields__}
        self._lead.write({STATE: plain(replace(seen.state, window=noted))})

    def _server(self, seen: Seen) -> Server:
        """For the account of all agents, made if there is none. Raises Refused, OSError, Failed, Lost."""
        account = seen.account
        if account is None or account.directory != self._config.directory:
            account = new_account(self._config.directory)
            # Before the server hears of it: else a leader that dies now leaves an account that nobody has the key of.
            self._lead.write({ACCOUNT: plain(account)})
        server = Server(account, str(self._config.server_ca), self._lead.must)
        if not account.url:
            registered = server.register(account, self._config.contact, self._config.binding)
            self._lead.write({ACCOUNT: plain(registered)})
        return server

    def _obtain(self, seen: Seen) -> None:
        """The certificate, from a new order or the one under way. Raises Refused, Unwilling, OSError, Failed, Lost."""
        server = self._server(seen)
        if seen.order is None:
            order = self._begin(server, seen)
        else:
            order = seen.order
            self._log(f"goes on with the order {order.url}")
        self._prove(server, order)
        text, now = server.fetch(order), time.time()
        if wrong := acme_policy.faults(text, order.key, self._config.names, now):
            raise Refused(f"the certificate is refused: {'; '.join(wrong)}", void=True)
        state = replace(self.look().state, failures=0, next_try=0.0, last_success_at=now, window={})
        state = replace(state, directory=self._config.directory)
        self._lead.write({**acme_store.over(text, order.key), STATE: plain(state)}, [ORDER])
        self._log(f"has a certificate for {', '.join(order.names)}")

    def _begin(self, server: Server, seen: Seen) -> Order:
        """A new order. That there will be one is written first: whoever dies in between leaves no cause for a storm."""
        found, wait = current(seen), self._pause(seen.state.failures + 1)
        state = replace(seen.state, orders=seen.state.orders + 1, next_order=time.time() + wait)
        self._lead.write({STATE: plain(state)})
        key = acme_policy.make_key()
        replaces = found.id if found is not None and seen.state.directory == self._config.directory else ""
        order = server.begin(self._config.names, key, replaces, self._config.directory)
        self._lead.write({ORDER: plain(order)})
        self._log(f"ordered a certificate for {', '.join(order.names)}: {order.url}")
        return order

    def _pause(self, failures: int, asked: float = 0.0) -> float:
        return acme_policy.pause(failures, self._config.retry_first, self._config.retry_most, random.random(), asked)

    def _prove(self, server: Server, order: Order) -> None:
        """Show what the server asks for, and take it away again. Raises as _obtain."""
        proofs = server.proofs(order, self._config.kind)
        tokens = {TOKENS + proof.place: proof.text for proof in proofs if proof.kind == "http-01"}
        records = self._records(proofs)
        try:
            if tokens:
                self._lead.write(tokens, bound=True)
            if self._config.zone is not None:
                for place, texts in records.items():
                    self._config.zone.put(place, texts)
            time.sleep(SEEN)
            self._wait_for_gateways([proof for proof in proofs if proof.kind == "http-01"])
            for proof in proofs:
                server.answer(proof)
            server.wait_for_proofs(order)
        finally:
            with suppress(Failed, Lost, Unwilling, OSError):
                if tokens:
                    self._lead.write({}, list(tokens))
                if self._config.zone is not None and self._lead.mine:
                    for place in records:
                        self._config.zone.take(place)

    def _wait_for_gateways(self, proofs: list[Proof]) -> None:
        """The server may be sent to any of them, and an agent may just start there."""
        end = time.monotonic() + ALL_SHOW
        left = [(address, proof) for address in self._config.members for proof in proofs]
        port = self._config.solver_port
        while left := [
            (one, proof) for one, proof in left if not shows(one, port, proof.name, proof.place, proof.text)
        ]:
            if time.monotonic() > end:
                self.say(f"no challenge is answered by {', '.join(sorted({one for one, _ in left}))}")
                return
            time.sleep(SEEN)

    def _records(self, proofs: list[Proof]) -> dict[str, list[str]]:
        records: dict[str, list[str]] = {}
        for proof in proofs:
            if proof.kind == "dns-01" and self._config.zone is not None:
                records.setdefault(self._config.zone.place(proof.place), []).append(proof.text)
        return records

    def _failed(self, fault: Exception) -> None:
        """Note it for whoever leads next, and when to try again. Raises Failed, Lost."""
        seen, now = self.look(), time.time()
        refused = fault if isinstance(fault, Refused) else Refused("")
        wait = self._pause(seen.state.failures + 1, refused.after)
        reason = str(fault)[:300]
        state = replace(seen.state, failures=seen.state.failures + 1, last_error=reason, last_error_at=now)
        state = replace(state, next_try=now + wait, next_order=now + wait)
        put = {STATE: plain(state)}
        if refused.stranger and seen.account is not None:
            put[ACCOUNT] = plain(replace(seen.account, url=""))
        self._lead.write(put, [ORDER] if refused.void else [])
        self._log(f"{reason}; tries again in {wait:.0f} s")


def current(seen: Seen) -> Certificate | None:
    """The certificate that lies over the tree, with its key; None when there is none that can be read."""
    if KEY not in seen.over:
        return None
    with suppress(ValueError):
        return acme_policy.certificate(seen.over.get(CERTIFICATE, ""))
    return None


def window_of(seen: Seen) -> Window | None:
    """The server's window, if it named one."""
    with suppress(TypeError):
        return Window(**seen.state.window)
    return None
