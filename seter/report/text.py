"""Numbers and words as a report shows them. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

# Right-to-left marks let a name read as another one (Unicode TR 36, 2.5).
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def clean(text: str) -> str:
    """The text with U+FFFD for what neither HTML nor XML may have in it (XML 1.0, 2.2; HTML, "Preprocessing the input
    stream"), and for marks that turn the direction of writing."""
    return text if text.isascii() and text.isprintable() else "".join(map(_clean, text))


def _clean(letter: str) -> str:
    if letter in "\n\t":
        return letter
    code = ord(letter)
    is_none = code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF
    return "\ufffd" if is_none or letter in _TURNING or unicodedata.category(letter) in ("Cc", "Cs") else letter


def figure(number: float) -> str:
    """Three digits that count, and no more: `0.0123`, `1.23`, `12.3`, `1,234`."""
    if number == 0 or abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.3g}" if abs(number) >= 0.001 else f"{number:.1g}"


def latency(seconds: float | None) -> str:
    """`850 µs`, `12.3 ms`, `1.5 s`; `none` where nothing was measured."""
    if seconds is None:
        return "none"
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if abs(seconds) >= size:
            return f"{figure(seconds / size)} {unit}"
    return f"{figure(seconds * 1e6)} µs" if seconds else "0 s"


def measure(value: float | None, unit: str) -> str:
    """A measured value with its unit; times are shown as times."""
    if value is None:
        return "not measured"
    return latency(value) if unit == "s" else f"{figure(value)} {unit}".rstrip()


def clock(seconds: float) -> str:
    """A place on the timeline: `0:07`, `12:30`, `1:02:03`; tenths where there are some."""
    tenths = round(seconds * 10)
    whole, rest = divmod(abs(tenths), 10)
    hours, minutes = divmod(whole // 60, 60)
    text = f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
    return ("-" if tenths < 0 else "") + text + (f".{rest}" if rest else "")


def count(number: int, one: str, several: str = "") -> str:
    """`1 experiment`, `2 experiments`."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def listed(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))
