"""The two hashes that Terraform knows a provider's package by.

`zh:` is the SHA-256 of the zip, in hexadecimal. `h1:` is Hash1 of Go's package dirhash (https://pkg.go.dev/
golang.org/x/mod/sumdb/dirhash): for each file, sorted by name, a line of its SHA-256, two spaces and its name; the
SHA-256 of these lines in base64. See https://developer.hashicorp.com/terraform/language/files/dependency-lock,
"New provider package checksums".
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from base64 import b64encode
from collections.abc import Iterable
from typing import BinaryIO
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from common.errors import Corrupt
from common.files import CHUNK
from common.model import Digest

MOST = 10_000  # files in a package
LARGEST = 4 << 30  # bytes of them, unpacked
_DIRECTORY = 16 << 20  # bytes of a zip's own list of files
_END = b"PK\x05\x06"  # end of central directory record (APPNOTE.TXT 6.3.10, section 4.3.16)
_END_SIZE, _END_COMMENT = 22, 1 << 16


def zip_hash(digest: Digest) -> str:
    """`zh:` of a zip with this digest."""
    return f"zh:{digest.hex}"


def package_hashes(package: BinaryIO, what: str) -> tuple[str, ...]:
    """`h1:` of a zip, as Terraform finds it before it unpacks the zip and afterwards, each once.

    Folders are entries of a zip and count; unpacked they do not. Most packages have none, and one hash. The file must
    be able to seek. Raises Corrupt for what is no zip, or one that nobody should unpack.
    """
    try:
        _check_directory(package, what)
        with ZipFile(package) as opened:
            entries = _checked(opened.infolist(), what)
            lines = {name: _digest(opened, entry) for name, entry in entries.items()}
    except (BadZipFile, RuntimeError, EOFError, OSError, ValueError, OverflowError, struct.error, zlib.error) as error:
        raise _refused(what, f"{type(error).__name__}: {error}") from error
    whole = _hash1(lines.items())
    files = _hash1((name, digest) for name, digest in lines.items() if not name.endswith(b"/"))
    return tuple(dict.fromkeys((files, whole)))


def _hash1(files: Iterable[tuple[bytes, str]]) -> str:
    total = hashlib.sha256()
    for name, digest in sorted(files):
        total.update(digest.encode() + b"  " + name + b"\n")
    return f"h1:{b64encode(total.digest()).decode()}"


def _digest(opened: ZipFile, entry: ZipInfo) -> str:
    total = hashlib.sha256()
    with opened.open(entry) as source:
        while piece := source.read(CHUNK):
            total.update(piece)
    return total.hexdigest()


def _check_directory(package: BinaryIO, what: str) -> None:
    """The list of files is read into memory as a whole, so its size is looked at first."""
    size = package.seek(0, 2)
    package.seek(max(0, size - _END_SIZE - _END_COMMENT))
    tail = package.read(_END_SIZE + _END_COMMENT)
    at = tail.rfind(_END)
    if at < 0 or len(tail) < at + _END_SIZE:
        raise _refused(what, "It has no end of a zip.")
    count, length = struct.unpack_from("<HI", tail, at + 10)
    if count > MOST or length > _DIRECTORY:
        raise _refused(what, f"It lists {count} files in {length} bytes.")
    package.seek(0)


def _checked(entries: Iterable[ZipInfo], what: str) -> dict[bytes, ZipInfo]:
    """The entries by their names as they are written, which Go takes as they are."""
    found: dict[bytes, ZipInfo] = {}
    unpacked = 0
    for entry in entries:
        name = entry.orig_filename.encode("utf-8" if entry.flag_bits & 0x800 else "cp437")
        unpacked += entry.file_size
        if name in found or not _is_safe(name) or entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise _refused(what, f"It has an entry {entry.orig_filename[:100]!r}.")
        found[name] = entry
    if len(found) > MOST or unpacked > LARGEST:
        raise _refused(what, f"It unpacks to {len(found)} files with {unpacked} bytes.")
    return found


def _is_safe(name: bytes) -> bool:
    parts = name.removesuffix(b"/").split(b"/")
    return not any(part in (b"", b".", b"..") for part in parts) and not any(mark in name for mark in b"\0\n\\:")


def _refused(what: str, details: str) -> Corrupt:
    return Corrupt(
        f"{what} is no package of a provider",
        details=details,
        resolution="Nothing was made of it. Tell whoever publishes it, or name another version.",
    )
