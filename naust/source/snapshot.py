"""Snapshots: dated, immutable views of sources together. Made without copying bytes, only if every byte is there.

A snapshot is an index whose children are states of sources (naust.source.state); its name is `snapshot/<set>`, its tag
the day and the moment. A view, such as `production`, is a channel that naust.promote moves. `latest` is what a name
without a tag means everywhere in naust: the newest, so it moves by itself, at once, when a snapshot gets its name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from common.console import Report
from common.errors import Corrupt, NotFound, Partial
from common.model import Artifact, Digest, Event, Kind, Reference
from naust import manifest as oci
from naust.listing import artifacts, name_of, resolve
from naust.manifest import Blob
from naust.push import publish
from naust.source import state as form
from naust.source.state import File
from naust.store.interface import Store
from naust.transfer.parallel import each
from naust.transfer.push_blobs import silent
from naust.transfer.verified import content
from naust.version import is_dated, split

LATEST = "latest"
AGAIN = "naust.source.again"  # annotation: how often this very content came back on one day
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class State:
    """A source as it was. `name` is where its manifests and blobs are in the store, `parts` the manifests of its files;
    `manifest` its own descriptor."""

    source: str
    name: str
    manifest: Blob
    parts: tuple[Blob, ...]
    annotations: Mapping[str, str]

    @property
    def type(self) -> str:
        """apt, pypi, oci, files, terraform."""
        return self.annotations.get(form.TYPE, "")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a reference stands for: a snapshot of a set, or the state of one source by itself."""

    artifact: Artifact
    states: tuple[State, ...]
    of_set: bool

    @property
    def name(self) -> str:
        """`snapshot/<name>`."""
        return name_of(self.artifact.reference)


@dataclass(frozen=True, slots=True)
class Made:
    """What `make` did. `changed` is false if the newest snapshot is the same."""

    snapshot: Snapshot
    changed: bool
    files: int
    size: int


# Finding --------------------------------------------------------------------------------------------------------------


def name_for(name: str) -> str:
    """The name in the store of a source or set. Raises BadInput."""
    return name_of(Reference.parse(f"{Kind.SNAPSHOT}/{name}"))


def find(store: Store, name: str, when: str = "") -> Snapshot:
    """The snapshot of a set, or state of a source, at `when`: a full tag, a day (the last of it), a view, or `latest`
    or nothing for the newest. Raises NotFound, BadInput; Corrupt if it is damaged."""
    whole = name_for(name)
    if when in ("", LATEST) and LATEST not in store.tags(whole):
        found = newest(store, name)
        if found is None:
            raise NotFound(f"{store.url} has no {whole}", resolution="Run `naust mirror`, then `naust snapshot`.")
        return found
    return _opened(store, resolve(store, f"{whole}:{when}"))


def named(store: Store, text: str) -> Snapshot:
    """As `find`, for what people type: `build`, `build:2026-11-20`, `snapshot/build:latest`."""
    name, _, when = text.removeprefix(f"{Kind.SNAPSHOT}/").partition(":")
    return find(store, name, when)


def newest(store: Store, name: str) -> Snapshot | None:
    """The newest snapshot of a set, or state of a source; None if there is none. Raises Corrupt."""
    every = dated(store, name)
    if not every:
        return None
    return _opened(store, resolve(store, str(every[0].reference)))


def dated(store: Store, name: str) -> tuple[Artifact, ...]:
    """All snapshots of a set, or states of a source, newest first; views are not among them."""
    every = artifacts(store, Kind.SNAPSHOT, Reference.parse(f"{Kind.SNAPSHOT}/{name}").name)
    return tuple(one for one in every if is_dated(one.reference.tag))


