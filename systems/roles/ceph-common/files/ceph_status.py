#!/usr/bin/python3
"""Says as one line of JSON how a Ceph daemon fares: `ceph-status /etc/seter/now/ceph-mon/ceph.conf`. With `--busy` of a
RadosGW only, how many requests are under way there: exit code 0 when some are, 1 when none is or nobody can say.

It asks the daemon's admin socket; of a monitor it asks the cluster too. Exit code 0 when the daemon does its work, 1
when it does not, 2 for wrong usage.
"""

from __future__ import annotations

import configparser
import http.client
import json
import os
import pwd
import re
import socket
import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TIMEOUT = 5.0  # seconds
PORT = 7480  # of RadosGW, for its own node
# What to ask a daemon, and the states in which it does its work; () for any answer.
QUESTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "ceph-mon": ("mon_status", ("leader", "peon")),
    "ceph-mgr": ("status", ()),
    "ceph-osd": ("status", ("active",)),
    "radosgw": ("version", ()),
}

_REQUEST = re.compile(r"tx[0-9a-f]{21}-[0-9a-f]{10}-([0-9a-f]+)-")  # src/rgw/services/svc_zone_utils.cc


def ask(path: Path, prefix: str) -> dict[str, Any]:
    """Its answer. A question ends with a zero byte, an answer starts with its length: 32 bits, big end first."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(TIMEOUT)
        connection.connect(str(path))
        connection.sendall(json.dumps({"prefix": prefix}).encode() + b"\0")
        with connection.makefile("rb") as stream:
            (length,) = struct.unpack("!I", stream.read(4))
            answer: dict[str, Any] = json.loads(stream.read(length))
    return answer


def summary(role: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    """What an operator wants to know of an answer, and whether it is good."""
    known = ("state", "quorum", "osd_fsid", "num_pgs", "version", "release")
    told = {key: answer[key] for key in known if key in answer}
    states = QUESTIONS[role][1]
    text = str(answer.get("state") or answer.get("version") or "answers")
    return {"ok": not states or answer.get("state") in states, "summary": text, "role": role, **told}


def cluster_summary(status: Mapping[str, Any]) -> dict[str, Any]:
    """The same of the answer to `ceph status`."""
    osds, groups = status.get("osdmap", {}), status.get("pgmap", {})
    return {
        "health": status.get("health", {}).get("status", ""),
        "complaints": sorted(status.get("health", {}).get("checks", {})),
        "manager": bool(status.get("mgrmap", {}).get("available")),
        "osds": osds.get("num_osds", 0),
        "osds_up": osds.get("num_up_osds", 0),
        "bytes_used": groups.get("bytes_used", 0),
        "bytes_total": groups.get("bytes_total", 0),
    }


def ask_cluster(conf: Path) -> dict[str, Any]:
    """The answer to `ceph status`, as the administrator whose key only monitors have."""
    import rados

    question = json.dumps({"prefix": "status", "format": "json"})
    try:
        limits = {"client_mount_timeout": f"{TIMEOUT:.0f}", "admin_socket": ""}
        with rados.Rados(name="client.admin", conffile=str(conf), conf=limits) as cluster:
            _, out, _ = cluster.mon_command(question, b"", timeout=int(TIMEOUT))
    except rados.Error as error:
        raise OSError(f"the monitors do not answer: {error}") from error
    answer: dict[str, Any] = json.loads(out)
    return answer


def become(user: str) -> None:
    """Go on as this user when we are root: in a container root may not read what belongs to others."""
    if os.geteuid() == 0:
        entry = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)


def under_way(path: Path) -> int:
    """Requests that RadosGW has begun to answer (src/rgw/rgw_perf_counters.cc, qactive). Raises OSError, ValueError."""
    return int(ask(path, "perf dump").get("rgw", {}).get("qactive", 0))


def answers_as() -> str:
    """What RadosGW's answers call it: the number that it has from the monitors for as long as it runs. Empty if it does
    not say."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=TIMEOUT)
    try:
        connection.request("HEAD", "/")
        found = _REQUEST.match(connection.getresponse().headers.get("x-amz-request-id", ""))
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()
    return found[1] if found else ""


def main(arguments: Sequence[str]) -> int:
    """Ask, print, judge."""
    *options, name = arguments or [""]
    if not name or name.startswith("-") or options not in ([], ["--busy"]):
        print("usage: ceph-status [--busy] CEPH.CONF", file=sys.stderr)
        return 2
    conf = Path(name)
    try:
        become("ceph")
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        parser.read_string(conf.read_text())
        if options:
            count = under_way(Path(parser["global"]["admin socket"]))
            print(json.dumps({"under_way": count}))
            return 0 if count else 1
        role = parser["launch"]["role"]
        told = summary(role, ask(Path(parser["global"]["admin socket"]), QUESTIONS[role][0]))
        if role == "ceph-mon" and told["ok"]:
            cluster = cluster_summary(ask_cluster(conf))
            told["summary"] = f"{cluster['health']}, {cluster['osds_up']} of {cluster['osds']} OSDs up"
            told["cluster"] = cluster
        if role == "radosgw":
            told["answers_as"] = answers_as()
    except (OSError, ValueError, KeyError, struct.error, configparser.Error) as error:
        told = {"ok": False, "error": str(error)}
    print(json.dumps(told))
    return 0 if told["ok"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
