"""Artefacts from one store into another: the same bytes, the same digests, the same tags.

First everything is looked at, on both sides; what cannot be copied is an error before a byte moves. Then blobs go,
those alone that are not there, some of them at once, straight from one store into the other, whose check of the digest
is the check of the way; then manifests, children first; then whatever refers to them; the tag last. So a reader sees an
artefact with its signatures, or none, and a copy that breaks goes on where it was.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from common.console import Report
from common.errors import BadInput, Conflict, Corrupt, Error, NotFound, Partial, Unavailable
from common.model import Artifact, Digest, Event
from naust import manifest as oci
from naust import reach
from naust.listing import artifacts, matching, name_of, resolve
from naust.manifest import Blob
from naust.promote import HISTORY, stands_for
from naust.store.incoming import no_space
from naust.store.interface import Collectable, Store
from naust.transfer.copy_blobs import Blobs
from naust.transfer.copy_lists import check_grows, enter, is_list
from naust.transfer.parallel import AT_ONCE, each
from naust.version import is_dated

_KINDS: dict[int, type[Error]] = {each.exit_code: each for each in (BadInput, Conflict, Corrupt, Unavailable)}
_TRIES = 3  # to store a manifest whose blobs a collector took away meanwhile
_GONE = 3  # artefacts in a row for which a store does not answer, until the others are not tried


@dataclass(frozen=True, slots=True)
class Options:
    """How to copy. `platform` is `os/architecture[/variant]`, '' for all; `move` lets channels of the destination move
    to where they stand in the source."""

    platform: str = ""
    referrers: bool = True
    move: bool = False
    dry_run: bool = False
    at_once: int = AT_ONCE


@dataclass(frozen=True, slots=True)
class Copied:
    """One artefact. `asked` is the digest that its name has in the source, `digest` the one that is stored; they differ
    only for one platform of several. Sizes in bytes, of blobs and manifests. `error` is why it was not copied."""

    reference: str
    asked: Digest | None
    digest: Digest | None
    sent: int = 0
    there: int = 0
    referrers: int = 0
    left_out: tuple[str, ...] = ()
    error: str = ""
    code: int = 0  # the exit code that the error alone would have


@dataclass(frozen=True, slots=True)
class Plan:
    """What copying one artefact takes."""

    artifact: Artifact
    asked: Digest
    name: str
    top: reach.Node
    nodes: tuple[reach.Node, ...]  # in the order in which they are stored; the last is `top`
    beside: tuple[reach.Node, ...]  # whatever refers to them, what is referred to first
    left_out: tuple[str, ...]
    missing: tuple[Blob, ...]  # blobs that have to go
    replacing: Digest | None  # what the tag stands for at the destination
    sizes: tuple[int, int]  # bytes to send, bytes there

    @property
    def count(self) -> int:
        """Referrers; their own children do not count."""
        return sum(node.refers_to is not None for node in self.beside)


@dataclass(slots=True)
class _Run:
    source: Store
    dest: Store
    options: Options
    report: Report
    blobs: Blobs
    within: int = 1  # blobs of one artefact at once
    lost: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


def copy(
    source: Store,
    dest: Store,
    wanted: Sequence[str],
    options: Options = Options(),
    report: Report = lambda event: None,
) -> tuple[Copied, ...]:
    """Copy what is wanted: references, or shell patterns of names; '*' is everything. Twice is once.

    What goes wrong with one artefact is in its result and keeps no other from being copied; but when a store does not
    answer for several in a row, the rest is not tried, and their results say so.
    """
    run = _Run(source, dest, options, report, Blobs(source, dest))
    results: dict[int, Copied] = {}
    found = list(_found(source, wanted))
    run.within = max(1, options.at_once // max(1, min(options.at_once, len(found))))

    def work(item: tuple[int, Artifact | Copied]) -> None:
        number, artifact = item
        results[number] = artifact if isinstance(artifact, Copied) else _one(run, artifact)

    each(work, enumerate(found), options.at_once)
    return tuple(results[number] for number in range(len(found)))


def _found(source: Store, wanted: Sequence[str]) -> Iterator[Artifact | Copied]:
    """Every artefact that is meant, once; what is not there or damaged as a result that says so."""
    seen = set()
    for text in wanted:
        for artifact in _matching(source, text) if set(text) & set("*?[") else _named(source, text):
            key = artifact.reference if isinstance(artifact, Copied) else (str(artifact.reference), artifact.digest)
            if key not in seen:
                seen.add(key)
                yield artifact


def _matching(source: Store, pattern: str) -> Iterator[Artifact | Copied]:
    damaged: list[Corrupt] = []
    every = artifacts(source, damaged=damaged.append)
    yield from (_failed(error.message, error) for error in damaged)
    found = matching(every, pattern)
    if not found and not damaged:
        nothing = NotFound(f"{source.url} has nothing like {pattern}", resolution="`naust list` shows what there is.")
        yield _failed(pattern, nothing)
    # Versions before channels, so that a channel's history has them.
    yield from sorted(found, key=lambda one: (not is_dated(one.reference.tag), one.reference))


def _named(source: Store, text: str) -> Iterator[Artifact | Copied]:
    try:
        yield resolve(source, text)
    except Unavailable:
        raise
    except Error as error:
        yield _failed(text, error)


def _failed(what: str, error: Error, asked: Digest | None = None) -> Copied:
    reason = "\n".join(filter(None, (error.message, error.details)))
    return Copied(what, asked, None, error=reason, code=error.exit_code)


def check(results: Sequence[Copied], dest: Store) -> None:
    """Raises Partial if some were copied and others not; an error of one kind if none was and all failed alike."""
    bad = [each for each in results if each.error]
    if not bad:
        return
    codes = {each.code for each in bad}
    alike = len(bad) == len(results) and len(codes) == 1
    raise (_KINDS.get(codes.pop(), Error) if alike else Partial)(
        f"{len(bad)} of {len(results)} artefacts were not copied to {dest.url}",
        details="\n".join(f"{each.reference}: {each.error}" for each in bad),
        resolution="Mend what is named above, then run the same command again: what is there is not sent twice.",
    )


def _one(run: _Run, artifact: Artifact) -> Copied:
    what = f"{artifact.reference}" if artifact.reference.tag else f"{artifact.reference}@{artifact.digest}"
    with run.lock:
        if run.lost >= _GONE:
            return _failed(what, _given_up(run), artifact.digest)
    try:
        planned = plan(run.source, run.dest, artifact, run.options)
        if not run.options.dry_run:
            run.report(Event("copy", what, f"{planned.sizes[0]} bytes"))
            sent = carry_out(run.source, run.dest, planned, run.blobs, at_once=run.within)
            run.report(Event("copied", what, str(planned.top.digest)))
        else:
            sent = planned.sizes[0]
        run.lost = 0
        there = max(0, sum(planned.sizes) - sent)
        return Copied(what, planned.asked, planned.top.digest, sent, there, planned.count, planned.left_out)
    except Error as error:
        run.report(Event("failed", what, error.message))
        with run.lock:
            run.lost = run.lost + 1 if isinstance(error, Unavailable) else 0
        return _failed(what, error, artifact.digest)


def _given_up(run: _Run) -> Unavailable:
    return Unavailable(
        f"not tried, because {run.source.url} or {run.dest.url} does not answer any more",
        resolution="Run the same command again later.",
    )


def plan(source: Store, dest: Store, artifact: Artifact, options: Options = Options()) -> Plan:
    """Look at all that belongs to the artefact and at what the destination has of it. Nothing is changed.

    Raises NotFound if there is no such platform; Corrupt if something is missing or damaged in the source; Conflict if
    the name stands for something else at the destination.
    """
    name = name_of(artifact.reference)
    asked = reach.node(source, name, artifact.digest)
    top, left_out = _chosen(source, name, asked, options.platform)
    nodes = tuple(reversed(tuple(reach.below(source, name, top))))
    inside = {node.digest for node in nodes}
    others = [node for node in reach.around(source, name, top) if node.digest not in inside]
    beside, more = _kept(others, options.referrers)
    tag = artifact.reference.tag
    replacing = _replacing(source, dest, name, tag, top.digest, options.move) if tag else None
    missing, sizes = _missing(source, dest, name, (*nodes, *beside))
    _check_room(dest, sizes[0])
    left_out = (*left_out, *more)
    return Plan(artifact, asked.digest, name, top, nodes, beside, left_out, missing, replacing, sizes)


def carry_out(source: Store, dest: Store, planned: Plan, blobs: Blobs | None = None, *, at_once: int = AT_ONCE) -> int:
    """Do what was planned; how many bytes of blobs were sent, without what another artefact's copy sent meanwhile.

    Raises Corrupt, naming the side, if a blob of the source is damaged; then no tag appears.
    """
    _check_algorithms(dest, planned)
    sent = _send(blobs or Blobs(source, dest), planned, planned.missing, at_once)
    for left in reversed(range(_TRIES)):
        try:
            _put(dest, planned)
            return sent
        except NotFound:
            # Somebody collects garbage at the destination and found ours before it had a name.
            if not left:
                raise
            missing, _ = _missing(source, dest, planned.name, (*planned.nodes, *planned.beside))
            sent += _send(Blobs(source, dest), planned, missing, at_once)
    return sent


def _send(blobs: Blobs, planned: Plan, missing: Sequence[Blob], at_once: int) -> int:
    sizes: list[int] = []
    each(lambda blob: sizes.append(blobs.send(planned.name, blob, str(planned.artifact.reference))), missing, at_once)
    return sum(sizes)


def _check_algorithms(dest: Store, planned: Plan) -> None:
    """Many registries know SHA-256 alone (docker-registry 2.8 does), and say so only at the end. So one that is to keep
    another digest is tried with two bytes first. Raises BadInput."""
    every = {each.algorithm for node in planned.nodes for each in (node.digest, *(b.digest for b in node.read.blobs))}
    for algorithm in sorted(every - {"sha256"}) if not isinstance(dest, Collectable) else ():
        config = Blob(Digest.of(oci.EMPTY_CONFIG, algorithm), len(oci.EMPTY_CONFIG), oci.EMPTY)
        trial = oci.encode({"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": config.described(), "layers": []})
        try:
            dest.write(planned.name, config.digest, config.size, io.BytesIO(oci.EMPTY_CONFIG))
            dest.put_manifest(planned.name, str(Digest.of(trial, algorithm)), trial)
        except Error as error:
            raise BadInput(
                f"{dest.url} does not keep digests of {algorithm}, which {planned.artifact.reference} has",
                details="\n".join(filter(None, (error.message, error.details))),
                resolution="Nothing was copied. Copy it to a directory, S3 or naust server, or to a newer registry.",
            ) from error


def _put(dest: Store, planned: Plan) -> None:
    for node in (*planned.nodes, *planned.beside):
        dest.put_manifest(planned.name, str(node.digest), node.data)
    enter(dest, planned.name, planned.beside)
    tag = planned.artifact.reference.tag
    if tag:
        dest.put_manifest(planned.name, tag, planned.top.data, replacing=planned.replacing)


def _chosen(source: Store, name: str, asked: reach.Node, platform: str) -> tuple[reach.Node, tuple[str, ...]]:
    """The manifest that is to be stored, and what is left out with the others."""
    if not platform:
        return asked, ()
    if not asked.read.children:
        return _the_only(source, name, asked, platform), ()
    fitting = [blob for blob in asked.read.children if _fits(blob.platform, platform)]
    if len(fitting) != 1:
        has = ", ".join(blob.platform or "one that does not say" for blob in asked.read.children)
        raise NotFound(
            f"{name}@{asked.digest} has {len(fitting) or 'no'} images for {platform}",
            resolution=f"It has: {has}. Name one of them.",
        )
    others = len(asked.read.children) - 1
    beside = sum(each.artifact_type != HISTORY for each in source.referrers(name, asked.digest))
    said = (f"{others} other platforms", f"the index {asked.digest}")
    return reach.node(source, name, fitting[0].digest), said + ((f"{beside} referrers of the index",) if beside else ())


def _the_only(source: Store, name: str, asked: reach.Node, platform: str) -> reach.Node:
    import json

    from naust.transfer.verified import content

    config = asked.read.config
    has = ""
    if asked.read.is_container and config is not None:
        with suppress(ValueError):
            has = oci.platform(json.loads(content(source, name, config, f"{name}@{asked.digest}")))
    if has and not _fits(has, platform):
        raise NotFound(f"{name}@{asked.digest} is for {has}, not {platform}", resolution="Leave out the platform.")
    return asked


def _fits(has: str, wanted: str) -> bool:
    return has == wanted or has.startswith(f"{wanted}/")


def _kept(others: Sequence[reach.Node], wanted: bool) -> tuple[tuple[reach.Node, ...], tuple[str, ...]]:
    """Referrers in the order in which they are stored, and what is left out of them. The history of a channel is about
    the store that it is in."""
    past = [node for node in others if node.read.artifact_type == HISTORY]
    rest = [node for node in others if node.read.artifact_type != HISTORY]
    said = (f"{len(past)} records of channels: the history of a store stays there",) if past else ()
    if wanted or not rest:
        return tuple(reversed(rest)), said
    kinds = ", ".join(sorted({node.read.artifact_type for node in rest if node.refers_to}))
    count = sum(node.refers_to is not None for node in rest)
    return (), (*said, f"{count} referrers: {kinds}")


def _replacing(source: Store, dest: Store, name: str, tag: str, wanted: Digest, move: bool) -> Digest | None:
    there = stands_for(dest, name, tag)
    if there in (None, wanted):
        return None
    if is_list(name, tag):
        check_grows(source, dest)
        return there
    if move and not is_dated(tag):
        return there
    raise Conflict(
        f"{name}:{tag} stands for {there} in {dest.url}, and for {wanted} in the source",
        resolution="A version never changes; publish again."
        if is_dated(tag)
        else "Promote it there with `naust promote`, or give --move to let channels follow the source.",
    )


def _missing(
    source: Store, dest: Store, name: str, nodes: Sequence[reach.Node]
) -> tuple[tuple[Blob, ...], tuple[int, int]]:
    """Blobs that the destination has not, seen to be in the source; bytes to send, and bytes that are there."""
    manifests = {node.digest for node in nodes}
    blobs = {blob.digest: blob for node in nodes for blob in node.read.blobs if blob.digest not in manifests}
    missing: list[Blob] = []
    lock = threading.Lock()

    def look(blob: Blob) -> None:
        if dest.stat(name, blob.digest) == blob.size:
            return
        found = source.stat(name, blob.digest)
        if found != blob.size:
            raise _not_whole(source, name, blob, found)
        with lock:
            missing.append(blob)

    each(look, blobs.values())
    sent = sum(blob.size for blob in missing)
    return tuple(sorted(missing, key=lambda blob: -blob.size)), (sent, sum(b.size for b in blobs.values()) - sent)


def _check_room(dest: Store, size: int) -> None:
    """A directory says how much room it has; other stores say so when they are full."""
    root = getattr(dest, "root", None)
    if not isinstance(root, Path):
        return
    there = next(folder for folder in (root, *root.parents) if folder.exists())
    room = os.statvfs(there)
    if size > room.f_bavail * room.f_frsize:
        raise no_space(root, f"{size} bytes are needed, {room.f_bavail * room.f_frsize} are free.")


def _not_whole(source: Store, name: str, blob: Blob, found: int | None) -> Corrupt:
    return Corrupt(
        f"{name} in {source.url} is not whole: blob {blob.digest} "
        + ("is missing" if found is None else f"has {found} bytes instead of {blob.size}"),
        resolution="Nothing was copied. Mend the source with `naust fsck --repair OTHER-STORE`.",
    )


def check_platform(platform: str) -> str:
    """`os/architecture[/variant]`, or ''. Raises BadInput."""
    if platform and (platform.count("/") not in (1, 2) or not all(platform.split("/"))):
        raise BadInput(f"{platform!r} is no platform", resolution="Write it as linux/amd64 or linux/arm/v7.")
    return platform
