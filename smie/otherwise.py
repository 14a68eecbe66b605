"""A build under other conditions, for `smie build --check`: its programs see a clock that goes ahead (libfaketime), so
that whatever writes the day into an artefact is found today; another name of the machine; and roles of which the files
were written in another order.

Clocks that only measure are left alone, and the dates of files are real, as normalising is to see them.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

from common.errors import Missing
from smie.leftovers import MEMORY, SCRATCH, scratch

PACKAGE = "libfaketime"  # Debian 12's 0.9.10 makes Python's sleep fail
LIBRARY = "vendor/libfaketime/src/libfaketime.so.1"
PLACE = "/smie/time"  # where a build's container sees its folder
# Where a machine's tree and what works on it see it. Both have this folder, and a build needs nothing that lies there.
COMMON = "/usr/src"
# With mounts and a machine's name that nobody else sees.
AROUND = 'mount --bind "$0" {place}; echo {host} >/proc/sys/kernel/hostname; exec env {variables} "$@"'


@dataclass(frozen=True, slots=True)
class Otherwise:
    """How a build that is only compared differs from others: so much later it is, on a machine of this name, and
    whether files are written the other way round. Without `later` time and name are the true ones. `shared` is what
    programs know each other by while they see that time (`clock`)."""

    later: timedelta
    host: str
    backwards: bool
    shared: str = ""


def library() -> Path:
    """Where libfaketime is. Raises Missing."""
    spec = find_spec(PACKAGE)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        if (found := Path(place) / LIBRARY).is_file():
            return found
    raise Missing("libfaketime is not installed", resolution=f"Install it with: pip install {PACKAGE}, or make setup")


def outside(other: Otherwise | None) -> dict[str, str]:
    """The environment of programs of this machine that make a container image. Raises Missing."""
    return _variables(str(library()), other) if other and other.later else {}


def inside(other: Otherwise | None) -> dict[str, str]:
    """The environment of programs of the container."""
    there = f"{PLACE}/{Path(LIBRARY).name}"
    return _variables(there, replace(other, shared="")) if other and other.later else {}


def mounts(other: Otherwise | None) -> dict[Path, str]:
    """What they need: folders of this machine, by where they are to be seen. Raises Missing."""
    return {library().parent: PLACE} if other and other.later else {}


def around(other: Otherwise | None, *argv: str) -> tuple[str, ...]:
    """The command, for a mount namespace of its own (`smie.isolation.private`), as it runs under other conditions; all
    that it starts does, also in a tree that has the same library in the same place. Raises Missing."""
    if not other or not other.later:
        return argv
    variables = " ".join(f"{name}={shlex.quote(text)}" for name, text in _variables(_common(), other).items())
    script = AROUND.format(place=COMMON, host=other.host, variables=variables)
    return ("unshare", "--uts", "--", "sh", "-euc", script, str(library().parent), *argv)


def binds(other: Otherwise | None) -> dict[Path, str]:
    """The same for such a tree: folders of this machine, by where they are to be seen. Raises Missing."""
    return {library().parent: COMMON} if other and other.later else {}


def hooks(other: Otherwise | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The same for mmdebstrap's tree: options that put the library there, and that take it away. Raises Missing."""
    if not other or not other.later:
        return (), ()
    # The file keeps the date of the folder, which is to have it again.
    here, there = f'"$1{COMMON}"', f'"$1{_common()}"'
    put = f'at=$(stat -c %y {here}); cp {library()} {there}; touch -d "$at" {there}'
    away = f'at=$(stat -c %y {there}); rm {there}; touch -d "$at" {here}'
    return (f"--extract-hook={put}",), (f"--customize-hook={away}",)


@contextmanager
def clock(other: Otherwise, identity: str) -> Iterator[Otherwise]:
    """The same with what all its programs share, as long as the block runs: a semaphore (sem_overview(7)) and a page of
    memory, as libfaketime's ft_shm_create makes them. Else each program makes its own, and leaves it behind when it is
    killed or becomes another program."""
    if not other.later or not MEMORY.is_dir():
        yield other
        return
    name = f"/{SCRATCH}{identity}"
    library = ctypes.CDLL(None, use_errno=True)
    library.sem_open(name.encode(), os.O_CREAT | os.O_EXCL, 0o600, 1)
    page = MEMORY / name.removeprefix("/")
    try:
        page.write_bytes(struct.pack("=10q", 0, 0, *(0, -1) * 4).ljust(os.sysconf("SC_PAGE_SIZE"), b"\0"))
        yield replace(other, shared=f"{name} {name}")
    finally:
        library.sem_unlink(name.encode())
        page.unlink(missing_ok=True)


@contextmanager
def roles(folder: Path, identity: str, other: Otherwise | None) -> Iterator[Path]:
    """The folder for a build's roles. For a build that is compared it is in memory, where what was written last, or
    first, comes first, as long as the block runs; elsewhere the order is that of hashes."""
    if other is None or not MEMORY.is_dir():
        yield folder
        return
    with scratch(identity, MEMORY) as there:
        folder.symlink_to(there)
        yield folder


def _common() -> str:
    return f"{COMMON}/{Path(LIBRARY).name}"


def _variables(library: str, other: Otherwise) -> dict[str, str]:
    """The README of libfaketime, "Advanced features"; one name of a variable is that of newer versions."""
    return {
        "LD_PRELOAD": library,
        "FAKETIME": f"+{int(other.later.total_seconds())}",
        **({"FAKETIME_SHARED": other.shared} if other.shared else {}),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
