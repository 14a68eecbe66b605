"""A pull that fetches only what changed: the rest comes from an older version on the disk, the seed.

The blob stays whole and ordinary. Beside it, the store has an index of its chunks (naust.content.chunks), as a
referrer of the artefact's manifest. Chunks that the seed has are copied, zeros become holes, what comes twice is
fetched once, and the rest is read in ranges, several at once where the store answers several.

Nothing of this is trusted: the whole is hashed at the end, as with every pull. If it is wrong, because the seed changed
or the index lies, chunk by chunk is looked at and fetched; if it is wrong then, the blob is fetched as if there were no
index.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from common.console import Report
from common.errors import Corrupt, Denied, Error, NotFound
from common.files import CHUNK
from common.model import Artifact, Digest, Event
from naust import manifest as oci
from naust.content.chunks import LONGEST, TYPE, Chunks, Cutter, Method, of_file, parse
from naust.listing import name_of
from naust.manifest import RAW_DISK, Blob
from naust.proof.attached import attach
from naust.store.interface import Store
from naust.transfer import digests
from naust.transfer.delta_plan import AGAIN, COPY, FETCH, Piece, behind, joined, parts, plan, worth
from naust.transfer.partial import Partial
from naust.transfer.seeds import chunks_of, keep, opened, remember, remembered
from naust.transfer.streams import filler, write_all
from naust.transfer.verified import PART, content, damaged, new_hash

if TYPE_CHECKING:
    from concurrent.futures import Future

LEAST = 8 << 20  # bytes of a blob that gets an index
_AT_ONCE = 8  # requests

Mark = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Moved:
    """Bytes of a blob that came from the store, the index included, and that did not have to."""

    fetched: int
    reused: int


# With the store


class Ahead:
    """The index of a file that is being pushed, made in a thread beside that. Nothing is done with a file whose digest
    is known: most likely the store has all of it."""

    def __init__(self, path: Path, media_type: str, size: int) -> None:
        self._path, self._size = path, size
        self._method = Method.of(media_type, size) if size >= LEAST else None
        self._made: Chunks | None = None
        self._thread = threading.Thread(target=self._make, daemon=True)  # whoever fails does not wait for it
        if self._method and digests.known(path) is None:
            self._thread.start()

    def offer(self, store: Store, artifact: Artifact, blob: Blob, report: Report) -> None:
        """Attach it to the artefact whose only blob the file is, unless that has one or none would be of use. That it
        cannot be attached is told and no failure: without it a pull takes longer."""
        if self._method and blob.size == self._size:
            _attach(store, artifact, lambda: self._index(blob), report)

    def _index(self, blob: Blob) -> Chunks | None:
        if self._thread.ident is not None:
            self._thread.join()
        else:
            self._make()
        if self._made is None or digests.known(self._path) not in (None, blob.digest):
            return None
        return Chunks(blob.digest, blob.size, self._made.method, self._made.digests, self._made.lengths)

    def _make(self) -> None:
        with suppress(OSError), opened(self._path) as file:
            if self._method and file is not None and os.fstat(file).st_size == self._size:
                self._made = chunks_of(file, self._method)


def _attach(store: Store, artifact: Artifact, made: Callable[[], Chunks | None], report: Report) -> None:
    name = name_of(artifact.reference)
    try:
        index = None if any(store.referrers(name, artifact.digest, TYPE)) else made()
        if index is not None:
            report(Event("index", name, f"{len(index)} chunks"))
            publish_index(store, name, artifact.digest, index)
            report(Event("indexed", name))
    except Error as error:
        report(Event("index", name, f"none is kept: {error.message}"))


class Cut(io.RawIOBase):
    """A stream that is cut into chunks while somebody else reads it; a `method` of None cuts nothing."""

    def __init__(self, source: BinaryIO, method: Method | None) -> None:
        self._source, self._method, self._fill = source, method, filler(source)
        self._cutter = Cutter(method) if method else None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed says WriteableBuffer, private
        view = memoryview(buffer)
        count = self._fill(view)
        if self._cutter:
            self._cutter.feed(view[:count])
        return count

    def seekable(self) -> bool:
        return self._source.seekable()

    def tell(self) -> int:
        return self._source.tell()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Only to the beginning, from where it is cut again."""
        if offset or whence:
            raise io.UnsupportedOperation("the beginning is the only place to go to")
        self._cutter = Cutter(self._method) if self._method else None
        return self._source.seek(0)

    def offer(self, store: Store, artifact: Artifact, blob: Blob, report: Report) -> None:
        """As `Ahead.offer`, for what was read."""
        if self._cutter and blob.size >= LEAST:
            index = self._cutter.end(blob.digest)
            _attach(store, artifact, lambda: index if index and index.size == blob.size else None, report)


