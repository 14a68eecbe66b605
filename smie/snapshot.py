"""Building from a snapshot alone: index, packages and programs come out of the store as they were on one day.

The snapshot's apt sources are laid down as plain archives, and the host's apt reads them: it checks the signature that
naust made with the key of the source, and the indexes against what was signed. Packages and wheels are read by their
SHA-256, which the index and the role name. Formats: naust.source.state, naust.source.apt.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from common.errors import BadInput, Conflict, Corrupt, Error, NotFound
from common.files import write_atomically
from common.model import Digest, Kind
from common.run import CommandFailed
from naust import listing
from naust.manifest import Blob, encode
from naust.revoke import check
from naust.source import snapshot as snapshots
from naust.source import state as form
from naust.source.snapshot import Snapshot, State
from naust.store.interface import Store
from naust.transfer import verified
from naust.transfer.parallel import each
from smie.mirror import ENDINGS
from smie.origin import Origin
from smie.packages import Package
from smie.software import pinned
from smie.workspace import Workspace

USUAL = "build"  # the set that builds take when there are several
KEY = "key.asc"
APT = "apt"
WITH_WHEELS = ("pypi", "files")
_AT_ONCE = 8  # packages that are read side by side


def opened(store: Store, workspace: Workspace, text: str) -> Origin:
    """The snapshot that `[SET:]WHEN` names; WHEN as `naust.source.snapshot.find` has it. Raises NotFound with what
    there is; BadInput; Corrupt if it is damaged or revoked."""
    name, colon, when = text.removeprefix(f"{Kind.SNAPSHOT}/").rpartition(":")
    name = name if colon else _usual(store)
    try:
        found = snapshots.find(store, name, when)
    except NotFound as error:
        raise _not_there(store, name, when) from error
    check(store, found.artifact)
    return FromSnapshot(store, found, workspace)


def _usual(store: Store) -> str:
    """The set that is meant when none is named."""
    if any(True for _ in store.tags(snapshots.name_for(USUAL))):
        return USUAL
    found = _sets(store)
    if len(found) == 1:
        return found[0]
    raise NotFound(
        f"{store.url} has {'several sets' if found else 'no snapshot'}"
        + (f" of sources, and none is called {USUAL}" if found else ""),
        details="\n".join(found),
        resolution="Name one of them: --snapshot SET:WHEN." if found else _MAKE,
    )


_MAKE = "To make one: naust mirror, then naust snapshot SET; or copy it from another store with naust copy."


def _sets(store: Store) -> list[str]:
    every = listing.artifacts(store, Kind.SNAPSHOT, damaged=lambda error: None)
    return sorted({one.reference.name for one in every if one.media_type == form.SNAPSHOT})


def _not_there(store: Store, name: str, when: str) -> NotFound:
    dated = [one.reference.tag for one in snapshots.dated(store, name)]
    others = [found for found in _sets(store) if found != name] if not dated else []
    lines = dated[:10] + ([f"and {len(dated) - 10} older"] if len(dated) > 10 else [])
    lines += [f"other sets: {', '.join(others)}"] if others else []
    return NotFound(
        f"{store.url} has no snapshot {name}:{when or snapshots.LATEST}",
        details="\n".join(lines),
        resolution="Name a day, a full tag, a view or latest." if dated else f"Name a set that is there. {_MAKE}",
    )


@dataclass(frozen=True, slots=True)
class FromSnapshot:
    """One snapshot of a set, or one state of a source, as an origin. Nothing else is asked."""

    store: Store
    snapshot: Snapshot
    workspace: Workspace

    @property
    def name(self) -> str:
        """How people call it: `snapshot/build:2026-11-20-…`."""
        return str(self.snapshot.artifact.reference)

    @property
    def key(self) -> str:
        """The same as long as all apt sources are the same."""
        return Digest.of(encode({one.source: str(one.manifest.digest) for one in self._states(APT)})).hex[:16]

    def sources(self, root: Path, suite: str, components: Sequence[str], architecture: str) -> Sequence[str]:
        lines: list[str] = []
        found: set[str] = set()
        for one in self._states(APT):
            snapshots.name_for(one.source)  # it becomes part of a path
            archive = _Archive(self, one, root / "archives" / one.source)
            for own, have in archive.write([suite + ending for ending in ENDINGS], components, architecture):
                lines.append(archive.line(own, have))
                found |= set(have) if own == suite else set()
        if lost := sorted(set(components) - found):
            raise self._no_suite(suite, lost, architecture)
        return lines

    def unreadable(self, error: CommandFailed) -> Error:
        return Corrupt(
            f"apt does not accept the index of {self.name}",
            details=error.details,
            resolution="Nothing was built of it. Check it: naust snapshot SET --check; then mirror again, or take "
            "another snapshot.",
        )

    def packages(self, root: Path, packages: Sequence[Package], halt: threading.Event | None) -> None:
        def take(package: Package) -> None:
            if halt is not None and halt.is_set():
                raise KeyboardInterrupt
            kept = self.workspace.package(package.sha256)
            if not kept.exists():
                self._fetch(Blob(Digest("sha256", package.sha256), package.size), kept, package.file)
            _link(kept, root / "pool" / package.file)

        each(take, packages, max(2, min(_AT_ONCE, self.store.traits().streams)))

    def wheel(self, folder: Path, software: str, sha256: str, halt: threading.Event | None) -> Path:
        pinned(software, sha256)
        for one in self._states(*WITH_WHEELS):
            for file in snapshots.files_of(self.store, one):
                if file.blob.digest.hex == sha256:
                    target = folder / file.path.rpartition("/")[2]
                    self._fetch(file.blob, target, f"{one.source}/{file.path}")
                    return target
        raise BadInput(
            f"{self.name} does not have {software}",
            details=f"No pypi or files source in it has a file with sha256:{sha256}.",
            resolution="Add it to `packages` of a pypi source in sources.hcl, then naust mirror and naust snapshot.",
        )

    def materials(self) -> tuple[Mapping[str, object], ...]:
        whole = self.snapshot.artifact
        states = [
            {"name": f"source {one.source}", "digest": _by_algorithm(one.manifest.digest)}
            for one in self.snapshot.states
        ]
        return ({"name": "snapshot", "uri": self.name, "digest": _by_algorithm(whole.digest)}, *states)

    def content(self, blob: Blob, what: str) -> bytes:
        """A small file of it, checked. Raises Corrupt."""
        return verified.content(self.store, self.snapshot.name, blob, what)

    def _states(self, *types: str) -> tuple[State, ...]:
        return tuple(one for one in self.snapshot.states if one.type in types)

    def _fetch(self, blob: Blob, target: Path, what: str) -> None:
        """The file appears whole and checked, or not at all."""
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=".fetch-", dir=target.parent)
        try:
            verified.fetch(self.store, self.snapshot.name, blob, descriptor, f"{what} of {self.name}")
            os.fchmod(descriptor, 0o644)  # root in the build's container may be nobody here
            Path(name).rename(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)

    def _no_suite(self, suite: str, lost: Sequence[str], architecture: str) -> BadInput:
        sources = ", ".join(one.source for one in self._states(APT)) or "none"
        return BadInput(
            f"{self.name} does not have {suite} with {', '.join(lost)} for {architecture}",
            details=f"Its apt sources: {sources}.",
            resolution="Add the suite and its components to an apt source in sources.hcl, then naust mirror and naust "
            "snapshot; or take another snapshot.",
        )


@dataclass(frozen=True, slots=True)
class _Archive:
    """An apt source, laid down in a folder as far as apt reads it before it fetches packages."""

    origin: FromSnapshot
    state: State
    folder: Path

    def write(
        self, suites: Sequence[str], components: Sequence[str], architecture: str
    ) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Write what it has of these; which suites those are, each with its components."""
        files = {file.path: file.blob for file in self._files()}
        for suite in suites:
            below = f"dists/{suite}"
            indexes = {one: f"{below}/{one}/binary-{architecture}/Packages.xz" for one in components}
            have = tuple(one for one in components if indexes[one] in files)
            if have and f"{below}/InRelease" in files and KEY in files:
                for path in (KEY, f"{below}/InRelease", *(indexes[one] for one in have)):
                    what = f"{self.state.source}/{path} of {self.origin.name}"
                    write_atomically(self.folder / path, self.origin.content(files[path], what))
                yield suite, have

    def line(self, suite: str, components: Sequence[str]) -> str:
        """For sources.list(5)."""
        uri = f"file:{quote(str(self.folder))}"
        return f"deb [signed-by={self.folder / KEY} by-hash=no] {uri} {suite} {' '.join(components)}"

    def _files(self) -> Iterator[form.File]:
        """All but the packages, which are found by their digests."""
        for file in snapshots.files_of(self.origin.store, self.state):
            if file.package is None:
                yield file


def _link(kept: Path, target: Path) -> None:
    """Another name for the file. Two builds may do the same at once."""
    try:
        target.hardlink_to(kept)
    except FileExistsError:
        if not target.samefile(kept):
            raise Conflict(
                f"{target} is another file than {kept}", resolution="Remove both, and run the command again."
            ) from None


def _by_algorithm(digest: Digest) -> dict[str, str]:
    return {digest.algorithm: digest.hex}
