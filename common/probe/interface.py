"""A live question about a system, and how it is answered. smie and seter ask with the same code."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Protocol

from common.model import Verdict
from common.role import Check, Value

PAUSE = 0.5  # seconds between two tries
LONGEST_TRY = 10  # seconds that one try may take
ENDED = 124  # status of timeout(1) when it ended the command
LONGEST = 300  # characters of an answer that people read


class Said(Protocol):
    """How a command ended."""

    @property
    def code(self) -> int:
        """Its exit status."""

    @property
    def stdout(self) -> str:
        """What it printed."""

    @property
    def stderr(self) -> str:
        """What it complained about."""


# (node, role, argv) → how the command ended, run where the role's process runs, as its user.
Execute = Callable[[str, str, Sequence[str]], Said]


@dataclass(frozen=True, slots=True)
class Scene:
    """What a probe may know: the nodes of each group, the system's parameters, and how to run a command.

    `role` is where the check's commands run; `nodes` are those it is about, or those that look if it goes `through`
    the node of this address.
    """

    execute: Execute
    nodes: tuple[str, ...]
    role: str
    groups: Mapping[str, tuple[str, ...]]
    parameters: Mapping[str, Value]
    through: str = ""


class Probe(ABC):
    """One kind of check."""

    @abstractmethod
    def run(self, check: Check, scene: Scene) -> Verdict:
        """One try. Never raises because the answer is bad: that is what the verdict is for."""


def wait_for(probe: Probe, check: Check, scene: Scene, stop: Event | None = None) -> Verdict:
    """Try until the verdict is good, `check.within` has passed or `stop` is set; the last verdict."""
    deadline = time.monotonic() + check.within.total_seconds()
    stopped = stop or Event()
    while True:
        verdict = probe.run(check, scene)
        if verdict.ok or time.monotonic() + PAUSE > deadline or stopped.wait(PAUSE):
            return verdict


def bounded(argv: Sequence[str], seconds: int = LONGEST_TRY) -> tuple[str, ...]:
    """The command, ended by coreutils' timeout if it takes longer; its status is ENDED then."""
    return ("timeout", str(seconds), *argv)


def last_line(said: Said) -> str:
    """What a person wants to read of an answer."""
    lines = (said.stderr.strip() or said.stdout.strip()).splitlines()
    if said.code == ENDED:
        return f"no end within {LONGEST_TRY} s"
    return _short(lines[-1]) if lines else f"status {said.code}"


def _short(line: str) -> str:
    """A report in JSON says what is wrong in few of its many words: its summary, else what of it is plain or a list of
    words."""
    try:
        said = json.loads(line)
    except ValueError:
        said = line
    if isinstance(said, dict):
        plain = (f"{key}: {_words(value)}" for key, value in said.items() if _words(value) and key != "ok")
        line = str(said.get("summary") or "; ".join(plain) or line)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def _words(value: object) -> str:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    return "" if isinstance(value, list | dict) else str(value)
