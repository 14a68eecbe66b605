"""Pebble, the ACME server for tests, and Knot DNS, both in the network of a node of a deployment.

Accounts are for customers alone (external account binding): what is tested with those works without."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from seter.certificates import make_authority, make_certificate
from tests.lab.programs import program

DIRECTORY_PORT, DNS_PORT, MANAGEMENT_PORT = 14000, 5353, 15000
KEY = "seter-acme"
CUSTOMER, CUSTOMER_KEY = "customer-1", base64.urlsafe_b64encode(b"known to both sides and to nobody else!").decode()


@dataclass(frozen=True, slots=True)
class Place:
    """A network namespace, by a process that is in it, and the address that it has there."""

    process: int
    address: str

    def argv(self, *words: str) -> list[str]:
        """A command that runs there, with the files of this machine."""
        return ["nsenter", f"--net=/proc/{self.process}/ns/net", *words]


@contextmanager
def started(argv: Sequence[str], log: Path, ready: str, env: Mapping[str, str] | None = None) -> Iterator[None]:
    """A server, from when its log has a text until the end of the block."""
    begin = log.stat().st_size if log.exists() else 0
    with log.open("ab") as output:
        process = subprocess.Popen(
            argv, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        end = time.monotonic() + 20
        while ready not in log.read_text()[begin:]:
            assert process.poll() is None and time.monotonic() < end, log.read_text()[-2000:]
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass(frozen=True, slots=True)
class Pebble:
    """An ACME server that may be started again and again; it forgets all each time, as a new one would."""

    place: Place
    folder: Path
    ca: str

    @property
    def directory(self) -> str:
        """Where clients begin."""
        return f"https://{self.place.address}:{DIRECTORY_PORT}/dir"

    @property
    def said(self) -> str:
        """What it said, in all its lives."""
        return self._log.read_text() if self._log.exists() else ""

    @property
    def _log(self) -> Path:
        return self.folder / "pebble.log"

    def orders(self) -> int:
        """How many orders it was asked for, over all its lives."""
        return self.said.count("Added order ")

    def accounts(self) -> int:
        """How many accounts it was asked for."""
        return self.said.count(" accounts in memory")

    def running(self, life: int = 90 * 86400, **faults: str) -> AbstractContextManager[None]:
        """While the block runs, certificates live for `life` seconds; faults are Pebble's own (PEBBLE_…, its manual).
        It looks for challenges on port 80, as others do."""
        config = self.folder / "pebble.json"
        config.write_text(json.dumps({"pebble": self._settings(life)}))
        argv = [program("pebble"), "-strict", "-config", str(config), "-dnsserver", f"{self.place.address}:{DNS_PORT}"]
        return started(self.place.argv(*argv), self._log, "Listening on: ", faults)

    def _settings(self, life: int) -> dict[str, object]:
        return {
            "listenAddress": f"{self.place.address}:{DIRECTORY_PORT}",
            "managementListenAddress": f"{self.place.address}:{MANAGEMENT_PORT}",
            "certificate": str(self.folder / "pebble.crt"),
            "privateKey": str(self.folder / "pebble.key"),
            "httpPort": 80,
            "tlsPort": 443,
            "retryAfter": {"authz": 1, "order": 1},
            "externalAccountBindingRequired": True,
            "externalAccountMACKeys": {CUSTOMER: CUSTOMER_KEY},
            "keyAlgorithm": "ecdsa",
            "profiles": {"default": {"description": "short", "validityPeriod": life}},
        }


def pebble(place: Place, folder: Path) -> Pebble:
    """Not running yet."""
    authority = make_authority("the ACME server")
    pair = make_certificate(authority, "pebble", [place.address])
    (folder / "pebble.crt").write_text(pair.certificate)
    (folder / "pebble.key").write_text(pair.key)
    return Pebble(place, folder, authority.certificate)


KNOT = """
server:
  rundir: {folder}
  listen: {address}@{port}
database:
  storage: {folder}
log:
  - target: stderr
    any: info
key:
  - id: {key}
    algorithm: hmac-sha256
    secret: {secret}
acl:
  - id: challenges
    key: {key}
    action: update
    update-owner: name
    update-owner-match: sub-or-equal
    update-owner-name: [{allowed}]
    update-type: [TXT]
zone:
  - domain: {zone}
    storage: {folder}
    file: zone
    acl: challenges
"""
ZONE = """$ORIGIN {zone}.
@ 60 IN SOA ns hostmaster 1 60 60 600 60
@ 60 IN NS ns
ns 60 IN A {address}
{records}
"""


@contextmanager
def name_server(
    place: Place, folder: Path, zone: str, hosts: Mapping[str, str], secret: str, allowed: Sequence[str]
) -> Iterator[None]:
    """A name server for one zone with these hosts. Who has the secret may change TXT records of names in `allowed`."""
    records = "\n".join(f"{host} 60 IN A {address}" for host, address in hosts.items())
    (folder / "zone").write_text(ZONE.format(zone=zone, address=place.address, records=records))
    names = {"folder": folder, "address": place.address, "port": DNS_PORT, "key": KEY, "zone": zone}
    encoded = base64.b64encode(secret.encode()).decode()
    (folder / "knot.conf").write_text(KNOT.format(**names, secret=encoded, allowed=", ".join(allowed)))
    argv = place.argv("/usr/sbin/knotd", "--config", str(folder / "knot.conf"))
    with started(argv, folder / "knot.log", "server started"):
        yield