def _opened(store: Store, artifact: Artifact) -> Snapshot:
    name, what = name_of(artifact.reference), str(artifact.reference)
    data = store.manifest(name, artifact.reference.tag or str(artifact.digest))
    if artifact.media_type == form.STATE:
        blob = Blob(Digest.of(data), len(data), oci.parse(data, what).media_type)
        return Snapshot(artifact, (_state(artifact.reference.name, name, blob, data, what),), False)
    if artifact.media_type != form.SNAPSHOT:
        raise Corrupt(f"{what} is no snapshot", resolution="`naust list --kind snapshot` shows what there is.")
    states = []
    for blob, said in form.children_of(data, what):
        child = _manifest(store, name, blob, what)
        states.append(_state(said.get(form.SOURCE, ""), name, blob, child, what))
    return Snapshot(artifact, tuple(states), True)


def _state(source: str, name: str, blob: Blob, data: bytes, what: str) -> State:
    read = oci.parse(data, what)
    if read.artifact_type != form.STATE:
        raise Corrupt(
            f"{what} holds {blob.digest}, which is no state", resolution="Use a newer naust, or mirror again."
        )
    parts = tuple(child for child, _ in form.children_of(data, what)) if read.children else (blob,)
    return State(source, name, blob, parts, dict(read.annotations))


def _manifest(store: Store, name: str, blob: Blob, what: str) -> bytes:
    try:
        return store.manifest(name, str(blob.digest))
    except NotFound as error:
        raise Corrupt(
            f"{what} is not whole: {blob.digest} is not in {store.url}",
            resolution="Mirror again, or copy the snapshot from another store; only what is missing is sent.",
        ) from error


# Reading --------------------------------------------------------------------------------------------------------------


def files(store: Store, snapshot: Snapshot, source: str = "") -> Iterator[tuple[State, File]]:
    """The files of all states of a snapshot, or of one, part by part, sorted by path. Raises Corrupt."""
    for state in snapshot.states:
        if source in ("", state.source):
            yield from ((state, file) for file in files_of(store, state))


def files_of(store: Store, state: State) -> Iterator[File]:
    """The files of a state. Raises Corrupt."""
    what = f"the state {state.manifest.digest.short} of {state.source}"
    for blob in state.parts:
        data = _manifest(store, state.name, blob, what)
        config = oci.parse(data, what).config
        packages = content(store, state.name, config, what) if config else b""
        yield from form.files_of(data, packages, what)


def blobs_of(store: Store, state: State) -> Iterator[tuple[str, Blob]]:
    """What a state consists of beside its manifests: a name for people and the blob."""
    what = f"the state {state.manifest.digest.short} of {state.source}"
    for blob in state.parts:
        data = _manifest(store, state.name, blob, what)
        config = oci.parse(data, what).config
        if config is not None:
            yield "the list of its packages", config
        yield from ((file.path, file.blob) for file in form.files_of(data, b"", what))


def gaps(store: Store, state: State, *, name: str = "", read: bool = False) -> tuple[str, ...]:
    """What is missing of a state or has the wrong size, each as a line; with `read`, also what has the wrong bytes.
    `name`: under which name in the store to look; that of the state."""
    where, found = name or state.name, list[str]()

    def look(named: tuple[str, Blob]) -> None:
        path, blob = named
        size = store.stat(where, blob.digest)
        if size != blob.size:
            is_there = "is not there" if size is None else f"has {size} bytes instead of {blob.size}"
            found.append(f"{state.source}: {path} {is_there}")
        elif read:
            _read_through(store, where, path, blob, state, found)

    # A thread costs more than a look into a folder.
    each(look, blobs_of(store, state), _AT_ONCE if read or not store.url.startswith("file:") else 1)
    return tuple(sorted(found))


def _read_through(store: Store, name: str, path: str, blob: Blob, state: State, found: list[str]) -> None:
    from naust.transfer.verified import chunks

    try:
        with chunks(store, name, blob, path) as pieces:
            for _ in pieces:
                pass
    except Corrupt as error:
        found.append(f"{state.source}: {path}: {error.details or error.message}")


# Making ---------------------------------------------------------------------------------------------------------------


