"""Numbers with their unit, in few letters. Pure."""

from __future__ import annotations

import math

_SECONDS = (("d", 86400.0), ("h", 3600.0), ("m", 60.0), ("s", 1.0), ("ms", 1e-3), ("µs", 1e-6))
_BYTES = (("TiB", 1024.0**4), ("GiB", 1024.0**3), ("MiB", 1024.0**2), ("KiB", 1024.0), ("B", 1.0))


def amount(number: float, unit: str) -> str:
    """`12.3 ms`, `5.1 MiB/s`, `0.2 %`, `34 /s`; any other unit stands as it is."""
    if not math.isfinite(number):
        return "endless" if number > 0 else "-endless"
    if unit == "s":
        return _scaled(number, _SECONDS)
    if unit in ("B", "B/s"):
        return _scaled(number, _BYTES) + unit[1:]
    if unit == "ratio":
        return f"{_short(100 * number)} %"
    return f"{_short(number)} {unit}".rstrip()


def _scaled(number: float, units: tuple[tuple[str, float], ...]) -> str:
    for unit, size in units:
        if abs(number) >= size:
            return f"{_short(number / size)} {unit}"
    return f"{_short(number / units[-1][1])} {units[-1][0]}"


def _short(number: float) -> str:
    """Three digits, without an exponent: more are not read in a second."""
    if abs(number) >= 100 or number == int(number):
        return f"{number:.0f}"
    return f"{number:.{1 if abs(number) >= 10 else 2}f}".rstrip("0").rstrip(".")
