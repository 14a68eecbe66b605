"""Builds see no network. The programs that run what packages and roles bring get a network namespace of their own with
nothing in it (unshare(1), network_namespaces(7)); the Docker engine is reached by its Unix socket, which is a file. The
build's container has no network either (`smie.packer`). So a build cannot depend on what nobody recorded.

What works on a root file system gets mounts and processes of its own as well (mount_namespaces(7), pid_namespaces(7)).
The kernel ends these with the first process in there, and that one with smie: whoever is killed, no mount stays.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import BadInput, Denied
from common.model import Kind
from common.run import environment, find
from smie.memory import available

if TYPE_CHECKING:
    from smie.recipe import Recipe

SOCKET = "unix://"
_OUTSIDE = re.compile(r"_proxy$|^PIP_|^SSH_AUTH_SOCK$", re.I)
SHARE = 6  # a tree may take one part in so many of the free memory
# A limit far above what was guessed: a tree may turn out larger than it seemed.
IN_MEMORY = 'mount -t tmpfs -o mode=755,size=75% tree "$0" && exec "$@"'


def guarded(*argv: str, ending: str = "KILL") -> tuple[str, ...]:
    """The command, without a network, with processes of its own: whoever of them is killed first, all others end with
    the command. When smie is killed, the command gets the signal `ending`; TERM lets Packer clear up."""
    # Who is not root needs a user namespace to make another; in it he stays who he is.
    user = () if os.geteuid() == 0 else ("--map-current-user",)
    # unshare(1) lets no signal but KILL end it while its child runs.
    alone = ("--net", "--pid", "--fork", f"--kill-child={ending}")
    return ("setpriv", "--pdeathsig", "KILL", "--", "unshare", *user, *alone, "--", *argv)


def tied(*argv: str) -> tuple[str, ...]:
    """The command, told to end when smie is killed and cannot tell it (setpriv(1), prctl(2) PR_SET_PDEATHSIG)."""
    return ("setpriv", "--pdeathsig", "TERM", "--", *argv)


def private(*argv: str, memory: Path | None = None) -> tuple[str, ...]:
    """The command, without a network, with mounts and processes of its own, which are gone when it has ended. With
    `memory`, that folder is one in memory for it, and for nobody else.

    unshare(1) lets no signal but KILL end it while its child runs, so it gets that when smie is gone; the child,
    as the first process of its namespace, takes all others with it. An interrupt reaches the child as one of its group.
    """
    alone = ("--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
    mounted = ("sh", "-c", IN_MEMORY, str(memory)) if memory else ()
    return ("setpriv", "--pdeathsig", "KILL", "--", "unshare", *alone, "--", *mounted, *argv)


def cut_off(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of what has no network: nothing of proxies and indexes, whose addresses may have passwords."""
    return {name: value for name, value in environment(extra).items() if not _OUTSIDE.search(name)}


def fits_in_memory(size: int) -> bool:
    """Whether a tree of about so many bytes can be there: several builds may run, and each needs other memory, too."""
    return size * SHARE <= available()


def check(recipes: Sequence[Recipe]) -> None:
    """Raise Missing, Denied or BadInput where these could not be built without a network."""
    for program in ("setpriv", "unshare"):
        find(program)
    host = os.environ.get("DOCKER_HOST", "")
    machines = [recipe.title for recipe in recipes if recipe.kind != Kind.CONTAINER]
    if machines and os.geteuid() != 0:
        raise Denied(
            f"only root can make {', '.join(machines)}: files get their owners, and mounts are needed",
            resolution="Run smie as root.",
        )
    if len(machines) < len(recipes) and host and not host.startswith(SOCKET):
        raise BadInput(
            "builds have no network, so the Docker engine has to be reached by a socket of this machine",
            details=f"DOCKER_HOST begins with {host.partition('://')[0]}://.",
            resolution="Unset DOCKER_HOST, or set it to unix:///…; the engine has to run here in any case.",
        )
    bases = [recipe.title for recipe in recipes if recipe.parent is None]
    if bases and os.geteuid() != 0:
        # mmdebstrap would need a range of user ids (subuid(5)), which it cannot get in the namespace that cuts it off.
        raise Denied(
            f"only root can make {', '.join(bases)} without a network",
            resolution="Run smie as root, or bring the base into the store with naust copy: roles need no root.",
        )
