"""What differs between two snapshots, or two states of a source: packages with their versions, and which of the new
ones come from the security archive."""

from __future__ import annotations

from dataclasses import dataclass

from common.model import Digest
from naust.source.snapshot import Snapshot, files
from naust.store.interface import Store

_Key = tuple[str, str, str, str]  # source, kind, name, architecture
_Versions = dict[str, tuple[frozenset[Digest], frozenset[str]]]  # version → contents, origins


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """A package that differs. `before` and `after` are its versions; equal if only its bytes differ. `origin` is where
    the new ones come from, `security` whether that is a security archive."""

    source: str
    kind: str
    name: str
    architecture: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    origin: str = ""
    security: bool = False


def changes(store: Store, before: Snapshot, after: Snapshot) -> tuple[Change, ...]:
    """Every package that differs, sorted by source and name. Nothing is read of a state that both have."""
    shared = {state.manifest.digest for state in before.states} & {state.manifest.digest for state in after.states}
    old, new = _packages(store, before, shared), _packages(store, after, shared)
    found = (_change(key, old.get(key, {}), new.get(key, {})) for key in sorted(old.keys() | new.keys()))
    return tuple(change for change in found if change is not None)


def _packages(store: Store, snapshot: Snapshot, without: set[Digest]) -> dict[_Key, _Versions]:
    found: dict[_Key, _Versions] = {}
    for source in (state for state in snapshot.states if state.manifest.digest not in without):
        for state, file in files(store, snapshot, source.source):
            if file.package is None:
                continue
            kind, name, architecture = file.package.key
            versions = found.setdefault((state.source, kind, name, architecture), {})
            contents, origins = versions.get(file.package.version, (frozenset(), frozenset()))
            versions[file.package.version] = (contents | {file.blob.digest}, origins | {file.package.origin})
    return found


def _change(key: _Key, old: _Versions, new: _Versions) -> Change | None:
    differ = {version for version in new if version not in old or old[version][0] != new[version][0]}
    if not differ and old.keys() <= new.keys():
        return None
    # An update is in the security archive and, later, in a point release too: it comes from both.
    origins = sorted(set[str]().union(*(new[version][1] for version in differ)) - {""})
    security = any(map(is_security, origins))
    return Change(*key, tuple(sorted(old)), tuple(sorted(new)), ", ".join(origins), security)


def is_security(origin: str) -> bool:
    """Whether an origin is a security archive: `trixie-security`, `bookworm/updates` of long ago, Debian-Security."""
    return "security" in origin.lower()
