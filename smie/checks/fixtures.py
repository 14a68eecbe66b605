"""The pytest plugin that a role's checks run with. Beside testinfra's `host` they can ask for

`image`     what is looked at (`smie.checks.facts.ImageFacts`): kind, size, packages
`role`      the role that the check belongs to (`RoleFacts`): its version, user and so on
`as_user`   a function: runs a command as the role's process would be run, with its user, groups and capabilities, and
            returns testinfra's result; after `seconds` (20) the command is ended
`folder`    a folder in the artefact that the role's user may write, for this check alone

The same text has to hold in a container without network, whose root cannot be written and whose first process only
waits, and in a machine that has booted.
"""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from testinfra.backend.base import CommandResult
from testinfra.host import Host

from smie.checks.facts import OPTION, ImageFacts, RoleFacts
from smie.checks.results import EVERY, NAME, OF

_NUMBERS = itertools.count()


class AsUser(Protocol):
    """The type of the fixture `as_user`."""

    def __call__(self, command: str, *words: str, seconds: int = 20) -> CommandResult: ...


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the facts are."""
    parser.addoption(OPTION, required=True, type=Path, help="what smie knows of the artefact")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say of each check whose it is, and how it is called without the place where testinfra looks."""
    for item in items:
        of = EVERY if item.path.parent == Path(__file__).parent else item.path.parent.parent.name
        item.user_properties += [(OF, of), (NAME, plain(item))]


def plain(item: pytest.Item) -> str:
    """The name of a check: pytest puts testinfra's place before the check's own parameters."""
    call = getattr(item, "callspec", None)
    host = call.params.get("_testinfra_host") if call else None
    if call is None or host is None:
        return item.name
    own = call.id.removeprefix(host.backend.get_pytest_id()).removeprefix("-")
    return item.name.partition("[")[0] + (f"[{own}]" if own else "")


def pytest_runtest_logstart(nodeid: str, location: tuple[str, int | None, str]) -> None:
    """Say what begins, a line by itself: when time is up, it is the last one."""
    print(f"check {nodeid}", flush=True)  # noqa: T201 (smie reads it)


@pytest.fixture(scope="session")
def image(request: pytest.FixtureRequest) -> ImageFacts:
    """The artefact."""
    return ImageFacts.read(request.config.getoption(OPTION))


@pytest.fixture
def role(image: ImageFacts, request: pytest.FixtureRequest) -> RoleFacts:
    """The role in whose folder the check is, or the first that includes it."""
    folder = str(request.path.parent.parent)
    return next(role for role in image.roles if folder in role.folders)


@pytest.fixture
def as_user(host: Host, role: RoleFacts) -> AsUser:
    """Run a shell's command as the role's process would be."""

    def run(command: str, *words: str, seconds: int = 20) -> CommandResult:
        argv = (*becoming(role), "timeout", "--kill-after=1", str(seconds), "sh", "-c", command, "sh", *words)
        return host.run(shlex.join(argv))

    return run


@pytest.fixture
def folder(as_user: AsUser) -> Iterator[str]:
    """A folder of the role's user, which is gone afterwards."""
    path = f"/tmp/check-{next(_NUMBERS)}"
    made = as_user(f"mkdir -m 750 {path}")
    assert made.rc == 0, made.stderr
    yield path
    as_user(f"rm -rf {path}")


def becoming(role: RoleFacts) -> tuple[str, ...]:
    """setpriv(1) with all that the process of a role has; nothing where it has no user of its own."""
    if role.user in ("", "root"):
        return ()
    plus = ",".join(("-all", *(f"+{name.lower()}" for name in role.capabilities)))
    return (
        "setpriv", f"--reuid={role.user}", f"--regid={role.user}",
        "--init-groups" if role.groups else "--clear-groups",
        f"--inh-caps={plus}", f"--ambient-caps={plus}", f"--bounding-set={plus}",
        "--no-new-privs", "env", "HOME=/nonexistent",
    )  # fmt: skip
