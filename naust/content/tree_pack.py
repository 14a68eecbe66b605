"""A directory as the tar that naust.content.tree describes, while it is read; and its index when it was read to the
end."""

from __future__ import annotations

import errno
import grp
import hashlib
import io
import os
import pwd
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import IO

from common.errors import BadInput, Error
from common.files import CHUNK
from common.model import Digest, Kind
from naust.content.tree import BLOCK, CHARACTER, FIFO, FILE, FOLDER, HARDLINK, MOST, SYMLINK, Entry, header, leads_out
from naust.content.tree import takes_devices as takes
from naust.transfer.digests import key_of, seen

HOLE = 1 << 16  # bytes; see naust.transfer.streams
_MOST_PIECES = 20_000  # of a sparse file; its map has less than 1 MiB then, which is what an unpacker reads
_TYPES = {
    FILE: tarfile.REGTYPE, FOLDER: tarfile.DIRTYPE, SYMLINK: tarfile.SYMTYPE, HARDLINK: tarfile.LNKTYPE,
    FIFO: tarfile.FIFOTYPE, CHARACTER: tarfile.CHRTYPE, BLOCK: tarfile.BLKTYPE,
}  # fmt: skip
_FORMS = {
    stat.S_IFREG: FILE, stat.S_IFDIR: FOLDER, stat.S_IFLNK: SYMLINK, stat.S_IFIFO: FIFO, stat.S_IFCHR: CHARACTER,
    stat.S_IFBLK: BLOCK,
}  # fmt: skip
# What the machine gave the file and another machine gives it again.
_NOT_KEPT = ("security.selinux", "security.ima", "security.evm", "system.nfs4_acl")


class Packed(io.RawIOBase):
    """The tar of a folder, as a stream that can be read once, or again after `seek(0)`. Constant memory but for the
    names in one path of folders, and of files with several names. Raises BadInput for what this kind may not hold."""

    def __init__(self, folder: Path, kind: Kind) -> None:
        if not folder.is_dir():
            raise BadInput(f"{folder} is no directory", resolution="Name one that is.")
        self._folder, self._kind = folder, kind
        self._rest = memoryview(b"")
        self._begin()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed says WriteableBuffer, private
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at - len(self._rest)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Only to the beginning."""
        if offset or whence:
            raise io.UnsupportedOperation("the beginning is the only place to go to")
        if self.tell():
            self._index.close()
            self._begin()
        return 0

    @property
    def index(self) -> tuple[IO[bytes], Digest, int]:
        """The index, from its beginning, its digest and its size; complete once the tar was read to its end."""
        size = self._index.tell()
        self._index.seek(0)
        return self._index, Digest("sha256", self._indexed.hexdigest()), size

    def close(self) -> None:
        self._index.close()
        super().close()

    def _begin(self) -> None:
        self._at, self._rest = 0, self._rest[:0]
        self._linked: dict[tuple[int, int], str] = {}
        self._index = tempfile.TemporaryFile(prefix="naust-index-")  # noqa: SIM115
        self._indexed = hashlib.sha256()
        self._note(header())
        self._pieces: Iterator[bytes | memoryview] = self._counted()

    def _counted(self) -> Iterator[bytes | memoryview]:
        for piece in self._all():
            self._at += len(piece)
            yield piece

    def _all(self) -> Iterator[bytes | memoryview]:
        for count, (path, relative) in enumerate(walk(self._folder)):
            if count >= MOST:
                raise BadInput(
                    f"{self._folder} holds more than {MOST} files", resolution="Push its folders one by one."
                )
            with _explained(path):
                yield from self._member(path, relative)
        # Two blocks of zeros end a tar, and a whole record, as tar programs write it.
        end = 2 * tarfile.BLOCKSIZE
        yield bytes(end + -(self._at + end) % tarfile.RECORDSIZE)

    def _member(self, path: str, relative: str) -> Iterator[bytes | memoryview]:
        status = os.lstat(path)
        form = self._form(path, relative, status)
        # Not Path.readlink, which makes `./x` into `x`.
        target = os.readlink(path) if form == SYMLINK else ""  # noqa: PTH115
        if form == SYMLINK and not takes(self._kind) and leads_out(relative, target):
            raise _refused(path, f"leads out of the directory, to {target}", self._kind)
        if form == FILE and status.st_nlink > 1:
            first = self._linked.setdefault((status.st_dev, status.st_ino), relative)
            form, target = (HARDLINK, first) if first != relative else (FILE, "")
        if form == FILE:
            yield from self._file(path, relative, status)
            return
        device = (os.major(status.st_rdev), os.minor(status.st_rdev)) if form in (CHARACTER, BLOCK) else None
        entry = _entry(relative, form, status, target=target, device=device)
        yield _head(entry, {} if form == HARDLINK else _attributes(path))
        self._note(entry.line())

    def _form(self, path: str, relative: str, status: os.stat_result) -> str:
        form = _FORMS.get(stat.S_IFMT(status.st_mode))
        if form is None:
            raise _refused(path, "is a socket", self._kind)
        if form in (FIFO, CHARACTER, BLOCK) and not takes(self._kind):
            raise _refused(path, "is a device or a named pipe", self._kind)
        return form

    def _file(self, path: str, relative: str, status: os.stat_result) -> Iterator[bytes | memoryview]:
        attributes = _attributes(path)
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            parts = data_map(descriptor, status)
            total = hashlib.sha256()
            entry = _entry(relative, FILE, status, size=status.st_size, map=parts)
            head = _head(entry, attributes)
            offset = self._at + len(head)
            yield head
            yield from _content(path, descriptor, parts or ((0, status.st_size),), status.st_size, total)
            if seen(os.fstat(descriptor)) != seen(status):
                raise _changed(path)
        finally:
            os.close(descriptor)
        self._note(replace(entry, offset=offset, sha256=total.hexdigest()).line())

    def _note(self, line: bytes) -> None:
        self._index.write(line)
        self._indexed.update(line)


def walk(folder: Path) -> Iterator[tuple[str, str]]:
    """Path and relative path of the folder itself (`.`) and of all that is in it, each folder before its contents, in
    the order of the names' octets. Raises BadInput for a folder that cannot be read."""
    waiting = [(str(folder), ".", True)]
    while waiting:
        path, relative, is_folder = waiting.pop()
        yield path, relative
        if is_folder:
            below = "" if relative == "." else f"{relative}/"
            with _explained(path), os.scandir(path) as entries:
                found = [(each.path, f"{below}{each.name}", each.is_dir(follow_symlinks=False)) for each in entries]
            waiting += sorted(found, key=lambda each: os.fsencode(each[1]), reverse=True)


