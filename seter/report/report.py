"""`seter report`: saved runs as one page for people, and as JUnit XML and JSON for CI."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import BadInput
from common.files import write_atomically
from seter.report.figures import Change, compared, reason, verdict
from seter.report.junit import junit
from seter.report.model import Outcome, Run
from seter.report.page import render
from seter.report.stored import LONGEST, many_to_json, merged, runs_of


@dataclass(frozen=True, slots=True)
class Told:
    """An experiment in a line."""

    name: str
    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True)
class Reported:
    """The newest of the runs, in short, and what is different from the one before."""

    runs: int
    deployment: str
    began: str
    outcome: Outcome
    verdict: str
    experiments: tuple[Told, ...]
    changes: tuple[Change, ...]


def report(
    files: Sequence[Path], *, html: Path | None = None, xml: Path | None = None, merge: Path | None = None
) -> Reported:
    """Read runs from files and write what is asked for: the page `html` of the newest run, compared with the one
    before, JUnit `xml` of the newest, all runs in one file `merge`. Raises BadInput."""
    runs = read(files)
    run, earlier = runs[-1], runs[-2] if len(runs) > 1 else None
    if html is not None:
        write_atomically(html, render(run, earlier, runs[:-1]))
    if xml is not None:
        write_atomically(xml, junit(run))
    if merge is not None:
        write_atomically(merge, many_to_json(runs))
    return Reported(
        len(runs),
        run.deployment,
        run.began.isoformat(),
        run.outcome,
        verdict(run),
        tuple(Told(each.name, each.outcome, reason(each)) for each in run.experiments),
        compared(run, earlier) if earlier is not None else (),
    )


def read(files: Sequence[Path]) -> tuple[Run, ...]:
    """All runs of these files, the oldest first, each once. Raises BadInput."""
    found = [run for file in files for run in runs_of(_text(file), str(file))]
    if not found:
        raise BadInput("there is no run in these files", resolution="Give files that seter has saved runs to.")
    return merged(found)


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > LONGEST:
            raise BadInput(f"{file} is longer than a run can be", resolution="Give what seter has written, as it is.")
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{file} cannot be read: {error}", resolution="Give what seter has saved a run to.") from error
