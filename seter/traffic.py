"""Traffic to a node, taken away and given back by the group's own command (`withdraw` and `idle` in system.hcl)."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import PurePosixPath

from common.console import Report
from common.errors import NotFound
from common.model import Event
from common.system import Group
from seter.acts import RolloutStopped
from seter.blueprint import Blueprint
from seter.provisioner.interface import Answer, Provisioner

IDLE_PAUSE = 0.5  # seconds between two looks at a node's connections
QUIET = 5000  # milliseconds
WORD_EVERY = 5  # seconds between two words about a wait
CUT_AFTER = timedelta(seconds=30)  # connections that are still open then are cut
_AGE = re.compile(r"\blast(?:snd|rcv):(\d+)")


class Traffic:
    """Of one deployment's nodes."""

    def __init__(
        self, blueprint: Blueprint, provisioner: Provisioner, report: Report, cut_after: timedelta = CUT_AFTER
    ) -> None:
        self._blueprint, self._provisioner, self._report = blueprint, provisioner, report
        self._cut_after = cut_after

    def withdraw(self, node: str, *, without_agent: bool = False) -> int:
        """New traffic goes elsewhere, and what is under way ends, or has had its time: how many connections are still
        open. `without_agent` takes it for withdrawn if the command's process does not run: a roll-out that was cut off
        had stopped it, and what announces a node falls silent without it. Raises RolloutStopped, NotFound."""
        group = self._group(node)
        self._report(Event("withdraw", node))
        try:
            self._command(node, group.withdraw, "could not be withdrawn")
        except NotFound:
            if not without_agent:
                raise
            self._report(Event("withdraw", node, "who would do it does not run"))
        return self._wait_until_idle(node, group.idle_ports) if group.idle_ports else 0

    def admit(self, node: str) -> None:
        """The same command with `admit` for `withdraw`: an agent that was not made anew still keeps traffic away.
        Raises RolloutStopped."""
        self._report(Event("admit", node))
        self._command(node, admission(self._group(node).withdraw), "could not be admitted")

    def _group(self, node: str) -> Group:
        return self._blueprint.group(self._blueprint.seats_of(node)[0].node.group)

    def _wait_until_idle(self, node: str, ports: Sequence[int]) -> int:
        started = told = time.monotonic()
        while count := self._connections(node, ports):
            now = time.monotonic()
            left = self._cut_after.total_seconds() - (now - started)
            if left <= 0:
                self._report(Event("withdraw", node, f"{count} connections are still open"))
                return count
            if now - told >= WORD_EVERY:
                told = now
                self._report(Event("waiting", node, f"{count} connections are open; at most {left:.0f} s more"))
            time.sleep(IDLE_PAUSE)
        return 0

    def _command(self, node: str, argv: Sequence[str], failed: str) -> None:
        role = agent_of([seat.role.name for seat in self._blueprint.seats_of(node)], argv)
        process = self._blueprint.seat[node, role].role.process
        answer = self._provisioner.execute(node, role, argv, user=process.user if process is not None else "")
        if answer.code != 0:
            raise stopped(node, failed, answer)

    def _connections(self, node: str, ports: Sequence[int]) -> int:
        """Connections from other machines to these ports on which something moves, as ss(8) lists them."""
        ports_filter = " or ".join(f"sport = :{port}" for port in ports)
        argv = ["ss", "-HtniO", "state", "established", f"( {ports_filter} )"]
        for seat in self._blueprint.seats_of(node)[::-1]:
            if seat.role.process is not None:
                with suppress(NotFound):  # it does not run; all of a node's processes see the same connections
                    return foreign_connections(self._provisioner.execute(node, seat.role.name, argv).stdout)
        return 0


def foreign_connections(listing: str) -> int:
    """How many lines of `ss -HtniO` (queues, local, peer, details) are connections from elsewhere with something under
    way: a node's own probes are not, and none on which nothing was sent or received for QUIET ms, as those that
    clients keep for later (`lastsnd`, `lastrcv`). A process that is told to stop closes these and lets the rest end."""
    count = 0
    for line in listing.splitlines():
        waiting, unsent, *ends = line.split()[:4]
        local, peer = (end.rpartition(":")[0].strip("[]").removeprefix("::ffff:") for end in ends)
        foreign = peer != local and not peer.startswith("127.") and peer != "::1"
        ages = [int(age) for age in _AGE.findall(line)]
        quiet = len(ages) == 2 and min(ages) >= QUIET and waiting == unsent == "0"
        count += foreign and not quiet
    return count


def stop_order(blueprint: Blueprint, node: str) -> list[tuple[str, int]]:
    """The roles of a node, the last to be stopped first, and the seconds that each has to stop. As they start, but who
    serves what is withdrawn is stopped before all that its clients' connections need: it closes those that are idle,
    of which a client learns only while packets still find the way. Pure."""
    found = [(seat, process) for seat in blueprint.seats_of(node) if (process := seat.role.process) is not None]
    serves = {port for seat, _ in found for port in blueprint.group(seat.node.group).idle_ports}
    found.sort(key=lambda pair: not serves.isdisjoint(pair[1].listens))
    return [(seat.role.name, int(process.stop_within.total_seconds())) for seat, process in found]


def admission(withdraw: Sequence[str]) -> tuple[str, ...]:
    """What takes a withdrawal back: the same command, its word `withdraw` replaced by `admit`."""
    return tuple("admit" if word == "withdraw" else word for word in withdraw)


def agent_of(roles: Sequence[str], argv: Sequence[str]) -> str:
    """Whose program a group's command is: the role of the program's name, else the role that starts last."""
    program = PurePosixPath(argv[0]).name
    return program if program in roles else roles[-1]


def stopped(node: str, what: str, answer: Answer) -> RolloutStopped:
    """The error of a node that did not do what it was told."""
    return RolloutStopped(
        f"{node}: {what}",
        details=(answer.stderr.strip() or answer.stdout.strip()),
        resolution="The node was left as it is now, the rest is as it was. Mend the cause and deploy again.",
    )
