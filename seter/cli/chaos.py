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
    from seter.chaos.run import Ended
    from seter.report.model import Run

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
    from seter.chaos.told import run_of
    from seter.report.stored import to_json

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

    done = experiment(
        asked, names or (), console.reporter(), confirm, every=every, ended=lambda one: _journal(out, one)
    )
    run = run_of(done, ("seter", *_words(system, target, instance, names or (), every)))
    if out is not None:
        _write(out, run)
    if json:
        console.result(to_json(run))
    else:
        _show(run)
    if not all(each.outcome.is_good for each in run.experiments):
        raise typer.Exit(1)


def _words(system: str, target: str, instance: str, names: Sequence[str], every: bool) -> tuple[str, ...]:
    """The command again, without where this machine has its files."""
    more = ("--instance", instance) if instance != "main" else ()
    return ("chaos", system, "--target", target, *more, *names, *(["--all"] if every else []))


def _show(run: Run) -> None:
    from seter.report.figures import reason
    from seter.report.model import Outcome as Verdict
    from seter.report.text import measure

    rows = [
        (each.outcome.value, each.name, allowance.what, measure(allowance.measured, allowance.unit),
         measure(allowance.allowed, allowance.unit))
        for each in run.experiments
        for allowance in each.allowances
    ]  # fmt: skip
    console.table(("verdict", "experiment", "what", "measured", "allowed"), rows)
    for each in run.experiments:
        if not each.outcome.is_good or each.outcome.value == "skipped":
            console.note(f"{each.name}: {reason(each)}")
    held = sum(each.outcome is Verdict.HELD for each in run.experiments)
    console.result(f"{held} of {len(run.experiments)} experiments cost no more than is allowed")


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


def _journal(folder: Path | None, ended: Ended) -> None:
    """As the Chaos Toolkit writes it."""
    from common.files import write_atomically

    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        text = codec.dumps(dict(ended.journal), indent=2, default=str)
        write_atomically(folder / f"{ended.experiment.name}.journal.json", text)


def _write(folder: Path, run: Run) -> None:
    """All that was seen, the page of it, and what CI reads."""
    from common.files import write_atomically
    from seter.report.report import report as write
    from seter.report.stored import to_json

    file = folder / "run.json"
    write_atomically(file, to_json(run))
    write([file], html=folder / "report.html", xml=folder / "junit.xml")
    console.note(f"the page is {folder / 'report.html'}")
