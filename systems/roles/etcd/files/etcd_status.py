#!/usr/bin/python3
"""Says as one line of JSON how this member of etcd fares. `--mutual-tls` asks through TLS what needs the whole cluster.

Without the option the plain listener for metrics is asked, so no key is needed. Exit code 0 when the member can read
what the cluster has agreed on (and, with `--mutual-tls`, when the port for clients refuses who shows no certificate),
1 when not, 2 for wrong usage.
"""

from __future__ import annotations

import json
import re
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from etcd_api import WAITING, become

PLAIN = "http://127.0.0.1:2381"
CLIENTS = "https://127.0.0.1:2379"
SECRETS = Path("/etc/seter/secrets/etcd")
STATE = Path("/var/lib/seter/etcd")
TIMEOUT = 5.0  # seconds
METRICS = {
    "has_leader": "etcd_server_has_leader",
    "is_leader": "etcd_server_is_leader",
    "is_learner": "etcd_server_is_learner",
    "leader_changes": "etcd_server_leader_changes_seen_total",
    "applied": "etcd_server_proposals_applied_total",
    "bytes": "etcd_mvcc_db_total_size_in_use_in_bytes",
    "file": "etcd_mvcc_db_total_size_in_bytes",
    "quota": "etcd_server_quota_backend_bytes",
}


def read(url: str, context: ssl.SSLContext | None = None) -> str:
    """What this address answers; a 503 of /health has a body too. Raises OSError."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT, context=context) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return error.read().decode()


def numbers(text: str) -> dict[str, int]:
    """Those of METRICS that a page of metrics has."""
    found = dict(re.findall(r"^(\w+) (\S+)$", text, flags=re.MULTILINE))
    return {key: int(float(found[name])) for key, name in METRICS.items() if name in found}


def unhealthy(text: str) -> str:
    """Why the answer of /health is not good; nothing when it is."""
    found = json.loads(text)
    return "" if found.get("health") == "true" else str(found.get("reason") or "not healthy")


def member_summary(fault: str, found: Mapping[str, int]) -> dict[str, Any]:
    """What an operator wants to know of this member, and what to do about a quota that is used up."""
    place = "leads" if found.get("is_leader") else "follows" if found.get("has_leader") else "has no leader"
    place = "learns" if found.get("is_learner") else place
    advice = ": full, takes no writes; run seter maintain" if "NOSPACE" in fault else ""
    return {"ok": not fault, "summary": f"{place}, {fault}{advice}" if fault else place, **found}


def absent(error: str, state: Path) -> dict[str, Any]:
    """What is said of a member that does not answer: what it waits for, if it has not been started yet."""
    try:
        return {"ok": False, "summary": f"waits: {(state / WAITING).read_text(encoding='utf-8')}", "error": error}
    except OSError:
        return {"ok": False, "error": error}


def context_of(*, certificate: bool) -> ssl.SSLContext:
    """TLS that trusts the deployment's CA, with or without the member's own certificate."""
    context = ssl.create_default_context(cafile=str(SECRETS / "ca.crt"))
    if certificate:
        context.load_cert_chain(SECRETS / "member.crt", SECRETS / "member.key")
    return context


def refuses_strangers() -> bool:
    """Whether a client without a certificate gets no answer."""
    try:
        read(f"{CLIENTS}/health", context_of(certificate=False))
    except OSError as error:
        return "certificate required" in str(error).lower() or "bad certificate" in str(error).lower()
    return False


def look(*, mutual_tls: bool) -> dict[str, Any]:
    """All that is printed. Raises OSError, ValueError."""
    if not mutual_tls:
        return member_summary(unhealthy(read(f"{PLAIN}/health")), numbers(read(f"{PLAIN}/metrics")))
    with_certificate = not unhealthy(read(f"{CLIENTS}/health", context_of(certificate=True)))
    refused = refuses_strangers()
    return {"ok": with_certificate and refused, "answers": with_certificate, "refuses_strangers": refused}


def main(arguments: Sequence[str]) -> int:
    """Ask, print, judge."""
    if list(arguments) not in ([], ["--mutual-tls"]):
        print("usage: etcd-status [--mutual-tls]", file=sys.stderr)
        return 2
    try:
        become("etcd")
        told = look(mutual_tls=bool(arguments))
    except (OSError, ValueError) as error:
        told = absent(str(error), STATE)
    print(json.dumps(told))
    return 0 if told["ok"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
