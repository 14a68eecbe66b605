"""OCI image layouts (image specification 1.1, image-layout.md), as folders or as tars of such, to read from.

What skopeo, crane, oras, buildx, `cosign save` and naust write. `index.json` lists manifests; a name is the annotation
`org.opencontainers.image.ref.name`. Referrers are listed there beside what they refer to, as oras writes them, or only
lie among the blobs, as cosign 3 leaves them.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from common.errors import BadInput, Corrupt
from common.model import Digest
from naust import manifest as oci
from naust.manifest import Blob, Manifest
from naust.transfer.push_blobs import opened

REF_NAME = "org.opencontainers.image.ref.name"
COSIGN_KIND = "kind"  # annotation by which `cosign save` tells images from what is attached to them
COSIGN_IMAGES = ("dev.cosignproject.cosign/image", "dev.cosignproject.cosign/imageIndex")
_DEEPEST = 8  # indexes within indexes


@dataclass(frozen=True, slots=True)
class Node:
    """A manifest of a layout, byte for byte, and what it says. `children` come before it, referrers after it."""

    blob: Blob
    data: bytes
    read: Manifest


class Layout(ABC):
    """A layout, open."""

    def __init__(self, place: str) -> None:
        self.place = place

    @abstractmethod
    def _open(self, name: str) -> AbstractContextManager[BinaryIO]:
        """A file of it. Raises KeyError."""

    @abstractmethod
    def _size(self, name: str) -> int:
        """Of a file of it, in bytes. Raises KeyError."""

    @abstractmethod
    def _names(self) -> Iterator[str]:
        """Of all blobs, in no order."""

    def open(self, digest: Digest) -> AbstractContextManager[BinaryIO]:
        """A blob's bytes, not checked yet."""
        return self._open(_name(digest))

    def has(self, digest: Digest) -> bool:
        """Whether the blob is there."""
        try:
            return self._size(_name(digest)) >= 0
        except KeyError:
            return False

    def root(self, wanted: str) -> Node:
        """The artefact that is meant: the only one, or that of this name or digest. If `index.json` is nothing but the
        platforms of one image, it is that itself. Raises BadInput if it is unclear, Corrupt if it is damaged."""
        data, entries = self._index()
        nodes = [(entry, self._node(_entry_blob(entry, self.place))) for entry in entries]
        if wanted:
            nodes = [(entry, node) for entry, node in nodes if wanted in (_ref(entry), str(node.blob.digest))]
        elif len(nodes) > 1 and all(node.blob.platform and not _ref(entry) for entry, node in nodes):
            return _node_of(data, self.place)
        else:
            nodes = [(entry, node) for entry, node in nodes if _is_main(entry, node)]
        found = {node.blob.digest: node for _, node in nodes}
        if len(found) == 1:
            return next(iter(found.values()))
        names = ", ".join(_ref(entry) or str(node.blob.digest) for entry, node in nodes)
        raise BadInput(
            f"{self.place} holds {len(found) or 'no'} artefacts{f' {wanted!r}' if wanted else ''}",
            details=names and f"They are: {names}.",
            resolution="Say which one is meant: oci:FOLDER:NAME, or oci:FOLDER@sha256:…",
        )

    def below(self, root: Node) -> Iterator[Node]:
        """The manifests of an index, and of indexes in it, each after its own children; then the root. Raises Corrupt,
        also if the layout leaves out some of them."""
        yield from self._below(root, 0)

    def referrers(self, of: Iterator[Node]) -> Iterator[Node]:
        """What refers to any of these, and what refers to that, each after what it refers to."""
        others = [self._node(blob) for blob in self._attached()]
        known = {node.blob.digest for node in of}
        while found := [each for each in others if each.read.subject in known and each.blob.digest not in known]:
            yield from found
            known |= {each.blob.digest for each in found}

    def _attached(self) -> Iterator[Blob]:
        """Every small blob that looks like a manifest with a subject."""
        for name in sorted(self._names()):
            if self._size(name) <= oci.LARGEST and (said := _said(self._small(name, oci.LARGEST))).get("subject"):
                algorithm, _, digits = name.removeprefix("blobs/").partition("/")
                digest = _digest(f"{algorithm}:{digits}")
                if digest is not None:
                    yield Blob(digest, self._size(name), str(said.get("mediaType") or oci.MANIFEST))

    def _below(self, node: Node, depth: int) -> Iterator[Node]:
        if depth > _DEEPEST:
            raise Corrupt(f"{self.place} has indexes without end", resolution="Nothing was stored. Make it anew.")
        for child in node.read.children:
            yield from self._below(self._node(child), depth + 1)
        yield node

    def _index(self) -> tuple[bytes, list[Mapping[str, object]]]:
        data = self._small("index.json", oci.LARGEST)
        try:
            entries = json.loads(data)["manifests"]
            return data, [entry for entry in entries if isinstance(entry, dict)]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise _damaged(self.place, f"index.json: {error!r}") from error

    def _node(self, blob: Blob) -> Node:
        data = self._small(_name(blob.digest), oci.LARGEST)
        if Digest.of(data, blob.digest.algorithm) != blob.digest:
            raise _damaged(self.place, f"{_name(blob.digest)} is {Digest.of(data)}.")
        return Node(blob, data, oci.parse(data, f"{self.place}@{blob.digest}"))

    def _small(self, name: str, limit: int) -> bytes:
        try:
            with self._open(name) as file:
                return file.read(limit + 1)
        except KeyError as error:
            raise _damaged(self.place, f"There is no {name}.") from error


