"""Which distributions fit: platforms and a version of Python, as tags for wheels and as environments for markers.

Platform tags: https://packaging.python.org/en/latest/specifications/platform-compatibility-tags/ (PEP 425, 600, 656);
markers: https://packaging.python.org/en/latest/specifications/dependency-specifiers/ (PEP 508).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.errors import BadInput

if TYPE_CHECKING:
    from packaging.tags import Tag

_LIBC = re.compile(r"(manylinux|musllinux)_([0-9]{1,3})_([0-9]{1,3})_([a-z0-9_]+)")
_LEGACY = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}  # PEP 600, "Legacy aliases"
_MAC = re.compile(r"macosx_([0-9]{1,3})_([0-9]{1,3})_([a-z0-9_]+)")
_PREFIX = re.compile(r"^(?:manylinux(?:1|2010|2014)|(?:manylinux|musllinux|macosx)_[0-9]+_[0-9]+|linux)_")
_PYTHON = re.compile(r"3\.([0-9]{1,2})(?:\.([0-9]{1,2}))?")
_OLDEST_GLIBC = 5  # of glibc 2: manylinux1


@dataclass(frozen=True, slots=True)
class Target:
    """What is installed on: one platform and one Python. `tags` are what its pip takes as `--platform`."""

    platform: str
    python: str
    tags: tuple[str, ...]

    @property
    def wheels(self) -> frozenset[Tag]:
        """The tags of all wheels that fit."""
        from packaging.tags import compatible_tags, cpython_tags

        version = minor(self.python)
        interpreter = f"cp{version[0]}{version[1]}"
        binary = cpython_tags(version, [interpreter], self.tags)
        return frozenset((*binary, *compatible_tags(version, interpreter, self.tags)))

    def environments(self) -> tuple[Mapping[str, str], ...]:
        """What markers are to be judged by: one, or the oldest and the newest patch where the version names none."""
        return tuple(_system(self.platform) | _interpreter(full) for full in _patches(self.python))


def targets(python: str, platforms: tuple[str, ...]) -> tuple[Target, ...]:
    """One for each platform; this machine's own if none is named. Raises BadInput."""
    from packaging.tags import platform_tags

    minor(python)
    if not platforms:
        own = tuple(platform_tags())
        return (Target(own[0], python, own),)
    return tuple(Target(each, python, tuple(expanded(each))) for each in platforms)


def minor(python: str) -> tuple[int, int]:
    """`3.11` or `3.11.7` as (3, 11). Raises BadInput."""
    found = _PYTHON.fullmatch(python)
    if found is None:
        raise BadInput(f"{python!r} is no version of Python", resolution="Write one such as 3.11 or 3.11.7.")
    return 3, int(found[1])


def expanded(platform: str) -> Iterator[str]:
    """All platform tags that such a machine takes, the best first: a glibc takes wheels for all older ones."""
    name, _, rest = platform.partition("_")
    if name in _LEGACY:
        platform = f"manylinux_{_LEGACY[name][0]}_{_LEGACY[name][1]}_{rest}"
    if found := _LIBC.fullmatch(platform):
        yield from _of_libc(found[1], int(found[2]), int(found[3]), found[4])
    elif found := _MAC.fullmatch(platform):
        from packaging.tags import mac_platforms

        yield from mac_platforms((int(found[1]), int(found[2])), found[3])
    elif re.fullmatch(r"[a-z0-9_]+", platform):
        yield platform
    else:
        raise BadInput(
            f"{platform!r} is no platform tag", resolution="Write one such as manylinux_2_36_x86_64 or win_amd64."
        )


def _of_libc(kind: str, major: int, newest: int, machine: str) -> Iterator[str]:
    aliases = {version: name for name, version in _LEGACY.items()}
    oldest = _OLDEST_GLIBC if kind == "manylinux" else 0
    for each in range(newest, oldest - 1, -1):
        yield f"{kind}_{major}_{each}_{machine}"
        if kind == "manylinux" and (major, each) in aliases:
            yield f"{aliases[major, each]}_{machine}"
    yield f"linux_{machine}"


def _system(platform: str) -> dict[str, str]:
    machine = _PREFIX.sub("", platform)
    if platform.startswith("macosx"):
        return _named("posix", "darwin", "Darwin", machine)
    if platform.startswith("win"):
        return _named("nt", "win32", "Windows", {"win32": "x86", "win_arm64": "ARM64"}.get(platform, "AMD64"))
    return _named("posix", "linux", "Linux", machine)


def _named(os_name: str, sys_platform: str, system: str, machine: str) -> dict[str, str]:
    return {
        "os_name": os_name,
        "sys_platform": sys_platform,
        "platform_system": system,
        "platform_machine": machine,
        "platform_release": "",
        "platform_version": "",
    }


def _interpreter(full: str) -> dict[str, str]:
    return {
        "implementation_name": "cpython",
        "implementation_version": full,
        "platform_python_implementation": "CPython",
        "python_full_version": full,
        "python_version": full.rpartition(".")[0],
        "extra": "",
    }


def _patches(python: str) -> tuple[str, ...]:
    return (python,) if python.count(".") == 2 else (f"{python}.0", f"{python}.99")
