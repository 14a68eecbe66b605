#!/usr/bin/python3
"""Uses the S3 service as a customer does, through its virtual IPs.

    s3-client run                                     the canary: a 1 KiB round every second, metrics; until SIGTERM
    s3-client round-trip --size N                     put, get, compare, delete one object of N bytes, or 64MiB
    s3-client load --seconds S --rate R               R new connections a second, each one GET of 1 KiB
    s3-client drive --profile FILE --seconds S        a mix of requests at planned times, all verified
    s3-client profile --from-log FILE                 such a profile, of an access log of Traefik or S3; - is stdin
    s3-client flows --count N --seconds S --each E    keep N slow uploads and downloads going, each of E seconds
    s3-client upload --while FILE                     one long upload, until FILE, touched now and then, is removed
    s3-client status                                  JSON: how the canary fares
    s3-client check-config                            exit 0 when the file of --config can be used, else 2

`drive` takes a profile (JSON, described in s3_profile.py) in place of its file, --rate R and --seed N in place of the
profile's, --stream for a line of JSON every second, --late S to list answers that took longer, --name NUMBER=NAME for a
RadosGW's number or an address. It ends with 1 as well when the run is not valid: when this machine was too busy to keep
to the plan. What it prints is described in s3_tally.py.
--service NAME asks another service than the first (`run` asks all), --vip ADDRESS takes one virtual IP instead of all
in turn; --json prints JSON. --config FILE comes before the verb.
Exit codes: 0 all good, 1 something failed, 2 wrong file or usage.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import pwd
import re
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import s3_drive
import s3_flows
import s3_tally
from botocore.exceptions import BotoCoreError, ClientError
from metrics_server import metric, serve
from s3_certificate import EVERY, life
from s3_load import Getter, as_json, as_text, load, prepare
from s3_log import profile_of
from s3_profile import Profile
from s3_round_trip import round_trip
from s3_service import Service, resolved
from s3_upload import upload

CONFIG = "/etc/seter/now/s3-client/s3-client.json"
CANARY_SIZE = 1024  # bytes
CANARY_TIMEOUT = 5.0  # seconds
_UNITS = {"": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


@dataclass(slots=True)
class Canary:
    """What the rounds have come to, per virtual IP; read by the metrics thread."""

    good: dict[str, int] = field(default_factory=dict)
    bad: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    last: dict[str, dict[str, Any]] = field(default_factory=dict)
    certificates: dict[str, tuple[float, float]] = field(default_factory=dict)  # since and until, seconds since 1970
    looked: dict[str, float] = field(default_factory=dict)

    def hear(self, vip: str, found: dict[str, Any]) -> None:
        """Take one round into account."""
        counts = self.good if found["ok"] else self.bad
        counts[vip] = counts.get(vip, 0) + 1
        self.seconds[vip] = found["seconds"]
        self.last[vip] = {**found, "at": time.time()}

    def look(self, service: Service, vip: str, now: float) -> None:
        """At the certificate, when the last look is long ago. `now` in seconds, monotonic."""
        if now - self.looked.get(vip, -EVERY) < EVERY:
            return
        self.looked[vip] = now
        try:
            self.certificates[vip] = life(service, vip, CANARY_TIMEOUT)
        except OSError as fault:
            log(f"{vip}: no certificate: {fault}")

    def report(self) -> dict[str, Any]:
        """For `status`; ok when the last round over each virtual IP was."""
        ok = bool(self.last) and all(found["ok"] for found in self.last.values())
        return {"ok": ok, "good": self.good, "bad": self.bad, "last": self.last}

    def metrics(self) -> str:
        """Prometheus text format 0.0.4."""
        lines = [
            "# HELP s3_client_rounds_total Objects put, read, compared and deleted",
            "# TYPE s3_client_rounds_total counter",
            *(f's3_client_rounds_total{{vip="{vip}",outcome="good"}} {self.good.get(vip, 0)}' for vip in self.last),
            *(f's3_client_rounds_total{{vip="{vip}",outcome="bad"}} {self.bad.get(vip, 0)}' for vip in self.last),
            "# HELP s3_client_round_seconds Duration of the last round",
            "# TYPE s3_client_round_seconds gauge",
            *(f's3_client_round_seconds{{vip="{vip}"}} {seconds:.4f}' for vip, seconds in self.seconds.items()),
        ]
        for number, word in ((0, "before"), (1, "after")):
            samples = [({"vip": vip}, dates[number]) for vip, dates in self.certificates.items()]
            name, summary = f"s3_client_certificate_not_{word}_seconds", f"It does not hold {word} this time"
            lines += metric(name, "gauge", summary, samples)
        return "\n".join(lines) + "\n"


def run(services: Iterable[Service], vips: Sequence[str]) -> int:
    """Rounds start every `interval`, over the virtual IPs of all services in turn (of those in `vips`, if there are
    any), until SIGTERM."""
    ending = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ending.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    canary = Canary()
    ways = [(service, vip) for service in services for vip in service.vips if vip in vips or not vips]
    first = ways[0][0]
    serve(first.metrics_port, canary, first.metrics_address)
    due, turns = time.monotonic(), itertools.cycle(ways)
    while not ending.wait(max(0.0, due - time.monotonic())):
        round_of_canary(*next(turns), canary)
        due = max(due + first.interval, time.monotonic())
    return 0


def round_of_canary(service: Service, vip: str, canary: Canary) -> None:
    """One round; a change from good to bad or back is worth a line."""
    was_ok = canary.last.get(vip, {}).get("ok")
    with resolved(service.dns_name, vip):
        found = round_trip(service, CANARY_SIZE, bucket="canary", timeout=CANARY_TIMEOUT)
    canary.hear(vip, found)
    canary.look(service, vip, time.monotonic())
    if found["ok"] != was_ok:
        log(f"{vip}: {'good' if found['ok'] else found['error']}")


def one_round_trip(service: Service, vips: tuple[str, ...], size: int, *, as_json: bool) -> int:
    """Over the first of these virtual IPs."""
    with resolved(service.dns_name, vips[0]):
        found = {"vip": vips[0], **round_trip(service, size)}
    words = f"{'good' if found['ok'] else found['error']}: {size} bytes over {vips[0]} in {found['seconds']} s"
    print(json.dumps(found) if as_json else words)
    return 0 if found["ok"] else 1


def one_load(service: Service, vips: tuple[str, ...], options: argparse.Namespace) -> int:
    """Prepare over the first virtual IP, then the load over all. Exit code 1 when a request failed."""
    try:
        with resolved(service.dns_name, vips[0]):
            content = prepare(service)
        getter = Getter(service, content)
    except (BotoCoreError, ClientError, OSError) as fault:
        log(f"the object to read cannot be stored: {fault}")
        return 1
    log("load begins")
    found = load(getter.get, vips, options.seconds, options.rate)
    print(as_json(found) if options.json else as_text(found))
    return 1 if found["failed"] else 0


def one_drive(service: Service, vips: tuple[str, ...], options: argparse.Namespace) -> int:
    """A profile's requests over all virtual IPs. Exit code 1 when one failed, or the run is not valid; 2 for a wrong
    profile. Raises OSError."""
    try:
        text: str = options.profile
        profile = text if text.lstrip().startswith("{") else Path(text).read_text(encoding="utf-8")
        more = {name: getattr(options, name) for name in ("rate", "seed") if getattr(options, name) is not None}
        chosen = Profile.parsed(json.dumps({**json.loads(profile), **more}) if more else profile)
        way = s3_drive.Way(service, vips, dict(name.split("=", 1) for name in options.name))
    except (OSError, TypeError, ValueError) as fault:
        log(f"this profile cannot be used: {fault}")
        return 2
    tally, run = s3_drive.drive(way, chosen, options.seconds, options.late, stream=options.stream)
    whole = s3_tally.document(tally, run)
    print(json.dumps(whole) if options.json or options.stream else s3_tally.as_text(tally, run))
    return 0 if whole["valid"] and not whole["failed"] else 1


def one_profile(path: str) -> int:
    """Of an access log, on stdout. Exit code 2 when it has none."""
    try:
        with sys.stdin if path == "-" else Path(path).open(encoding="utf-8", errors="replace") as lines:
            print(json.dumps(profile_of(lines).document(), indent=2))
    except (OSError, ValueError) as fault:
        log(f"{path} cannot be used: {fault}")
        return 2
    return 0


def slow_flows(service: Service, vips: tuple[str, ...], options: argparse.Namespace) -> int:
    """Slow transfers over all virtual IPs, until the time is over or SIGTERM. Exit code 1 when one broke."""
    try:
        with resolved(service.dns_name, vips[0]):
            transfers = s3_flows.Transfers(service, options.each)
            transfers.prepare()
    except (BotoCoreError, ClientError, OSError) as fault:
        log(f"the object to read cannot be stored: {fault}")
        return 1
    log("flows begin")
    ending = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ending.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    found = s3_flows.flows(transfers, vips, options.count, options.seconds, options.each, ending)
    print(s3_flows.as_json(found) if options.json else s3_flows.as_text(found))
    return 1 if found["broken"] else 0


def one_upload(service: Service, vips: tuple[str, ...], options: argparse.Namespace) -> int:
    """Over the first of these virtual IPs, as long as somebody waits."""
    found = upload(service, vips[0], options.file)
    words = f"{'good' if found['ok'] else found['error']}: {found['parts']} parts over {found['vip']}"
    print(json.dumps(found) if options.json else f"{words} in {found['seconds']} s")
    return 0 if found["ok"] else 1


def status(service: Service) -> int:
    """The running canary's report."""
    with urllib.request.urlopen(f"http://127.0.0.1:{service.metrics_port}/status", timeout=2) as answer:
        found = json.load(answer)
    print(json.dumps(found))
    return 0


