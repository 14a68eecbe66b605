"""BIRD's control socket (BIRD 2, doc/reply_codes), for the programs that ask BIRD and tell it."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import IO

SOCKET = "/run/bird/bird.ctl"
WATCH = "/run/bird/watch"  # the health agent tells here that it lives (`bird_watch`)
TIMEOUT = 2.0  # seconds


def beat(path: str = WATCH) -> None:
    """Say that the health agent lives. Where nobody listens, nobody has to be told."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as mouth, suppress(OSError):
        mouth.setblocking(False)
        mouth.sendto(b"lives", path)


class Refused(OSError):
    """BIRD answered that it will not."""


class Bird:
    """One connection, made when it is needed. Every failure is an OSError; one of the connection drops it."""

    def __init__(self, path: str = SOCKET) -> None:
        self._path = path
        self._socket: socket.socket | None = None
        self._lines: IO[str] | None = None

    def announced(self, protocols: Sequence[str]) -> dict[str, bool]:
        """Which of these protocols are enabled."""
        found = {}
        for name in protocols:
            # Name Proto Table State Since Info; a disabled protocol's state is "down".
            rows = [text.split() for text in self.ask(f"show protocols {name}")]
            found[name] = any(len(row) > 3 and row[0] == name and row[3] == "up" for row in rows)
        return found

    def like(self, pattern: str) -> dict[str, bool]:
        """Which protocols fit the pattern (`*`, `?`), and whether each is enabled. Raises Refused when none does."""
        rows = [text.split() for text in self.ask(f'show protocols "{pattern}"')]
        return {row[0]: row[3] == "up" for row in rows if len(row) > 3 and row[0] != "Name"}

    def sessions(self) -> dict[str, bool]:
        """BGP's protocols, and whether each has its session."""
        rows = [text.split() for text in self.ask("show protocols")]
        return {row[0]: "Established" in row[4:] for row in rows if len(row) > 3 and row[1] == "BGP"}

    def enable(self, protocols: Sequence[str]) -> None:
        """Announce; twice is once."""
        for name in protocols:
            self.ask(f"enable {name}")

    def disable(self, protocols: Sequence[str]) -> None:
        """Withdraw; twice is once. What cannot be disabled does not keep the others from it."""
        refusals = []
        for name in protocols:
            try:
                self.ask(f"disable {name}")
            except Refused as refusal:
                refusals.append(str(refusal))
        if refusals:
            raise Refused("; ".join(refusals))

    def close(self) -> None:
        """Drop the connection; the next command makes a new one."""
        for resource in (self._lines, self._socket):
            if resource is not None:
                with suppress(OSError):  # it flushes what a dead BIRD will not take
                    resource.close()
        self._lines = self._socket = None

    def ask(self, command: str) -> list[str]:
        """The lines of the answer without their codes. Raises Refused when BIRD says no, else OSError."""
        try:
            lines = self._lines or self._connect()
            lines.write(f"{command}\n")
            lines.flush()
            return self._answer(lines)
        except Refused:
            raise
        except (OSError, ValueError) as fault:
            self.close()
            raise OSError(f"BIRD does not answer: {fault}") from fault

    def _connect(self) -> IO[str]:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(TIMEOUT)
        self._socket.connect(self._path)
        self._lines = self._socket.makefile("rw", encoding="utf-8", newline="\n")
        self._answer(self._lines)
        return self._lines

    def _answer(self, lines: IO[str]) -> list[str]:
        """`NNNN-text` and ` text` go on, `NNNN text` ends; codes from 8000 say no."""
        texts: list[str] = []
        while line := lines.readline():
            coded = re.match(r"^(\d{4})([ -])(.*)$", line.rstrip("\n"))
            texts.append(coded[3] if coded else line.rstrip("\n")[1:])
            if coded and coded[2] == " ":
                if int(coded[1]) >= 8000:
                    raise Refused(f"BIRD answers {coded[1]}: {coded[3]}")
                return texts
        raise OSError("the control socket was closed")
