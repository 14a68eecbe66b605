"""naust affected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from common import console
from common.cli import Json, Store
from common.errors import BadInput, Partial

if TYPE_CHECKING:
    from naust.affected import Affected, Answer, Hit, Mirrored
    from naust.materials import Material

AFFECTED = 3
_SHOWN = 50  # artefacts that nobody knows anything of; --json has all
_COLUMNS = ("artefact", "version", "channels", "contains", "known from")
_MATERIALS = ("part", "name", "version", "digest", "said by", "mirrored in")


def affected(
    package: Annotated[str, typer.Argument(help="'openssl<3.5.5', 'a>=1,<2,b=3'; pypi:NAME for another kind.")] = "",
    artefact: Annotated[
        str, typer.Option("--sources-of", metavar="REFERENCE", help="Instead: what this artefact was made of.")
    ] = "",
    store: Store = None,
    channel: Annotated[str, typer.Option(help="Only what this channel stands for, such as production.")] = "",
    name: Annotated[str, typer.Option(help="Only names that begin so, such as container/.")] = "",
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit 3 if anything is affected, or if a source is mirrored nowhere.")
    ] = False,
    json: Json = False,
) -> None:
    """Say which snapshots, artefacts and channels contain a package; or what an artefact was made of.

    Packages are found by their own name or their source's. It answers from the SBOMs, in Debian's order of versions
    (PyPI's for pypi); without an SBOM from the list of inputs, which is marked. What cannot be compared is marked with
    a question mark. Artefacts with neither are named on stderr: nobody knows what is in them. Mirrored states come
    first, as snapshot/SOURCE:TAG with the snapshots that have them. With --sources-of: each package and file, its
    digest, and the states that have it, or NOWHERE.

    Exit codes: 0 answered; 2 bad input; 3 something is affected or nowhere, with --exit-code; 4 some SBOMs or states
    cannot be read; 8 the artefact is damaged; 9 the store does not answer.
    """
    if bool(package) == bool(artefact):
        raise BadInput("one question at a time", resolution="Name a package, or an artefact with --sources-of.")
    said = _made_of(store, artefact, json) if artefact else _contain(store, package, channel, name, json)
    found, unreadable, count = said
    if exit_code and found:
        raise typer.Exit(AFFECTED)
    _check(unreadable, count)


Said = tuple[bool, Sequence[tuple[str, str]], int]  # whether anything was found, what cannot be read, of how many


def _contain(store: str | None, package: str, channel: str, name: str, json: bool) -> Said:
    from naust.affected import affected as search
    from naust.affected import query
    from naust.store import open_store

    wanted = query(package)
    found = search(open_store(store), wanted, channel=channel, prefix=name)
    if json:
        console.json_result(found)
    else:
        rows = [*map(_state, found.mirrored), *map(_row, found.affected)]
        console.table(_COLUMNS, rows)
    _notes(found)
    return bool(found.affected), found.unreadable, found.looked_at


def _made_of(store: str | None, artefact: str, json: bool) -> Said:
    from naust.cli.opened import bare, opened
    from naust.listing import resolve
    from naust.materials import origin

    source, address = opened(store, artefact)
    damaged: list[tuple[str, str]] = []
    found = origin(
        source, resolve(source, bare(address)), damaged=lambda name, error: damaged.append((name, error.message))
    )
    if json:
        console.json_result(console.fields_of(found) | {"nowhere": len(found.nowhere)})
    else:
        console.table(_MATERIALS, [_material(each) for each in found.materials])
    fetched = sum(each.fetched for each in found.materials)
    console.note(f"{fetched} were fetched, {len(found.nowhere)} of them are mirrored nowhere")
    if found.unknown:
        console.note(f"nobody knows what these were made of: {', '.join(found.unknown)}")
    return bool(found.nowhere), damaged, fetched


def _check(unreadable: Sequence[tuple[str, str]], count: int) -> None:
    if unreadable:
        raise Partial(
            f"{len(unreadable)} artefacts or states cannot be read ({count} were looked at)",
            details="\n".join(f"{where}: {why}" for where, why in unreadable),
            resolution="`naust fsck` says more; attach their SBOMs again, or mirror again.",
        )


def _row(each: Affected) -> tuple[str, str, str, str, str]:
    return f"{each.name}:{each.tag}", each.version, ", ".join(each.channels), _hits(each.hits), each.by


def _state(each: Mirrored) -> tuple[str, str, str, str, str]:
    snapshots = ", ".join(map(str, each.snapshots)) or "no snapshot"
    return f"snapshot/{each.state.reference}", snapshots, ", ".join(each.state.channels), _hits(each.hits), "mirror"


def _hits(hits: tuple[Hit, ...]) -> str:
    return ", ".join(f"{hit.package} {hit.version}{'' if hit.certain else ' ?'}" for hit in hits)


def _material(each: Material) -> tuple[str, ...]:
    states = ", ".join(map(str, each.states)) or ("NOWHERE" if each.fetched else "")
    return each.part, each.name, each.version, str(each.digest or ""), each.of, states


def _notes(found: Answer) -> None:
    console.note(f"{len(found.affected)} of {found.looked_at} artefacts contain it")
    if found.unknown:
        some = ", ".join(found.unknown[:_SHOWN]) + (", …" if len(found.unknown) > _SHOWN else "")
        console.note(f"{len(found.unknown)} have neither SBOM nor list of inputs, so nobody knows: {some}")
