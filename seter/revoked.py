"""What was revoked, of what processes are started from: images, root file systems, and what hosts are installed from.

A host is installed from a recipe, not from an artefact. Where the store has a root file system of the same recipe, a
word on that is one on the host too.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from common.errors import Corrupt
from common.model import Kind

if TYPE_CHECKING:
    from naust.store.interface import Store

KINDS = (Kind.CONTAINER, Kind.ROOTFS, Kind.VM)  # what processes are started from


def digests(store: Store) -> dict[str, str]:
    """Digest → name with tag, of all images and root file systems of the store; the latter also by the recipe that they
    were made from, which is what hosts are installed from."""
    from naust.brief import Brief
    from naust.listing import rows

    found = {}
    for kind in KINDS:
        for row in (row for row in rows(store, f"{kind}/") if isinstance(row, Brief)):
            name = f"{row.kind}/{row.name}:{row.tag}"
            found[row.digest] = name
            if kind is Kind.ROOTFS and row.made_from:
                found[row.made_from] = name
    return found


def revoked_of(store: Store, asked: AbstractSet[str]) -> dict[str, str]:
    """Those of these digests and fingerprints that were revoked, and the word on each."""
    found = {}
    for digest, error in _checked(store, asked):
        why = error.details.splitlines()[:1]
        found[digest] = ": ".join((error.message, *why))
    return found


def refuse_revoked(store: Store, asked: AbstractSet[str]) -> None:
    """Raises Corrupt for the first of these digests and fingerprints that was revoked, or was built from what is."""
    for _, error in _checked(store, asked):
        raise error


def _checked(store: Store, asked: AbstractSet[str]) -> Iterator[tuple[str, Corrupt]]:
    from naust.listing import resolve
    from naust.revoke import check

    held = digests(store)
    for digest in sorted(asked & held.keys()):
        try:
            check(store, resolve(store, held[digest]))
        except Corrupt as error:
            yield digest, error
