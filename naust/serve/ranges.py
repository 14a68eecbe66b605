"""Parts of a thing, and conditions on it (RFC 9110, sections 13 and 14)."""

from __future__ import annotations

import re

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
_UPLOAD = re.compile(r"(?:bytes )?([0-9]{1,18})-([0-9]{1,18})(?:/(?:[0-9]{1,18}|\*))?")
_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e]*)"')


class Unsatisfiable(Exception):
    """The range lies outside of the thing."""


def part(header: str, size: int) -> tuple[int, int] | None:
    """First byte and length of what a Range field asks for; None for all of it: there is no such field, or one that
    may be overlooked (several ranges, another unit). Raises Unsatisfiable."""
    found = _RANGE.fullmatch(header.replace(" ", "").lower())
    if found is None or (not found[1] and not found[2]):
        return None
    if not found[1]:
        length = min(int(found[2]), size)
        if length == 0:
            raise Unsatisfiable
        return size - length, length
    start, end = int(found[1]), int(found[2]) if found[2] else size - 1
    # OCI's conformance suite wants 416 for an end before its start, which RFC 9110 lets a server overlook.
    if start >= size or end < start:
        raise Unsatisfiable
    return start, min(end, size - 1) - start + 1


def upload_part(header: str) -> tuple[int, int] | None:
    """First byte and length that the Content-Range of an upload states (distribution specification 1.1, "Pushing a blob
    in chunks": `start-end`, both included); None if there is no such field. Raises ValueError."""
    if not header:
        return None
    found = _UPLOAD.fullmatch(header)
    if found is None or int(found[2]) < int(found[1]):
        raise ValueError(header)
    return int(found[1]), int(found[2]) - int(found[1]) + 1


def named(header: str, tag: str) -> bool:
    """Whether an If-Match or If-None-Match field names this entity tag, which comes without quotes; `*` names all.

    A digest without quotes is understood too.
    """
    if header.strip() == "*":
        return True
    return tag in _TAG.findall(header) or header.strip() == tag


def only(header: str) -> str:
    """The one entity tag that a field names, without quotes. Raises ValueError if it is not one."""
    found = _TAG.fullmatch(header.strip())
    if found is not None:
        return found[1]
    if not header.strip() or '"' in header or "," in header:
        raise ValueError(header)
    return header.strip()
