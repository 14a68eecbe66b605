"""naust snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from common import console
from common.cli import Json, Store
from common.errors import BadInput
from naust.cli.sources import Sources, Tidy, defined, tidied

if TYPE_CHECKING:
    from naust.source.changes import Change
    from naust.store.interface import Store as OpenStore


def snapshot(
    names: Annotated[list[str], typer.Argument(metavar="SET | diff A B", help="A set, or two snapshots as SET:WHEN.")],
    sources: Sources = None,
    store: Store = None,
    view: Annotated[str, typer.Option("--as", help="Let this view stand for it, such as production.")] = "",
    check: Annotated[bool, typer.Option("--check", help="Read every byte, not only sizes.")] = False,
    tidy: Tidy = False,
    json: Json = False,
) -> None:
    """Make a dated, immutable view of a set of sources as they were mirrored last, or say how two differ.

    Nothing is copied, and nothing is made over a gap. WHEN is a day, a full tag, a view, or latest: the newest.

    Exit codes: 0 made, or there already; 2 bad input, or no state of a source; 4 files are missing or damaged, and
    nothing was made; 7 somebody else moved the view meanwhile; 8 damaged; 9 the store does not answer.
    """
    from naust.store import open_store

    where = open_store(store)
    if names[0] == "diff":
        _diff(where, names[1:], json)
        return
    if len(names) != 1:
        raise BadInput("one set at a time", resolution="Write naust snapshot SET, or naust snapshot diff A B.")
    from naust.source import snapshot as verb

    wanted = defined(sources).set(names[0])
    made = verb.make(where, wanted.name, wanted.sources, check=check, report=console.reporter())
    reference = str(made.snapshot.artifact.reference)
    if view:
        verb.show_as(where, reference, view, report=console.reporter())
    if tidy:
        tidied(where, [(wanted.name, wanted.keep)])
    if json:
        console.json_result(console.fields_of(made.snapshot.artifact) | {"changed": made.changed, "files": made.files})
    else:
        console.note(f"{made.files} files, {console.amount(made.size)}{'' if made.changed else '; as it was'}")
        console.result(f"{where.url}/{reference.replace(':', '/')}")


def _diff(store: OpenStore, pair: list[str], json: bool) -> None:
    from naust.source.changes import changes
    from naust.source.snapshot import named

    if len(pair) != 2:
        raise BadInput("two snapshots are compared", resolution="Write naust snapshot diff SET:WHEN SET:WHEN.")
    found = changes(store, *(named(store, each) for each in pair))
    console.json_result(found) if json else console.table(_COLUMNS, [_row(each) for each in found])


_COLUMNS = ("source", "package", "architecture", "before", "after", "from")


def _row(change: Change) -> tuple[str, ...]:
    same = change.before == change.after
    after = f"{' '.join(change.after)}{' (other bytes)' if same else ''}" or "-"
    mark = f"{change.origin} SECURITY" if change.security else change.origin
    return change.source, change.name, change.architecture, " ".join(change.before) or "-", after, mark
