#!/usr/bin/python3
"""Becomes this node's member of etcd, in the way that its cluster needs.

    etcd-launch run       become etcd; what is missing is prepared first
    etcd-launch settle    once for the cluster: members that the definitions do not name go; JSON of who is left

Options before the verb: --config FILE. Exit codes: that of etcd; 0 settled; 1 failed, 2 wrong file or usage.

With data etcd just goes on. Without, it depends on what the others say. They know this member as one that never took
part: it founds the cluster with them. They know it as one that did: its data is lost, so it is taken out and comes back
as a learner, which is promoted when it has caught up. They do not know it: it is added the same way. A cluster is only
founded when every member says that it has no data; a member that cannot ask all of them waits, so that no second
cluster can come of a lost disk. etcd refuses to take a member out when that would cost the quorum: then it waits too.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from etcd_api import BEFORE, CLUSTER, GOING, PEER_PORT, WAITING, Api, Cluster, Failed, Member, become

ETCD = "/usr/bin/etcd"
ASKED = 2.0  # seconds that another has to answer
PAUSE = 0.3  # seconds between two looks at the others
SETTLED_WITHIN = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class Start:
    """How etcd starts: `state` and `initial` are its `initial-cluster-state` and `initial-cluster`."""

    state: str
    initial: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now, and why."""

    reason: str


Known = Mapping[str, "list[Member] | None"]  # who answered: what it knows, or None if it has no data either


def without_agreement(cluster: Cluster, known: Known) -> Start | Wait:
    """What to do when no member can say what the cluster agrees on."""
    lists = [members for members in known.values() if members is not None]
    if not lists:
        silent = sorted(set(cluster.others) - set(known))
        if silent:
            return Wait(f"{', '.join(silent)} must say first whether there is a cluster already")
        return Start("new", cluster.initial)
    url = cluster.peer_url(cluster.name)
    if any(member.clients for members in lists for member in members):
        return Wait("the cluster is there and has no quorum")
    if all(any(member.name and url in member.peers for member in members) for members in lists):
        return Start("new", cluster.initial)  # they have founded it with us a moment ago
    return Wait("the others are founding a cluster without this member")


@dataclass(frozen=True, slots=True)
class Act:
    """A call of the gateway that has to be made first."""

    path: str
    request: Mapping[str, Any]


def with_agreement(cluster: Cluster, members: Sequence[Member]) -> Start | Act:
    """What to do when the cluster says who its members are."""
    url = cluster.peer_url(cluster.name)
    mine = [member for member in members if member.name == cluster.name or url in member.peers]
    if not mine:
        return Act("/v3/cluster/member/add", {"peerURLs": [url], "isLearner": True})
    lost = [member for member in mine if member.clients or url not in member.peers]
    if lost:
        return Act("/v3/cluster/member/remove", {"ID": str(lost[0].id)})
    if mine[0].name:
        return Start("new", cluster.initial)  # founded a moment ago, with us
    names = {member.id: member.name or f"{member.id:x}" for member in members} | {mine[0].id: cluster.name}
    return Start("existing", ",".join(f"{names[one.id]}={peer}" for one in members for peer in one.peers))


class Launch:
    """One start of this node's member."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._api = Api(cluster)
        self._said = ""

    def start(self) -> Start:
        """Prepare, ask and wait until it is clear how etcd has to start. Raises OSError."""
        self._take_restored()
        if (self._cluster.data / "member").is_dir():
            return Start("existing", self._cluster.initial)  # etcd reads its data and none of this
        shutil.rmtree(self._cluster.data, ignore_errors=True)
        with self._waiting():
            while True:
                found = self._look()
                if isinstance(found, Start):
                    return found
                self._say(found.reason)
                time.sleep(PAUSE)

    def _take_restored(self) -> None:
        going, before = self._cluster.state / GOING, self._cluster.state / BEFORE
        if going.is_dir():
            if self._cluster.data.exists():
                shutil.rmtree(before, ignore_errors=True)
                self._cluster.data.rename(before)
            going.rename(self._cluster.data)
            log("takes the restored data; the old is kept beside it")

    def _look(self) -> Start | Wait:
        others = self._cluster.others
        with ThreadPoolExecutor(max(1, len(others))) as threads:
            agreed = dict(zip(others.values(), threads.map(self._agreed, others.values()), strict=True))
            for address, members in agreed.items():
                if members is not None:
                    found = with_agreement(self._cluster, members)
                    return found if isinstance(found, Start) else self._do(address, found)
            said = dict(zip(others, threads.map(self._known, others.values()), strict=True))
        return without_agreement(self._cluster, {name: one[0] for name, one in said.items() if one is not None})

    def _agreed(self, address: str) -> list[Member] | None:
        try:
            return self._api.members(address, ASKED)
        except Failed:
            return None

    def _known(self, address: str) -> tuple[list[Member] | None] | None:
        """In a tuple what the member there says; None if it says nothing."""
        try:
            return (self._api.known(address, ASKED),)
        except Failed:
            return None

    def _do(self, address: str, act: Act) -> Wait:
        try:
            self._api.call(address, act.path, act.request)
        except Failed as refused:
            return Wait(f"{act.path.rpartition('/')[2]}: {refused}")
        return Wait(f"{act.path.rpartition('/')[2]}: done")

    def _say(self, reason: str) -> None:
        if reason != self._said:
            log(reason)
            self._said = reason
            (self._cluster.state / WAITING).write_text(reason, encoding="utf-8")

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """While it waits, others that ask are told that there is no data here either."""
        address = (self._cluster.members[self._cluster.name], PEER_PORT)
        server = ThreadingHTTPServer(address, Waiting)
        # The handshake is made in the thread of the connection: one that never comes holds up nobody.
        server.socket = self._api.context(server=True).wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()


class Waiting(BaseHTTPRequestHandler):
    """Answers `GET /members` as a member does that has no data."""

    timeout = 5.0

    def do_GET(self) -> None:
        """Every path is answered alike."""
        body = json.dumps({"waiting": True}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the others ask three times a second."""


