#!/usr/bin/python3
"""Copies of what etcd holds, and the way back.

    etcd-backup save            write a snapshot beside the data; JSON: file, version, revision, entries, bytes
    etcd-backup prepare FILE    make a data folder of a snapshot, and change nothing yet
    etcd-backup commit          let etcd-launch take that folder at the next start

Options before the verb: --config FILE. Exit codes: 0 done, 1 failed, 2 wrong file or usage.

A snapshot holds private keys in clear: it lies in a folder of etcd's user alone, and whoever takes it away encrypts it.
A restored cluster has an identity of its own, so that a member with older data can never join it, and its revision
is a thousand million higher, all before it compacted: whoever watches is told that it missed something and reads anew
(etcd.io, "Disaster recovery", "Restoring with revision bump").
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from etcd_api import CLIENT_PORT, CLUSTER, GOING, Cluster, become

BUMP = 1_000_000_000  # revisions
READY = "restored"
TIMEOUT = 300.0  # seconds
ABANDONED = 3600.0  # seconds


class Failed(Exception):
    """A program failed; the message has its words."""


def output_of(argv: Sequence[str]) -> str:
    """Run it. Raises Failed."""
    try:
        ended = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise Failed(f"{argv[0]}: {fault}") from fault
    if ended.returncode != 0:
        said = (ended.stderr or ended.stdout).strip().splitlines()[-1:] or ["no word"]
        raise Failed(f"{' '.join(argv[:3])} ended with {ended.returncode}: {said[0]}")
    return ended.stdout


def save_argv(cluster: Cluster, file: Path) -> list[str]:
    """etcdctl(1): it streams from one member, and checks that the hash at the end of the stream is right."""
    secrets = cluster.secrets
    return [
        "etcdctl", f"--endpoints=https://127.0.0.1:{CLIENT_PORT}", f"--cacert={secrets}/ca.crt",
        f"--cert={secrets}/member.crt", f"--key={secrets}/member.key", "snapshot", "save", str(file),
    ]  # fmt: skip


def restore_argv(cluster: Cluster, file: Path, folder: Path) -> list[str]:
    """etcdutl(1). The token, and with it the cluster's identity, is of this restore alone: it has the file's name."""
    return [
        "etcdutl", "snapshot", "restore", str(file), f"--data-dir={folder}", f"--name={cluster.name}",
        f"--initial-cluster={cluster.initial}", f"--initial-cluster-token={cluster.token}-{file.stem}",
        f"--initial-advertise-peer-urls={cluster.peer_url(cluster.name)}", f"--bump-revision={BUMP}",
        "--mark-compacted",
    ]  # fmt: skip


def looked_at(file: Path) -> dict[str, Any]:
    """What etcdutl finds in a snapshot. Raises Failed."""
    try:
        found = json.loads(output_of(["etcdutl", "snapshot", "status", str(file), "--write-out=json"]))
        return {"revision": int(found["revision"]), "entries": int(found["totalKey"]), "bytes": int(found["totalSize"])}
    except (KeyError, TypeError, ValueError) as fault:
        raise Failed(f"etcdutl says of {file} what is not understood: {fault}") from fault


def sweep(cluster: Cluster) -> None:
    """Take away what was left by runs that were cut off."""
    for old in (*cluster.state.glob("backup-*"), *cluster.state.glob("*.copy")):
        if time.time() - old.stat().st_mtime > ABANDONED:
            shutil.rmtree(old, ignore_errors=True) if old.is_dir() else old.unlink(missing_ok=True)


def save(cluster: Cluster) -> dict[str, Any]:
    """A snapshot of what the cluster agrees on: this member must not lag behind. Raises Failed."""
    sweep(cluster)
    ask = save_argv(cluster, Path())[:-3]
    output_of([*ask, "endpoint", "health"])  # reads what has a quorum
    folder = Path(tempfile.mkdtemp(prefix="backup-", dir=cluster.state))
    try:
        output_of(save_argv(cluster, folder / "snapshot.db"))
        found = looked_at(folder / "snapshot.db")
    except Failed:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    version = output_of(["etcdutl", "version"]).split()[2]
    return {"file": str(folder / "snapshot.db"), "version": f"{version}-r{found['revision']}", **found}


def prepare(cluster: Cluster, file: Path) -> dict[str, Any]:
    """A whole data folder or none. Raises Failed, OSError."""
    found = looked_at(file)
    making, ready = cluster.state / f"{READY}.new", cluster.state / READY
    for old in (making, ready):
        shutil.rmtree(old, ignore_errors=True)
    output_of(restore_argv(cluster, file, making))
    making.rename(ready)
    return found


def commit(cluster: Cluster) -> dict[str, Any]:
    """Raises OSError when nothing was prepared."""
    going = cluster.state / GOING
    shutil.rmtree(going, ignore_errors=True)
    (cluster.state / READY).rename(going)
    return {"at_next_start": True}


def main(argv: Sequence[str]) -> int:
    """See the top of this file."""
    parser = argparse.ArgumentParser(
        "etcd-backup", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default=CLUSTER)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("save")
    verbs.add_parser("prepare").add_argument("file", type=Path)
    verbs.add_parser("commit")
    options = parser.parse_args(argv)
    try:
        become("etcd")
        cluster = Cluster.read(options.config)
        if options.verb == "save":
            told = save(cluster)
        else:
            told = commit(cluster) if options.verb == "commit" else prepare(cluster, options.file)
        print(json.dumps(told))
    except ValueError as fault:
        print(f"etcd-backup: {fault}", file=sys.stderr)
        return 2
    except (Failed, OSError) as fault:
        print(f"etcd-backup: {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
