"""Runs plays through ansible-runner, the only place that does.

The run's folder is private and in memory; the environment is made of allowed names, because ansible-runner writes it to
disk; secrets never come near a play. Whatever ends this process ends Ansible too, and all that Ansible started.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.console import Report
from common.errors import Error
from common.interruption import SIGNALS
from common.mitogen import mitogen
from common.model import Event
from common.run import environment, find
from seter.plays import Inventory, Play

if TYPE_CHECKING:
    from ansible_runner import Runner

POLL = 0.2  # seconds between two looks whether to stop
LONGEST_RUN = timedelta(minutes=20)
LONGEST_SILENCE = timedelta(minutes=6)
MEMORY = Path("/dev/shm")

# Ends with its parent, then becomes what follows: a killed seter leaves no Ansible behind (prctl(2), PR_SET_PDEATHSIG).
LEASH = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); "
    "os.getppid() == int(sys.argv[1]) or sys.exit(1); os.execv(sys.argv[2], sys.argv[2:])"
)


class PlayFailed(Error):
    """A task failed, or Ansible could not run. `node` is where, if it was on a node."""

    node = ""


class Ansible:
    """Runs plays with the roles below `roles`."""

    def __init__(self, roles: Path, report: Report) -> None:
        self._roles = roles
        self._report = report

    def run(self, plays: Sequence[Play], inventory: Inventory, *, forks: int = 8) -> None:
        """Run the plays in order. Raises PlayFailed with the failing task's own message; KeyboardInterrupt goes on."""
        if plays:
            with _private_folder() as folder:
                self._run(folder, plays, inventory, forks)

    def _run(self, folder: Path, plays: Sequence[Play], inventory: Inventory, forks: int) -> None:
        from ansible_runner import Runner, RunnerConfig

        _write(folder / "project" / "play.json", list(plays))
        _write(folder / "inventory" / "hosts.json", inventory)
        config = RunnerConfig(
            private_data_dir=str(folder),
            playbook="play.json",
            quiet=True,
            forks=forks,
            settings={
                "pexpect_timeout": POLL,
                "job_timeout": int(LONGEST_RUN.total_seconds()),
                "idle_timeout": int(LONGEST_SILENCE.total_seconds()),
            },
        )
        config.prepare()
        config.env = _runner_variables(config.env) | ansible_environment(self._roles, folder)
        config.command = [sys.executable, "-c", LEASH, str(os.getpid()), _program(), *config.command[1:]]
        watch = _Watch(self._report)
        with _stoppable(watch):
            runner = Runner(config, event_handler=watch.event, cancel_callback=watch.stop_wanted)
            runner.run()
        watch.conclude(runner)


def _program() -> str:
    """ansible-playbook: the one installed beside us, else the first in PATH."""
    beside = Path(sys.executable).parent / "ansible-playbook"
    return str(beside) if beside.exists() else find("ansible-playbook")


def ansible_environment(roles: Path, folder: Path) -> dict[str, str]:
    """What ansible-playbook may know: the allowed part of our environment, and its settings."""
    allowed = environment()
    return (
        allowed
        | mitogen("seter")
        | {
            "PATH": f"{Path(sys.executable).parent}:{allowed.get('PATH', '')}",
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_CONFIG": str(folder / "none.cfg"),
            "ANSIBLE_ROLES_PATH": str(roles.resolve()),
            "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
            "ANSIBLE_REMOTE_TEMP": str(folder / "remote"),
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_GATHERING": "explicit",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCALHOST_WARNING": "0",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "0",
            "ANSIBLE_INVENTORY_ENABLED": "yaml",
        }
    )


def _runner_variables(env: Mapping[str, str]) -> dict[str, str]:
    """What ansible-runner adds for its own callback, without the copy that it made of our environment."""
    return {
        name: value
        for name, value in env.items()
        if name not in os.environ and name.startswith(("ANSIBLE_", "AWX_", "RUNNER_"))
    }


