"""What a program may leave on a machine: processes, mounts, loop devices, network namespaces, containers, images.

Others work on the same machine, so only what carries a mark of the test counts: a folder, or a part of a name.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import docker

from smie.builder.container import CHECKED
from smie.leftovers import LABEL
from tests.lab.images import listed
from tests.lab.programs import program


def processes(*marks: str) -> list[str]:
    """Those whose words, environment or working folder have one of these in them, as `NUMBER words`."""
    return [f"{number} {' '.join(words)}" for number, words, rest in _running() if _has(marks, *words, *rest)]


def numbers(*words: str, marks: Sequence[str]) -> list[int]:
    """Processes that begin with these words, and are marked."""
    begun = [each for each in _running() if tuple(each[1][: len(words)]) == words]
    return [number for number, said, rest in begun if _has(marks, *said, *rest)]


def mounts(*marks: str) -> list[str]:
    """Mounts that anybody sees."""
    found: set[str] = set()
    for table in Path("/proc").glob("[0-9]*/mounts"):
        with suppress(OSError):  # it has ended
            found |= {line for line in table.read_text().splitlines() if _has(marks, line)}
    return sorted(found)


def loops(*marks: str) -> list[str]:
    """Loop devices."""
    told = subprocess.run([program("losetup"), "--list", "--noheadings"], capture_output=True, text=True, check=True)
    return [line for line in told.stdout.splitlines() if _has(marks, line)]


def namespaces() -> set[str]:
    """Network namespaces that have a name; those without go with their last process."""
    folder = Path("/run/netns")  # ip-netns(8)
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def of_builds(*marks: str) -> list[str]:
    """Containers of builds, and names that images have while they are looked at."""
    client = docker.from_env()
    containers = client.containers.list(all=True, filters={"label": LABEL}, ignore_removed=True)
    names = [one.labels[LABEL] for one in containers]
    names += [tag for image in listed(client, CHECKED) for tag in image.tags]
    client.close()
    return [name for name in names if _has(marks, name)]


def _has(marks: Sequence[str], *texts: str) -> bool:
    return any(mark in text for mark in marks for text in texts)


def _running() -> Iterator[tuple[int, list[str], list[str]]]:
    """Number, words, environment and working folder of all but ourselves."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            number = int(folder.name)
            words, env = (_split((folder / name).read_bytes()) for name in ("cmdline", "environ"))
            if number != os.getpid():
                yield number, words, [*env, str((folder / "cwd").readlink())]


def _split(raw: bytes) -> list[str]:
    return raw.decode(errors="replace").split("\0")[:-1]
