"""Debian's version order, as dpkg has it (deb-version(7); Debian Policy 4.7, section 5.6.12)."""

from __future__ import annotations

import re
from itertools import zip_longest

from common.errors import BadInput

# A version should begin with a digit; dpkg takes others in comparisons, so do we.
_EPOCH = re.compile(r"([0-9]{1,9}):", re.ASCII)
_UPSTREAM = re.compile(r"[A-Za-z0-9.+~:-]+", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9.+~]+", re.ASCII)
_PARTS = re.compile(r"([^0-9]*)([0-9]*)", re.ASCII)
LONGEST = 1000  # characters


def compare(one: str, other: str) -> int:
    """Less than 0 if `one` is older than `other`, 0 if they are equal, more than 0 if it is newer. Raises BadInput."""
    (epoch, *parts), (other_epoch, *other_parts) = split(one), split(other)
    if epoch != other_epoch:
        return -1 if epoch < other_epoch else 1
    orders = (_order(str(a), str(b)) for a, b in zip(parts, other_parts, strict=True))
    return next((order for order in orders if order), 0)


def split(version: str) -> tuple[int, str, str]:
    """Epoch, upstream version and revision; no revision is the same as `0`. Raises BadInput for no version."""
    epoch = _EPOCH.match(version)
    rest = version[epoch.end() :] if epoch else version
    upstream, dash, revision = rest.rpartition("-") if "-" in rest else (rest, "", "")
    known = _UPSTREAM.fullmatch(upstream) and (not dash or _REVISION.fullmatch(revision))
    if not known or len(version) > LONGEST or (":" in upstream and not epoch):
        raise BadInput(f"{version[:80]!r} is no Debian version", resolution="Write one as dpkg shows it: 1:2.3.4-5.")
    return int(epoch[1]) if epoch else 0, upstream, revision


def _order(one: str, other: str) -> int:
    """Text and numbers by turns: text letter by letter, numbers by value."""
    for (text, number), (other_text, other_number) in zip_longest(
        _PARTS.findall(one), _PARTS.findall(other), fillvalue=("", "")
    ):
        if text != other_text:
            for a, b in zip_longest(text, other_text, fillvalue=""):
                if a != b:
                    return _weight(a) - _weight(b)
        if int(number or 0) != int(other_number or 0):
            return int(number or 0) - int(other_number or 0)
    return 0


def _weight(letter: str) -> int:
    """`~` comes before the end, the end before letters, letters before all else."""
    if letter == "~":
        return -1
    if not letter:
        return 0
    return ord(letter) if letter.isalpha() else ord(letter) + 256
