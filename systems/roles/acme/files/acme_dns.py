"""Puts records of dns-01 challenges (RFC 8555, section 8.4) into a zone: dynamic update (RFC 2136) signed with TSIG."""

from __future__ import annotations

import base64
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import dns.exception
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.update

TIMEOUT = 10.0  # seconds
LIFE = 60  # seconds for which others may keep a record
LABEL = "_acme-challenge."


class Unwilling(Exception):
    """The name server does not do what it is asked for."""


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone on the name server that takes updates for it. `record` is where challenges go when _acme-challenge is an
    alias (CNAME) of it, else ""; `wait` is in seconds."""

    server: str
    port: int
    name: str
    key_name: str
    key_file: Path
    algorithm: str
    record: str
    wait: float

    def place(self, name: str) -> str:
        """The name of the record for a name of the certificate."""
        return self.record or LABEL + name.removeprefix("*.")

    def put(self, place: str, texts: Collection[str]) -> None:
        """The record has these texts and no others, and whoever follows the zone had time to see it. Raises Unwilling,
        OSError."""
        update = self._update()
        update.delete(self._name(place), "TXT")
        for text in sorted(texts):
            update.add(self._name(place), LIFE, "TXT", f'"{text}"')
        self._send(update)
        time.sleep(self.wait)

    def take(self, place: str) -> None:
        """The record is gone. Raises Unwilling, OSError."""
        update = self._update()
        update.delete(self._name(place), "TXT")
        self._send(update)

    def _name(self, place: str) -> dns.name.Name:
        name = dns.name.from_text(place)
        if not name.is_subdomain(dns.name.from_text(self.name)):
            raise Unwilling(f"{place} is not in the zone {self.name}: set dns_zone, or dns_record if it is an alias")
        return name

    def _update(self) -> dns.update.UpdateMessage:
        # The secret is a text that seter made; name servers take keys in base64.
        secret = self.key_file.read_bytes().strip()
        key = dns.tsig.Key(self.key_name, base64.b64encode(secret).decode(), self.algorithm)
        return dns.update.UpdateMessage(dns.name.from_text(self.name), keyring=key, keyalgorithm=key.algorithm)

    def _send(self, update: dns.update.UpdateMessage) -> None:
        try:
            answer = dns.query.tcp(update, self.server, timeout=TIMEOUT, port=self.port)
        except dns.exception.DNSException as fault:
            raise Unwilling(f"{self.server} does not take the update: {type(fault).__name__}: {fault}") from fault
        if answer.rcode() != dns.rcode.NOERROR:
            raise Unwilling(f"{self.server} refuses the update of {self.name}: {dns.rcode.to_text(answer.rcode())}")