def make(
    store: Store,
    name: str,
    sources: Sequence[str],
    *,
    check: bool = False,
    now: datetime | None = None,
    report: Report = silent,
) -> Made:
    """Publish `snapshot/<name>:<day>-<date>` of the newest states of these sources. With `check` every byte is read.

    Raises NotFound if a source has no state; Partial, naming all gaps, if a file is missing or damaged.
    """
    states = tuple(_newest_state(store, source) for source in sources)
    holes = [line for state in states for line in gaps(store, state, read=check)]
    if holes:
        raise _not_whole(name, holes)
    whole = name_for(name)
    count, size = 0, 0
    for state in states:
        report(Event("take", state.source, state.manifest.digest.short))
        for _, blob in bring(store, state, whole):
            count, size = count + 1, size + blob.size
    children = [(state.manifest, {form.SOURCE: state.source}) for state in states]
    document = form.index(children, form.SNAPSHOT, {oci.KIND: str(Kind.SNAPSHOT)})
    artifact, changed = publish_newest(store, name, document, now, report)
    return Made(_opened(store, artifact), changed, count, size)


def bring(store: Store, state: State, name: str) -> Iterator[tuple[str, Blob]]:
    """See that a state is under another name too; yields its blobs. Nothing moves in stores with one pool for all; in a
    directory that is not even looked at, which would be half of the time that a snapshot takes."""
    pooled = store.url.startswith("file:")
    for path, blob in blobs_of(store, state):
        if not pooled and store.stat(name, blob.digest) != blob.size:
            with store.read(state.name, blob.digest) as source:
                store.write(name, blob.digest, blob.size, source, mount_from=state.name)
        yield path, blob
    for blob in dict.fromkeys((*state.parts, state.manifest)):
        if store.stat(name, blob.digest) != blob.size:  # a registry keeps manifests apart
            store.put_manifest(name, str(blob.digest), store.manifest(state.name, str(blob.digest)))


def publish_newest(
    store: Store, name: str, document: bytes, now: datetime | None = None, report: Report = silent
) -> tuple[Artifact, bool]:
    """Publish a manifest so that it is the newest of its name; whether it was not already.

    What came back within a day, after something else, gets a name of its own: its old one would not be the newest.
    """
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    last = next(iter(dated(store, name)), None)
    if last is not None and last.digest == Digest.of(document):
        return last, False
    day = form.version_of(moment)
    taken = {one.digest for one in dated(store, name) if (split(one.reference.tag) or ("",))[0] == day}
    plain, number = document, 0
    while Digest.of(document) in taken:
        number += 1
        document = _annotated(plain, {AGAIN: str(number)})
    return publish(store, Reference.parse(name_for(name)), day, document, moment, report), True


def _annotated(document: bytes, more: Mapping[str, str]) -> bytes:
    read = json.loads(document)
    return oci.encode({**read, "annotations": {**read.get("annotations", {}), **more}})


def _newest_state(store: Store, source: str) -> State:
    found = newest(store, source)
    if found is None or found.of_set:
        raise NotFound(f"{store.url} has no state of {source}", resolution=f"Run: naust mirror {source}")
    return found.states[0]


def _not_whole(name: str, holes: Iterable[str]) -> Partial:
    lines = list(holes)
    shown = lines[:100] + ([f"and {len(lines) - 100} more"] if len(lines) > 100 else [])
    return Partial(
        f"there is no snapshot of {name}: {len(lines)} file{'' if len(lines) == 1 else 's'} would be missing",
        details="\n".join(shown),
        resolution="Nothing was published. Run `naust mirror` (with --check if bytes are wrong), which fetches what is "
        "missing, then try again.",
    )


def show_as(store: Store, reference: str, view: str, *, report: Report = silent) -> None:
    """Let a view stand for a snapshot, in one step; see naust.promote. `latest` stands for the newest by itself.

    Raises BadInput for a name that no view can have, Conflict if somebody else moved it meanwhile.
    """
    from naust.promote import promote

    if view != LATEST:
        promote(store, reference, view, report=report)
