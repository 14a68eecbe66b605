"""smie apply."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from common import console
from common.cli import Json, Store, Systems
from smie.cli.options import Snapshot, TimeLimit, Update, duration

Role = Annotated[str, typer.Argument(help="A role, with the roles that it stands on; or SYSTEM.GROUP.")]
Where = Annotated[str, typer.Option("--host", metavar="USER@HOST", help="Where to; without a user, root.")]
Check = Annotated[bool, typer.Option("--check", help="Only say what would change.")]
Config = Annotated[
    Path | None, typer.Option("--ssh-config", metavar="FILE", help="ssh's configuration; else your own.")
]


def apply(
    role: Role,
    host: Where,
    check: Check = False,
    json: Json = False,
    ssh_config: Config = None,
    time_limit: TimeLimit = None,
    update: Update = False,
    snapshot: Snapshot = None,
    systems: Systems = None,
    store: Store = None,
) -> None:
    """Install a role on a host that runs, over SSH, by the same tasks as an image.

    Prints the tasks that changed something; with --check those that would, as far as that can be told. Packages and
    programs are brought along; nothing starts by being installed. The host's key has to be among the known hosts; users
    other than root need sudo without a password. Exit codes: 0 done or no change, 1 failed or unknown host key, 2 bad
    input, 7 somebody else applies something there, 9 host or mirror unavailable, 130 interrupted.
    """
    from common.catalog import Catalog
    from common.errors import BadInput
    from common.interruption import once
    from common.model import Kind
    from naust.store import open_store
    from smie.apply import Host
    from smie.apply import apply as apply_to
    from smie.packer import LIMIT
    from smie.wanted import recipes_of
    from smie.workspace import Workspace

    where, limit, workspace = Host.parse(host, ssh_config), duration(time_limit) or LIMIT, Workspace.open()
    with once():
        recipes = recipes_of(
            (role,), Catalog.open(systems), open_store(store), workspace, kinds=(Kind.ROOTFS,), snapshot=snapshot,
            refresh=update,
        )  # fmt: skip
        if not recipes[-1].roles or recipes[-1].name != role:
            raise BadInput(f"{role} is no role and no group", resolution="Name one role, or SYSTEM.GROUP.")
        done = apply_to(recipes[-1], where, workspace, console.reporter(), check=check, limit=limit)
    if json:
        console.json_result(done.shown())
        return
    lines = [f"{'would change' if check else 'changed'}\t{task}" for task in done.changed]
    lines += [f"cannot be told beforehand\t{task}" for task in done.unknown]
    console.result("\n".join(lines) or ("nothing would change" if check else "nothing changed"))
