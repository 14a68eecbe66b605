"""Line charts as SVG: few lines, each with a dash and a mark of its own, so that they can be told apart without colour.

Written by hand, since the same numbers have to give the same bytes on every machine: a test compares them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 800, 410
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 250, 60, 50  # pixels around the plot
_DASHES = ("", "7 4", "2 3", "10 3 2 3", "14 4", "1 5")
_INKS = ("#000000", "#0b5cad", "#b03a00", "#3d7a1f", "#7a2f8f", "#555555")  # dark enough on white (4.5:1)


@dataclass(frozen=True, slots=True)
class Axis:
    """From one value to another, with `ticks` between them. `log` needs values above 0."""

    name: str
    first: float
    last: float
    ticks: Sequence[tuple[float, str]]
    log: bool = False

    def at(self, value: float) -> float:
        """From 0 to 1; what is outside goes to the edge."""
        scale: Callable[[float], float] = math.log if self.log else float
        low, high = scale(self.first), scale(self.last)
        return (scale(min(self.last, max(self.first, value))) - low) / (high - low)


def chart(title: str, across: Axis, up: Axis, lines: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """One picture; `lines` are points of (across, up) by their names, in the order of the legend. Pure."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
        ' font-size="13">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(_LEFT, 26, title, size=16),
        *_grid(across, up),
    ]
    for number, (name, points) in enumerate(lines.items()):
        parts += _line(number, name, [(_x(across, x), _y(up, y)) for x, y in points])
    return "\n".join([*parts, "</svg>"]) + "\n"


def _grid(across: Axis, up: Axis) -> list[str]:
    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    parts = [_text((_LEFT + right) / 2, HEIGHT - 10, across.name, anchor="middle"), _text(_LEFT, _TOP - 14, up.name)]
    for value, words in up.ticks:
        y = _y(up, value)
        parts += [
            f'<path d="M{_LEFT} {y:.1f}H{right}" stroke="#cccccc"/>',
            _text(_LEFT - 8, y + 4, words, anchor="end"),
        ]
    for value, words in across.ticks:
        x = _x(across, value)
        parts += [f'<path d="M{x:.1f} {bottom}v5" stroke="#000000"/>', _text(x, bottom + 20, words, anchor="middle")]
    return [*parts, f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" stroke="#000000"/>']


def _line(number: int, name: str, points: Sequence[tuple[float, float]]) -> list[str]:
    ink, dash = _INKS[number % len(_INKS)], _DASHES[number % len(_DASHES)]
    style = f'fill="none" stroke="{ink}" stroke-width="2"' + (f' stroke-dasharray="{dash}"' if dash else "")
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    x, y = WIDTH - _RIGHT + 14, _TOP + 10 + 22 * number
    return [
        f'<path d="{path}" {style}/>',
        *(_mark(number, ink, *point) for point in points),
        f'<path d="M{x} {y}h34" {style}/>',
        _mark(number, ink, x + 17, y),
        _text(x + 42, y + 4, name),
    ]


def _mark(number: int, ink: str, x: float, y: float) -> str:
    shapes = (
        f"M{x - 4:.1f} {y:.1f}a4 4 0 1 0 8 0a4 4 0 1 0 -8 0",
        f"M{x - 4:.1f} {y - 4:.1f}h8v8h-8z",
        f"M{x:.1f} {y - 5:.1f}l5 9h-10z",
        f"M{x:.1f} {y - 5:.1f}l5 5l-5 5l-5 -5z",
        f"M{x:.1f} {y + 5:.1f}l5 -9h-10z",
        f"M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8",
    )
    return f'<path d="{shapes[number % len(shapes)]}" fill="{ink}" stroke="{ink}"/>'


def _text(x: float, y: float, words: str, *, size: int = 0, anchor: str = "") -> str:
    more = (f' font-size="{size}"' if size else "") + (f' text-anchor="{anchor}"' if anchor else "")
    return f'<text x="{x:.1f}" y="{y:.1f}"{more}>{escape(words)}</text>'


def _x(axis: Axis, value: float) -> float:
    return _LEFT + (WIDTH - _LEFT - _RIGHT) * axis.at(value)


def _y(axis: Axis, value: float) -> float:
    return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * axis.at(value)