def publish_index(store: Store, name: str, manifest: Digest, index: Chunks) -> Digest:
    """Attach an index to the manifest of its blob."""
    return attach(store, name, manifest, index.encode(), media_type=TYPE, artifact_type=TYPE)


def find_chunks(store: Store, name: str, manifest: Digest, blob: Blob) -> tuple[Chunks, int] | None:
    """The blob's index and how many bytes that is; None if there is none that can be read and is of this blob."""
    with suppress(NotFound, Denied, Corrupt):
        for each in store.referrers(name, manifest, TYPE):
            with suppress(NotFound, Corrupt):
                return _read(store, name, each.digest, blob)
    return None


def _read(store: Store, name: str, digest: Digest, blob: Blob) -> tuple[Chunks, int]:
    whole = f"{name}@{digest}"
    layers = oci.parse(store.manifest(name, str(digest)), whole).layers
    if len(layers) != 1 or layers[0].size > LONGEST:
        raise Corrupt(f"{whole} is no index", resolution="Take it away.")
    index = parse(content(store, name, layers[0], whole), whole)
    if (index.blob, index.size) != (blob.digest, blob.size):
        raise Corrupt(f"{whole} is the index of {index.blob}", resolution="Take it away.")
    return index, layers[0].size


def bring(
    store: Store, artifact: Artifact, blob: Blob, part: Partial, *, sparse: bool, seed: Path | None = None
) -> tuple[Moved, Chunks | None]:
    """Bring a part to its end, as `Partial.bring`, from this seed or from what was pulled of this name before, where
    that saves anything; and the blob's index, where there was reason to read it. The zeros of a raw disk image are not
    fetched even the first time. Raises Corrupt, Unavailable."""
    name, whole = name_of(artifact.reference), str(artifact.reference)
    seeds = _seeds(store, name, blob, seed)
    found = find_chunks(store, name, artifact.digest, blob) if seeds and blob.size >= LEAST else None
    if found is None:
        fetched = part.bring(store, name, whole, sparse=sparse, seed=seed)
        return Moved(fetched, blob.size - fetched), None
    index, size = found
    for each in seeds:
        near = part.path.parent
        moved = fetch_from_seed(
            store, name, blob, index, each, part.descriptor, whole, have=part.have, mark=part.mark, near=near
        )
        if moved is not None:
            return Moved(moved.fetched + size, moved.reused), index
    fetched = part.bring(store, name, whole, sparse=sparse)
    return Moved(fetched + size, blob.size - fetched), index


def _seeds(store: Store, name: str, blob: Blob, seed: Path | None) -> list[Path | None]:
    """What may hold some of the blob, the best first; None stands for zeros. A directory that nobody named is packed
    only to spare a line: from a disk the bytes themselves come faster."""
    local = store.url.startswith("file:")
    named = (seed,) if seed else (each for each in remembered(name) if each.is_file() or not local)
    return [*named, *((None,) if blob.media_type == RAW_DISK else ())]


def pulled(artifact: Artifact, path: Path, index: Chunks | None) -> None:
    """Remember the file or directory for the next pull of this name."""
    remember(name_of(artifact.reference), path)
    if index is not None and path.is_file():
        with suppress(OSError):
            keep(path.stat(), index)


def fetch_from_seed(
    store: Store,
    name: str,
    blob: Blob,
    index: Chunks,
    seed: Path | None,
    file: int,
    whole: str,
    *,
    have: int = 0,
    mark: Mark = lambda count: None,
    near: Path | None = None,
) -> Moved | None:
    """Write the blob into the file of this descriptor, as `naust.transfer.verified.fetch` does, with what the seed
    has; without one, all but zeros is fetched. A seed that is a directory is packed in the folder `near`. None, if
    the seed has too little or the result is wrong: then the file holds rubbish behind the first `have` bytes.

    The first `have` bytes are there already. Raises Corrupt if the store has no such blob; Unavailable.
    """
    with opened(seed, near, blob.size) if seed else nullcontext() as source:
        found = chunks_of(source, index.method) if source is not None else None
        if found is None and seed is not None:
            return None
        pieces = plan(index, found)
        if worth(pieces, blob.size):
            return _Delta(store, name, blob, whole, file, mark).bring(index, pieces, source, have)
    return None


