"""A tar, whose digest was checked, into a new folder; nothing in it is trusted all the same (case NA-10).

Refused, with nothing left: names that are absolute, climb, hold NUL or begin with a drive; a member below a link or a
file; a second member of one name; a hard link to what is no file of the tree; devices, pipes and symbolic links that
lead out, unless the kind is rootfs; more than 1,000,000 members; pax records of more than 1 MiB; sparse files that
pretend to be more than 1,000 times the tar and 64 GiB together; a member that the index does not say, or says
otherwise.

Owners, set-user-id bits and attributes outside `user.` are given only with `owners`, as GNU tar does for root. Owners
are taken by number.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, cast

from common.errors import Corrupt, Denied, Error
from common.files import CHUNK
from common.model import Kind
from naust.content.tree import (
    BLOCK,
    CHARACTER,
    FIFO,
    FILE,
    FOLDER,
    HARDLINK,
    MOST,
    SYMLINK,
    Entry,
    leads_out,
    takes_devices,
)
from naust.store.incoming import explained

_LONGEST_RECORD = 1 << 20  # octets of extended headers of one member
_APPARENT = 1000  # times the size of the tar that sparse files may pretend to have
_APPARENT_ANYWAY = 64 << 30  # bytes that they may pretend to have anyway
_DRIVE = re.compile(r"[A-Za-z]:(?:[\\/]|$)")
_XATTR = "SCHILY.xattr."
_FORMS = {
    tarfile.REGTYPE: FILE, tarfile.AREGTYPE: FILE, tarfile.CONTTYPE: FILE, tarfile.DIRTYPE: FOLDER,
    tarfile.SYMTYPE: SYMLINK, tarfile.LNKTYPE: HARDLINK, tarfile.FIFOTYPE: FIFO, tarfile.CHRTYPE: CHARACTER,
    tarfile.BLKTYPE: BLOCK, tarfile.GNUTYPE_SPARSE: FILE,
}  # fmt: skip
_EXTENSIONS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


@dataclass(frozen=True, slots=True)
class Rules:
    """What may come out of a tar. `owners`: see above. `whole` names the artefact in errors."""

    whole: str
    kind: Kind
    owners: bool


class _Member(tarfile.TarInfo):
    """As tarfile's, but no header makes it read without a limit."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _EXTENSIONS and self.size > _LONGEST_RECORD:
            raise tarfile.HeaderError(f"extended headers of {self.size} bytes")
        if self.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.HeaderError("a sparse file in GNU's old format")
        return cast(tarfile.TarInfo, super()._proc_member(archive))  # type: ignore[misc]

    def _proc_gnusparse_00(self, *_: object) -> None:
        raise tarfile.HeaderError("a sparse file in format 0.0")

    _proc_gnusparse_01 = _proc_gnusparse_00

    def _proc_gnusparse_10(self, member: _Member, headers: object, archive: tarfile.TarFile) -> None:
        """The map is in the first blocks of the data: the number of pairs, then offset and size of each, in lines."""
        source = cast(BinaryIO, archive.fileobj)
        blocks = [source.read(tarfile.BLOCKSIZE)]
        want = 1 + 2 * int(blocks[0].partition(b"\n")[0])
        lines = blocks[0].count(b"\n")
        while lines < want:
            blocks.append(source.read(tarfile.BLOCKSIZE))
            lines += blocks[-1].count(b"\n")
            if not blocks[-1] or len(blocks) * tarfile.BLOCKSIZE > _LONGEST_RECORD:
                raise tarfile.HeaderError("a map of a sparse file without an end")
        numbers = [int(line) for line in b"".join(blocks).split(b"\n")[:want]]
        member.offset_data = source.tell()
        found = list(zip(numbers[1::2], numbers[2::2], strict=True))
        member.sparse = found  # type: ignore[assignment]  # typeshed knows another type


def unpack(source: BinaryIO, folder: Path, rules: Rules, index: Iterator[Entry] | None = None) -> int:
    """Unpack the tar into the folder, which must be new and nobody else's; how many members that were. With an index,
    every member must be what that says next. Raises Corrupt for what is unsafe or no tar, Denied if this user may not.
    """
    with explained(folder):
        return _Unpacking(source, folder, rules, index).run()


