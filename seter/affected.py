"""`seter status --affected`: on which nodes a package runs in a version, by what really runs; and what is revoked.

What an artefact contains is naust's to know (its SBOM, or the list of its inputs).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.errors import Corrupt
from common.model import Kind
from seter.survey import Survey

if TYPE_CHECKING:
    from naust.store.interface import Store

KINDS = (Kind.CONTAINER, Kind.VM)  # of artefacts that nodes run from


@dataclass(frozen=True, slots=True)
class Contains:
    """A role on a node whose process was started from something that contains it. `packages` are NAME VERSION, with a
    question mark where the versions cannot be compared; `by` says how that is known."""

    node: str
    role: str
    artifact: str
    packages: tuple[str, ...]
    by: str


@dataclass(frozen=True, slots=True)
class Affected:
    """What `--json` prints. `unknown` are (node, role) of which nobody knows what is in them: there is neither SBOM nor
    list of inputs, or the store does not have the artefact any more."""

    query: str
    affected: tuple[Contains, ...]
    unknown: tuple[tuple[str, str], ...]
    looked_at: int


def affected(seen: Survey, query: str) -> Affected:
    """Ask of every process that there is. Raises BadInput for what is no query."""
    from naust.affected import affected as search
    from naust.affected import query as parse

    answers = [search(seen.store, parse(query), prefix=f"{kind}/") for kind in KINDS]
    by_digest = {each.digest: each for answer in answers for each in answer.affected}
    silent = {name for answer in answers for name in (*answer.unknown, *(name for name, _ in answer.unreadable))}
    held = _digests(seen.store)
    found, unknown, count = [], [], 0
    for node, role, digest in _running(seen):
        count += 1
        name = held.get(digest)
        if digest in by_digest:
            each = by_digest[digest]
            hits = tuple(f"{hit.package} {hit.version}{'' if hit.certain else ' ?'}" for hit in each.hits)
            found.append(Contains(node, role, f"{each.name}:{each.tag}", hits, each.by))
        elif name is None or name in silent:
            unknown.append((node, role))
    return Affected(query, tuple(found), tuple(unknown), count)


def _running(seen: Survey) -> Iterable[tuple[str, str, str]]:
    """Node, role, digest of what its process was started from."""
    for node, state in seen.observed.nodes.items():
        for role, there in state.roles:
            if there.has_process:
                yield node, role, there.artifact


def _digests(store: Store) -> dict[str, str]:
    """Digest → name with tag, of all container images and disks of the store."""
    from naust.brief import Brief
    from naust.listing import rows

    found = (row for kind in KINDS for row in rows(store, f"{kind}/") if isinstance(row, Brief))
    return {row.digest: f"{row.kind}/{row.name}:{row.tag}" for row in found}


def revoked(seen: Survey) -> Mapping[str, str]:
    """Digests of what runs, or should, and was revoked; and the word on it. What the store lacks is not known."""
    from naust.listing import resolve
    from naust.revoke import check

    held = _digests(seen.store)
    asked = {digest for _, _, digest in _running(seen)} | {str(each.artifact.digest) for each in seen.images.values()}
    found = {}
    for digest in asked & held.keys():
        try:
            check(seen.store, resolve(seen.store, held[digest]))
        except Corrupt as error:
            why = error.details.splitlines()[:1]
            found[digest] = ": ".join((error.message, *why))
    return found
