"""Channels: tags such as `production` that stand for a version, and move. Each move is recorded.

A move puts a record first and the tag second, by compare and swap; so a record without its move can be left by
somebody who was killed or lost a race, but no move without its record. A record is a manifest of type HISTORY whose
subject is what the channel was moved to, with one JSON blob in it: all moves so far, the newest last, at most LONGEST.
Which record counts is that of the highest number among those of this channel at what the tag stands for now.

A store that cannot compare and swap (a registry) gets the weaker promise: look, put, read back. Two who promote there
within the same moment may both be told that they won; the tag then stands for one of the two, never for a mixture, and
the history names that one's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from common.console import Report, fields_of, plain
from common.errors import BadInput, Conflict, Corrupt, NotFound
from common.model import Artifact, Digest, Event, Reference
from naust import manifest as oci
from naust.listing import artifacts, name_of, resolve
from naust.proof.attached import attach
from naust.store.interface import Store
from naust.version import is_dated, split

HISTORY = "application/vnd.naust.history.v1"
HISTORY_BLOB = "application/vnd.naust.history.v1+json"
CHANNEL = "naust.channel"  # annotations of a record
NUMBER = "naust.number"
FORMAT = 1
LONGEST = 1000  # moves that a record remembers
_SEARCHED = 100  # versions whose records are looked at when a channel was moved without one
_BIGGEST = 4 << 20  # bytes of a record's blob
_CHANNEL = re.compile(r"[a-z][a-z0-9]*(?:[._-][a-z0-9]+)*")
_TRAPS = ("latest", "newest", "untagged")


@dataclass(frozen=True, slots=True)
class Move:
    """One step of a channel. `version` is the tag of what it moved to; `before` what it stood for until then, None if
    it was new; `undoes` the number of the move that this one took back, 0 for none."""

    number: int
    at: datetime
    who: str
    to: Digest
    version: str
    before: Digest | None
    reason: str
    undoes: int = 0


@dataclass(frozen=True, slots=True)
class Promoted:
    """What a promotion did, or with a dry run would do. `changed` is false if the channel stood there already."""

    reference: str
    channel: str
    changed: bool
    move: Move
    dry_run: bool = False


def is_channel(tag: str) -> bool:
    """Whether a channel may have this name: lower case, begins with a letter, is no dated tag, and is not `latest`,
    which would be taken for the newest, and which no tag at all already means."""
    return bool(_CHANNEL.fullmatch(tag)) and len(tag) <= 64 and not is_dated(tag) and tag not in _TRAPS


def promote(
    store: Store,
    wanted: Reference | str,
    channel: str,
    *,
    who: str = "",
    reason: str = "",
    dry_run: bool = False,
    now: datetime | None = None,
    report: Report = lambda event: None,
) -> Promoted:
    """Let a channel stand for a version: the newest, a named one, or what another channel stands for.

    Raises BadInput for an impossible channel, NotFound; Conflict, naming the winner, if somebody else moved it
    meanwhile; Corrupt if the artefact is damaged or revoked.
    """
    found = resolve(store, wanted)
    name = name_of(found.reference)
    _check_channel(store, name, channel)
    check_revoked(store, name, found.digest)
    believed = stands_for(store, name, channel)
    with store.hold(name):
        there = stands_for(store, name, channel)
        moves = _moves(store, name, channel, there)
        move = Move(
            number=_number(store, name, channel, moves, found.digest),
            at=now or datetime.now(UTC),
            who=who or whoami(),
            to=found.digest,
            version=_version(store, name, found.reference.tag, found.digest),
            before=there,
            reason=reason,
        )
        if there not in (believed, found.digest):
            raise _lost(store, name, channel, move)
        if there == found.digest:
            return Promoted(f"{name}:{channel}", channel, False, moves[-1] if moves else move, dry_run)
        return _move(store, name, channel, moves, move, dry_run, report)


def undo(
    store: Store,
    wanted: Reference | str,
    channel: str,
    *,
    who: str = "",
    reason: str = "",
    dry_run: bool = False,
    now: datetime | None = None,
    report: Report = lambda event: None,
) -> Promoted:
    """Let a channel stand for what it stood for before its last move that is not undone yet; that is a move too.

    Raises NotFound if there is no such channel, or nothing before, or that was taken away since; Conflict; Corrupt.
    """
    name = name_of(Reference.parse(str(wanted)))
    believed = stands_for(store, name, channel)
    with store.hold(name):
        there = stands_for(store, name, channel)
        moves = _moves(store, name, channel, there)
        back, undone = _way_back(moves, there)
        if there is None or back is None:
            raise _nothing_before(name, channel, there)
        check_revoked(store, name, back)
        move = Move(
            number=_number(store, name, channel, moves, back),
            at=now or datetime.now(UTC),
            who=who or whoami(),
            to=back,
            version=_version(store, name, "", back),
            before=there,
            reason=reason,
            undoes=undone,
        )
        if there != believed:
            raise _lost(store, name, channel, move)
        return _move(store, name, channel, moves, move, dry_run, report)


def history(store: Store, wanted: Reference | str, channel: str) -> tuple[Move, ...]:
    """The moves of a channel, oldest first. If it was moved without naust since, the last is not where it stands.

    Raises NotFound if there is no such channel.
    """
    name = name_of(Reference.parse(str(wanted)))
    there = stands_for(store, name, channel)
    if there is None:
        raise NotFound(f"{store.url} has no {name}:{channel}", resolution="`naust list` shows what there is.")
    return _moves(store, name, channel, there)


def before(store: Store, name: str, channel: str, there: Digest) -> Digest | None:
    """What undoing the channel's last move would lead back to, by the record at what it stands for; None if nothing.

    Raises Corrupt if the record is damaged.
    """
    last = _last_standing(_record(store, name, channel, there))
    return last.before if last else None


def stands_for(store: Store, name: str, tag: str) -> Digest | None:
    """The digest of the manifest that a tag stands for now, None for nothing. Raises Corrupt."""
    try:
        return Digest.of(store.manifest(name, tag))
    except NotFound:
        return None


def whoami() -> str:
    """Who does this: `user@host`."""
    import getpass
    import socket

    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # a user id without a name
        return f"unknown@{socket.gethostname()}"


def check_revoked(store: Store, name: str, digest: Digest) -> None:
    """Raises Corrupt if the artefact, or something that it was built from, was revoked."""
    from naust import revoke

    artifact = oci.artifact(name, "untagged", store.manifest(name, str(digest)))
    revoke.check(store, replace(artifact, reference=replace(artifact.reference, tag="")))


def _move(
    store: Store, name: str, channel: str, moves: Sequence[Move], move: Move, dry_run: bool, report: Report
) -> Promoted:
    try:
        manifest = store.manifest(name, str(move.to))
    except NotFound as error:
        raise NotFound(
            f"what {name}:{channel} stood for before, {move.to}, is not in {store.url} any more",
            resolution="Promote a version that is there; `naust list` shows them.",
        ) from error
    if not dry_run:
        report(Event("record", f"{name}:{channel}", f"move {move.number} to {move.version}"))
        _write(store, name, channel, (*moves, move)[-LONGEST:])
        report(Event("recorded", f"{name}:{channel}"))
        _swap(store, name, channel, manifest, move)
        report(Event("moved", f"{name}:{channel}", f"to {move.version}, {move.to}"))
    return Promoted(f"{name}:{channel}", channel, True, move, dry_run)


def _swap(store: Store, name: str, channel: str, manifest: bytes, move: Move) -> None:
    try:
        store.put_manifest(name, channel, manifest, replacing=move.before)
    except Conflict as error:
        raise _lost(store, name, channel, move) from error
    if not store.traits().compare_and_swap and stands_for(store, name, channel) != move.to:
        raise _lost(store, name, channel, move)


def _lost(store: Store, name: str, channel: str, move: Move) -> Conflict:
    there = stands_for(store, name, channel)
    moves = _record(store, name, channel, there) if there else ()
    winner = f"{moves[-1].who} moved it to {moves[-1].version} at {moves[-1].at:%Y-%m-%d %H:%M:%S}" if moves else ""
    return Conflict(
        f"{name}:{channel} was moved by somebody else meanwhile",
        details=f"{winner or f'It stands for {there or None}'}; {move.version} was to take the place of {move.before}.",
        resolution="Look at `naust promote --history`, then decide anew. Nothing was changed.",
    )


def _write(store: Store, name: str, channel: str, moves: Sequence[Move]) -> None:
    move = moves[-1]
    document = {"format": FORMAT, "channel": channel, "moves": [plain(fields_of(each)) for each in moves]}
    attach(
        store,
        name,
        move.to,
        oci.encode(document),
        media_type=HISTORY_BLOB,
        artifact_type=HISTORY,
        annotations={CHANNEL: channel, NUMBER: str(move.number), oci.CREATED: move.at.isoformat()},
    )


def _moves(store: Store, name: str, channel: str, there: Digest | None) -> tuple[Move, ...]:
    """What is recorded; where the channel was moved without a record, that of the versions which have one."""
    if there is None:
        return ()
    found = _record(store, name, channel, there)
    if found:
        return found
    others = dict.fromkeys(each.digest for each in _listed(store, name) if each.digest != there)
    every = (_record(store, name, channel, each) for each in list(others)[:_SEARCHED])
    return max(every, key=lambda moves: moves[-1].number if moves else 0, default=())


def _listed(store: Store, name: str) -> tuple[Artifact, ...]:
    reference = Reference.parse(name)
    return artifacts(store, reference.kind, reference.name, damaged=lambda error: None)


def _record(store: Store, name: str, channel: str, there: Digest) -> tuple[Move, ...]:
    """The record of the highest number at this manifest; of equal ones the later. Raises Corrupt."""
    best: tuple[int, datetime] = (0, datetime.fromtimestamp(0, UTC))
    moves: tuple[Move, ...] = ()
    for read in _records(store, name, channel, there):
        found = _read(store, name, read)
        if found and (found[-1].number, found[-1].at) > best:
            best, moves = (found[-1].number, found[-1].at), found
    return moves


def _records(store: Store, name: str, channel: str, there: Digest) -> list[oci.Manifest]:
    """The channel's records of the highest number, by their annotations."""
    every = []
    for each in store.referrers(name, there, HISTORY):
        read = oci.parse(store.manifest(name, str(each.digest)), f"{name}@{each.digest}")
        if dict(read.annotations).get(CHANNEL) == channel and len(read.layers) == 1:
            every.append(read)
    highest = max(map(_number_of, every), default=0)
    return [read for read in every if _number_of(read) == highest]


