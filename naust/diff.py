"""What is different between two artefacts, wherever they are: what they say, how they run, packages, blobs, files.

Packages come from the SBOMs that are attached, else from what dpkg lists in the files, else from the annotation
naust.inputs; versions are compared as Debian does (deb-version(7)), so that one can say what went up and what down.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.errors import Corrupt, Error, NotFound
from common.model import Artifact, Digest
from naust import manifest as oci
from naust import reach
from naust.content import dpkg
from naust.content.layers import File, Files, files, has_files
from naust.listing import name_of
from naust.manifest import Blob
from naust.store.interface import Store
from naust.transfer.verified import content
from naust.untrusted import document, record

if TYPE_CHECKING:
    from naust.proof.sbom import Package

ADDED, REMOVED, CHANGED, UPGRADED, DOWNGRADED = "added", "removed", "changed", "upgraded", "downgraded"


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two. `digest` is that of the manifest that was looked at: of one platform, if one was asked for."""

    store: Store
    artifact: Artifact
    node: reach.Node

    @property
    def name(self) -> str:
        """As stores know it."""
        return name_of(self.artifact.reference)


@dataclass(frozen=True, slots=True)
class Change:
    """Something with a name and a value, such as a package and its version; '' where there is none."""

    how: str
    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file. `what` names the fields of File that differ."""

    how: str
    path: str
    what: tuple[str, ...]
    before: File | None
    after: File | None


@dataclass(frozen=True, slots=True)
class Part:
    """A blob, and which of the two have it. `what` it is there: `layer 2`, counted from the bottom, or a word."""

    digest: Digest
    size: int
    media_type: str
    before: bool
    after: bool
    what: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """All of it. `files` is None if they were not compared; `notes` says why, and what else was not. `packages_from` is
    sbom, dpkg, inputs, or '' where nobody says what is in it."""

    before: str
    after: str
    before_digest: Digest
    after_digest: Digest
    same: bool
    before_size: int
    after_size: int
    annotations: tuple[Change, ...]
    packages: tuple[Change, ...]
    packages_from: str
    parts: tuple[Part, ...]
    files: tuple[FileChange, ...] | None
    notes: tuple[str, ...]
    configuration: tuple[Change, ...] = ()


def side(store: Store, artifact: Artifact, platform: str = "") -> Side:
    """An artefact to compare; of an index, the one image for the platform. Raises NotFound, Corrupt."""
    name = name_of(artifact.reference)
    node = reach.node(store, name, artifact.digest)
    if not platform or not node.read.children:
        return Side(store, artifact, node)
    fitting = [b for b in node.read.children if b.platform == platform or b.platform.startswith(f"{platform}/")]
    if len(fitting) != 1:
        has = ", ".join(blob.platform or "one that does not say" for blob in node.read.children)
        raise NotFound(f"{artifact.reference} has no image for {platform} alone", resolution=f"It has: {has}.")
    return Side(store, artifact, reach.node(store, name, fitting[0].digest))


def compare(before: Side, after: Side, *, with_files: bool = True) -> Difference:
    """Compare the two. Reads their layers only for the files. Raises Corrupt if one is damaged."""
    notes: list[str] = []
    found, listed = _files(before, after, notes) if with_files else (None, None)
    packages, source = _packages(before, after, notes, listed)
    return Difference(
        before=str(before.artifact.reference),
        after=str(after.artifact.reference),
        before_digest=before.node.digest,
        after_digest=after.node.digest,
        same=before.node.digest == after.node.digest,
        before_size=_size(before),
        after_size=_size(after),
        annotations=tuple(_changes(_said(before), _said(after))),
        packages=packages,
        packages_from=source,
        parts=tuple(_parts(before, after)),
        files=found,
        notes=tuple(notes),
        configuration=tuple(_changes(_runs(before), _runs(after))),
    )


def _size(one: Side) -> int:
    return len(one.node.data) + sum(blob.size for blob in one.node.read.blobs)


def _said(one: Side) -> dict[str, str]:
    return {key: text for key, text in one.node.read.annotations if key != oci.INPUTS}


def _changes(
    before: Mapping[str, str], after: Mapping[str, str], order: Callable[[str, str], str] = lambda old, new: CHANGED
) -> Iterator[Change]:
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old != new:
            how = ADDED if old is None else REMOVED if new is None else order(old, new)
            yield Change(how, name, old or "", new or "")


# How a container is run (OCI image specification 1.1, config.md)

_LISTS = {"Env": "variable", "Labels": "label"}  # each entry of these is a line of its own


def _runs(one: Side) -> dict[str, str]:
    """What the configuration of an image says, a line a name; nothing for what is no image of one platform."""
    read = one.node.read
    if not read.is_container or read.config is None:
        return {}
    whole = f"the configuration of {one.artifact.reference}"
    found = document(content(one.store, one.name, read.config, whole), whole)
    said = {key: json.dumps(found[key]) for key in ("architecture", "os", "variant") if key in found}
    for key, value in record(found.get("config")).items():
        entries = _entries(value) if key in _LISTS else None
        if entries is None:
            said |= {key: json.dumps(value, sort_keys=True)} if value not in (None, "", [], {}) else {}
        else:
            said |= {f"{_LISTS[key]} {name}": text for name, text in entries}
    return said


def _entries(value: object) -> list[tuple[str, str]] | None:
    if isinstance(value, dict):
        return [(name, str(text)) for name, text in value.items()]
    if isinstance(value, list):
        return [(name, text) for name, _, text in (str(each).partition("=") for each in value)]
    return None


# Packages

Listed = tuple[bytes, bytes]  # dpkg's status file of the two; b"" where there is none


def _packages(before: Side, after: Side, notes: list[str], listed: Listed | None) -> tuple[tuple[Change, ...], str]:
    from naust.proof.sbom import found_packages

    try:
        old, new = (found_packages(one.store, _as_looked_at(one)) for one in (before, after))
    except Corrupt as error:
        notes.append(f"packages are not compared: {error.message}")
        return (), ""
    if old is not None and new is not None:
        return tuple(_changes(_versions(old), _versions(new), _order)), "sbom"
    if listed is not None and any(listed):
        debian = [_installed(status, one) for status, one in zip(listed, (before, after), strict=True)]
        return tuple(_changes(debian[0], debian[1], _order)), "dpkg"
    inputs = [{title: version or digest for title, version, digest in oci.inputs(x.artifact)} for x in (before, after)]
    return tuple(_changes(inputs[0], inputs[1], _order)), "inputs" if any(inputs) else ""


def _installed(status: bytes, one: Side) -> dict[str, str]:
    return {each.name: each.version for each in dpkg.installed(status, f"{dpkg.PATH} of {one.artifact.reference}")}


def _as_looked_at(one: Side) -> Artifact:
    """An SBOM is attached to the image of a platform, or to the whole."""
    if one.node.digest == one.artifact.digest:
        return one.artifact
    from dataclasses import replace

    return replace(one.artifact, digest=one.node.digest)


def _versions(packages: tuple[Package, ...]) -> dict[str, str]:
    """By name, with the type where it is not Debian's; several versions of one stand beside each other."""
    found: dict[str, list[str]] = {}
    for each in packages:
        found.setdefault(each.name if each.type == "deb" else f"{each.type}:{each.name}", []).append(each.version)
    return {name: ", ".join(dict.fromkeys(versions)) for name, versions in found.items()}


