"""naust promote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from common import console
from common.cli import Json, Store
from common.errors import BadInput
from naust.cli.opened import bare, opened

if TYPE_CHECKING:
    from naust.promote import Move


def promote(
    reference: Annotated[str, typer.Argument(help="KIND/NAME:VERSION or :CHANNEL; KIND/NAME is the newest.")],
    channel: Annotated[str, typer.Argument(help="Channel to move, such as production.")],
    store: Store = None,
    reason: Annotated[str, typer.Option(help="Why; kept in the history.")] = "",
    undo: Annotated[bool, typer.Option("--undo", help="Go back to what the channel stood for before.")] = False,
    history: Annotated[bool, typer.Option("--history", help="Show the channel's moves and change nothing.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look and say; move nothing.")] = False,
    json: Json = False,
) -> None:
    """Let a channel, such as production, stand for a version; with history and a way back.

    Two who move a channel at once: one wins, the other is told who. (A registry cannot compare and swap: there both
    may be told that they won, and the channel then stands for one of the two.)

    Exit codes: 0 moved, or there already; 2 no such artefact or channel, or nothing to go back to; 7 somebody else
    moved it meanwhile; 8 the artefact is damaged or revoked; 9 the store does not answer.
    """
    from naust import promote as verb

    source, address = opened(store, reference)
    wanted = bare(address)
    if history:
        moves = verb.history(source, str(address.reference).partition(":")[0], channel)
        console.json_result(moves) if json else console.table(_COLUMNS, [_row(each) for each in reversed(moves)])
        return
    if undo and (address.reference.tag or address.digest):
        raise BadInput("--undo takes no version", resolution=f"Write {wanted.partition(':')[0]} {channel} --undo.")
    act = verb.undo if undo else verb.promote
    found = act(source, wanted, channel, reason=reason, dry_run=dry_run, report=console.reporter())
    if json:
        console.json_result(found)
    else:
        said = "stands there already" if not found.changed else "would move" if dry_run else "moved"
        console.result(f"{found.reference} {said}: {found.move.version} {found.move.to}")


_COLUMNS = ("move", "when", "who", "to", "digest", "undoes", "why")


def _row(move: Move) -> tuple[str, ...]:
    undoes = str(move.undoes) if move.undoes else ""
    when = move.at.strftime("%Y-%m-%d %H:%M:%S")
    return str(move.number), when, move.who, move.version, move.to.short, undoes, move.reason
