"""smie show."""

from __future__ import annotations

from typing import Annotated

import typer

from common import console
from common.cli import Json, Store

Name = Annotated[str, typer.Argument(help="A role, base or SYSTEM.GROUP, of which the newest counts; or a reference.")]
OneKind = Annotated[
    str | None, typer.Option("--kind", metavar="KIND", help="container, rootfs or vm; else the first that there is.")
]
Log = Annotated[bool, typer.Option("--log", help="Print the log of the build.")]
Sbom = Annotated[bool, typer.Option("--sbom", help="Print what is in it: CycloneDX.")]
Provenance = Annotated[bool, typer.Option("--provenance", help="Print what it was made from: SLSA.")]


def show(
    name: Name,
    json: Json = False,
    kind: OneKind = None,
    log: Log = False,
    sbom: Sbom = False,
    provenance: Provenance = False,
    store: Store = None,
) -> None:
    """Show what an artefact is, what it was made from, how large its parts are, and its documents.

    Signatures are not checked here: naust verify does that. Exit codes: 0 shown, 2 no such artefact or document, 8 it
    is damaged, 9 the store does not answer.
    """
    from naust.address import parse
    from naust.store import open_store
    from smie.show import document_of, explain, meant, rows, shown
    from smie.wanted import kinds_of

    there = open_store(parse(name).store if "://" in name else store)
    found = explain(there, meant(there, name, kinds_of(kind)))
    if log:
        console.result(document_of(found, "log").data.decode("utf-8", "replace").rstrip("\n"))
    for wanted, what in ((sbom, "sbom"), (provenance, "provenance")):
        if wanted:
            console.json_result(document_of(found, what).said)
    if json and not (log or sbom or provenance):
        console.json_result(shown(found))
    elif not (log or sbom or provenance):
        console.table(("", ""), rows(found))
