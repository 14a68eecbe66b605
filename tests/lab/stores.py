"""Every store that the contract suite runs against. A new back-end is one more line in STORES."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from naust.store.directory import DirectoryStore
from naust.store.interface import Store
from naust.store.memory import MemoryStore
from tests.lab.serving import https

Opener = Callable[[Path], AbstractContextManager[Store]]


@contextmanager
def directory(folder: Path) -> Iterator[Store]:
    """A directory of its own."""
    yield DirectoryStore(folder / "store")


@contextmanager
def memory(folder: Path) -> Iterator[Store]:
    """Gone with the test."""
    yield MemoryStore()


@contextmanager
def s3(folder: Path) -> Iterator[Store]:
    """A prefix of its own in the bucket of a versitygw that all tests of a run share."""
    from tests.lab.s3servers import fresh_prefix, shared_versitygw

    yield shared_versitygw().store(fresh_prefix())


# Each opener gives an empty store; a server may be shared by all tests of a run, under a prefix of the test's own.
STORES: dict[str, Opener] = {
    "directory": directory,
    "memory": memory,
    "https": https,
    "s3": s3,
}
