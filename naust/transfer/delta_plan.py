"""Where each byte of a blob comes from: which chunks an older version has, and which ranges are worth a request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from naust.content.chunks import Chunks, zeros
from naust.transfer.verified import PART

_GAIN = 10  # percent of a blob that must not have to be fetched
_EXTRA = 50  # a fiftieth more may be fetched, if that saves requests
_GAP = 1 << 18  # bytes that are rather fetched than asked around
COPY, ZERO, AGAIN, FETCH = "copy", "zero", "again", "fetch"


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of the blob and where they come from: `source` is an offset in the seed, or in the blob for AGAIN."""

    how: str
    start: int
    length: int
    source: int = 0

    @property
    def end(self) -> int:
        """Offset of the first byte behind it."""
        return self.start + self.length


def plan(wanted: Chunks, seed: Chunks | None) -> list[Piece]:
    """Where every byte comes from, in order and without gaps."""
    there = {digest: (offset, length) for offset, length, digest in seed or ()}
    return _with_fewer_requests(joined(_pieces(wanted, there)))


def _pieces(wanted: Chunks, there: dict[bytes, tuple[int, int]]) -> Iterator[Piece]:
    seen: dict[bytes, int] = {}
    for offset, length, digest in wanted:
        source, found = there.get(digest, (0, 0))
        if digest == zeros(length):
            yield Piece(ZERO, offset, length)
        elif found == length:
            yield Piece(COPY, offset, length, source)
        elif digest in seen:
            yield Piece(AGAIN, offset, length, seen[digest])
        else:
            seen[digest] = offset
            yield Piece(FETCH, offset, length)


def joined(pieces: Iterable[Piece]) -> list[Piece]:
    """Neighbours that continue each other as one."""
    found: list[Piece] = []
    for piece in pieces:
        last = found[-1] if found else None
        follows = last is not None and last.how == piece.how
        if last is not None and follows and (piece.how in (ZERO, FETCH) or last.source + last.length == piece.source):
            found[-1] = Piece(last.how, last.start, last.length + piece.length, last.source)
        else:
            found.append(piece)
    return found


def _with_fewer_requests(pieces: list[Piece]) -> list[Piece]:
    """Small gaps between two ranges are fetched too, the smallest first, up to a fiftieth of what must be fetched."""
    left = sum(piece.length for piece in pieces if piece.how == FETCH) // _EXTRA
    inner = range(1, len(pieces) - 1)
    gaps = [at for at in inner if pieces[at].how != FETCH and pieces[at - 1].how == pieces[at + 1].how == FETCH]
    chosen = set()
    for at in sorted(gaps, key=lambda at: pieces[at].length):
        left -= pieces[at].length
        if left < 0 or pieces[at].length > _GAP:
            break
        chosen.add(at)
    return joined(Piece(FETCH, p.start, p.length) if at in chosen else p for at, p in enumerate(pieces))


def worth(pieces: Iterable[Piece], size: int) -> bool:
    """Whether enough of so many bytes need not be fetched."""
    fetched = sum(piece.length for piece in pieces if piece.how == FETCH)
    return (size - fetched) * 100 >= size * _GAIN


def behind(pieces: Iterable[Piece], have: int) -> list[Piece]:
    """What is not all there yet."""
    return [piece for piece in pieces if piece.end > have]


def parts(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """What is to be fetched, in requests that are not too long."""
    for piece in pieces:
        if piece.how == FETCH:
            for start in range(piece.start, piece.end, PART):
                yield Piece(FETCH, start, min(PART, piece.end - start))
