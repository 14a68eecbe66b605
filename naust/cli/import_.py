"""naust import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common import console
from common.cli import Json
from common.errors import BadInput

if TYPE_CHECKING:
    from naust.export.contents import Checked


def import_(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that `naust export --system` wrote.")],
    dest: Annotated[str | None, typer.Option("--to", help="Store to copy everything into.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Only see that it is whole; copy nothing.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="With --check: names and sizes, not bytes.")] = False,
    key: Annotated[list[Path] | None, typer.Option("--key", help="Public key; one of these must have signed.")] = None,
    json: Json = False,
) -> None:
    """Check what an export brought, every byte of it, and copy it into a store.

    Artefacts, signatures and snapshots keep their names and digests. Without --key a signature is not looked at, and
    the disk may be from anybody.

    Exit codes: 0 whole, and copied; 1 no space; 2 bad input; 4 some artefacts were not copied; 7 a name stands for
    something else there; 8 the disk is damaged, not complete or not signed, and nothing was copied; 9 the store does
    not answer.
    """
    from naust.proof.keys import load_public

    if (dest is None) != check or (quick and not check):
        raise BadInput("nobody says where to", resolution="Give --to STORE, or --check [--quick] to copy nothing.")
    keys = [load_public(path) for path in key or ()]
    if check:
        from naust.export import contents

        checked = contents.check(folder, keys, quick=quick, report=console.reporter())
        console.json_result(checked) if json else _whole(folder, checked, quick)
        return
    from naust import copy as copying
    from naust.export.taken import take
    from naust.store import open_store

    store = open_store(dest)
    checked, found = take(folder, store, keys, report=console.reporter())
    if json:
        console.json_result({"checked": checked, "copied": found})
    else:
        _whole(folder, checked, False)
        console.result("\n".join(each.reference for each in found if not each.error))
    copying.check(found, store)


def _whole(folder: Path, checked: Checked, quick: bool) -> None:
    signed = f"signed by {checked.signer}" if checked.signer else "nobody asked who signed it (--key)"
    signed = signed if checked.is_signed else "not signed"
    how = "has the right names and sizes" if quick else "is whole"
    console.note(f"{folder} {how}: {checked.files} files, {console.amount(checked.size)}; {signed}")
