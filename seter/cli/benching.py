"""The verb that compares strategies: `bench`."""

from __future__ import annotations

from collections.abc import Sequence
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common import console
from common.cli import Json, Store, Systems, Yes
from seter.cli.asked import Instance, State, SystemName, TargetName, ask, request

if TYPE_CHECKING:
    from common.bench_shapes import BenchList, Strategy
    from seter.bench.compare import Compared, Figure, Measured

Names = Annotated[list[str] | None, typer.Argument(metavar="[STRATEGY…]", help="Which; without any, all of bench.hcl.")]
Rounds = Annotated[int, typer.Option("--rounds", min=1, help="So often, to see how far figures spread.")]
Seconds = Annotated[float, typer.Option("--seconds", min=1.0, help="Of requests, for each strategy and condition.")]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Write each measurement there at once, as a line of JSON.")
]
Picture = Annotated[Path | None, typer.Option("--picture", metavar="FILE", help="Draw cost against cost, as SVG.")]


def bench(
    system: SystemName,
    target: TargetName,
    names: Names = None,
    rounds: Rounds = 3,
    seconds: Seconds = 10.0,
    out: Out = None,
    picture: Picture = None,
    instance: Instance = "main",
    systems: Systems = None,
    store: Store = None,
    state: State = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Deploy one strategy after the other, measure each alike, put back what was, and say which to take.

    Exit codes: 0 compared, 2 bad input, not confirmed or a target not marked for experiments, 7 deploy first, 130
    interrupted; what was there is deployed again.
    """
    from seter.bench.picture import draw
    from seter.bench.run import Terms
    from seter.bench.run import bench as compared

    asked = request(system, target, instance, systems, store, state)

    def confirm(listed: BenchList, strategies: Sequence[Strategy], node: str) -> None:
        slow = ", ".join(f"{each.slow} on {node} is made slow" for each in listed.conditions if each.slow)
        console.note(f"  {len(strategies)} strategies are deployed, {rounds} times each{'; ' if slow else ''}{slow}")
        if not yes:
            ask(f"Do this to {asked.deployment}?")

    def ended(measured: Measured) -> None:
        if out is not None:
            with out.open("a", encoding="utf-8") as lines:
                lines.write(dumps(console.plain(measured)) + "\n")

    found = compared(asked, names or (), Terms(rounds, seconds), console.reporter(), confirm, ended)
    if picture is not None:
        picture.write_text(draw(found), encoding="utf-8")
    if json:
        console.json_result(found)
    else:
        _show(found)


def _show(found: Compared) -> None:
    rows = [
        (
            row.strategy, row.condition, str(row.rounds), _spread(row.throughput, 1, 1), _spread(row.p50, 1e3, 1),
            _spread(row.p99, 1e3, 1), _spread(row.p999, 1e3, 1), _spread(row.failed, 1, 0),
            _spread(row.fairness, 1, 2), _spread(row.cross, 100, 0) if row.cross else "-",
        )
        for row in found.rows
    ]  # fmt: skip
    heads = (
        "strategy",
        "condition",
        "rounds",
        "req/s",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "failed",
        "fairness",
        "cross %",
    )
    console.table(heads, rows)
    if invalid := [each for each in found.measured if each.invalid]:
        console.note(f"{len(invalid)} of {len(found.measured)} runs are not valid: {invalid[0].invalid[0]}")
    if found.advice is not None:
        advice = found.advice
        sure = "" if advice.sure is None else f"; better than {advice.over} in {advice.sure:.0%} of pairs of rounds"
        console.result(f"take {advice.strategy}: {advice.reason}{sure}")
        console.result(f"none is better in all: {', '.join(found.unbeaten)}")


def _spread(figure: Figure, times: float, digits: int) -> str:
    low, mid, high = (f"{value * times:.{digits}f}" for value in (figure.low, figure.median, figure.high))
    return mid if low == high else f"{mid} ({low} to {high})"
