"""A build at another time: its programs see a clock that goes ahead (libfaketime), so that whatever writes the day into
an artefact is found today.

Clocks that only measure are left alone, and the dates of files are real, as normalising is to see them.
"""

from __future__ import annotations

from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

from common.errors import Missing

PACKAGE = "libfaketime"  # Debian 12's 0.9.10 makes Python's sleep fail
LIBRARY = "vendor/libfaketime/src/libfaketime.so.1"
PLACE = "/smie/time"  # where the build's container or tree sees its folder


def library() -> Path:
    """Where libfaketime is. Raises Missing."""
    spec = find_spec(PACKAGE)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        if (found := Path(place) / LIBRARY).is_file():
            return found
    raise Missing("libfaketime is not installed", resolution=f"Install it with: pip install {PACKAGE}, or make setup")


def outside(later: timedelta) -> dict[str, str]:
    """The environment of programs of this machine; nothing when the time is the true one. Raises Missing."""
    return _environment(str(library()), later) if later else {}


def inside(later: timedelta) -> dict[str, str]:
    """The environment of programs that see the library's folder at PLACE; nothing when the time is the true one."""
    return _environment(f"{PLACE}/{Path(LIBRARY).name}", later) if later else {}


def mounts(later: timedelta) -> dict[Path, str]:
    """What they need: folders of this machine, by where they are to be seen. Raises Missing."""
    return {library().parent: PLACE} if later else {}


def _environment(library: str, later: timedelta) -> dict[str, str]:
    """The README of libfaketime, "Advanced features"; one name of a variable is that of newer versions."""
    return {
        "LD_PRELOAD": library,
        "FAKETIME": f"+{int(later.total_seconds())}",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
