"""What an object of a drive contains, which follows from its key and version, and whether what was read may be it."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

BLOCK = 64 * 1024  # bytes
_HEAD = struct.Struct(">QQ")  # the block's number and the version
_NEVER = float("inf")


class ContentError(Exception):
    """What was read is not what was stored."""


@dataclass(frozen=True, slots=True)
class Content:
    """Of one version of one key. Each block begins with its number and the version, so none can stand for another."""

    run: str
    key: str
    version: int
    size: int

    def blocks(self) -> Iterator[bytes]:
        """All of it, in pieces of at most `BLOCK` bytes."""
        seed = f"{self.run}/{self.key}/{self.version}".encode()
        rest = hashlib.shake_128(seed).digest(max(0, min(self.size, BLOCK) - _HEAD.size))
        for number, start in enumerate(range(0, self.size, BLOCK)):
            yield (_HEAD.pack(number, self.version) + rest)[: self.size - start]


@dataclass(slots=True)
class _Write:
    version: int
    began: float
    ended: float = _NEVER  # one that failed may still take effect, at any time


@dataclass(slots=True)
class Versions:
    """Of one key: what has been sent, when, and which of it a reader may find.

    A version cannot be found any more when a later one began after it had ended, and was acknowledged before the
    reading began. Two that were under way at once may have come in either order.
    """

    sizes: list[int] = field(default_factory=list)
    _writes: list[_Write] = field(default_factory=list)

    def begin(self, size: int, now: float) -> int:
        """A new version of `size` bytes is sent; its number. `now` in seconds, monotonic."""
        self.sizes.append(size)
        self._writes.append(_Write(len(self.sizes) - 1, now))
        return len(self.sizes) - 1

    def end(self, version: int, now: float) -> None:
        """It was acknowledged."""
        began = 0.0
        for write in self._writes:
            if write.version == version:
                write.ended, began = now, write.began
        self._writes = [write for write in self._writes if write.ended > began]

    def current(self) -> tuple[int, ...]:
        """Those that a reader may find that begins now."""
        return tuple(write.version for write in self._writes)


class Reading:
    """Compares while it is read. `versions` as they are known when the reading begins."""

    def __init__(self, run: str, key: str, versions: Versions) -> None:
        self._run, self._key, self._versions = run, key, versions
        self._current, self._newest = versions.current(), len(versions.sizes)
        self._waiting, self._at = b"", 0
        self._content: Iterator[bytes] | None = None

    def take(self, piece: bytes) -> None:
        """The next bytes. Raises ContentError."""
        self._waiting += piece
        while len(self._waiting) >= BLOCK:
            self._compare(self._waiting[:BLOCK])
            self._waiting = self._waiting[BLOCK:]

    def finish(self) -> None:
        """It is whole. Raises ContentError."""
        if self._content is None and len(self._waiting) < _HEAD.size:
            self._compare_short()
            return
        if self._waiting:
            self._compare(self._waiting)
        if self._content is not None and next(self._content, None) is not None:
            raise ContentError(f"{self._key} is cut off after {self._at} bytes")

    def sizes(self) -> set[int]:
        """Bytes that it may have now."""
        return {self._versions.sizes[version] for version in self._allowed()}

    def _allowed(self) -> set[int]:
        return {*self._current, *range(self._newest, len(self._versions.sizes))}

    def _compare(self, found: bytes) -> None:
        if self._content is None:
            _, version = _HEAD.unpack_from(found)
            if version not in self._allowed():
                known = version < len(self._versions.sizes)
                raise ContentError(
                    f"{self._key} is old: version {version} after {max(self._current, default=0)} was acknowledged"
                    if known
                    else f"{self._key} has another content from byte 0"
                )
            self._content = Content(self._run, self._key, version, self._versions.sizes[version]).blocks()
        wanted = next(self._content, b"")
        if found != wanted:
            raise ContentError(f"{self._key} has another content from byte {self._at + _differs(found, wanted)}")
        self._at += len(found)

    def _compare_short(self) -> None:
        for version in self._allowed():
            content = Content(self._run, self._key, version, self._versions.sizes[version])
            if b"".join(content.blocks()) == self._waiting:
                return
        raise ContentError(f"{self._key} has another content, of {len(self._waiting)} bytes")


def _differs(found: bytes, wanted: bytes) -> int:
    return next((at for at, (one, two) in enumerate(zip(found, wanted, strict=False)) if one != two), len(wanted))
