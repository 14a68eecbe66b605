"""Which files an artefact consists of, without unpacking it: tars are read as they come out of the store, once, in
constant memory but for the list itself.

Layers lie on each other as in OCI image specification 1.1, layer.md: a later entry takes the place of an earlier one,
`.wh.NAME` takes NAME away, `.wh..wh..opq` everything that lower layers have in its folder.
"""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, TypeVar, cast

from common.errors import Corrupt
from common.files import CHUNK
from naust import manifest as oci
from naust.manifest import Blob, Manifest
from naust.store.interface import Store
from naust.transfer.verified import chunks

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

T = TypeVar("T")
MOST = 2_000_000  # files of one artefact; more is an attack
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_TARS = (
    oci.TAR,
    "application/x-xz-compressed-tar",
    "application/x-bzip-compressed-tar",
    "application/x-zstd-compressed-tar",
)
# Of one file, which is a tar if its name says so.
_ZIPPED = ("application/gzip", "application/x-xz", "application/zstd")
_ENDINGS = (".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.zst")
_ZSTD = b"\x28\xb5\x2f\xfd"  # how a frame begins (RFC 8878, section 3.1.1)
_XATTR = "SCHILY.xattr."
LARGEST_KEPT = 64 << 20  # bytes of a file whose content is kept


@dataclass(frozen=True, slots=True)
class File:
    """One file, folder or link. `type` is as in naust.content.tree; `digest` that of a file's bytes, in hex; `target`
    where a link leads."""

    type: str
    size: int
    mode: int
    owner: str  # uid:gid
    digest: str = ""
    target: str = ""
    attributes: tuple[tuple[str, str], ...] = ()  # extended ones, xattr(7); capabilities(7) are among them


Files = dict[str, File]


def has_files(read: Manifest) -> bool:
    """Whether the artefact consists of files that can be listed."""
    return read.is_folder or (read.is_container and bool(read.layers)) or _is_tar(read)


def files(
    store: Store,
    name: str,
    read: Manifest,
    below: tuple[int, Files] = (0, {}),
    kept: dict[str, bytes] | None = None,
) -> Files:
    """All files, by their path. `below` is what the first so many layers give, if somebody knows that already. Of the
    paths in `kept` the content is put there, as the topmost layer that has it says.

    Raises Corrupt if a layer is damaged, no tar, or packed in a way that cannot be read here.
    """
    if read.is_folder and read.config is not None:
        return dict(_indexed(store, name, read.config))
    known, found = below
    found = dict(found)
    for layer in read.layers[known:]:
        _lay(found, _files(store, name, layer, {} if kept is None else kept))
        if len(found) > MOST:
            raise Corrupt(f"{name}@{read.digest} has more than {MOST} files", resolution="Nothing real has.")
    return found


def _is_tar(read: Manifest) -> bool:
    if len(read.layers) != 1:
        return False
    kind, title = read.layers[0].media_type, read.title.lower()
    return kind in _TARS or (kind in _ZIPPED and title.endswith(_ENDINGS))


def _indexed(store: Store, name: str, config: Blob) -> Iterator[tuple[str, File]]:
    from naust.content.tree import read_index

    whole = f"{name}@{config.digest}"
    with chunks(store, name, config, whole) as pieces:
        for each in read_index(cast(BinaryIO, io.BufferedReader(_Pieces(pieces))), whole):
            yield each.path, File(each.type, each.size, each.mode, f"{each.uid}:{each.gid}", each.sha256, each.target)


def _lay(lower: Files, members: Iterable[tuple[str, File]]) -> None:
    """Put a layer on what is there."""
    own: Files = {}
    gone: set[str] = set()  # these and all below them
    emptied: set[str] = set()  # all below these
    for path, file in members:
        folder, _, last = path.rpartition("/")
        if last == _OPAQUE:
            emptied.add(folder)
        elif last.startswith(_WHITEOUT):
            gone.add(f"{folder}/{last[len(_WHITEOUT) :]}".lstrip("/"))
        else:
            own[path] = file
            if file.type != "folder":
                emptied.add(path)
        if len(own) + len(gone) > MOST:
            raise Corrupt(f"a layer has more than {MOST} files", resolution="Nothing real has.")
    if gone or emptied:
        for path in [path for path in lower if path in gone or _is_below(path, gone, emptied)]:
            del lower[path]
    lower |= own


