"""naust token."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from common import console
from common.cli import Json
from common.errors import BadInput


def token(
    action: Annotated[str, typer.Argument(help="new, list or revoke.")],
    name: Annotated[str, typer.Argument(help="Who gets it, such as ci or alice.")] = "",
    tokens: Annotated[Path, typer.Option(help="The file that `naust serve --tokens` reads.")] = Path("tokens"),
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help="read:, write: or admin: and a name, or its beginning and *.")
    ] = None,
    expires: Annotated[str, typer.Option(help="After how long it is worth nothing, such as 90d; never without.")] = "",
    json: Json = False,
) -> None:
    """Make a token for naust serve, list them, or revoke one.

    `new` prints the token once; the file has only its SHA-256. A running server sees changes at once.

    Exit codes: 0 done; 1 the file may not be read or written; 2 bad input, or no such token; 7 the name is taken.
    """
    from naust.serve.tokens import Scope, described, lifetime, new, read, revoke

    if action == "list" and not name:
        rows = [described(each) for each in read(tokens)]
        cells = [tuple(row.values()) for row in rows]
        console.json_result(rows) if json else console.table(("name", "scopes", "expires"), cells)
    elif action == "new" and name:
        console.result(new(tokens, name, tuple(map(Scope.parse, scope or ())), lifetime(expires)).value)
    elif action == "revoke" and name:
        revoke(tokens, name)
        console.note(f"revoked {name}")
    else:
        raise BadInput(f"cannot {action} {name}".rstrip(), resolution="Write new NAME, list, or revoke NAME.")
