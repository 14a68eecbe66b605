"""The verb that says what cannot be tried: `simulate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common import console
from common.cli import Json, Systems
from common.errors import BadInput
from seter.cli.asked import Instance, State, SystemName, deployment_of, duration_of

if TYPE_CHECKING:
    from common.system import Rollout
    from seter.simulate.report import Found

TargetOrNone = Annotated[
    str, typer.Option("--target", help="Take the seconds of a step from this deployment's history.")
]
Gateways = Annotated[str, typer.Option("--gateways", metavar="N,…", help="Numbers of gateways, 2 to 64.")]
Flows = Annotated[int, typer.Option("--flows", min=1, help="Flows under way at once, over all gateways.")]
Variation = Annotated[float, typer.Option("--variation", min=0.0, help="Of their rates: standard deviation over mean.")]
Limit = Annotated[float, typer.Option("--limit", min=0.01, max=1.0, help="Of what a gateway carries, so much is used.")]
Lifetime = Annotated[str, typer.Option("--lifetime", metavar="DURATION", help="How long a flow lives, on average.")]
Step = Annotated[str, typer.Option("--step", metavar="DURATION", help="How long a node takes, without the watch.")]
Seed = Annotated[int, typer.Option("--seed", help="The same seed draws the same flows.")]
Pictures = Annotated[
    Path | None, typer.Option("--pictures", metavar="FOLDER", help="Write the pictures there, as SVG.")
]
MOST = 64  # gateways: the ring's limit (decision 0020)


def simulate(
    system: SystemName,
    target: TargetOrNone = "",
    instance: Instance = "main",
    gateways: Gateways = "",
    flows: Flows = 10_000,
    variation: Variation = 1.0,
    limit: Limit = 0.8,
    lifetime: Lifetime = "60s",
    step: Step = "",
    seed: Seed = 1,
    pictures: Pictures = None,
    systems: Systems = None,
    state: State = None,
    json: Json = False,
) -> None:
    """Compute what cannot be tried: broken flows and capacity of 2 to 64 gateways, roll-outs over 10 to 10,000 nodes.

    Exit codes: 0 shown, 2 bad input, 9 state unavailable.
    """
    from common.catalog import Catalog
    from seter.simulate import report

    rules = Catalog.open(systems).system(system).rollout
    seconds = duration_of("--step", step).total_seconds() if step else None
    measured = _measured(system, target, instance, systems, state, rules) if target and seconds is None else None
    default = report.Assumed()
    found = report.simulate(
        report.Assumed(
            gateways=_numbers(gateways) if gateways else default.gateways,
            flows=flows,
            variation=variation,
            limit=limit,
            lifetime=duration_of("--lifetime", lifetime).total_seconds(),
            step=seconds or measured or default.step,
            measured=measured is not None,
            rules=rules,
            seed=seed,
        )
    )
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
        for name, text in report.pictures(found).items():
            (pictures / name).write_text(text, encoding="utf-8")
    if json:
        console.json_result(_fields(found))
    else:
        _show(found)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        found = tuple(sorted({int(word) for word in text.split(",")}))
    except ValueError:
        found = ()
    if not found or found[0] < 2 or found[-1] > MOST:
        raise BadInput(f"--gateways: {text!r} is no list of numbers from 2 to {MOST}", resolution="Write 3,8,16.")
    return found


def _measured(
    system: str, target: str, instance: str, systems: Path | None, state: str | None, rules: Rollout
) -> float | None:
    from common.catalog import Catalog
    from seter.history import History
    from seter.keep import open_keep
    from seter.simulate.durations import measured

    nodes = [node.name for node in Catalog.open(systems).target(system, target).nodes]
    history = History(open_keep(deployment_of(system, target, instance), state))
    whole = [history.find(run.number) for run in history.runs()[:50] if run.is_done]
    found = measured(whole, rules, nodes)
    if found is None:
        console.note("The history has no run that changed nodes and got through; --step says how long one takes.")
    return found


def _fields(found: Found) -> dict[str, object]:
    fields = console.fields_of(found)
    fields["needed"] = [
        {"load": load, "away": away, "gateways": gateways} for (load, away), gateways in found.needed.items()
    ]
    return fields


def _show(found: Found) -> None:
    from seter.simulate.durations import spoken
    from seter.simulate.flows import EVENTS

    shares = {(each.way, each.gateways, each.event): each for each in found.broken}
    rows = [
        (way, str(count), *(f"{shares[way, count, event].mean:.1%}" for event in EVENTS), f"{worst:.1%}")
        for way, count in dict.fromkeys((each.way, each.gateways) for each in found.broken)
        for worst in [max(shares[way, count, event].worst for event in EVENTS)]
    ]
    console.table(("flows broken: router", "gateways", *EVENTS, "at worst"), rows)
    costs = [
        (str(each.gateways), each.event, f"{each.share:.1%}", f"{each.hops:.1f}", str(each.most),
         f"{each.adds * 1e6:.0f} µs", spoken(each.lasts))
        for each in found.forwarding
    ]  # fmt: skip
    console.table(("gateways", "event", "handed on", "hops", "most", "adds at most", "until 1 % is left"), costs)
    rooms = [(str(each.gateways), str(each.away), f"{each.uneven:.2f}", f"{each.usable:.0%}") for each in found.room]
    console.table(("gateways", "away", "fullest / mean", "may be used"), rooms)
    needs = [(str(load), str(away), str(count) if count else "none") for (load, away), count in found.needed.items()]
    console.table(("load in gateways", "away", "gateways needed"), needs)
    step = f"{found.assumed.step:.1f} s a node{', measured' if found.assumed.measured else ''}"
    times = [(f"{each.nodes:,}", str(each.at_once), f"{each.batches:,}", spoken(each.seconds)) for each in found.takes]
    console.table(("nodes", "at once", "batches", f"takes ({step})"), times)
