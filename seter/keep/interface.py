"""Small values of one deployment that several runs share: the contract of all places where they can be."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

LEASE, SECRETS, MACHINES = "lease", "secrets.age", "machines.age"  # the cells that there are


@dataclass(frozen=True, slots=True)
class Cell:
    """A value, and the version that a swap has to name; '' is the version of what is not there."""

    data: bytes
    version: str


NOTHING = Cell(b"", "")


class Cells(ABC):
    """Values by name, of at most some hundred KiB. What was swapped in is durable and whole, or nobody sees it.

    Every method may raise Unavailable, and Denied.
    """

    @abstractmethod
    def read(self, name: str) -> Cell:
        """The value as it is now, or NOTHING."""

    @abstractmethod
    def swap(self, name: str, data: bytes, expected: str) -> str:
        """Let `data` be the value, if its version was `expected` until now; its new version. Of two writers who expect
        the same, one wins. Raises Conflict for the other; that the value is `data` already is success."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Take the value away. Nothing there is no error."""
