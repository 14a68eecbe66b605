"""The Pareto picture: each strategy's 99th percentile against its traffic between nodes, over all conditions. Pure."""

from __future__ import annotations

from seter.bench.compare import Compared
from seter.simulate.pictures import Axis, chart


def draw(found: Compared) -> str:
    """As SVG. A strategy's line goes through its conditions, from the calmest to the slowest; those that no other beats
    have a star."""
    lines = {}
    for name in dict.fromkeys(row.strategy for row in found.rows):
        points = [
            (row.p99.median * 1e3, row.cross.median if row.cross else 0.0) for row in found.rows if row.strategy == name
        ]
        lines[f"{name} *" if name in found.unbeaten else name] = sorted(points)
    slowest = max([10.0, *(x for points in lines.values() for x, _ in points)])
    ticks = [(value, f"{value:g}") for value in (1.0, 10.0, 100.0, 1000.0, 10_000.0) if value <= slowest * 1.01]
    fastest = min([1.0, *(x for points in lines.values() for x, _ in points if x > 0)])
    across = Axis("p99, ms", fastest, slowest * 1.1, ticks, log=True)
    up = Axis("of requests are answered by another node", 0.0, 1.0, [(n / 4, f"{25 * n} %") for n in range(5)])
    return chart("Latency against traffic between nodes; * none is better in all", across, up, lines)
