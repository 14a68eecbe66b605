"""One blob from a store into a file: reading and writing in one thread, hashing in another, or many parts at once.

One stream: two buffers go from the reader, who writes them to the file, to the hash and back, so that nothing is copied
or read twice. Many streams: each takes the next part and writes it where it belongs; the hash follows in order and
reads back what is there (out of the page cache). One that is fast fills two cores, and more would only wait for each
other; where one is slow, its connection is what limits it, and many help. So the first part comes in one, and is timed.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import TYPE_CHECKING, BinaryIO

from naust.manifest import Blob
from naust.store.interface import Store
from naust.transfer.verified import PART, new_hash

if TYPE_CHECKING:
    from hashlib import _Hash

HOLE = 1 << 16  # bytes of zeros, at a multiple of that, that become a hole
_ZEROS = bytes(HOLE)
# Bytes of a buffer between reader and hash. Each handing over wakes a thread on the other core, which costs more than
# that the bytes have left the processor's cache: 1 GiB takes 0.62 s with 8 MiB, 0.95 s with 0.25 to 4 MiB.
_BUFFER = 8 << 20
_RING = 2
_PIECE = 1 << 20  # bytes of a buffer that one thread alone uses
_FAST = 300_000_000  # bytes a second of one stream beside which others do not help
_SMALL = 2 << 20  # bytes; below this a thread costs more than it gains
_MARK = 16 << 20  # bytes between two marks


class Transfer:
    """Where a blob comes from and where it goes."""

    def __init__(
        self, store: Store, name: str, blob: Blob, file: int, *, sparse: bool, mark: Callable[[int], None]
    ) -> None:
        self._store, self._name, self._blob, self._file = store, name, blob, file
        self._sparse, self._mark = sparse, mark
        self._total, self._hashed, self._marked = new_hash(blob), 0, 0

    def run(self, have: int, streams: int) -> _Hash:
        """Bring what is missing; the hash of all that is in the file then, at most one byte more than the blob has."""
        os.ftruncate(self._file, have)
        self._mark(have)
        self._marked = have
        self._hash_file(have)
        if streams > 1 and self._blob.size - have > PART:
            begun = time.monotonic()
            have = self._beside(have, have + PART)
            if time.monotonic() - begun > PART / _FAST:
                self._many(have, streams)
                return self._total
        if have < self._blob.size or have == 0:
            self._one(have)
        return self._total

    # One stream

    def _one(self, have: int) -> None:
        if self._blob.size - have <= _SMALL:
            end = self._copy(have, None, bytearray(_PIECE), self._update)
        else:
            end = self._beside(have, None)
        os.ftruncate(self._file, end)

    def _beside(self, have: int, end: int | None) -> int:
        """From `have` to `end` (None: as far as it goes), hashed in a thread of its own. Returns where that was."""
        free: SimpleQueue[bytearray] = SimpleQueue()
        full: SimpleQueue[tuple[bytearray, int] | None] = SimpleQueue()
        for _ in range(_RING):
            free.put(bytearray(_BUFFER))

        def follow() -> None:
            while (item := full.get()) is not None:
                self._update(memoryview(item[0])[: item[1]])
                free.put(item[0])

        def hand_on(piece: memoryview) -> bytearray:
            full.put((piece.obj, len(piece)))  # type: ignore[arg-type]  # typeshed: obj is bytes-like
            return free.get()

        thread = threading.Thread(target=follow, name="hash")
        thread.start()
        try:
            return self._copy(have, end, free.get(), hand_on)
        finally:
            full.put(None)
            thread.join()

    def _copy(
        self, start: int, end: int | None, buffer: bytearray, then: Callable[[memoryview], bytearray | None]
    ) -> int:
        """Write what comes to the file from `start` to `end`, and pass it on, whose answer is the next buffer. Stops
        behind the first byte that is too many. Returns where it ended."""
        length = None if end is None else end - start
        with self._store.read(self._name, self._blob.digest, start, length) as source:
            fill = filler(source)
            while (count := fill(memoryview(buffer))) and start <= self._blob.size:
                piece = memoryview(buffer)[:count]
                self._write(piece, start)
                start += count
                buffer = then(piece) or buffer
        return start

    # Many streams

    def _many(self, have: int, streams: int) -> None:
        parts = Parts(have, self._blob.size)
        threads = [threading.Thread(target=self._work, args=(parts,), name="part") for _ in range(streams)]
        for thread in threads:
            thread.start()
        try:
            for end in parts.in_order():
                self._hash_file(end)
        finally:
            parts.stop()
            for thread in threads:
                thread.join()
        os.ftruncate(self._file, self._hashed)

    def _work(self, parts: Parts) -> None:
        buffer = bytearray(_PIECE)
        try:
            while (start := parts.take()) is not None:
                self._bring(start, min(PART, self._blob.size - start), buffer, parts)
                parts.done(start)
        except BaseException as error:  # raised again in the thread that waits
            parts.failed(error)

    def _bring(self, start: int, length: int, buffer: bytearray, parts: Parts) -> None:
        with self._store.read(self._name, self._blob.digest, start, length) as source:
            fill, end = filler(source), start + length
            while start < end and not parts.stopped:
                count = fill(memoryview(buffer)[: end - start])
                if not count:
                    break  # too short: a hole stays, and the hash will say so
                self._write(memoryview(buffer)[:count], start)
                start += count

    # Both

    def _hash_file(self, end: int) -> None:
        """Hash the file from where the hash is to `end`."""
        buffer = memoryview(bytearray(_PIECE))
        while self._hashed < end:
            view = buffer[: end - self._hashed]
            count = os.preadv(self._file, [view], self._hashed)
            # Behind the end of the file are the zeros of a hole that is not closed yet.
            view[count:] = bytes(len(view) - count)
            self._update(view)

    def _update(self, piece: memoryview) -> None:
        self._total.update(piece)
        self._hashed += len(piece)
        if self._hashed - self._marked >= _MARK:
            self._mark(self._hashed)
            self._marked = self._hashed

    def _write(self, piece: memoryview, at: int) -> None:
        if self._sparse:
            write_sparse(self._file, piece, at)
        else:
            write_all(self._file, piece, at)


class Parts:
    """Parts of a blob: which are taken, and which are there."""

    def __init__(self, start: int, end: int) -> None:
        self._next, self._end = start, end
        self._wanted = start
        self._there: set[int] = set()
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self.stopped = False

    def take(self) -> int | None:
        """Where the next part begins; None if there is no more to do."""
        with self._changed:
            if self.stopped or self._next >= self._end:
                return None
            start, self._next = self._next, self._next + PART
            return start

    def done(self, start: int) -> None:
        """The part that begins there is in the file."""
        with self._changed:
            self._there.add(start)
            self._changed.notify()

    def failed(self, error: BaseException) -> None:
        """Nobody goes on."""
        with self._changed:
            self._error, self.stopped = self._error or error, True
            self._changed.notify()

    def stop(self) -> None:
        """Nobody begins another part."""
        self.stopped = True

    def in_order(self) -> Iterator[int]:
        """The ends of the parts, each when it and all before it are there. Raises what a reader raised."""
        while self._wanted < self._end:
            with self._changed:
                while self._wanted not in self._there and self._error is None:
                    self._changed.wait()
                if self._error is not None:
                    raise self._error
                self._there.discard(self._wanted)
            self._wanted = min(self._wanted + PART, self._end)
            yield self._wanted


def filler(source: BinaryIO) -> Callable[[memoryview], int]:
    """A function that reads from the source into a buffer until it is full or the source ends; how much that was."""
    into = getattr(source, "readinto", None)

    def fill(buffer: memoryview) -> int:
        count = 0
        while count < len(buffer):
            if into is not None:
                got = into(buffer[count:]) or 0
            else:
                data = source.read(len(buffer) - count)
                got = len(data)
                buffer[count : count + got] = data
            if not got:
                break
            count += got
        return count

    return fill


def write_all(file: int, piece: memoryview, at: int) -> None:
    """All of it, at this offset."""
    while piece:
        count = os.pwrite(file, piece, at)
        piece, at = piece[count:], at + count


def write_sparse(file: int, piece: memoryview, at: int) -> None:
    """All of it, at this offset, but for blocks of `HOLE` zeros, which the file must not hold anything in place of."""
    begin, position = 0, -at % HOLE
    while position < len(piece):
        block = piece[position : position + HOLE]
        if len(block) == HOLE and not block[0] and not block[-1] and block.tobytes() == _ZEROS:
            write_all(file, piece[begin:position], at + begin)
            begin = position + HOLE
        position += HOLE
    write_all(file, piece[begin:], at + begin)