def size_of(text: str) -> int:
    """Bytes of `1024`, `1KiB`, `64MiB`. Raises ValueError."""
    parts = re.fullmatch(r"(\d+)(|KiB|MiB|GiB)", text)
    if parts is None:
        raise ValueError(f"{text!r} is no size")
    return int(parts[1]) * _UNITS[parts[2]]


def become_client() -> None:
    """Root of a container may not read the keys (it has no CAP_DAC_OVERRIDE); the user s3-client may."""
    if os.geteuid() == 0:
        user = pwd.getpwnam("s3-client")
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)


def go_first() -> None:
    """What measures comes before what is measured, where they share processors: sched(7), SCHED_RR. Who may not is as
    late as the machine is busy, and says so in the end."""
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


def log(text: str) -> None:
    """One line to stderr."""
    print(f"s3-client: {text}", file=sys.stderr, flush=True)


def command_line() -> argparse.ArgumentParser:
    """The options of every verb."""
    parser = argparse.ArgumentParser(
        "s3-client", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default=CONFIG)
    verbs = parser.add_subparsers(dest="verb", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--vip", action="append", default=[])
    shared.add_argument("--json", action="store_true")
    shared.add_argument("--service", default="")
    verbs.add_parser("run", parents=[shared])
    verbs.add_parser("status", parents=[shared])
    verbs.add_parser("check-config")
    verbs.add_parser("round-trip", parents=[shared]).add_argument("--size", type=size_of, default=1024)
    loading = verbs.add_parser("load", parents=[shared])
    loading.add_argument("--seconds", type=float, default=10.0)
    loading.add_argument("--rate", type=float, default=20.0)
    verbs.add_parser("upload", parents=[shared]).add_argument("--while", dest="file", required=True)
    verbs.add_parser("profile").add_argument("--from-log", required=True)
    driving = verbs.add_parser("drive", parents=[shared])
    driving.add_argument("--profile", default="{}")
    driving.add_argument("--seconds", type=float, default=10.0)
    driving.add_argument("--rate", type=float)
    driving.add_argument("--seed", type=int)
    driving.add_argument("--late", type=float, default=1.0)
    driving.add_argument("--stream", action="store_true")
    driving.add_argument("--name", action="append", default=[])
    flowing = verbs.add_parser("flows", parents=[shared])
    flowing.add_argument("--count", type=int, default=20)
    flowing.add_argument("--seconds", type=float, default=10.0)
    flowing.add_argument("--each", type=float, default=10.0)
    return parser


def main(argv: list[str]) -> int:
    """See the top of this file."""
    options = command_line().parse_args(argv)
    if options.verb == "profile":
        return one_profile(options.from_log)
    try:
        service = Service.read(options.config, getattr(options, "service", ""))
    except ValueError as fault:
        log(str(fault))
        return 2
    if options.verb == "check-config":
        return 0
    try:
        if options.verb == "drive":
            go_first()
        become_client()
        return act(options, service, tuple(options.vip) or service.vips)
    except OSError as fault:
        log(str(fault))
        return 1


def act(options: argparse.Namespace, service: Service, vips: tuple[str, ...]) -> int:
    """The verb. Raises OSError."""
    if options.verb == "run":
        return run(Service.read_all(options.config).values(), options.vip)
    if options.verb == "status":
        return status(service)
    if options.verb == "round-trip":
        return one_round_trip(service, vips, options.size, as_json=options.json)
    if options.verb == "upload":
        return one_upload(service, vips, options)
    if options.verb == "drive":
        return one_drive(service, vips, options)
    if options.verb == "flows":
        return slow_flows(service, vips, options)
    return one_load(service, vips, options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
