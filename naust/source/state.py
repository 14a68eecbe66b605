"""A source as it was at one moment: which files it has, as an artefact whose layers they are. And snapshots: several
sources together, as an index of such artefacts.

So all that stores do with artefacts holds for them: `copy`, `gc`, `fsck`, `sign`, `promote` follow the layers, and the
bytes of a package are stored once, however many states and snapshots have it.

    snapshot/<source>:<version-date>     state of one source; an index of parts where it has many files
    snapshot/<set>:<version-date>        a snapshot: an index whose children are states

A part is an OCI manifest of artifact type STATE. Its layers are the files, the title of each is its path (that may have
slashes here, and is checked on its way in and out); its configuration says what the files are: one JSON line for each
package. The format has a version in its media types.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from common.errors import Corrupt
from common.model import Digest
from naust import manifest as oci
from naust.manifest import Blob
from naust.source.interface import Package

STATE = "application/vnd.naust.source.v1"
SNAPSHOT = "application/vnd.naust.snapshot.v1"
PACKAGES = "application/vnd.naust.packages.v1+jsonl"  # configuration of a part
SOURCE = "naust.source"  # annotation of a child of a snapshot: the source's name
MARK = "naust.source.mark"  # annotation of a state: upstream's mark
DATE = "naust.source.date"  # annotation of a state: upstream's own date, RFC 3339
DATES = "naust.source.dates"  # annotation of a state: those of its parts, a JSON object of name → RFC 3339
TYPE = "naust.source.type"  # annotation of a state: apt, pypi, oci, files, terraform
MOST = 8_000  # files of a part: below 4 MiB with paths of 250 bytes


@dataclass(frozen=True, slots=True)
class File:
    """One file of a source. `made` is true for those that naust made, such as Packages."""

    path: str
    blob: Blob
    package: Package | None = None
    made: bool = False


def checked_path(path: str) -> str:
    """A path that stays below the source it belongs to. Raises Corrupt."""
    parts = path.split("/")
    if not path or len(path) > 1000 or any(part in ("", ".", "..") for part in parts) or not path.isprintable():
        raise Corrupt(f"{path[:200]!r} is no path of a file in a source", resolution="Mirror the source again.")
    return path


def packages_of(files: Iterable[File]) -> bytes:
    """The configuration of a part: a line for each file that is a package or that naust made."""
    lines = (_line(file) for file in files if file.package is not None or file.made)
    return b"".join(oci.encode(line) + b"\n" for line in lines)


def part(files: Sequence[File], packages: Blob, annotations: Mapping[str, str]) -> bytes:
    """The manifest of at most MOST files."""
    layers = [file.blob.described(checked_path(file.path)) for file in files]
    parts = {"config": packages.described(), "layers": layers, "artifactType": STATE}
    return oci.encode({"schemaVersion": 2, "mediaType": oci.MANIFEST, **parts, "annotations": dict(annotations)})


def index(children: Sequence[tuple[Blob, Mapping[str, str]]], kind: str, annotations: Mapping[str, str]) -> bytes:
    """The index over parts (kind STATE) or states (kind SNAPSHOT); each child with annotations of its own."""
    listed = [{**child.described(), "annotations": dict(said)} for child, said in children]
    document = {"schemaVersion": 2, "mediaType": oci.INDEX, "artifactType": kind, "manifests": listed}
    return oci.encode({**document, "annotations": dict(annotations)})


def files_of(manifest: bytes, packages: bytes, what: str) -> Iterator[File]:
    """The files of a part. Raises Corrupt."""
    known = dict(_read_line(line, what) for line in packages.splitlines())
    try:
        for layer in json.loads(manifest)["layers"]:
            path = checked_path(str(layer["annotations"][oci.TITLE]))
            package, made = known.get(path, (None, False))
            yield File(path, oci.descriptor(layer), package, made)
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(what, error) from error


def children_of(manifest: bytes, what: str) -> tuple[tuple[Blob, dict[str, str]], ...]:
    """The children of a state's or a snapshot's index, with what it says of each. Raises Corrupt."""
    try:
        listed = json.loads(manifest).get("manifests", [])
        return tuple((oci.descriptor(each), _annotations(each)) for each in listed)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(what, error) from error


def version_of(moment: datetime) -> str:
    """The version of a state or snapshot made now: its day, UTC."""
    return f"{moment:%Y-%m-%d}"


def _annotations(said: Mapping[str, object]) -> dict[str, str]:
    found = said.get("annotations") or {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _line(file: File) -> dict[str, object]:
    line: dict[str, object] = {"path": file.path} | ({"made": True} if file.made else {})
    if file.package is None:
        return line
    package = file.package
    named = {"kind": package.kind, "name": package.name, "version": package.version}
    more = {"architecture": package.architecture, "origin": package.origin}
    return line | named | {key: value for key, value in more.items() if value}


def _read_line(line: bytes, what: str) -> tuple[str, tuple[Package | None, bool]]:
    try:
        said = json.loads(line)
        package = None
        if "name" in said:
            fields = (str(said.get(key, "")) for key in ("kind", "name", "version", "architecture", "origin"))
            package = Package(*fields)
        return str(said["path"]), (package, bool(said.get("made", False)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(what, error) from error


def _damaged(what: str, error: Exception) -> Corrupt:
    return Corrupt(
        f"{what} is no state of a source that this version can read",
        details=f"{type(error).__name__}: {error}",
        resolution="Mirror the source again, or use the version of naust that wrote it.",
    )


def digest_of(data: bytes, media_type: str) -> Blob:
    """A descriptor of these bytes."""
    return Blob(Digest.of(data), len(data), media_type)
