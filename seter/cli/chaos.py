"""The verb for experiments. What it does is in `seter.chaos`."""

from __future__ import annotations

import json as codec
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common import console
from common.cli import Json, Store, Systems, Yes
from seter.cli.asked import Instance, State, SystemName, TargetName, ask, request

if TYPE_CHECKING:
    from seter.chaos.experiments import Experiment
    from seter.chaos.run import Outcome

Names = Annotated[list[str] | None, typer.Argument(metavar="[EXPERIMENT…]", help="Which; without any the default set.")]


def chaos(
    system: SystemName,
    target: TargetName,
    names: Names = None,
    every: Annotated[bool, typer.Option("--all", help="All experiments, not only the default set.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="Show what there is, touch nothing.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take back what a killed run left, no more.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Keep journals and what was seen.")
    ] = None,
    instance: Instance = "main",
    systems: Systems = None,
    store: Store = None,
    state: State = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Break things on purpose, under load, take them back, and say whether it cost more than is allowed.

    Exit codes: 0 all held, 1 some did not, 2 bad input, not confirmed or a target not marked for experiments, 7 deploy
    first, 130 interrupted; what was done is taken back.
    """
    from seter.chaos.run import chaos as experiment
    from seter.chaos.run import tidy

    asked = request(system, target, instance, systems, store, state)
    if listed:
        _show_list(_all(system, target, systems), json)
        return

    if undo:
        count = tidy(asked, console.reporter())
        console.json_result({"taken_back": count}) if json else console.result(f"{count} things were taken back")
        return

    def confirm(wanted: Sequence[Experiment]) -> None:
        for each in wanted:
            console.note(f"  {each.name}: {each.title}; touches {', '.join(each.touches) or 'nothing'}")
        if not yes:
            ask(f"Do this to {asked.deployment}, one after the other, while it is used?")

    def ended(outcome: Outcome) -> None:
        if out is not None:
            _keep(out, outcome)

    outcomes = experiment(asked, names or (), console.reporter(), confirm, every=every, ended=ended)
    if json:
        console.json_result([{"held": each.held, **asdict(each)} for each in outcomes])
    else:
        rows = [
            ("good" if verdict.ok else "BAD", each.experiment, verdict.check, verdict.measured, verdict.expected)
            for each in outcomes
            for verdict in each.verdicts
        ]
        console.table(("verdict", "experiment", "what", "measured", "allowed"), rows)
        bad = sum(not each.held for each in outcomes)
        console.result(f"{len(outcomes) - bad} of {len(outcomes)} experiments cost no more than is allowed")
    if not all(each.held for each in outcomes):
        raise typer.Exit(1)


def _all(system: str, target: str, systems: Systems) -> tuple[Experiment, ...]:
    from common.catalog import Catalog
    from seter.chaos.experiments import all_of

    return all_of(*Catalog.open(systems).definition(system, target))


def _show_list(found: Sequence[Experiment], json: bool) -> None:
    if json:
        console.json_result([{**asdict(each), "allowed": str(each.terms.allow)} for each in found])
        return
    rows = [
        (each.name, "yes" if each.terms.default else "no", ", ".join(each.touches), each.title, str(each.terms.allow))
        for each in found
    ]
    console.table(("experiment", "default", "touches", "what", "allowed"), rows)


def _keep(folder: Path, outcome: Outcome) -> None:
    """The journal as the Chaos Toolkit writes it, and beside it all that was seen."""
    from common.files import write_atomically

    folder.mkdir(parents=True, exist_ok=True)
    whole = asdict(outcome)
    journal = whole.pop("journal")
    write_atomically(folder / f"{outcome.experiment}.journal.json", codec.dumps(journal, indent=2, default=str))
    seen = {"held": outcome.held, **whole}
    write_atomically(folder / f"{outcome.experiment}.json", codec.dumps(seen, indent=2, default=str))
