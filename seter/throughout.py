"""Checks of the system that run through a whole roll-out (`throughout = true`): one long use of the service, which must
end as well as it began."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from common.console import Report
from common.model import Event, Verdict
from common.probe import s3
from common.probe.interface import Said
from common.role import Check
from seter.checks import Found, executor, role_of
from seter.survey import Survey

EVERY = 10.0  # seconds between two words to the other end that somebody waits
FIRST = 3.0  # seconds after which one that could not even begin has said so


class Throughout:
    """Of one roll-out. One that ended badly is told of once."""

    def __init__(self, survey: Survey, report: Report) -> None:
        self._survey, self._report = survey, report
        self._running: dict[str, _Use] = {}

    def begin(self) -> None:
        """Where somebody is there who can, and is not changed by this roll-out. One that does not come to life was
        broken before, and is left out."""
        changed = {step.node for step in self._survey.plan.steps}
        serving = {name for name, state in self._survey.observed.nodes.items() if state.serves}
        for check in self._survey.blueprint.system.checks:
            users = [node for node in self._survey.groups().get(check.on, ()) if node in serving]
            staying = [node for node in users if node not in changed]
            if check.throughout and staying:
                self._running[check.name] = _Use(self._survey, check, staying[0])
            elif check.throughout and users:
                self._report(Event("left out", check.name, f"{', '.join(users)} would use it, and is changed itself"))
        deadline = time.monotonic() + FIRST if self._running else 0.0
        while time.monotonic() < deadline:
            time.sleep(0.1)
        for name in [name for name, use in self._running.items() if use.ended]:
            self._report(Event("failed", name, f"{self._running.pop(name).fault()}; it was not well before either"))

    def broken(self) -> list[Found]:
        """Those that have ended already, which they should not have."""
        return [self._found(name) for name in list(self._running) if self._running[name].ended]

    def end(self) -> list[Found]:
        """Let all end; how they did."""
        for use in self._running.values():
            use.tell()
        return [self._found(name) for name in list(self._running)]

    def abandon(self) -> None:
        """Nobody waits for how they end."""
        for use in self._running.values():
            use.tell()
        self._running.clear()

    def _found(self, name: str) -> Found:
        use = self._running.pop(name)
        fault = use.fault()
        verdict = Verdict(name, not fault, fault or "unbroken", "unbroken through the whole roll-out")
        found = Found(self._survey.blueprint.system.name, verdict)
        self._report(Event("failed" if fault else "check", str(found)))
        return found


class _Use:
    """One of them, on one node: a command there, and a file there that is touched while we wait."""

    def __init__(self, survey: Survey, check: Check, node: str) -> None:
        self._execute, self._node, self._role = executor(survey), node, role_of(check, survey)
        self._file = f"/tmp/seter-{secrets.token_hex(8)}"
        self._told = threading.Event()
        self._threads = ThreadPoolExecutor(2)
        self._ask("touch", self._file)
        self._end: Future[Said] = self._threads.submit(self._ask, *s3.upload_argv(self._file))
        self._threads.submit(self._wait)
        self._threads.shutdown(wait=False)

    @property
    def ended(self) -> bool:
        return self._end.done()

    def tell(self) -> None:
        self._told.set()
        self._ask("rm", "-f", self._file)

    def fault(self) -> str:
        """Empty if it went well. Waits for its end."""
        said = self._end.result()
        self._told.set()
        return "" if said.code == 0 else s3.fault_of(said)

    def _wait(self) -> None:
        while not self._told.wait(EVERY) and not self.ended:
            self._ask("touch", self._file)

    def _ask(self, *argv: str) -> Said:
        words: Sequence[str] = argv
        return self._execute(self._node, self._role, words)
