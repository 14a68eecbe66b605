"""Runs the checks of an artefact in what was started from it: pytest with testinfra, in a process of its own.

Neither the settings of the person's pytest nor those of the folder that he stands in have any say.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Event
from xml.etree import ElementTree

from common.errors import Error
from common.run import Result, TimedOut, run
from smie.checks.facts import OPTION, ImageFacts
from smie.checks.results import Check, read
from smie.isolation import cut_off, guarded

LIMIT = timedelta(minutes=5)  # for all checks of one artefact
GRACE = timedelta(seconds=10)
JUNIT = "checks.xml"
LOG = "checks.log"
EVERY = Path(__file__).with_name("every.py")
FOLDER = "checks"  # of a role
SETTINGS = "[pytest]\nverbosity_assertions = 2\n"
RAN = (0, 1)  # pytest: all passed, some failed (https://docs.pytest.org/en/stable/reference/exit-codes.html)
_BEGUN = re.compile(r"\bcheck \S*::(\w+)")  # as `smie.checks.fixtures` says it


@dataclass(frozen=True, slots=True)
class Place:
    """Where to look. `hosts` as testinfra has it: docker://ID, ssh://NAME, or for another `connection` what that knows,
    for chroot a folder. `around` makes of pytest's command the one that is run: without network (`guarded`), which ssh
    needs (`tied`)."""

    hosts: str
    around: Callable[..., tuple[str, ...]] = guarded
    ssh_config: Path | None = None
    connection: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of the checks of one artefact; `junit` is the file that says the same."""

    title: str
    checks: tuple[Check, ...]
    junit: Path

    @property
    def failed(self) -> tuple[Check, ...]:
        """Those that do not hold."""
        return tuple(check for check in self.checks if not check.ok)


class ChecksFailed(Error):
    """An artefact is not what its roles promise."""

    def __init__(self, checked: Checked, log: Path, resolution: str) -> None:
        failed = checked.failed
        super().__init__(
            f"{checked.title}: {len(failed)} of {len(checked.checks)} checks failed",
            details="\n".join(_told(check) for check in failed),
            resolution=f"{resolution} The whole log is in {log}.",
        )


class ChecksHang(Error):
    """Checks did not come to an end in time."""


def files_of(image: ImageFacts) -> tuple[Path, ...]:
    """The files of checks: those of every artefact, then those of its roles."""
    folders = dict.fromkeys(folder for role in image.roles for folder in role.folders)
    return (EVERY, *(path for folder in folders for path in sorted(Path(folder, FOLDER).glob("test_*.py"))))


def argv(image: ImageFacts, facts: Path, junit: Path, place: Place) -> tuple[str, ...]:
    """pytest's command."""
    return (
        sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "testinfra.plugin",
        "-p", "smie.checks.fixtures", "-c", str(facts.parent / "pytest.ini"), f"--rootdir={facts.parent}",
        "--noconftest", "--import-mode=importlib", "-q", "--no-header", "--tb=short", "-s",
        f"--junit-xml={junit}", f"{OPTION}={facts}", f"--hosts={place.hosts}",
        *((f"--ssh-config={place.ssh_config}",) if place.ssh_config else ()),
        *((f"--connection={place.connection}",) if place.connection else ()),
        *map(str, files_of(image)),
    )  # fmt: skip


def run_checks(
    image: ImageFacts, place: Place, folder: Path, log: Path, *, limit: timedelta = LIMIT, halt: Event | None = None
) -> Checked:
    """Look at a started container or machine. Files that are needed go to `folder`, what pytest says to `log`.

    Raises ChecksHang; Error if pytest itself does not work; KeyboardInterrupt once `halt` is set.
    """
    facts, junit = folder / "facts.json", folder / JUNIT
    image.write(facts)
    (folder / "pytest.ini").write_text(SETTINGS)
    junit.unlink(missing_ok=True)
    ended, lines = _run(image.title, place.around(*argv(image, facts, junit, place)), log, limit, halt)
    with suppress(OSError, ElementTree.ParseError):
        checked = Checked(image.title, read(junit), junit)
        if ended.code in RAN and checked.checks:
            return checked
    raise Error(
        f"the checks of {image.title} could not be run",
        details="\n".join(lines[-30:]),
        resolution=f"pytest ended with status {ended.code}. The whole log is in {log}.",
    )


def _run(
    title: str, command: Sequence[str], log: Path, limit: timedelta, halt: Event | None
) -> tuple[Result, Sequence[str]]:
    lines: list[str] = []
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as file:

        def take(stream: str, line: str) -> None:
            lines.append(line)
            file.write(line + "\n")

        try:
            ended = run(command, env=_environment(), on_line=take, timeout=limit, grace=GRACE, check=False, halt=halt)
        except TimedOut as error:
            raise _hanging(title, lines, limit, log) from error
    return ended, lines


def _environment() -> dict[str, str]:
    own = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8"}
    return cut_off(own)


def _hanging(title: str, lines: Sequence[str], limit: timedelta, log: Path) -> ChecksHang:
    begun = [found[1] for line in lines if (found := _BEGUN.search(line))]
    what = f"The check {begun[-1]}" if begun else "The start of pytest"
    return ChecksHang(
        f"the checks of {title} did not end within {limit.total_seconds():g} s",
        details=f"{what} was the last that began.",
        resolution=f"Mend the check, or give more time with --time-limit. The whole log is in {log}.",
    )


def _told(check: Check) -> str:
    fault = "\n".join(f"    {line}" for line in check.fault.splitlines())
    return f"  {check.about}: {check.promise}\n{fault}"