# Doing it


class _Delta:
    """One blob on its way into a file."""

    def __init__(self, store: Store, name: str, blob: Blob, whole: str, file: int, mark: Mark) -> None:
        self._store, self._name, self._blob, self._whole = store, name, blob, whole
        self._file, self._mark = file, mark
        self._total, self._hashed = new_hash(blob), 0
        self._fetched = 0

    def bring(self, index: Chunks, pieces: list[Piece], seed: int | None, have: int) -> Moved | None:
        """By the plan; if that comes out wrong, by what is in the file then."""
        os.ftruncate(self._file, have)
        self._mark(have)
        if not self._run(behind(pieces, have), seed, whole=True):
            # The seed changed, or a chunk came out wrong: what is right by now need not come again.
            there = of_file(self._file, self._blob.size, index.method, self._blob.digest)
            if there is None or not self._mend(index, there):
                return None
        return Moved(self._fetched, max(0, self._blob.size - self._fetched))

    def _mend(self, index: Chunks, there: Chunks) -> bool:
        right = {(offset, digest) for offset, _, digest in there}
        wrong = joined(
            Piece(FETCH if (offset, digest) not in right else COPY, offset, length, offset)
            for offset, length, digest in index
        )
        if all(piece.how == COPY for piece in wrong) or not worth(wrong, self._blob.size):
            return False
        self._total, self._hashed = new_hash(self._blob), 0
        return self._run([piece for piece in wrong if piece.how == FETCH], None, whole=False)

    def _run(self, pieces: list[Piece], seed: int | None, *, whole: bool) -> bool:
        """Do all of it; whether the file is the blob then. `whole`: the pieces have no gaps that were done before."""
        from concurrent.futures import ThreadPoolExecutor

        at_once = max(1, min(self._store.traits().streams, _AT_ONCE))
        with ThreadPoolExecutor(at_once, thread_name_prefix="range") as threads:
            try:
                coming = {part.start: threads.submit(self._fetch, part) for part in parts(pieces)}
                self._follow(pieces, coming, seed, whole)
            except NotFound as error:
                raise damaged(self._store, self._blob, self._whole, "It is not there.") from error
            finally:
                threads.shutdown(wait=True, cancel_futures=True)
        os.ftruncate(self._file, self._blob.size)
        self._hash(self._blob.size)
        return self._total.hexdigest() == self._blob.digest.hex

    def _follow(self, pieces: list[Piece], coming: dict[int, Future[int]], seed: int | None, whole: bool) -> None:
        """In order: wait for what is fetched, copy the rest, and hash behind."""
        marked = 0
        for piece in pieces:
            if piece.how == FETCH:
                for part in parts([piece]):
                    self._fetched += coming.pop(part.start).result()
            elif piece.how == COPY and seed is not None:
                copy(seed, self._file, piece)
            elif piece.how == AGAIN:
                copy(self._file, self._file, piece)
            if whole and piece.end - marked >= PART:
                self._hash(piece.end)
                self._mark(piece.end)
                marked = piece.end

    def _fetch(self, part: Piece) -> int:
        start, buffer = part.start, memoryview(bytearray(min(CHUNK, part.length)))
        with self._store.read(self._name, self._blob.digest, part.start, part.length) as source:
            fill = filler(source)
            # Too short an answer leaves a hole, and the hash says so.
            while start < part.end and (count := fill(buffer[: part.end - start])):
                write_all(self._file, buffer[:count], start)
                start += count
        return start - part.start

    def _hash(self, end: int) -> None:
        buffer = memoryview(bytearray(CHUNK))
        while self._hashed < end:
            count = os.preadv(self._file, [buffer[: end - self._hashed]], self._hashed)
            if not count:  # a hole at the end that was never written
                os.ftruncate(self._file, end)
                continue
            self._total.update(buffer[:count])
            self._hashed += count


def copy(source: int, target: int, piece: Piece) -> None:
    """Copy a piece between files, in the kernel where it can (copy_file_range(2)); what the source lacks stays a
    hole."""
    done = 0
    with suppress(OSError):  # another file system, or an older kernel
        while source != target and done < piece.length:
            count = os.copy_file_range(source, target, piece.length - done, piece.source + done, piece.start + done)
            if not count:
                break
            done += count
    while done < piece.length:
        data = os.pread(source, min(CHUNK, piece.length - done), piece.source + done)
        if not data:
            break
        done += os.pwrite(target, data, piece.start + done)