def _is_below(path: str, gone: set[str], emptied: set[str]) -> bool:
    while path:
        path = path.rpartition("/")[0]
        if path in gone or path in emptied:
            return True
    return False


def _files(store: Store, name: str, layer: Blob, kept: dict[str, bytes]) -> Iterator[tuple[str, File]]:
    def read(path: str, member: tarfile.TarInfo, data: BinaryIO | None) -> tuple[str, File]:
        if data is not None and path in kept and member.size <= LARGEST_KEPT:
            kept[path] = data.read()
            data = io.BytesIO(kept[path])
        return path, _file(member, data)

    return members(store, name, layer, read)


def members(
    store: Store, name: str, layer: Blob, read: Callable[[str, tarfile.TarInfo, BinaryIO | None], T]
) -> Iterator[T]:
    """What `read` makes of each entry of a tar in the store, packed or not: of its path without `./`, the entry, and
    what is in it if it is a file. The digest is compared at the end.

    Raises Corrupt if it is damaged, or no tar.
    """
    from naust.content.tree_unpack import _Member  # bounded headers

    whole = f"layer {layer.digest} of {name}"
    with chunks(store, name, layer, whole) as pieces:
        source = io.BufferedReader(_Pieces(pieces), CHUNK)
        try:
            plain = _unpacked(source)
            with tarfile.open(fileobj=plain, mode="r|*", tarinfo=_Member, errors="backslashreplace") as archive:
                while (member := archive.next()) is not None:
                    archive.members.clear()  # type: ignore[attr-defined]  # else it remembers all of them
                    data = archive.extractfile(member) if member.isreg() else None
                    yield read(_path(member.name), member, cast("BinaryIO | None", data))
            while source.read(CHUNK):  # to the end, where the digest is compared
                pass
        except (
            tarfile.TarError,
            zstd.ZstdError,
            EOFError,
            OSError,
            ValueError,
            OverflowError,
            RecursionError,
        ) as error:
            raise Corrupt(
                f"{whole} cannot be looked into",
                details=f"{type(error).__name__}: {error}",
                resolution="It is no tar, or packed in another way than gzip, bzip2, xz and zstd; --no-files leaves "
                "the files out.",
            ) from error


def _unpacked(source: io.BufferedReader[_Pieces]) -> BinaryIO:
    """zstd is opened here; the others are known to tarfile."""
    if source.peek(len(_ZSTD))[: len(_ZSTD)] != _ZSTD:
        return cast(BinaryIO, source)
    return cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, zstd.ZstdFile(cast(BinaryIO, source))), CHUNK))


def _file(member: tarfile.TarInfo, data: BinaryIO | None) -> File:
    owner = f"{member.uid}:{member.gid}"
    attributes = tuple(
        sorted((key.removeprefix(_XATTR), text) for key, text in member.pax_headers.items() if key.startswith(_XATTR))
    )
    if not member.isreg():
        return File(_type(member), 0, member.mode, owner, target=member.linkname, attributes=attributes)
    total = hashlib.sha256()
    while data is not None and (chunk := data.read(CHUNK)):
        total.update(chunk)
    return File("file", member.size, member.mode, owner, total.hexdigest(), attributes=attributes)


def _type(member: tarfile.TarInfo) -> str:
    kinds = {
        tarfile.DIRTYPE: "folder",
        tarfile.SYMTYPE: "symlink",
        tarfile.LNKTYPE: "hardlink",
        tarfile.FIFOTYPE: "fifo",
    }
    return kinds.get(member.type, "device")


def _path(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", "."))


class _Pieces(io.RawIOBase):
    """Pieces of bytes as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        view = memoryview(buffer).cast("B")
        count = min(len(view), len(self._rest))
        view[:count], self._rest = self._rest[:count], self._rest[count:]
        return count