def fingerprint(folder: Path, kind: Kind) -> tuple[bytes, int]:
    """A key of naust.transfer.digests for all that a tar of this folder depends on, and when the last of it changed (in
    nanoseconds). Reads no file: a change of content, owner, mode or attribute changes an inode's ctime."""
    total, last = hashlib.sha256(), 0
    for path, relative in walk(folder):
        status = os.lstat(path)
        owner = user_name(status.st_uid), group_name(status.st_gid)
        total.update(repr((relative, status.st_mode, *seen(status), *owner)).encode("utf-8", "surrogateescape"))
        last = max(last, status.st_mtime_ns, status.st_ctime_ns)
    return key_of("tree", 1, takes(kind), total.hexdigest()), last


def data_map(descriptor: int, status: os.stat_result) -> tuple[tuple[int, int], ...]:
    """Where a sparse file holds something, in blocks of 64 KiB that are not all zeros, so that the answer depends on
    the content and not on the file system; nothing for a file without holes."""
    size = status.st_size
    if size < HOLE or status.st_blocks * 512 >= size:
        return ()
    found: list[list[int]] = []
    for start in _blocks(descriptor, size):
        data = os.pread(descriptor, HOLE, start)
        if data.count(0) != len(data):
            if found and sum(found[-1]) == start:
                found[-1][1] += len(data)
            else:
                found.append([start, len(data)])
    if sum(length for _, length in found) == size:
        return ()
    gap = HOLE
    while len(found) > _MOST_PIECES:
        gap *= 2
        found = _closed(found, gap)
    if not found or sum(found[-1]) < size:
        found.append([size, 0])  # says how long the file is to programs that do not read its real size
    return tuple((start, length) for start, length in found)


def _closed(parts: list[list[int]], gap: int) -> list[list[int]]:
    """The parts with holes shorter than that filled, so that the map stays short."""
    closed = parts[:1]
    for start, length in parts[1:]:
        if start - sum(closed[-1]) < gap:
            closed[-1][1] = start + length - closed[-1][0]
        else:
            closed.append([start, length])
    return closed


