#!/usr/bin/python3
"""Keeps the files of etcd's members small: compacts, defragments one member after the other, clears a quota alarm.

    etcd-maintain [--at-least SIZE] [--share PERCENT]    JSON: what was done to whom

A member is defragmented when so much of its file is free, in bytes and as a share of it; with an alarm of the quota
all are. etcd answers nothing on a member that is being defragmented, so there is never more than one, the leader is
last, and each must be in step again before the next. A key with a lease keeps a second run out; while the quota alarm
is on no key can be written, and only the lease of `seter maintain` does.
Options: --config FILE. Exit codes: 0 done or nothing to do, 1 failed or another runs, 2 wrong file or usage.
etcd.io, "Maintenance": compaction frees space inside the file, defragmentation gives it back, the alarm goes last.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from etcd_api import CLUSTER, Api, Cluster, Failed, become

LOCK = b64encode(b"seter/etcd/maintenance").decode()
LEASE = 120  # seconds; a defragmentation takes a second or so for 100 MB
DEFRAGMENTED_WITHIN = 110.0  # seconds
IN_STEP_WITHIN = 30.0  # seconds
LAG = 100  # entries of raft that a member may be behind and count as in step


@dataclass(frozen=True, slots=True)
class Status:
    """One member: bytes of its file and of what is in it, what raft has applied there."""

    name: str
    address: str
    size: int
    used: int
    applied: int
    revision: int
    leads: bool

    def is_worth_it(self, at_least: int, percent: int) -> bool:
        """Whether so much of the file is free."""
        free = self.size - self.used
        return free >= at_least and free * 100 >= self.size * percent


def status_of(name: str, address: str, found: Mapping[str, Any]) -> Status:
    """From the answer to a status call. Raises Failed."""
    try:
        header = found["header"]
        return Status(
            name,
            address,
            int(found["dbSize"]),
            int(found["dbSizeInUse"]),
            int(found["raftAppliedIndex"]),
            int(header["revision"]),
            found["leader"] == header["member_id"],
        )
    except (KeyError, TypeError, ValueError) as fault:
        raise Failed(f"{name} says what is not understood: {type(fault).__name__}: {fault}") from fault


def order(found: Sequence[Status], at_least: int, percent: int) -> list[Status]:
    """Who is defragmented, one after the other; the leader last."""
    chosen = [status for status in found if status.is_worth_it(at_least, percent)]
    return sorted(chosen, key=lambda status: (status.leads, status.name))


class Maintenance:
    """One run."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._api = cluster, Api(cluster)
        self._here = cluster.members[cluster.name]

    def run(self, at_least: int, percent: int) -> dict[str, Any]:
        """Raises Failed."""
        alarms = self._alarms()
        if alarms:
            self._compact()
            done = self._defragment(0, 0, lambda: None)
            self._disarm(alarms)
        else:
            with self._alone() as keep:
                done = self._defragment(at_least, percent, keep)
        cleared = sorted({str(alarm["alarm"]) for alarm in alarms})
        freed = sum(one["before"] - one["after"] for one in done)
        words = [f"{len(done)} defragmented", f"{freed} bytes freed", *(f"alarm {name} cleared" for name in cleared)]
        return {"ok": True, "summary": ", ".join(words), "defragmented": done, "alarms_cleared": cleared}

    def _status(self) -> list[Status]:
        return [
            status_of(name, address, self._api.call(address, "/v3/maintenance/status", {}))
            for name, address in self._cluster.members.items()
        ]

    def _defragment(self, at_least: int, percent: int, keep: Callable[[], None]) -> list[dict[str, Any]]:
        done = []
        for status in order(self._status(), at_least, percent):
            keep()
            self._api.call(status.address, "/v3/maintenance/defragment", {}, DEFRAGMENTED_WITHIN)
            after = self._in_step(status)
            log(f"{status.name}: {status.size} bytes before, {after.size} after")
            done.append({"name": status.name, "before": status.size, "after": after.size})
        return done

    def _in_step(self, one: Status) -> Status:
        """The member's status, once it has applied what all others have, within reason."""
        deadline = time.monotonic() + IN_STEP_WITHIN
        while True:
            found = self._status()
            mine = next(status for status in found if status.name == one.name)
            if max(status.applied for status in found) - mine.applied <= LAG:
                return mine
            if time.monotonic() > deadline:
                raise Failed(f"{one.name} does not catch up after its defragmentation; the others were left alone")
            time.sleep(0.2)

    def _alarms(self) -> list[dict[str, Any]]:
        found = self._api.call(self._here, "/v3/maintenance/alarm", {"action": "GET"}).get("alarms", [])
        broken = [alarm for alarm in found if alarm.get("alarm") != "NOSPACE"]
        if broken:
            raise Failed(f"alarm {broken[0].get('alarm')}: this is no matter of space; restore from a backup")
        return list(found)

    def _compact(self) -> None:
        """All history goes: who watches and is behind is told to read anew."""
        revision = max(status.revision for status in self._status())
        try:
            request = {"revision": str(revision), "physical": True}
            self._api.call(self._here, "/v3/kv/compaction", request, DEFRAGMENTED_WITHIN)
        except Failed as refused:
            if "compacted" not in str(refused):  # already so far, and further
                raise

    def _disarm(self, alarms: Sequence[Mapping[str, Any]]) -> None:
        for alarm in alarms:
            request = {"action": "DEACTIVATE", "memberID": alarm["memberID"], "alarm": alarm["alarm"]}
            self._api.call(self._here, "/v3/maintenance/alarm", request)

    @contextmanager
    def _alone(self) -> Iterator[Callable[[], None]]:
        """Hold the key, which goes with its lease if this program is killed; what is yielded makes the lease last
        longer. Raises Failed when another has the key, or the lease is gone."""

        def keep() -> None:
            found = self._api.call(self._here, "/v3/lease/keepalive", {"ID": lease})
            if int(found.get("result", {}).get("TTL", 0)) <= 0:
                raise Failed("the lease of this maintenance is over; what is left was not touched")

        lease = str(self._api.call(self._here, "/v3/lease/grant", {"TTL": str(LEASE)})["ID"])
        try:
            taken = self._api.call(
                self._here,
                "/v3/kv/txn",
                {
                    "compare": [{"key": LOCK, "target": "CREATE", "result": "EQUAL", "create_revision": "0"}],
                    "success": [{"request_put": {"key": LOCK, "value": LOCK, "lease": lease}}],
                },
            )
            if not taken.get("succeeded"):
                raise Failed("another maintenance runs, or was killed less than two minutes ago; nothing was done")
            yield keep
        finally:
            self._api.call(self._here, "/v3/lease/revoke", {"ID": lease})


def log(text: str) -> None:
    """One line to stderr."""
    print(f"etcd-maintain: {text}", file=sys.stderr, flush=True)


def main(argv: Sequence[str]) -> int:
    """See the top of this file."""
    parser = argparse.ArgumentParser(
        "etcd-maintain", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default=CLUSTER)
    parser.add_argument("--at-least", type=int, default=32 << 20, help="bytes that must be free")
    parser.add_argument("--share", type=int, default=40, help="percent of the file that must be free")
    options = parser.parse_args(argv)
    try:
        become("etcd")
        print(json.dumps(Maintenance(Cluster.read(options.config)).run(options.at_least, options.share)))
    except ValueError as fault:
        log(str(fault))
        return 2
    except (Failed, OSError) as fault:
        log(str(fault))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
