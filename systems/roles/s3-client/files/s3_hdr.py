"""Histograms of times in the form of HdrHistogram, so that runs can be merged and others can read them.

The layout and the compressed form are those of HdrHistogram's version 2 (HdrHistogram/HdrHistogram, class
`AbstractHistogram`, `encodeIntoCompressedByteBuffer`), with a lowest value of 1, a highest of `HIGHEST`, and 3 digits
that count.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterator

HIGHEST = 3_600_000_000  # microseconds: an hour; what takes longer is counted as that
DIGITS = 3
_HALF_BITS = (
    10  # 2 * 10^DIGITS values are told apart: 2^11, of which the upper half is used by all but the first bucket
)
_HALF = 1 << _HALF_BITS
_COOKIE, _COMPRESSED = 0x1C849313, 0x1C849314
_HEADER = struct.Struct(">iiiiqqd")  # cookie, bytes of counts, offset, digits, lowest, highest, ratio
_OUTER = struct.Struct(">ii")  # cookie, compressed bytes
_MOST = 32 * _HALF  # counts that an hour in microseconds needs, with room


class Histogram:
    """Counts of values in microseconds, 1 to `HIGHEST`, each known to a thousandth."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.total = 0

    def record(self, seconds: float) -> None:
        """One value. Below a microsecond is 0, above an hour is an hour."""
        index = _index_of(min(max(0, round(seconds * 1e6)), HIGHEST))
        self.counts[index] = self.counts.get(index, 0) + 1
        self.total += 1

    def add(self, other: Histogram) -> None:
        """All values of another one."""
        for index, count in other.counts.items():
            self.counts[index] = self.counts.get(index, 0) + count
        self.total += other.total

    def percentile(self, percent: float) -> float | None:
        """Seconds that `percent` of the values do not exceed; None when there is no value."""
        wanted, seen = max(1, int(percent / 100 * self.total + 0.5)), 0
        for index in sorted(self.counts):
            seen += self.counts[index]
            if seen >= wanted:
                return _highest_of(index) / 1e6
        return None

    def mean(self) -> float | None:
        """Seconds; None when there is no value."""
        if not self.total:
            return None
        return (
            sum((_lowest_of(index) + _highest_of(index)) / 2 * n for index, n in self.counts.items()) / self.total / 1e6
        )

    def encoded(self) -> str:
        """HdrHistogram's compressed form, in base64. Pure."""
        payload = b"".join(_varints(self.counts))
        whole = _HEADER.pack(_COOKIE, len(payload), 0, DIGITS, 1, HIGHEST, 1.0) + payload
        packed = zlib.compress(whole)
        return base64.b64encode(_OUTER.pack(_COMPRESSED, len(packed)) + packed).decode()

    @classmethod
    def decoded(cls, text: str) -> Histogram:
        """Of what `encoded`, or HdrHistogram with the same range, has written. Raises ValueError."""
        try:
            outer = base64.b64decode(text, validate=True)
            cookie, length = _OUTER.unpack_from(outer)
            whole = _inflated(outer[_OUTER.size : _OUTER.size + length])
            inner, size, offset, digits, lowest, highest, _ = _HEADER.unpack_from(whole)
        except (ValueError, struct.error, zlib.error) as fault:
            raise ValueError(f"no histogram: {fault}") from fault
        if (cookie, inner, offset, digits, lowest, highest) != (_COMPRESSED, _COOKIE, 0, DIGITS, 1, HIGHEST):
            raise ValueError("a histogram of another version, range or precision")
        found = cls()
        found.counts = _counts(whole[_HEADER.size : _HEADER.size + size])
        found.total = sum(found.counts.values())
        return found


def summary(histogram: Histogram) -> dict[str, float | int | str | None]:
    """What a report tells of one: percentiles and mean in seconds, and the histogram itself."""
    return {
        "count": histogram.total,
        "mean": _rounded(histogram.mean()),
        "p50": _rounded(histogram.percentile(50)),
        "p90": _rounded(histogram.percentile(90)),
        "p99": _rounded(histogram.percentile(99)),
        "p999": _rounded(histogram.percentile(99.9)),
        "max": _rounded(histogram.percentile(100)),
        "histogram": histogram.encoded(),
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


def _index_of(value: int) -> int:
    shift = max(0, value.bit_length() - _HALF_BITS - 1)
    return (shift << _HALF_BITS) + (value >> shift)


def _lowest_of(index: int) -> int:
    shift = max(0, (index >> _HALF_BITS) - 1)
    return (index - (shift << _HALF_BITS)) << shift


def _highest_of(index: int) -> int:
    return _lowest_of(index + 1) - 1


def _varints(counts: dict[int, int]) -> Iterator[bytes]:
    """Counts in the order of their values; zeros that follow each other are one negative number."""
    at = 0
    for index in sorted(counts):
        if index > at:
            yield _varint(at - index)
        yield _varint(counts[index])
        at = index + 1


def _varint(number: int) -> bytes:
    """ZigZag LEB128-64b9B: seven bits a byte, the ninth byte has eight."""
    rest, found = (number << 1) ^ (number >> 63), bytearray()
    while len(found) < 8 and rest > 0x7F:
        found.append(rest & 0x7F | 0x80)
        rest >>= 7
    found.append(rest)
    return bytes(found)


def _counts(payload: bytes) -> dict[int, int]:
    found: dict[int, int] = {}
    at = index = 0
    while at < len(payload):
        number = shift = 0
        while True:
            if at == len(payload):
                raise ValueError("a histogram that is cut off")
            byte, at = payload[at], at + 1
            last = shift == 56
            number |= (byte if last else byte & 0x7F) << shift
            shift += 7
            if last or byte < 0x80:
                break
        number = (number >> 1) ^ -(number & 1)
        if number > 0:
            found[index] = number
        index += -number if number < 0 else 1
        if index > _MOST:
            raise ValueError("a histogram of more counts than it has room for")
    return found


def _inflated(packed: bytes) -> bytes:
    """Never more than a histogram can have. Raises zlib.error."""
    machine = zlib.decompressobj()
    whole = machine.decompress(packed, _HEADER.size + 9 * _MOST)
    if not machine.eof:
        raise zlib.error("more than a histogram can have, or cut off")
    return whole
