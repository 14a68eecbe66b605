"""Versions, and the tags that they become: `1:3.7.15+dfsg-1` published now is `3.7.15_dfsg-1-20261124T221500Z`.

A tag (OCI distribution specification 1.1) cannot hold all that a Debian version can (deb-version(7)), so the exact
version is kept as an annotation beside it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from common.errors import BadInput

_DATE = "%Y%m%dT%H%M%SZ"
_DATED = re.compile(r"([A-Za-z0-9_][A-Za-z0-9._-]*)-([0-9]{8}T[0-9]{6}Z)")
_LEGAL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_EPOCH = re.compile(r"[0-9]+:")
_FALLBACK = re.compile(r"sha(?:256-[0-9a-f]{64}|512-[0-9a-f]{128})(?:\..*)?")
LONGEST_VERSION = 128 - len("-20261124T221500Z")  # a tag has at most 128 characters


def legal(version: str) -> str:
    """The version as the first part of a tag: the epoch goes, `+` becomes `_`, `~` becomes `-pre.`. Raises BadInput."""
    found = _EPOCH.match(version)
    text = version[found.end() if found else 0 :].replace("+", "_").replace("~", "-pre.")
    if not _LEGAL.fullmatch(text) or len(text) > LONGEST_VERSION:
        raise BadInput(
            f"{version!r} is no version",
            resolution="A version begins with a letter or digit and has letters, digits, `.`, `_`, `-`, `+` and `~`, "
            f"at most {LONGEST_VERSION} altogether.",
        )
    return text


def tag(version: str, published: datetime) -> str:
    """The tag of a version that was published at this moment. Raises BadInput."""
    return f"{legal(version)}-{published.astimezone(UTC).strftime(_DATE)}"


def split(tag: str) -> tuple[str, datetime] | None:
    """Version part and date of publication of a dated tag; None for any other tag."""
    found = _DATED.fullmatch(tag)
    if found is None:
        return None
    try:
        return found[1], datetime.strptime(found[2], _DATE).replace(tzinfo=UTC)
    except ValueError:
        return None


def is_dated(tag: str) -> bool:
    """Whether the tag is a version with its date, and so never changes."""
    return split(tag) is not None


def is_fallback(tag: str) -> bool:
    """Whether the tag only says who refers to a manifest: `sha256-HEX`, the index of a registry without the referrers
    API (distribution specification 1.1, "Referrers Tag Schema"), or cosign's older `sha256-HEX.sig`. No artefact."""
    return tag.startswith("sha") and _FALLBACK.fullmatch(tag) is not None
