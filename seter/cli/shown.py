"""A plan as a person reads it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from common import console

if TYPE_CHECKING:
    from seter.affected import Affected
    from seter.preview import Detail, Preview


def show_plan(found: Preview, *, brief: bool) -> None:
    """The steps as a table; then order and files as lines, unless it is to be `brief`, which is for programs."""
    for node, why in found.untold:
        console.note(f"cannot tell what {node} needs: {why}")
    if not found.steps:
        console.result(f"{found.deployment}: no change")
        return
    rows = [
        (step.group, step.node, step.role, step.act.value, step.verdict.value, _because(step)) for step in found.steps
    ]
    title = f"{found.deployment}: {len(rows)} steps, compared with {found.basis}"
    console.table(("group", "node", "role", "act", "verdict", "reason"), rows, title=title)
    if not brief:
        order = (f"{number}. {stage}" for number, stage in enumerate(found.order, 1))
        unchanged = f"no change: {len(found.unchanged)} roles on nodes"
        console.result("\n".join((unchanged, *order, *_files(found))))


def show_affected(found: Affected, json: bool) -> None:
    """Where a package runs."""
    if json:
        console.json_result(found)
        return
    rows = [(each.node, each.role, each.artifact, ", ".join(each.packages), each.by) for each in found.affected]
    console.table(("node", "role", "artefact", "contains", "known from"), rows)
    console.note(f"{len(found.affected)} of {found.looked_at} processes run with {found.query}")
    if found.unknown:
        console.note(f"nobody knows what is in: {', '.join(' '.join(each) for each in found.unknown)}")


def _because(step: Detail) -> str:
    """Why it is done, what it starts from, and what becomes of a machine."""
    reason = f"{step.reason}; {step.because}" if step.because else ""
    return "; ".join((reason or _with_artifact(step.reason, step.before, step.after), *step.machine))


def _with_artifact(reason: str, before: str, after: str) -> str:
    return f"{reason}: {before} → {after}" if before and after and before != after else reason


def _files(found: Preview) -> Iterator[str]:
    """What changes alike on several nodes is shown once."""
    alike: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for each in found.files:
        node, _, path = each.path.partition("/")
        lines = tuple(line for line in each.lines if not line.startswith(("--- ", "+++ ")))
        alike.setdefault((path, each.change, lines), []).append(node)
    for (path, change, lines), nodes in alike.items():
        if change == "added":
            yield f"added {path} on {', '.join(nodes)}: {len(lines) - 1} lines"
            continue
        if not lines:
            yield f"{path} on {', '.join(nodes)}: {change}"
            continue
        yield f"{change} {path} on {', '.join(nodes)}"
        yield from (f"  {line}" for line in lines)
