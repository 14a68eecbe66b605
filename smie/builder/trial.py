"""The trial of a disk: it boots in an emulated machine, answers SSH, and everything in it runs, before it is stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from common.errors import Error
from common.machine.emulated import DoesNotAnswer, Hardware, Machine, booted
from common.run import CommandFailed
from smie.builder.interface import Work
from smie.leftovers import scratch
from smie.recipe import Recipe

SETTLED = timedelta(minutes=3)  # until systemd has nothing left to start
NOTICED = 1.0  # seconds after which a machine that died is known to be dead
# What no two machines may share; the log has it, so that it can be seen to differ.
OWN = "cat /etc/machine-id && ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub | cut -d ' ' -f 2"
FAILED = ("systemctl", "list-units", "--failed", "--plain", "--no-legend")


class TrialFailed(Error):
    """The disk was written, but a machine does not run from it as it should. A build stores nothing then."""


@contextmanager
def tried(
    disk: Path, recipe: Recipe, work: Work, hardware: Hardware | None = None, *, again: str = "build"
) -> Iterator[Machine]:
    """Boot the disk; within the block the machine runs, and nothing in it has failed. `again` is the verb that repeats
    it. Raises TrialFailed, Missing."""
    again = f"The whole log is in {work.log.path}. Repeat it with: smie {again} {recipe.name} --kind {recipe.kind}"
    work.log.write(f"Boots {disk.name} in an emulated machine")
    try:
        with (
            scratch(work.identity) as sockets,
            booted(disk, work.folder / "machine", hardware, reboots=False, sockets=sockets, halt=work.halt) as machine,
            _alive(machine, recipe, again),
        ):
            work.log.write(f"It answered SSH after {machine.seconds:.1f} s")
            work.log.write(f"Its own: {' '.join(machine.run(OWN, halt=work.halt).stdout.split())}")
            if failed := _failed_units(machine, work):
                raise TrialFailed(f"{recipe.title} boots, but not all of it runs", details=failed, resolution=again)
            yield machine
    except DoesNotAnswer as error:
        work.log.write(error.details)
        raise TrialFailed(f"{recipe.title}: {error.message}", details=error.details, resolution=again) from error


@contextmanager
def _alive(machine: Machine, recipe: Recipe, again: str) -> Iterator[None]:
    """Whatever fails in here fails because the machine is dead, if it is. Raises TrialFailed."""
    try:
        yield
    except Error:
        if not machine.died.wait(NOTICED):
            raise
    if machine.died.is_set():
        title = f"{recipe.title}: the emulated machine has died while it was looked at"
        raise TrialFailed(title, details=machine.console(), resolution=again)


def _failed_units(machine: Machine, work: Work) -> str:
    """What did not start, and why; empty where all runs (systemctl(1), is-system-running)."""
    try:
        machine.run("systemctl", "is-system-running", "--wait", timeout=SETTLED, halt=work.halt)
    except CommandFailed:
        units = [line.split()[0] for line in machine.run(*FAILED, halt=work.halt).stdout.splitlines()]
        journal = machine.run("journalctl", "--boot", "--priority=warning", "--lines=20", "--no-pager", halt=work.halt)
        work.log.write(journal.stdout)
        return f"Failed: {', '.join(units) or 'unknown'}\n{journal.stdout}"
    return ""