def configuration(text: str, start: Start, token: str) -> str:
    """etcd's file with what only the start knows; etcd heeds no other source when it is given a file."""
    lines = {
        "initial-cluster-state": start.state,
        "initial-cluster-token": token,
        "initial-cluster": start.initial,
    }
    return text + "\n" + "".join(f"{name}: {json.dumps(value)}\n" for name, value in lines.items())


def run(cluster: Cluster, source: Path) -> int:
    """Become etcd. Raises OSError."""
    (cluster.state / WAITING).unlink(missing_ok=True)
    start = Launch(cluster).start()
    (cluster.state / WAITING).unlink(missing_ok=True)
    written = cluster.state / "etcd.yml"
    written.write_text(configuration(source.read_text(encoding="utf-8"), start, cluster.token), encoding="utf-8")
    promote_aside(cluster)
    os.execv(ETCD, [ETCD, f"--config-file={written}"])


def promote_aside(cluster: Cluster) -> None:
    """Watch over this member until it votes, in a process that is nobody's child: etcd would not see it end."""
    if os.fork() == 0:
        if os.fork() == 0:
            os.setsid()
            try:
                promote(cluster)
            finally:
                os._exit(0)
        os._exit(0)
    os.wait()


def promote(cluster: Cluster) -> None:
    """Ask the others to let this member vote, until it does. A cluster of one has nobody to ask."""
    api, url = Api(cluster), cluster.peer_url(cluster.name)
    while cluster.others:
        time.sleep(PAUSE)
        for address in cluster.others.values():
            try:
                mine = [member for member in api.members(address) if url in member.peers]
                if not mine or not mine[0].learner:
                    return
                api.call(address, "/v3/cluster/member/promote", {"ID": str(mine[0].id)})
                log("has caught up and votes")
                return
            except Failed:
                continue


def settle(cluster: Cluster) -> list[str]:
    """Take out whom the definitions do not name, one by one; the names of all members. Raises Failed, when not all are
    there and vote in time too."""
    api, address = Api(cluster), cluster.members[cluster.name]
    deadline, fault = time.monotonic() + SETTLED_WITHIN, "nobody answers"
    while time.monotonic() < deadline:
        try:
            members = api.members(address)
            gone = superfluous(cluster, members)
            if gone is not None:
                api.call(address, "/v3/cluster/member/remove", {"ID": str(gone.id)})
                log(f"{gone.name or gone.peers} is no member any more")
                continue
            names = {member.name for member in members if not member.learner}
            if names == set(cluster.members):
                return sorted(names)
            fault = f"{', '.join(sorted(set(cluster.members) - names))} not there yet"
        except Failed as refused:
            fault = str(refused)
        time.sleep(PAUSE)
    raise Failed(f"after {SETTLED_WITHIN:.0f} s: {fault}")


def superfluous(cluster: Cluster, members: Sequence[Member]) -> Member | None:
    """A member that nobody named, if there is one. Never when that would be all that vote."""
    urls = {cluster.peer_url(name) for name in cluster.members}
    strange = [member for member in members if urls.isdisjoint(member.peers)]
    return strange[0] if strange and len(strange) < len(members) else None


def log(text: str) -> None:
    """One line to stderr."""
    print(f"etcd-launch: {text}", file=sys.stderr, flush=True)


def main(argv: Sequence[str]) -> int:
    """See the top of this file."""
    parser = argparse.ArgumentParser(
        "etcd-launch", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default=CLUSTER)
    parser.add_argument("verb", choices=("run", "settle"))
    options = parser.parse_args(argv)
    try:
        become("etcd")
        cluster = Cluster.read(options.config)
        if options.verb == "run":
            return run(cluster, Path(options.config).parent / "etcd.yml")
        print(json.dumps({"members": settle(cluster)}))
    except ValueError as fault:
        log(str(fault))
        return 2
    except (Failed, OSError) as fault:
        log(str(fault))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