class _Unpacking:
    def __init__(self, source: BinaryIO, folder: Path, rules: Rules, index: Iterator[Entry] | None) -> None:
        self._source, self._root, self._rules, self._index = source, str(folder), rules, index
        self._folders: dict[str, Entry | None] = {".": None}  # None: no member of its own until now
        self._size = os.fstat(source.fileno()).st_size
        self._apparent = 0

    def run(self) -> int:
        count = 0
        try:
            with tarfile.open(fileobj=self._source, mode="r:", tarinfo=_Member, errors="surrogateescape") as archive:
                while (member := archive.next()) is not None:
                    archive.members.clear()  # type: ignore[attr-defined]  # one million of them would stay
                    count += 1
                    self._take(member, self._entry(member, count))
        except (tarfile.TarError, ValueError, OverflowError, RecursionError, EOFError) as error:
            raise self._unsafe("is no proper tar", f"{type(error).__name__}: {error}") from error
        if self._index is not None and next(self._index, None) is not None:
            raise self._unsafe("ends before its index does", "")
        for path, entry in reversed(self._folders.items()):
            if entry is not None:
                self._finish(self._at(path), entry, {})
        return count

    def _entry(self, member: tarfile.TarInfo, count: int) -> Entry:
        if count > MOST:
            raise self._unsafe(f"has more than {MOST} members", "")
        if member.type not in _FORMS:
            raise self._unsafe("holds a member of unknown type", repr(member.name))
        entry = Entry(
            path=self._path(member.name), type=_FORMS[member.type], mode=member.mode & 0o7777, uid=member.uid,
            gid=member.gid, user=member.uname, group=member.gname, mtime=_nanoseconds(member), size=member.size,
            offset=member.offset_data, map=tuple(getattr(member, "sparse", None) or ()),
            target=member.linkname if member.type in (tarfile.SYMTYPE, tarfile.LNKTYPE) else "",
            device=(member.devmajor, member.devminor) if member.type in (tarfile.CHRTYPE, tarfile.BLKTYPE) else None,
        )  # fmt: skip
        if entry.type == HARDLINK:
            entry = replace(entry, target=self._path(entry.target), size=0, offset=0)
        elif entry.type != FILE:
            entry = replace(entry, size=0, offset=0)
        if self._index is not None:
            self._compare(entry, next(self._index, None))
        return entry

    def _compare(self, entry: Entry, said: Entry | None) -> None:
        if said is None or replace(said, sha256="") != entry:
            raise self._unsafe(
                "is not what its index says", f"{entry.path!r} is not {said.path if said else ''!r}, or differs"
            )

    def _path(self, name: str) -> str:
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if name.startswith("/") or ".." in parts or "\0" in name or _DRIVE.match(name) or not name:
            raise self._unsafe("has a member with an unsafe name", repr(name))
        return "/".join(parts) or "."

    def _take(self, member: tarfile.TarInfo, entry: Entry) -> None:
        self._make_parents(entry.path)
        try:
            make = {FILE: self._file, FOLDER: self._make_folder, SYMLINK: self._symlink, HARDLINK: self._hardlink}
            make.get(entry.type, self._device)(entry)
        except FileExistsError as error:
            raise self._unsafe("has two members of one name", repr(entry.path)) from error
        if entry.type == FOLDER:
            self._attributes(self._at(entry.path), member)
        elif entry.type != HARDLINK:
            self._finish(self._at(entry.path), entry, member.pax_headers)

    def _make_parents(self, path: str) -> None:
        """All folders above, each made by us: so none of them is a link."""
        parent = path.rpartition("/")[0] or "."
        if path == "." or parent in self._folders:
            return
        self._make_parents(parent)
        try:
            Path(self._at(parent)).mkdir(0o755)
        except FileExistsError as error:
            raise self._unsafe("has a member below what is no folder", repr(path)) from error
        self._folders[parent] = None

    def _make_folder(self, entry: Entry) -> None:
        if entry.path not in self._folders:
            Path(self._at(entry.path)).mkdir(0o700)
        elif self._folders[entry.path] is not None:
            raise FileExistsError
        self._folders[entry.path] = entry

    def _file(self, entry: Entry) -> None:
        parts = entry.map or ((0, entry.size),)
        self._apparent += entry.size if entry.map else 0
        if self._apparent > self._size * _APPARENT + _APPARENT_ANYWAY:
            raise self._unsafe("pretends to be far larger than it is", f"{entry.path!r}: {entry.size} bytes")
        descriptor = os.open(self._at(entry.path), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            at = entry.offset
            for start, length in parts:
                if start < 0 or length < 0 or start + length > entry.size or at + length > self._size:
                    raise self._unsafe("holds less than it says", repr(entry.path))
                _copy(self._source.fileno(), at, descriptor, start, length)
                at += length
            os.ftruncate(descriptor, entry.size)
        finally:
            os.close(descriptor)

    def _symlink(self, entry: Entry) -> None:
        if "\0" in entry.target or not entry.target:
            raise self._unsafe("has a link without a target", repr(entry.path))
        if leads_out(entry.path, entry.target) and not takes_devices(self._rules.kind):
            raise self._unsafe("has a link that leads out of it", f"{entry.path!r} to {entry.target!r}")
        Path(self._at(entry.path)).symlink_to(entry.target)

    def _hardlink(self, entry: Entry) -> None:
        parent = entry.target.rpartition("/")[0] or "."
        target = self._at(entry.target)
        try:
            found = os.lstat(target) if parent in self._folders else None
        except FileNotFoundError:
            found = None
        if found is None or stat.S_ISDIR(found.st_mode):
            raise self._unsafe("has a hard link to what is no file of it", f"{entry.path!r} to {entry.target!r}")
        os.link(target, self._at(entry.path), follow_symlinks=False)

    def _device(self, entry: Entry) -> None:
        if not takes_devices(self._rules.kind):
            raise self._unsafe("holds a device or a pipe", repr(entry.path))
        form = {FIFO: stat.S_IFIFO, CHARACTER: stat.S_IFCHR, BLOCK: stat.S_IFBLK}[entry.type]
        try:
            os.mknod(self._at(entry.path), form | 0o600, os.makedev(*(entry.device or (0, 0))))
        except PermissionError as error:
            raise Denied(
                f"{entry.path!r} is a device, which only root can make", details=str(error),
                resolution="Nothing was written. Run the command as root.",
            ) from error  # fmt: skip

    def _finish(self, path: str, entry: Entry, headers: Mapping[str, str]) -> None:
        """Owner first, because a change of it takes away bits and attributes; times last."""
        if self._rules.owners:
            os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
        for name, value in self._kept(headers):
            _set(path, name, value, self._rules.whole)
        if entry.type != SYMLINK:
            Path(path).chmod(entry.mode if self._rules.owners else entry.mode & 0o777)
        os.utime(path, ns=(entry.mtime, entry.mtime), follow_symlinks=False)

    def _attributes(self, path: str, member: tarfile.TarInfo) -> None:
        """Of a folder: at once, because its headers are not kept; a change of owner leaves a folder's alone."""
        for name, value in self._kept(member.pax_headers):
            _set(path, name, value, self._rules.whole)

    def _kept(self, headers: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
        for key, value in headers.items():
            name = key.removeprefix(_XATTR)
            if name != key and (self._rules.owners or name.startswith("user.")):
                yield name, value.encode("utf-8", "surrogateescape")

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"

    def _unsafe(self, what: str, details: str) -> Corrupt:
        return Corrupt(
            f"the tar of {self._rules.whole} {what}", details=details,
            resolution="Nothing was left of it. Look at it as a file, with care: naust pull REFERENCE oci:FOLDER.",
        )  # fmt: skip


def _nanoseconds(member: tarfile.TarInfo) -> int:
    text = member.pax_headers.get("mtime", "")
    whole, _, rest = text.partition(".")
    try:
        return int(whole) * 10**9 + int((rest + "0" * 9)[:9])
    except ValueError:
        return int(member.mtime * 10**9)


def _copy(source: int, at: int, target: int, start: int, length: int) -> None:
    """Bytes from file to file, within the kernel where it can (copy_file_range(2))."""
    os.lseek(target, start, os.SEEK_SET)
    while length:
        try:
            count = os.copy_file_range(source, target, min(length, 64 * CHUNK), at, start)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            count = os.pwrite(target, os.pread(source, min(length, CHUNK), at), start)
        if not count:
            raise EOFError("the tar ends within a file")
        at, start, length = at + count, start + count, length - count


def _set(path: str, name: str, value: bytes, whole: str) -> None:
    try:
        os.setxattr(path, name, value, follow_symlinks=False)
    except OSError as error:
        raise Error(
            f"an attribute of {whole} cannot be kept here",
            details=f"{name} of {path}: {error.strerror}",
            resolution="Nothing was written. Unpack where the file system has extended attributes, and as root for "
            "those outside `user.`; or without --same-owner.",
        ) from error


def remove(folder: Path) -> None:
    """Take away what was unpacked, also where a folder may not be written."""
    for path, folders, _ in os.walk(folder):
        for name in (".", *folders):
            if not Path(path, name).is_symlink():
                Path(path, name).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