class _Folder(Layout):
    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))
        self._folder = folder

    def _open(self, name: str) -> AbstractContextManager[BinaryIO]:
        path = self._folder / name
        if not path.is_file():
            raise KeyError(name)
        return cast(AbstractContextManager[BinaryIO], opened(path))

    def _names(self) -> Iterator[str]:
        return (path.relative_to(self._folder).as_posix() for path in self._folder.glob("blobs/*/*") if path.is_file())

    def _size(self, name: str) -> int:
        try:
            return (self._folder / name).stat().st_size
        except OSError as error:
            raise KeyError(name) from error


class _Tar(Layout):
    """Reads blobs where they lie in the tar."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        super().__init__(str(path))
        self._file = file
        with tarfile.open(fileobj=file, mode="r:") as archive:
            self._members = {
                each.name.removeprefix("./"): (each.offset_data, each.size) for each in archive if each.isreg()
            }

    def _open(self, name: str) -> AbstractContextManager[BinaryIO]:
        start, size = self._members[name]
        return cast(AbstractContextManager[BinaryIO], io.BufferedReader(_Slice(self._file.fileno(), start, size)))

    def _names(self) -> Iterator[str]:
        return (name for name in self._members if name.startswith("blobs/") and name.count("/") == 2)

    def _size(self, name: str) -> int:
        return self._members[name][1]


class _Slice(io.RawIOBase):
    """Part of a file. Any number of them read one file at once."""

    def __init__(self, file: int, start: int, size: int) -> None:
        self._file, self._start, self._size, self._at = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence])
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed says WriteableBuffer, private
        view = memoryview(buffer)[: max(0, self._size - self._at)]
        count = os.preadv(self._file, [view], self._start + self._at) if view else 0
        self._at += count
        return count


@contextmanager
def open_layout(path: Path) -> Iterator[Layout]:
    """The layout in this folder or tar. Raises BadInput if there is none."""
    if path.is_dir():
        if not (path / "index.json").is_file():
            raise BadInput(f"{path} is no OCI image layout", resolution="Name a folder that has an index.json.")
        yield _Folder(path)
        return
    with opened(path) as file:
        try:
            layout = _Tar(path, cast(BinaryIO, file))
        except (tarfile.TarError, EOFError) as error:
            raise BadInput(
                f"{path} is no tar of an OCI image layout",
                details=str(error),
                resolution="Name a folder with an index.json, or an uncompressed tar of one.",
            ) from error
        yield layout


def split(source: str) -> tuple[Path, str]:
    """Path, and name or digest, of `FOLDER`, `FOLDER:NAME` and `FOLDER@sha256:…`."""
    path, at, digest = source.partition("@sha256:")
    if at:
        return Path(path), f"sha256:{digest}"
    path, _, name = source.rpartition(":")
    return (Path(path), name) if path and not Path(source).exists() else (Path(source), "")


def _is_main(entry: Mapping[str, object], node: Node) -> bool:
    """Whether an entry is an artefact, and not what is attached to one."""
    annotations = entry.get("annotations")
    kind = annotations.get(COSIGN_KIND) if isinstance(annotations, dict) else None
    return node.read.subject is None and kind in (None, *COSIGN_IMAGES)


def _ref(entry: Mapping[str, object]) -> str:
    annotations = entry.get("annotations")
    return str(annotations.get(REF_NAME, "")) if isinstance(annotations, dict) else ""


def _entry_blob(entry: Mapping[str, object], place: str) -> Blob:
    try:
        return oci.descriptor(entry)
    except (BadInput, ValueError, KeyError, TypeError) as error:
        raise _damaged(place, f"index.json: {error!r}") from error


def _node_of(data: bytes, place: str) -> Node:
    read = oci.parse(data, place)
    return Node(Blob(read.digest, len(data), read.media_type), data, read)


def _said(data: bytes) -> Mapping[str, object]:
    """The object that this is as JSON; an empty one if it is none."""
    try:
        found = json.loads(data) if data[:1] == b"{" else None
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {}


def _digest(text: str) -> Digest | None:
    try:
        return Digest.parse(text)
    except BadInput:
        return None


def _name(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.hex}"


def _damaged(place: str, details: str) -> Corrupt:
    return Corrupt(f"the layout {place} is damaged", details=details, resolution="Nothing was stored. Make it anew.")
