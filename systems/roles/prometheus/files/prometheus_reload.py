#!/usr/bin/python3
"""Makes the running Prometheus read its files again, without a gap in what it collects.

Options that are given at the start alone, such as how much is kept, need a new start: where they differ, Prometheus is
stopped a moment later, and what keeps it running starts it anew.

Exit code 0 when it has read them, or will be started anew; 1 when it refuses them or does not answer.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

FLAGS = Path("/etc/seter/now/prometheus/flags")
API = "http://127.0.0.1:9090"
TIMEOUT = 5.0  # seconds
WITHIN = 20.0  # seconds
UNTIL_STOPPED = 1.0  # seconds; a stop takes with it what runs in the same container


def options(lines: Iterable[str]) -> dict[str, str]:
    """Of lines such as `--name=value`. Pure."""
    pairs = (line.strip().removeprefix("--").partition("=") for line in lines if line.startswith("--"))
    return {name: value for name, _, value in pairs}


def differing(wanted: Mapping[str, str], running: Mapping[str, str]) -> list[str]:
    """Options that it runs with otherwise than it should. Values are compared as Prometheus writes them. Pure."""
    return sorted(name for name, value in wanted.items() if _plain(running.get(name, "")) != _plain(value))


def _plain(value: str) -> str:
    """A duration in seconds, a size in bytes, anything else as it is (prometheus.io, "Configuration", <duration>)."""
    units = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
    total, digits = 0, ""
    for sign in value:
        if sign.isdigit():
            digits += sign
        elif digits and sign in units:
            total, digits = total + int(digits) * units[sign], ""
        else:
            return _size(value)
    return str(total) if total and not digits else _size(value)


def _size(value: str) -> str:
    for unit, factor in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)):
        number = value.removesuffix(unit)
        if number != value and number.isdigit():
            return str(int(number) * factor)
    return value


def process() -> int:
    """Number of the process that was started with our options. Raises OSError."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            argv = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it has just ended
        if argv[0].endswith(b"/prometheus") and f"@{FLAGS}".encode() in argv:
            return int(folder.name)
    raise OSError("Prometheus does not run here")


def ask(path: str) -> dict[str, Any]:
    """The API's answer. Raises OSError, ValueError."""
    with urllib.request.urlopen(f"{API}{path}", timeout=TIMEOUT) as answer:
        found: dict[str, Any] = json.load(answer)["data"]
        return found


def last_reload() -> tuple[str, bool]:
    """When it read its files last, and whether they were good. Raises OSError, ValueError."""
    found = ask("/api/v1/status/runtimeinfo")
    return str(found["lastConfigTime"]), bool(found["reloadConfigSuccess"])


def read_again(number: int) -> bool:
    """Whether it took the files. Raises OSError, ValueError."""
    before, _ = last_reload()
    os.kill(number, signal.SIGHUP)
    deadline = time.monotonic() + WITHIN
    while time.monotonic() < deadline:
        when, good = last_reload()
        if when != before or not good:
            return good
        time.sleep(0.1)
    return False


def stop_soon(number: int) -> None:
    """From a process of its own, so that whoever called us hears that it went well."""
    if os.fork() == 0:
        os.setsid()
        time.sleep(UNTIL_STOPPED)
        os.kill(number, signal.SIGTERM)
        os._exit(0)


def main() -> int:
    """See the top of this file."""
    try:
        number = process()
        wanted = options(FLAGS.read_text(encoding="utf-8").splitlines())
        if differing(wanted, ask("/api/v1/status/flags")):
            stop_soon(number)
            return 0
        if read_again(number):
            return 0
    except (OSError, ValueError, KeyError) as fault:
        print(f"prometheus-reload: {fault}", file=sys.stderr)
        return 1
    print("prometheus-reload: Prometheus refuses its files; its log says why", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