def _number_of(read: oci.Manifest) -> int:
    said = dict(read.annotations).get(NUMBER, "")
    return int(said) if said.isdecimal() and len(said) < 10 else 0


def _read(store: Store, name: str, read: oci.Manifest) -> tuple[Move, ...]:
    from naust.transfer.verified import content

    blob = read.layers[0]
    if blob.size > _BIGGEST:
        raise _unreadable(name, read, f"{blob.size} bytes")
    data = content(store, name, blob, f"the history {read.digest} of {name}")
    try:
        document = json.loads(data)
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']!r}; this naust knows {FORMAT}")
        return tuple(_as_move(each) for each in document["moves"])
    except (BadInput, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _unreadable(name, read, f"{type(error).__name__}: {error}") from error


def _as_move(said: dict[str, object]) -> Move:
    return Move(
        number=int(str(said["number"])),
        at=oci.moment(str(said["at"])),
        who=str(said["who"]),
        to=Digest.parse(str(said["to"])),
        version=str(said["version"]),
        before=Digest.parse(str(said["before"])) if said["before"] else None,
        reason=str(said["reason"]),
        undoes=int(str(said["undoes"])),
    )


def _last_standing(moves: Sequence[Move]) -> Move | None:
    """The last move that was neither undone nor is an undoing."""
    undone = {move.undoes for move in moves if move.undoes}
    return next((move for move in reversed(moves) if not move.undoes and move.number not in undone), None)


def _way_back(moves: Sequence[Move], there: Digest | None) -> tuple[Digest | None, int]:
    """What to go back to, and the number of the move that this undoes. A move without a record has no number."""
    if moves and moves[-1].to != there:
        return moves[-1].to, 0
    last = _last_standing(moves)
    return (last.before, last.number) if last else (None, 0)


def _number(store: Store, name: str, channel: str, moves: Sequence[Move], to: Digest) -> int:
    """Higher than all before, and than any record at the goal that somebody left there without moving the channel."""
    left = max(map(_number_of, _records(store, name, channel, to)), default=0)
    return max(moves[-1].number if moves else 0, left) + 1


def _version(store: Store, name: str, tag: str, digest: Digest) -> str:
    """The dated tag of a manifest, where it has one."""
    if is_dated(tag):
        return tag
    dated = (each.reference.tag for each in _listed(store, name) if each.digest == digest)
    return next(filter(is_dated, dated), tag or str(digest))


def _check_channel(store: Store, name: str, channel: str) -> None:
    if not is_channel(channel):
        raise BadInput(
            f"{channel!r} cannot be a channel",
            resolution="A channel begins with a letter and has lower case letters, digits, `.`, `_` and `-`, as in "
            "`production`. It is no version with a date, and not `latest`: without a tag the newest is meant anyway.",
        )
    shadowed = next((tag for tag in store.tags(name) if (split(tag) or ("",))[0] == channel), None)
    if shadowed:
        raise BadInput(
            f"{channel!r} cannot be a channel of {name}: it is the version of {shadowed}",
            resolution="Name the channel so that nobody takes it for a version.",
        )


def _nothing_before(name: str, channel: str, there: Digest | None) -> NotFound:
    if there is None:
        return NotFound(f"there is no {name}:{channel}", resolution="`naust list` shows what there is.")
    return NotFound(
        f"nothing is recorded that {name}:{channel} stood for before", resolution="Promote the version that you want."
    )


def _unreadable(name: str, read: oci.Manifest, details: str) -> Corrupt:
    return Corrupt(
        f"the history {read.digest} of {name} cannot be read",
        details=details,
        resolution="Mend the store with `naust fsck --repair`, or use a newer naust if the format is newer.",
    )
