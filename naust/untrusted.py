"""JSON that others wrote: bounded in size, nesting and numbers, no key twice (RFC 8259 leaves open which one counts, so
two readers could see two documents), no values that JSON does not have."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NoReturn

from common.errors import Corrupt

LARGEST = 64 << 20  # bytes of one document; the SBOM of a full desktop system has about 20 MiB
DEEPEST = 100  # levels; provenance and SBOMs have about ten


def document(data: bytes, what: str, *, largest: int = LARGEST) -> Mapping[str, object]:
    """The JSON object. `what` names it in errors. Raises Corrupt."""
    if len(data) > largest:
        raise unreadable(what, f"It has {len(data)} bytes, and {largest} are allowed.")
    try:
        found = json.loads(data, object_pairs_hook=_once, parse_constant=_refused)
    except (ValueError, RecursionError) as error:  # a UnicodeDecodeError is a ValueError too
        raise unreadable(what, f"{type(error).__name__}: {error}") from error
    if not isinstance(found, dict):
        raise unreadable(what, "It is no JSON object.")
    if not _is_flat(found, DEEPEST):
        raise unreadable(what, f"It is nested deeper than {DEEPEST} levels.")
    return found


def record(value: object) -> Mapping[str, object]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def records(value: object) -> tuple[Mapping[str, object], ...]:
    """Those of a list that are objects; none if it is no list."""
    return tuple(each for each in value if isinstance(each, dict)) if isinstance(value, list) else ()


def text(value: object) -> str:
    """The value if it is text, else ''."""
    return value if isinstance(value, str) else ""


def one_line(value: object) -> str:
    """Text from outside for people: no control characters, so that it cannot paint over a terminal, and not endless."""
    shown = "".join(each if each.isprintable() else "�" for each in text(value))
    return shown if len(shown) <= 300 else f"{shown[:300]}…"


def unreadable(what: str, details: str) -> Corrupt:
    """The error of a document that cannot be trusted to say one thing."""
    return Corrupt(f"{what} cannot be read", details=details, resolution="Make it anew and attach it again.")


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _is_flat(value: object, levels: int) -> bool:
    """Level by level, without recursion."""
    level: list[object] = [value]
    for _ in range(levels):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return True
    return False
