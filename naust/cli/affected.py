"""naust affected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from common import console
from common.cli import Json, Store
from common.errors import Partial

if TYPE_CHECKING:
    from naust.affected import Affected, Answer

AFFECTED = 3
_SHOWN = 50  # artefacts that nobody knows anything of; --json has all
_COLUMNS = ("artefact", "version", "channels", "contains", "known from")


def affected(
    package: Annotated[str, typer.Argument(help="'openssl<3.5.5', 'a>=1,<2,b=3'; pypi:NAME for another kind.")],
    store: Store = None,
    channel: Annotated[str, typer.Option(help="Only what this channel stands for, such as production.")] = "",
    name: Annotated[str, typer.Option(help="Only names that begin so, such as container/.")] = "",
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit 3 when anything is affected.")] = False,
    json: Json = False,
) -> None:
    """Say which artefacts, and which channels, contain a package in these versions.

    Packages are found by their own name or their source's. It answers from the SBOMs, in Debian's order of versions
    (PyPI's for pypi); without an SBOM from the list of inputs, which is marked. What cannot be compared is marked with
    a question mark. Artefacts with neither are named on stderr: nobody knows what is in them.

    Exit codes: 0 answered; 2 bad input; 3 something is affected, with --exit-code; 4 some SBOMs cannot be read; 9 the
    store does not answer.
    """
    from naust.affected import affected as search
    from naust.affected import query
    from naust.store import open_store

    wanted = query(package)
    found = search(open_store(store), wanted, channel=channel, prefix=name)
    if json:
        console.json_result(found)
    else:
        console.table(_COLUMNS, [_row(each) for each in found.affected])
    _notes(found)
    if exit_code and found.affected:
        raise typer.Exit(AFFECTED)
    if found.unreadable:
        raise Partial(
            f"{len(found.unreadable)} of {found.looked_at} artefacts cannot be read",
            details="\n".join(f"{where}: {why}" for where, why in found.unreadable),
            resolution="`naust fsck` says more; attach their SBOMs again.",
        )


def _row(each: Affected) -> tuple[str, str, str, str, str]:
    contains = ", ".join(f"{hit.package} {hit.version}{'' if hit.certain else ' ?'}" for hit in each.hits)
    return f"{each.name}:{each.tag}", each.version, ", ".join(each.channels), contains, each.by


def _notes(found: Answer) -> None:
    console.note(f"{len(found.affected)} of {found.looked_at} artefacts contain it")
    if found.unknown:
        some = ", ".join(found.unknown[:_SHOWN]) + (", …" if len(found.unknown) > _SHOWN else "")
        console.note(f"{len(found.unknown)} have neither SBOM nor list of inputs, so nobody knows: {some}")
