#!/usr/bin/python3
"""Runs a service, and starts it anew when it answers nobody any more.

    watched --url URL [--patience SECONDS] [--drain FILE SECONDS [--busy PROGRAM SECONDS]] -- COMMAND...

A service that ends is started again by whoever started this (systemd, the container engine). One that hangs is still
there, so it is asked: once a second for URL, and any answer, of any status, is a sign of life. When there was none for
`patience`, the process is killed and started again; the next time patience is twice as long, at most ten minutes, and
as at first after an hour of health: a service that hangs for a reason from outside is not helped by more restarts. What
does not answer yet since it is starting is left alone.

Signals to end are passed on. With `--drain` they are so many seconds later, and FILE is there meanwhile: a service that
says by it that it wants no more requests has none left when it ends. It is taken away before each start. With `--busy`
they are later still, as long as PROGRAM (with arguments, as a shell has them) exits 0, at most so many seconds more:
for requests that take longer, and a service that cuts them off when it ends.

Exit code: the service's; 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import http.client
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

EVERY = 1.0  # seconds
ANSWER_WITHIN = 2.0  # seconds; what is late is asked again until patience ends
MOST = 600.0  # seconds of patience
HEALTH = 3600.0  # seconds after which earlier restarts are forgotten
LOOK_EVERY = 0.25  # seconds, for the last requests
PAUSE = 1.0  # seconds between kill and start


@dataclass(slots=True)
class Patience:
    """When a service that answers or does not is to be started anew. All numbers are seconds, `now` monotonic."""

    first: float
    current: float = 0.0
    heard: float | None = None  # the last sign of life; None before there was one
    killed: float | None = None

    def hear(self, now: float) -> None:
        """It has answered."""
        self.heard = now

    def is_over(self, now: float) -> bool:
        """Whether it has been silent for too long, after it had answered."""
        return self.heard is not None and now - self.heard >= (self.current or self.first)

    def restart(self, now: float) -> None:
        """It is started anew now."""
        lately = self.killed is not None and now - self.killed < HEALTH
        self.current = min(max(self.current, self.first) * 2, MOST) if lately else self.first * 2
        self.heard, self.killed = None, now


def answers(url: str) -> bool:
    """Whether anybody answers there, whatever the answer is."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=ANSWER_WITHIN)
    try:
        connection.request("GET", parts.path or "/", headers={"User-Agent": "seter-watched"})
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True


@dataclass(frozen=True, slots=True)
class Drain:
    """A file that says that no more requests are wanted, and the seconds that it takes until everybody knows."""

    file: Path
    seconds: float
    busy: tuple[str, ...] = ()
    grace: float = 0.0

    def wait(self) -> None:
        """Until everybody knows, and what is under way has ended or had its time."""
        time.sleep(self.seconds)
        until = time.monotonic() + self.grace
        while self.busy and time.monotonic() < until and self._is_busy():
            time.sleep(LOOK_EVERY)

    def _is_busy(self) -> bool:
        try:
            asked = subprocess.run(self.busy, stdout=subprocess.DEVNULL, timeout=ANSWER_WITHIN, check=False)
        except (OSError, subprocess.TimeoutExpired) as fault:
            log(f"nobody knows whether it is busy: {fault}")
            return False
        return asked.returncode == 0

    def begin(self) -> None:
        """Say so. Not being able to is no reason to go on for ever."""
        try:
            self.file.touch()
        except OSError as fault:
            log(f"{self.file}: {fault.strerror}; ending without it")

    def end(self) -> None:
        """Requests are wanted again. Raises OSError."""
        self.file.unlink(missing_ok=True)


class Keeper:
    """Runs the service until it ends by itself or is told to."""

    def __init__(
        self, command: Sequence[str], patience: Patience, alive: Callable[[], bool], drain: Drain | None = None
    ) -> None:
        self._command, self._patience, self._alive, self._drain = command, patience, alive, drain
        self._ending = False
        self._service: subprocess.Popen[bytes] | None = None

    def end(self, number: int, _frame: FrameType | None) -> None:
        """Pass a signal on, after the drain if this is the first; from now on nothing is started."""
        if self._drain is not None and not self._ending:
            self._drain.begin()
            threading.Thread(target=self._later, args=(self._drain, number), daemon=True).start()
        else:
            self.pass_on(number, None)
        self._ending = True

    def _later(self, drain: Drain, number: int) -> None:
        drain.wait()
        self.pass_on(number, None)

    def pass_on(self, number: int, _frame: FrameType | None) -> None:
        """Give a signal to the service."""
        if self._service is not None:
            self._service.send_signal(number)

    def run(self) -> int:
        """The service's exit code, 128 + N for signal N. Raises OSError when it cannot be started."""
        while True:
            if self._drain is not None and not self._ending:
                self._drain.end()
            self._service = subprocess.Popen(self._command)
            if self._ending:  # told between the last look and the start
                self._service.terminate()
            code = self._watch(self._service)
            if code is not None or self._ending:
                return 128 - code if code is not None and code < 0 else code or 0
            time.sleep(PAUSE)

    def _watch(self, service: subprocess.Popen[bytes]) -> int | None:
        """The exit code of what ended by itself; None for what had to be killed."""
        while (code := self._ended(service)) is None:
            if self._alive():
                self._patience.hear(time.monotonic())
            elif self._patience.is_over(time.monotonic()) and not self._ending:
                service.kill()
                service.wait()
                self._patience.restart(time.monotonic())
                log(f"{self._command[0]} is started anew; next time after {self._patience.current:g} s of silence")
                return None
        return code

    def _ended(self, service: subprocess.Popen[bytes]) -> int | None:
        try:
            return service.wait(EVERY)
        except subprocess.TimeoutExpired:
            return None


def log(text: str) -> None:
    """One line to stderr."""
    print(f"watched: {text}", file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
    """See the top of this file."""
    parser = argparse.ArgumentParser(
        "watched", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", required=True)
    parser.add_argument("--patience", type=float, default=10.0)
    parser.add_argument("command", nargs="+")
    parser.add_argument("--drain", nargs=2, metavar=("FILE", "SECONDS"))
    parser.add_argument("--busy", nargs=2, metavar=("PROGRAM", "SECONDS"))
    options = parser.parse_args(argv)
    drain = None
    if options.drain:
        busy, grace = options.busy or ("", "0")
        drain = Drain(Path(options.drain[0]), float(options.drain[1]), tuple(shlex.split(busy)), float(grace))
    keeper = Keeper(options.command, Patience(options.patience), lambda: answers(options.url), drain)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, keeper.end if number in (signal.SIGTERM, signal.SIGINT) else keeper.pass_on)
    try:
        return keeper.run()
    except OSError as fault:
        log(str(fault))
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
