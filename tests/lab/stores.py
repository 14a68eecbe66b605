"""Every store that the contract suite runs against. A new back-end is one more line in STORES."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from naust.store.directory import DirectoryStore
from naust.store.interface import Store
from naust.store.limiting import limiting
from naust.store.memory import MemoryStore
from naust.store.retrying import retrying
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


def gentle(store: Store) -> Store:
    """As `open_store` gives what is not on this machine."""
    return limiting(retrying(store, lambda event: None), at_once=4)


@contextmanager
def wrapped(folder: Path) -> Iterator[Store]:
    """Wrappers break no promise."""
    yield gentle(MemoryStore())


@contextmanager
def s3(folder: Path) -> Iterator[Store]:
    """A prefix of its own in the bucket of a versitygw that all tests of a run share."""
    from tests.lab.s3servers import fresh_prefix, shared_versitygw

    yield shared_versitygw().store(fresh_prefix())


@contextmanager
def docker_registry(folder: Path) -> Iterator[Store]:
    """A prefix of its own in a docker-registry that all tests of a run share."""
    from tests.lab.registries import fresh_prefix, shared

    yield gentle(shared("docker-registry").store(fresh_prefix()))


@contextmanager
def locked_registry(folder: Path) -> Iterator[Store]:
    """The same over TLS, behind a password."""
    from tests.lab.registries import fresh_prefix, shared

    yield gentle(shared("docker-registry-tls").store(fresh_prefix()))


@contextmanager
def ociserver(folder: Path) -> Iterator[Store]:
    """A prefix of its own in an ociserver that all tests of a run share."""
    from tests.lab.registries import fresh_prefix, shared

    yield gentle(shared("ociserver").store(fresh_prefix()))


# Each opener gives an empty store; a server may be shared by all tests of a run, under a prefix of the test's own.
STORES: dict[str, Opener] = {
    "directory": directory,
    "memory": memory,
    "https": https,
    "s3": s3,
    "wrapped": wrapped,
    "docker-registry": docker_registry,
    "docker-registry-tls": locked_registry,
    "ociserver": ociserver,
}
REGISTRIES = (
    "docker-registry",
    "docker-registry-tls",
    "ociserver",
)  # they list no blobs, do not compare and swap, and know sha256 alone
COLLECTABLE = tuple(name for name in STORES if name not in REGISTRIES)
