#!/usr/bin/python3
"""Runs BIRD, and withdraws the virtual IPs when nobody watches any more whether this node serves.

    bird-watch --silence SECONDS --later SECONDS PATTERN PATTERN... -- bird -f ...

The health agent says with every check that it lives, to a socket beside BIRD's own. When it has been silent for so
long, because it was killed, hangs or cannot start, the protocols that fit a PATTERN, as in `vip*`, are disabled; it
enables them again when it is back.
Protocols that fit the pattern of `--later` are disabled when BIRD starts, and enabled once it has run for so long: the
ways past a gateway that is dead. A BIRD that has just begun has heard of some gateways sooner than of others, takes
those for dead, and the ring for smaller than it is; whoever has a flow that they know would be told that nobody does.
A BIRD that does not answer on its socket for ten seconds, after it had, is killed, and whoever started this starts both
again. When this program dies, BIRD goes with it (the first process of its container or unit), and BFD withdraws the
node.

Exit code: BIRD's; 2 for wrong usage.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from bird_control import SOCKET, WATCH, Bird, Refused

LOOK_EVERY = 0.2  # seconds
ASK_EVERY = 1.0  # seconds
HUNG_AFTER = 10.0  # seconds without an answer of BIRD's


class Watch:
    """What was heard of the agent, and what follows from it. `silence` and `now` are seconds on a monotonic clock."""

    def __init__(self, bird: Bird, patterns: Sequence[str], silence: float, now: float) -> None:
        self._bird, self._patterns, self._silence = bird, patterns, silence
        self._heard, self._told = now, False

    def hear(self, now: float) -> None:
        """The agent lives."""
        self._heard, self._told = now, False

    def look(self, now: float) -> None:
        """Disable what is enabled while it is silent. Whoever enables it in the meantime is corrected, too."""
        if now - self._heard < self._silence:
            return
        try:
            if enabled := [name for pattern in self._patterns for name in self._enabled(pattern)]:
                self._bird.disable(enabled)
                log(f"withdrawn: the health agent has been silent for {now - self._heard:.1f} s")
        except OSError as fault:
            if not self._told:
                log(str(fault))
            self._told = True

    def _enabled(self, pattern: str) -> list[str]:
        try:
            return [name for name, up in self._bird.like(pattern).items() if up]
        except Refused:
            return []  # there is none


class Later:
    """Protocols that wait: until BIRD has run for so many seconds. `now` is seconds, monotonic."""

    def __init__(self, bird: Bird, pattern: str, seconds: float, now: float) -> None:
        self._bird, self._pattern, self._due = bird, pattern, now + seconds

    def look(self, now: float) -> None:
        """Enable them, now and then: new files may bring others."""
        if now < self._due:
            return
        self._due = now + ASK_EVERY
        with suppress(OSError):  # there is none, or BIRD does not answer: `Pulse` sees to that
            waiting = [name for name, up in self._bird.like(self._pattern).items() if not up]
            self._bird.enable(waiting)


class Pulse:
    """Whether BIRD still answers; what has not answered yet is starting. `now` is seconds, monotonic."""

    def __init__(self, bird: Bird) -> None:
        self._bird = bird
        self._answered: float | None = None
        self._asked = 0.0

    def is_lost(self, now: float) -> bool:
        """Asks now and then; true when there was no answer for HUNG_AFTER."""
        if now - self._asked >= ASK_EVERY:
            self._asked = now
            with suppress(OSError):
                self._bird.ask("show status")
                self._answered = now
        return self._answered is not None and now - self._answered >= HUNG_AFTER


def listen(path: str) -> socket.socket:
    """The socket that the agent speaks to; the group of the folder may. Raises OSError."""
    with suppress(FileNotFoundError):
        Path(path).unlink()
    ears = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ears.bind(path)
    Path(path).chmod(0o660)
    ears.settimeout(LOOK_EVERY)
    return ears


def run(command: Sequence[str], patterns: Sequence[str], silence: float, later: tuple[float, str]) -> int:
    """Until BIRD ends. Raises OSError."""
    ears = listen(WATCH)
    passed_on = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, passed_on)  # until there is somebody to pass them on to
    bird = subprocess.Popen(command, preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, passed_on))

    def pass_on(number: int, _frame: FrameType | None) -> None:
        bird.send_signal(number)

    for number in passed_on:
        signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, passed_on)
    watch = Watch(Bird(SOCKET), patterns, silence, time.monotonic())
    pulse = Pulse(Bird(SOCKET))
    waiting = Later(Bird(SOCKET), later[1], later[0], time.monotonic())
    while bird.poll() is None:
        if pulse.is_lost(time.monotonic()):
            log(f"BIRD has not answered for {HUNG_AFTER:g} s: killed")
            bird.kill()
            bird.wait()
            break
        with suppress(TimeoutError):
            ears.recv(16)
            watch.hear(time.monotonic())
        watch.look(time.monotonic())
        waiting.look(time.monotonic())
    return bird.returncode if bird.returncode >= 0 else 128 - bird.returncode


def log(text: str) -> None:
    """One line to stderr."""
    print(f"bird-watch: {text}", file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
    """See the top of this file."""
    words, command = (argv[: argv.index("--")], argv[argv.index("--") + 1 :]) if "--" in argv else (argv, [])
    try:
        option, silence, other, after, pattern, *patterns = words
        seconds, later = float(silence), (float(after), pattern)
    except ValueError:
        option, other, seconds, later, patterns = "", "", 0.0, (0.0, ""), []
    if (option, other) != ("--silence", "--later") or min(seconds, later[0]) <= 0 or not patterns or not command:
        print(__doc__, file=sys.stderr)
        return 2
    os.umask(0o007)
    try:
        return run(command, patterns, seconds, later)
    except OSError as fault:
        log(str(fault))
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
