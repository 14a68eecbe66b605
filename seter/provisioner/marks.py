"""What nodes carry that are virtual machines, kept with all else about machines, for every operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from seter.provisioner import hosts
from seter.provisioner.machines import Book, Machines, without_node


class Marks(hosts.Memory):
    """As hosts' are kept in a file."""

    def __init__(self, machines: Machines) -> None:
        super().__init__(Path())
        self._machines = machines

    def marks(self) -> dict[str, hosts.Mark]:
        """See there."""
        return dict(self._machines.read().marks)

    def keep(self, node: str, mark: hosts.Mark) -> None:
        """See there. What was noted before stays beside it."""
        self._machines.change(lambda book: marked(book, node, mark))

    def forget(self, node: str) -> None:
        """See there."""
        self._machines.change(lambda book: without_node(book, node))


def marked(book: Book, node: str, mark: Mapping[str, Any]) -> Book:
    """What stood there before stays beside it. Pure."""
    return replace(book, marks={**book.marks, node: {**book.marks.get(node, {}), **mark}})
