"""The errors of all three tools.

An error says what is the case (`message`), what else is known (`details`) and what to do next (`resolution`).
`exit_code` is a class attribute, so the exit code of a command is decided where the error is named, and read once, in
`common.cli`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta


class Error(Exception):
    """Something that a person has to be told; exit code 1."""

    exit_code = 1

    def __init__(self, message: str, *, details: str = "", resolution: str) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.resolution = resolution

    def __str__(self) -> str:
        return "\n".join(part for part in (self.message, self.details, self.resolution) if part)


class BadInput(Error):
    """What the user gave cannot be used; nothing was changed."""

    exit_code = 2


class Partial(Error):
    """Some of what was asked for was done, the rest was not."""

    exit_code = 4


class Conflict(Error):
    """Somebody else holds it, or it is there already and is different."""

    exit_code = 7


class Corrupt(Error):
    """Bytes are not what their digest says, or content is unsafe."""

    exit_code = 8


class NotFound(Error):
    """There is no such thing."""

    exit_code = 2


class Denied(Error):
    """We may not."""

    exit_code = 1


class Unavailable(Error):
    """It does not answer; trying again may help. The only error that is retried.

    `retry_after` is how long it asked to be left alone, if it did.
    """

    exit_code = 9
    retry_after: timedelta | None = None


class Interrupted(Error):
    """The person wanted it to stop, and it was cleaned up; the message says what."""

    exit_code = 130


class Missing(Error):
    """A program that we wrap is not installed."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault in what the user wrote: where it is, what is wrong and how to mend it."""

    file: str
    line: int
    message: str
    fix: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.message}; {self.fix}"


class BadDefinition(BadInput):
    """All problems of all files at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        super().__init__(
            f"{count} problem{'' if count == 1 else 's'} in the definitions",
            details="\n".join(str(problem) for problem in self.problems),
            resolution="Mend the lines named above and run the command again; nothing was changed.",
        )
