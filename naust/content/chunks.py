"""The chunks of a blob, as data: which bytes it consists of, so that a reader need fetch only those that he lacks.

Fixed blocks of 64 KiB (the cluster size of qcow2) for disk images and for what nobody knows better: rewritten in place,
they keep their places. Content-defined chunks of about 64 KiB for tar, where an insertion moves all that follows:
FastCDC 2020 (Xia and others, "The Design of Fast Content-Defined Chunking for Data Deduplication Based Storage
Systems", IEEE TPDS 31 (9)), as `pyfastcdc` and `fastcdc-rs` cut, with a quarter and four times that as bounds and
normalization 2. For what is larger than 16 GiB chunks are larger, so that an index never has more than 9 MiB.

The index as a blob: one line of JSON (format, version, method, average, blob, size, chunks), then for each chunk in
order: its length (4 octets, little-endian; not for fixed blocks) and its SHA-256 (32 octets). Half as long as JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Self

from common.errors import BadInput, Corrupt
from common.model import Digest
from naust.untrusted import document

if TYPE_CHECKING:
    from pyfastcdc import FastCDC

TYPE = "application/vnd.naust.content.chunks.v1"  # artifact type, and media type of the blob
FIXED, CONTENT = "fixed", "fastcdc-2020"
AVERAGE = 1 << 16  # bytes
MOST = 1 << 18  # chunks; at twice that there is no index
LONGEST = 2 * MOST * 36 + 4096  # bytes of an index
_PIECE = 1 << 20  # bytes read at once
_DIGEST = 32
_ENTRY = struct.Struct("<I32s")
_WIDEST = 1 << 22  # average


@dataclass(frozen=True, slots=True)
class Method:
    """How a blob is cut. `average` is the size of every block, or about that of every chunk."""

    name: str
    average: int = AVERAGE

    @classmethod
    def of(cls, media_type: str, size: int) -> Self | None:
        """For a blob of this type; None for what is compressed, where every change changes all that follows."""
        if any(word in media_type for word in ("gzip", "zstd", "x-xz", "zip", "bzip")):
            return None
        average = AVERAGE
        while size > average * MOST and average < _WIDEST:
            average *= 2
        return cls(CONTENT if media_type.endswith("tar") else FIXED, average)


@dataclass(frozen=True, slots=True)
class Chunks:
    """The index of a blob. `lengths` is empty for fixed blocks."""

    blob: Digest
    size: int
    method: Method
    digests: bytes
    lengths: array[int] = field(default_factory=lambda: array("I"))

    def __len__(self) -> int:
        return len(self.digests) // _DIGEST

    def __iter__(self) -> Iterator[tuple[int, int, bytes]]:
        """Offset, length and SHA-256 of each chunk, in order and without gaps."""
        offset = 0
        for number in range(len(self)):
            length = self.lengths[number] if self.lengths else min(self.method.average, self.size - offset)
            yield offset, length, self.digests[number * _DIGEST : (number + 1) * _DIGEST]
            offset += length

    def encode(self) -> bytes:
        """As a blob."""
        header = {
            "format": "naust.content.chunks", "version": 1, "method": self.method.name, "average": self.method.average,
            "blob": str(self.blob), "size": self.size, "chunks": len(self),
        }  # fmt: skip
        body = b"".join(_ENTRY.pack(length, digest) for _, length, digest in self) if self.lengths else self.digests
        return json.dumps(header, sort_keys=True, separators=(",", ":")).encode() + b"\n" + body


def parse(data: bytes, what: str) -> Chunks:
    """Read an index that somebody else wrote. What it says of the blob is to be checked. Raises Corrupt."""
    line, newline, body = data.partition(b"\n")
    header = document(line, what, largest=4096)
    try:
        blob, size, count = Digest.parse(str(header["blob"])), _number(header, "size"), _number(header, "chunks")
        method = Method(str(header["method"]), _number(header, "average"))
        if (header.get("format"), header.get("version"), newline) != ("naust.content.chunks", 1, b"\n"):
            raise ValueError("it is of another format")
        if not AVERAGE // 64 <= method.average <= _WIDEST or count > 2 * MOST:
            raise ValueError(f"it has {count} chunks of about {method.average} bytes")
        digests, lengths = _fixed(body) if method.name == FIXED else _variable(body, method)
        read = Chunks(blob, size, method, digests, lengths)
        if len(body) % (36 if lengths else _DIGEST) or len(read) != count or _covered(read) != size:
            raise ValueError(f"{len(read)} chunks are there that cover {_covered(read)} of {size} bytes")
    except (BadInput, KeyError, ValueError) as error:
        raise Corrupt(
            f"{what} is no index of chunks", details=str(error), resolution="Take it away; push makes another."
        ) from error
    return read


class Cutter:
    """Cuts bytes that come piece by piece; memory is constant but for the index itself."""

    def __init__(self, method: Method) -> None:
        self.method = method
        self._size, self._rest = 0, b""
        self._digests, self._lengths = bytearray(), array("I")
        self._library = _library(method) if method.name == CONTENT else None

    def feed(self, piece: bytes | memoryview) -> None:
        """The next bytes."""
        self._cut(b"".join((self._rest, piece)) if self._rest else bytes(piece), last=False)

    def end(self, blob: Digest) -> Chunks | None:
        """The index of the blob that all of it was; None if it would be too long."""
        self._cut(self._rest, last=True)
        if len(self._digests) > 2 * MOST * _DIGEST:
            return None
        return Chunks(blob, self._size, self.method, bytes(self._digests), self._lengths)

    def _cut(self, data: bytes, *, last: bool) -> None:
        view, at = memoryview(data), 0
        for length in self._lengths_of(view, last):
            self._digests += hashlib.sha256(view[at : at + length]).digest()
            if self._library:
                self._lengths.append(length)
            at += length
        self._rest = data[at:]
        self._size += at

    def _lengths_of(self, view: memoryview, last: bool) -> Iterator[int]:
        """Of chunks that more bytes could not change."""
        if self._library:
            furthest = len(view) - (0 if last else self._library.max_size)
            for chunk in self._library.cut_buf(view) if len(view) else ():
                if chunk.offset > furthest:
                    return
                yield chunk.length
        else:
            yield from [self.method.average] * (len(view) // self.method.average)
            if last and len(view) % self.method.average:
                yield len(view) % self.method.average


def of_file(file: int, size: int, method: Method, blob: Digest) -> Chunks | None:
    """The index of the first `size` bytes of a file, by its descriptor, whose position stays; None if it is shorter or
    the index would be too long. `blob` is what it is going to be called; it is not checked."""
    cutter, buffer, offset = Cutter(method), memoryview(bytearray(_PIECE)), 0
    while offset < size:
        count = os.preadv(file, [buffer[: size - offset]], offset)
        if not count:
            return None
        cutter.feed(buffer[:count])
        offset += count
    return cutter.end(blob)


@lru_cache(maxsize=64)
def zeros(length: int) -> bytes:
    """SHA-256 of so many zeros: what becomes a hole."""
    total, piece = hashlib.sha256(), bytes(min(length, _PIECE))
    for start in range(0, length, _PIECE):
        total.update(memoryview(piece)[: length - start])
    return total.digest()


def _library(method: Method) -> FastCDC:
    from pyfastcdc import FastCDC

    average = method.average
    return FastCDC(average, min_size=average // 4, max_size=average * 4, normalized_chunking=2)


def _fixed(body: bytes) -> tuple[bytes, array[int]]:
    return body, array("I")


def _variable(body: bytes, method: Method) -> tuple[bytes, array[int]]:
    if method.name != CONTENT:
        raise ValueError(f"its method is {method.name!r}")
    entries = list(_ENTRY.iter_unpack(body[: len(body) // 36 * 36]))
    if any(not 0 < length <= 4 * method.average for length, _ in entries):
        raise ValueError("a chunk has no length, or too much of it")
    return b"".join(digest for _, digest in entries), array("I", (length for length, _ in entries))


def _covered(read: Chunks) -> int:
    """Bytes that the chunks cover; for fixed blocks, those that so many blocks can hold."""
    if read.lengths:
        return sum(read.lengths)
    least = (len(read) - 1) * read.method.average
    return read.size if (least < read.size <= least + read.method.average) or len(read) == read.size == 0 else -1


def _number(header: Mapping[str, object], name: str) -> int:
    value = header[name]
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 62:
        raise ValueError(f"its {name} is {value!r}")
    return value