class _Watch:
    """Turns ansible-runner's events into ours, keeps the first failure, and stops the run when asked."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._failure: Error | None = None
        self._interrupted = threading.Event()

    def event(self, event: Mapping[str, Any]) -> bool:
        """Called for every event; False keeps ansible-runner from writing it to disk a second time."""
        data = event.get("event_data") or {}
        kind = event.get("event")
        if kind == "playbook_on_play_start":
            nodes = str(data.get("pattern", "")).replace(",", ", ")
            self._report(Event("ansible", str(data.get("play", "")), nodes))
        elif kind in ("runner_on_failed", "runner_on_unreachable", "runner_item_on_failed"):
            self._failed(data)
        elif kind == "runner_retry":
            self._report(Event("waiting", str(data.get("task", "")), str(data.get("host", ""))))
        return False

    def _failed(self, data: Mapping[str, Any]) -> None:
        if not data.get("ignore_errors") and self._failure is None:
            self._failure = failure(data)

    def interrupt(self) -> None:
        """The run is to stop."""
        self._interrupted.set()

    def stop_wanted(self) -> bool:
        """Asked by ansible-runner all the time; before it kills the run's group, the workers outside of it end."""
        if self._interrupted.is_set():
            end_descendants(os.getpid())
        return self._interrupted.is_set()

    def conclude(self, runner: Runner) -> None:
        """Raise what went wrong."""
        if self._interrupted.is_set():
            raise KeyboardInterrupt
        if self._failure is not None:
            raise self._failure
        if runner.status != "successful":
            output = runner.stdout.read().strip().splitlines()[-20:]
            raise PlayFailed(
                f"Ansible ended with {runner.status}, status {runner.rc}",
                details="\n".join(output),
                resolution="Mend what is said above and deploy again; it takes up where this one stopped.",
            )


def failure(data: Mapping[str, Any]) -> PlayFailed:
    """The failing task's own words."""
    result = data.get("res") or {}
    message = str(result.get("msg") or "it failed").strip()
    more = [str(result[name]).strip() for name in ("stderr", "module_stderr", "stdout") if result.get(name)]
    failed = PlayFailed(
        f"{data.get('role') or data.get('play')} on {data.get('host')}: {data.get('task')}: {message}",
        details="\n".join(more),
        resolution="Mend the cause and deploy again; it takes up where this one stopped.",
    )
    failed.node = str(data.get("host") or "")
    return failed


@contextmanager
def _private_folder() -> Iterator[Path]:
    where = MEMORY if os.access(MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    sweep(where, "seter-")
    folder = Path(tempfile.mkdtemp(prefix=f"seter-{os.getpid()}-", dir=where))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(where: Path, prefix: str) -> None:
    """Remove the folders `PREFIX<pid>-…` of ours whose process was killed before it could."""
    for folder in where.glob(f"{prefix}[0-9]*-*"):
        pid = folder.name.removeprefix(prefix).partition("-")[0]
        if folder.is_dir() and folder.stat().st_uid == os.getuid() and not Path("/proc", pid).exists():
            shutil.rmtree(folder, ignore_errors=True)


def _write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_text(json.dumps(content))


@contextmanager
def _stoppable(watch: _Watch) -> Iterator[None]:
    """While the block runs, Ctrl-C and the like stop Ansible first; ansible-runner would leave it running."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, lambda *_: watch.interrupt())
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_descendants(pid: int) -> None:
    """Kill everything below a process, deepest last. Ansible's workers lead sessions of their own (since 2.19)."""
    for child in descendants(pid):
        try:
            os.kill(child, signal.SIGKILL)
        except ProcessLookupError:  # it ended by itself meanwhile
            continue


def descendants(pid: int) -> list[int]:
    """All processes below `pid`, from /proc (proc_pid_stat(5), field 4 is the parent)."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:  # it ended while we looked
                continue
            parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found, queue = [], [pid]
    while queue:
        children = parents.get(queue.pop(), [])
        found += children
        queue += children
    return found
