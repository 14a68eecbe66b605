"""The verbs that look at what was, and go back to it, one small function each."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from common import console
from common.cli import Json, Store, Systems, Yes
from common.errors import BadInput
from seter.cli.asked import (
    CutAfter,
    Instance,
    State,
    SystemName,
    TakeOver,
    TargetName,
    Wait,
    Why,
    claimed,
    confirmed,
    deployment_of,
    request,
    show_outcome,
)  # fmt: skip

if TYPE_CHECKING:
    from seter.diff import Changed
    from seter.history import History, Run
    from seter.keep.interface import Cells

RunNumber = Annotated[str, typer.Argument(metavar="RUN", help="Its number, as seter history shows it.")]


def history(
    system: SystemName, target: TargetName, instance: Instance = "main", state: State = None, json: Json = False
) -> None:
    """Show every run: when, who, what, how long it took, how it ended; the newest first.

    Exit codes: 0 shown, 9 state unavailable.
    """
    from seter.history import RUNNING
    from seter.lease import holders

    runs, held = _runs(system, target, instance, state)
    found = runs.runs()
    if json:
        hidden = ("artifacts", "steps", "words")
        rows = [{key: value for key, value in console.fields_of(run).items() if key not in hidden} for run in found]
        console.json_result([row | {"seconds": run.seconds} for row, run in zip(rows, found, strict=True)])
        return

    def ended(run: Run) -> str:
        return "cut off" if run.result == RUNNING and not holders(held) else run.result

    table = [
        (str(run.number), f"{run.started:%Y-%m-%d %H:%M:%S}", run.who, _words(run), _took(run), ended(run), run.reason)
        for run in found
    ]
    console.table(("run", "began (UTC)", "who", "what", "took", "result", "why"), table)


def show(
    system: SystemName,
    target: TargetName,
    run: RunNumber,
    instance: Instance = "main",
    state: State = None,
    file: Annotated[
        str, typer.Option("--file", metavar="PATH", help="Print this definition, or NODE/ROLE/PATH of a configuration.")
    ] = "",
    json: Json = False,
) -> None:
    """Show one run: artefacts, steps, files; or one of its files.

    Exit codes: 0 shown, 2 no such run or file, 8 it is damaged, 9 state unavailable.
    """
    from seter.diff import configuration_of, definition_of
    from seter.history import number_of

    runs, _ = _runs(system, target, instance, state)
    found = runs.find(number_of(run))
    files = {}
    if file or json:
        files = definition_of(runs, found.number) | configuration_of(runs, found.number)
    if file:
        if file not in files:
            raise BadInput(f"run {run} has no file {file!r}", resolution="seter show --json lists its files.")
        console.result(files[file].data.decode(errors="replace"))
    elif json:
        console.json_result(console.fields_of(found) | {"seconds": found.seconds, "files": sorted(files)})
    else:
        _show(found)


def diff(
    system: SystemName,
    target: TargetName,
    before: RunNumber,
    after: Annotated[str, typer.Argument(metavar="RUN", help="The other one; else the newest.")] = "",
    instance: Instance = "main",
    state: State = None,
    json: Json = False,
) -> None:
    """Show what is different between two runs: definitions, artefacts, every node's configuration.

    Exit codes: 0 shown, 2 no such run, 8 one is damaged, 9 state unavailable.
    """
    from seter.diff import diff as compare
    from seter.history import number_of

    runs, _ = _runs(system, target, instance, state)
    newest = runs.last()
    found = compare(runs, number_of(before), number_of(after) if after else newest.number if newest else 0)
    if json:
        console.json_result(found)
        return
    if found.is_empty:
        console.result(f"runs {found.before} and {found.after} are the same")
    _show_changes(found.definitions)
    for moved in found.artifacts:
        console.result(f"{moved.name}: {moved.before or 'nothing'} → {moved.after or 'nothing'}")
    _show_changes(found.configuration)


def rollback(
    system: SystemName,
    target: TargetName,
    run: Annotated[str, typer.Argument(metavar="RUN", help="Where to; without it, where one can go is shown.")] = "",
    instance: Instance = "main",
    systems: Systems = None,
    store: Store = None,
    state: State = None,
    yes: Yes = False,
    cut_after: CutAfter = 30,
    wait: Wait = "",
    take_over: TakeOver = "",
    why: Why = "",
    json: Json = False,
) -> None:
    """Go back to what an earlier run made: its definitions and digests, by an ordinary deploy.

    Exit codes: as deploy; 2 for a run that did not get through, 8 if one of its artefacts is revoked or damaged.
    """
    from seter.history import number_of
    from seter.rollback import rollback as go_back
    from seter.rollback import ways

    claim = claimed(wait, take_over, why)
    asked = request(system, target, instance, systems, store, state, claim=claim)
    if not run:
        found = ways(asked)
        rows = [
            (str(way.number), f"{way.finished:%Y-%m-%d %H:%M:%S}", way.who, way.verb, _there(way.missing), way.reason)
            for way in found
        ]
        heads = ("run", "ended (UTC)", "who", "what", "artefacts", "why")
        console.json_result(found) if json else console.table(heads, rows)
        return
    confirm, within = confirmed(yes), timedelta(seconds=cut_after)
    outcome = go_back(asked, number_of(run), report=console.reporter(), confirm=confirm, cut_after=within)
    show_outcome(asked, outcome, json)


def reproduce(
    system: SystemName,
    target: TargetName,
    run: RunNumber,
    instance: Instance = "main",
    as_instance: Annotated[str, typer.Option("--as-instance", metavar="NAME", help="Instance to make.")] = "",
    as_target: Annotated[str, typer.Option("--as-target", metavar="NAME", help="Target to make it on.")] = "",
    systems: Systems = None,
    store: Store = None,
    state: State = None,
    yes: Yes = False,
    cut_after: CutAfter = 30,
    wait: Wait = "",
    take_over: TakeOver = "",
    why: Why = "",
    json: Json = False,
) -> None:
    """Make the same system once more, from an earlier run's definitions and digests, as another instance or target.

    Exit codes: as deploy.
    """
    from seter.history import number_of
    from seter.rollback import reproduce as make_again

    claim = claimed(wait, take_over, why)
    source = request(system, target, instance, systems, store, state)
    asked = request(system, as_target or target, as_instance or instance, systems, store, state, claim=claim)
    confirm, within = confirmed(yes), timedelta(seconds=cut_after)
    number, report = number_of(run), console.reporter()
    show_outcome(asked, make_again(asked, source, number, report=report, confirm=confirm, cut_after=within), json)


def _runs(system: str, target: str, instance: str, state: str | None) -> tuple[History, Cells]:
    from seter.history import History
    from seter.keep import open_keep

    keep = open_keep(deployment_of(system, target, instance), state)
    return History(keep), keep.cells


def _words(run: Run) -> str:
    only = f" of {', '.join(run.groups)}" if run.groups else ""
    origin = f"{' to ' if run.verb == 'rollback' else ' of '}{run.origin}" if run.origin else ""
    return f"{run.verb}{only}{origin}"


def _took(run: Run) -> str:
    return f"{run.seconds:.1f} s" if run.seconds is not None else ""


def _there(missing: tuple[str, ...]) -> str:
    return f"missing: {', '.join(missing)}" if missing else "all there"


def _show(run: Run) -> None:
    said = {
        "run": f"{run.number} of {run.deployment}",
        "what": _words(run),
        "who": run.who,
        "why": run.reason,
        "began": run.started.isoformat(timespec="seconds"),
        "took": _took(run),
        "result": run.result,
        "plan": run.plan,
    }
    rows = [(key, value) for key, value in said.items() if value]
    rows += [("lease", word) for word in run.words]
    rows += [("artefact", f"{name} = {full}") for name, full in run.artifacts.items()]
    rows += [("step", step) for step in run.steps]
    console.table(("", ""), rows)


def _show_changes(found: tuple[Changed, ...]) -> None:
    for each in found:
        console.result("\n".join((f"{each.change} {each.path}", *(f"  {line}" for line in each.lines))))