@cache
def user_name(number: int) -> str:
    """The name of a user of this machine, or ''."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return ""


@cache
def group_name(number: int) -> str:
    """The name of a group of this machine, or ''."""
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return ""


def _blocks(descriptor: int, size: int) -> Iterator[int]:
    """Where the blocks begin that may hold data (lseek(2), SEEK_DATA)."""
    block = 0
    with suppress(OSError):  # ENXIO: nothing but a hole follows
        while block < size:
            data = os.lseek(descriptor, block, os.SEEK_DATA)
            block = max(block, data // HOLE * HOLE)
            end = os.lseek(descriptor, data, os.SEEK_HOLE)
            while block < end:
                yield block
                block += HOLE


def _content(
    path: str, descriptor: int, parts: tuple[tuple[int, int], ...], size: int, total: hashlib._Hash
) -> Iterator[bytes | memoryview]:
    """The data of a file, padded to a block; all of the file, holes as zeros, goes into the hash."""
    buffer, at, stored = memoryview(bytearray(CHUNK)), 0, 0
    for start, length in parts:
        _hash_zeros(total, start - at)
        at, end = start, start + length
        while at < end:
            view = buffer[: end - at]
            count = os.preadv(descriptor, [view], at)
            if not count:
                raise _changed(path)
            total.update(view[:count])
            yield view[:count]
            at += count
        stored += length
    _hash_zeros(total, size - at)
    yield bytes(-stored % tarfile.BLOCKSIZE)


def _hash_zeros(total: hashlib._Hash, count: int) -> None:
    while count > 0:
        total.update(_ZEROS[:count] if count < CHUNK else _ZEROS)
        count -= CHUNK


_ZEROS = bytes(CHUNK)


def _head(entry: Entry, attributes: dict[str, str]) -> bytes:
    """All blocks before a member's data: pax records, header, a sparse file's map."""
    info = tarfile.TarInfo(entry.path)
    info.type, info.mode, info.linkname = _TYPES[entry.type], entry.mode, entry.target
    info.uid, info.gid, info.uname, info.gname = entry.uid, entry.gid, entry.user, entry.group
    info.devmajor, info.devminor = entry.device or (0, 0)
    info.size, info.mtime = entry.size, entry.mtime // 10**9
    records, begin = dict(attributes), b""
    if entry.mtime % 10**9:
        records["mtime"] = f"{entry.mtime // 10**9}.{entry.mtime % 10**9:09d}"
    if entry.map:
        begin = _sparse_map(entry.map)
        folder, _, name = entry.path.rpartition("/")
        info.name = f"{folder or '.'}/GNUSparseFile.0/{name}"
        info.size = len(begin) + sum(length for _, length in entry.map)
        records |= {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": entry.path}
        records |= {"GNU.sparse.realsize": str(entry.size)}
    info.pax_headers = dict(sorted(records.items()))
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape") + begin


def _sparse_map(parts: tuple[tuple[int, int], ...]) -> bytes:
    numbers = [len(parts), *(number for part in parts for number in part)]
    text = "".join(f"{number}\n" for number in numbers).encode()
    return text + bytes(-len(text) % tarfile.BLOCKSIZE)


def _entry(
    relative: str,
    form: str,
    status: os.stat_result,
    *,
    target: str = "",
    size: int = 0,
    map: tuple[tuple[int, int], ...] = (),
    device: tuple[int, int] | None = None,
) -> Entry:
    return Entry(
        path=relative, type=form, mode=stat.S_IMODE(status.st_mode), uid=status.st_uid, gid=status.st_gid,
        user=user_name(status.st_uid), group=group_name(status.st_gid), mtime=status.st_mtime_ns, size=size,
        target=target, map=map, device=device,
    )  # fmt: skip


def _attributes(path: str) -> dict[str, str]:
    """Extended attributes as pax records; octets that are no UTF-8 as lone surrogates."""
    found = {}
    try:
        for name in sorted(os.listxattr(path, follow_symlinks=False)):
            if name not in _NOT_KEPT:
                value = os.getxattr(path, name, follow_symlinks=False)
                found[f"SCHILY.xattr.{name}"] = value.decode("utf-8", "surrogateescape")
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
    return found


@contextmanager
def _explained(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadInput(
            f"{path} cannot be read", details=str(error), resolution="Nothing was stored. See its owner and its mode."
        ) from error


def _refused(path: str, what: str, kind: Kind) -> BadInput:
    return BadInput(
        f"{path!r} {what}, which an artefact of kind {kind} may not hold",
        resolution=f"Take it away, or push the directory as kind {Kind.ROOTFS}: that keeps devices and absolute links.",
    )


def _changed(path: str) -> Error:
    return Error(
        f"{path!r} changed while it was read", resolution="Nothing was stored. Run the command again when it rests."
    )
