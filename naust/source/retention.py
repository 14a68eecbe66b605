"""Keep rules: which states and snapshots go. Their tags are taken away; `naust gc` then frees what nothing else has.

A state whose tag goes stays as long as a snapshot has it, and so does every blob that an artefact or another state has:
there is one pool, and one collector. What a channel's artefact was built from never goes: it could not be built again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from common.errors import NotFound
from common.model import Artifact, Digest, Kind
from naust import rm
from naust.brief import VERSION, Brief
from naust.listing import artifacts, rows
from naust.materials import SNAPSHOT, SOURCE, made_of
from naust.source.definition import Keep
from naust.store.interface import Store
from naust.version import is_dated


def going(
    every: Sequence[Artifact], keep: Keep, *, pinned: Collection[Digest] = (), now: datetime | None = None
) -> tuple[Artifact, ...]:
    """Those that the rule lets go, oldest first. `every` are all of one name; the newest stays, and what is `pinned`:
    a view stands for it, or something was built from it. A rule of both last and days keeps what either keeps."""
    if keep.all:
        return ()
    moment = now or datetime.now(UTC)
    newest_first = sorted(every, key=lambda each: (each.created, each.reference), reverse=True)
    return tuple(
        each
        for number, each in reversed(list(enumerate(newest_first)))
        if number >= max(keep.last, 1) and moment - each.created >= keep.age and each.digest not in pinned
    )


def built_from(store: Store) -> frozenset[Digest]:
    """Snapshots, and states of sources, that those artefacts name as what they were made from which channels stand for;
    and those that these stand on. Raises Corrupt if one of them cannot be read: then nobody knows."""
    found: set[Digest] = set()
    for row in rows(store):
        if not isinstance(row, Brief):
            raise row[1]
        if row.role == VERSION and row.channels and row.kind not in _OWN:
            materials = made_of(store, row.artifact()).materials
            found.update(each.digest for each in materials if each.digest and each.part in (SNAPSHOT, SOURCE))
    return frozenset(found)


_OWN = (Kind.SNAPSHOT, Kind.DEPLOYMENT)  # built from nothing


def tidy(
    store: Store,
    name: str,
    keep: Keep,
    *,
    now: datetime | None = None,
    dry_run: bool = False,
    held: Collection[Digest] | None = None,
) -> tuple[str, ...]:
    """Take away the tags of `snapshot/<name>` that the rule lets go; which ones. Twice is once. `held`: what
    `built_from` says, for callers that have several rules.

    Raises Denied if the store cannot take names away; Corrupt as `built_from`.
    """
    every = artifacts(store, Kind.SNAPSHOT, name, damaged=lambda error: None)
    dated = [each for each in every if is_dated(each.reference.tag)]
    views = {each.digest for each in every if not is_dated(each.reference.tag)}
    gone = going(dated, keep, pinned=views, now=now)
    if gone:
        gone = going(dated, keep, pinned=views.union(built_from(store) if held is None else held), now=now)
    tags = tuple(str(each.reference) for each in gone)
    if tags and not dry_run:
        try:
            rm.remove(store, rm.plan(store, tags))
        except NotFound:
            return tidy(store, name, keep, now=now, held=held)  # somebody else tidied at the same moment
    return tags