def _order(old: str, new: str) -> str:
    """What happened to a version."""
    from importlib import import_module

    try:
        order = import_module("naust.proof.debian").compare(old, new)
    except (ValueError, Error, ImportError):
        return CHANGED
    return UPGRADED if order < 0 else DOWNGRADED if order > 0 else CHANGED


# Blobs


def _parts(before: Side, after: Side) -> Iterator[Part]:
    old, new = (_named(one.node.read) for one in (before, after))
    for digest, (what, blob) in {**old, **new}.items():
        yield Part(digest, blob.size, blob.media_type, digest in old, digest in new, what)


def _named(read: oci.Manifest) -> dict[Digest, tuple[str, Blob]]:
    """All that it consists of, by digest."""
    found = {blob.digest: (blob.platform or "image", blob) for blob in read.children}
    found |= {read.config.digest: ("configuration", read.config)} if read.config else {}
    return found | {blob.digest: (f"layer {number}", blob) for number, blob in enumerate(read.layers, 1)}


# Files


def _files(before: Side, after: Side, notes: list[str]) -> tuple[tuple[FileChange, ...] | None, Listed | None]:
    for one in (before, after):
        if one.node.read.children:
            notes.append(f"{one.artifact.reference} has several platforms: name one to compare packages and files")
            return None, None
        if not has_files(one.node.read):
            notes.append(f"{one.artifact.reference} is no tar, folder or image: its files are not compared")
            return None, None
    if before.node.digest == after.node.digest:
        return (), None
    count, status = _shared(before, after), {dpkg.PATH: b""}
    below = files(before.store, before.name, _cut(before, count), kept=status) if count else {}
    found, listed = zip(*(_read(one, count, below, dict(status)) for one in (before, after)), strict=True)
    return tuple(_file_changes(*found)), listed


def _read(one: Side, count: int, below: Files, kept: dict[str, bytes]) -> tuple[Files, bytes]:
    """The files, on those of the lowest so many layers, and dpkg's status file."""
    found = files(one.store, one.name, one.node.read, (count, below), kept)
    return found, kept[dpkg.PATH] if dpkg.PATH in found else b""


def _shared(before: Side, after: Side) -> int:
    """How many of the lowest layers are the same; those are read once."""
    if before.node.read.is_folder or after.node.read.is_folder:
        return 0
    count = 0
    for old, new in zip(before.node.read.layers, after.node.read.layers, strict=False):
        if old.digest != new.digest:
            break
        count += 1
    return count


def _cut(one: Side, count: int) -> oci.Manifest:
    from dataclasses import replace

    return replace(one.node.read, layers=one.node.read.layers[:count])


def _file_changes(old: Files, new: Files) -> Iterator[FileChange]:
    for path in sorted(old.keys() | new.keys()):
        was, now = old.get(path), new.get(path)
        if was is None or now is None:
            yield FileChange(ADDED if was is None else REMOVED, path, (), was, now)
        elif was != now:
            what = tuple(name for name in File.__slots__ if getattr(was, name) != getattr(now, name))
            yield FileChange(CHANGED, path, what, was, now)
