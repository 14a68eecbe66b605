#!/usr/bin/python3
"""Checks the tree of Traefik's dynamic configuration and writes it to etcd in one transaction.

`traefik-tree check FILE` says what is wrong with a tree and touches nothing. `apply FILE` writes the difference to what
etcd has, stale keys deleted, all in one transaction that fails when somebody else wrote meanwhile; what other programs
laid over the tree (role acme) stays. `show` prints what etcd has, keys of certificates hidden. `status` prints what
this node's Traefik makes of it. How the tree gets from etcd to Traefik: role traefik-guard.

FILE is a JSON object: key below the root → text, or {"file": PATH} for a value that is read from a file (certificates
and their keys, which thus never are an argument or part of a rendered file).

Exit codes: 0 done or nothing to do; 1 failed; 2 the tree or the command is wrong, nothing was written; 3 etcd or
Traefik does not answer, trying again may help.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import pwd
import ssl
import sys
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import traefik_schema
from traefik_etcd import READ, Etcd, Failed, difference, digest_of, pair_problems, seen_in, transaction

TIMEOUTS = "timeouts.json"
SECRETS = Path("/etc/seter/secrets/traefik")
API = "http://127.0.0.1:8080/api"
TIMEOUT = 5.0  # seconds
ATTEMPTS = 3  # when somebody else writes at the same time


# Reading and checking.


def read_tree(file: Path) -> dict[str, str]:
    """The tree in this file, with what it refers to read in. Raises Failed."""
    try:
        raw = json.loads(file.read_text(), object_pairs_hook=unique)
        return {key: value if isinstance(value, str) else Path(value["file"]).read_text() for key, value in raw.items()}
    except (OSError, ValueError) as error:
        raise Failed(f"{file}: {error}", 2) from error
    except (AttributeError, KeyError, TypeError) as error:
        raise Failed(f'{file}: every value must be text or {{"file": PATH}}', 2) from error


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object without two equal keys. Raises ValueError."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def checked_tree(file: Path) -> dict[str, str]:
    """The tree in this file, known to be good. Raises Failed with everything that is wrong."""
    tree = read_tree(file)
    found = traefik_schema.problems(tree) + order_problems(file.with_name(TIMEOUTS))
    with tempfile.TemporaryDirectory(prefix="traefik-tree-") as folder:
        found = found or pair_problems(tree, Path(folder))
    if found:
        raise Failed("\n".join([f"{file} is no configuration for Traefik, nothing was written:", *found]), 2)
    return tree


def order_problems(file: Path) -> list[str]:
    """Time-outs that end in the wrong order, by the list of pairs beside the tree; nothing without such a list."""
    if not file.exists():
        return []
    return [
        f"time-outs: {pair['why']}: {pair['first']:g} s must be shorter than {pair['then']:g} s by {pair['margin']:g} s"
        for pair in json.loads(file.read_text())
        if pair["first"] + pair["margin"] > pair["then"]
    ]


def hidden(tree: Mapping[str, str]) -> dict[str, str]:
    """The tree as it may be shown."""
    return {key: shown(key, value) for key, value in sorted(tree.items())}


def shown(key: str, value: str) -> str:
    """A value as it may be shown."""
    if key.endswith("/keyFile"):
        return "***"
    return fingerprint(value) if key.endswith("/certFile") or "/rootCAs/" in key else value


def fingerprint(certificate: str) -> str:
    """Of a certificate in PEM (the first, when there are several)."""
    first = certificate.split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"
    try:
        return "sha256:" + hashlib.sha256(ssl.PEM_cert_to_DER_cert(first.strip())).hexdigest()
    except ValueError:
        return "no certificate"


def etcd_of(options: argparse.Namespace) -> Etcd:
    """The member that the options name."""
    host, _, port = str(options.etcd).rpartition(":")
    return Etcd(host.strip("[]"), int(port), options.secrets)


# The commands. Each returns what is printed.


def check(options: argparse.Namespace) -> dict[str, Any]:
    """Check a tree."""
    tree = checked_tree(options.file)
    return {"keys": len(tree), "digest": digest_of(tree)}


def apply(options: argparse.Namespace) -> dict[str, Any]:
    """Write a tree."""
    wanted, etcd = checked_tree(options.file), etcd_of(options)
    for _ in range(ATTEMPTS):
        seen = seen_in(etcd.call(READ))
        change = difference(wanted, seen)
        told = {"written": sorted(change.write), "deleted": list(change.delete), "digest": change.digest}
        if not change.write and not change.delete and seen.digest == change.digest:
            return {"changed": False, **told, "revision": seen.digest_revision}
        answer = etcd.call(transaction(seen, change))
        if answer.get("succeeded"):
            return {"changed": True, **told, "revision": int(answer["header"]["revision"])}
    raise Failed("somebody else writes the tree at the same time; look who, then apply again")


def show(options: argparse.Namespace) -> dict[str, Any]:
    """Show what etcd has."""
    seen = seen_in(etcd_of(options).call(READ))
    as_noted = digest_of(seen.tree) == seen.digest
    shown = {"tree": hidden(seen.tree), "over": hidden(seen.over)}
    # Of the tree's last change: that of all of etcd moves with every election among the gateways.
    return {"revision": seen.digest_revision, "digest": seen.digest, "as_noted": as_noted, **shown}


def status(options: argparse.Namespace) -> dict[str, Any]:
    """Show what this node's Traefik makes of its configuration."""
    try:
        parts = [read_json(f"{API}/{part}") for part in ("overview", "http/services")]
    except (OSError, ValueError) as error:
        raise Failed(f"Traefik does not answer: {error}", 3) from error
    return status_summary(*parts)


def read_json(url: str) -> Any:  # noqa: ANN401 - it is whatever the server says
    """The JSON at this address. Raises OSError, ValueError."""
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
        return json.load(answer)


def status_summary(overview: Mapping[str, Any], services: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What an operator wants to know of Traefik's own view."""
    faults = sum(overview["http"][kind]["errors"] for kind in ("routers", "services", "middlewares"))
    servers = {url: state for service in services for url, state in service.get("serverStatus", {}).items()}
    ours = [service["name"] for service in services if service["name"].endswith("@file")]
    up = list(servers.values()).count("UP")
    good = bool(ours) and not faults and up > 0
    return {"ok": good, "summary": f"{up} of {len(servers)} servers up", "faults": faults, "servers": servers}


def become(user: str) -> None:
    """Go on as this user when we are root: in a container root may not read what belongs to others."""
    if os.geteuid() == 0:
        entry = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    raw = argparse.RawDescriptionHelpFormatter
    made = argparse.ArgumentParser(prog="traefik-tree", description=__doc__, formatter_class=raw)
    made.add_argument("--etcd", default="127.0.0.1:2379", metavar="HOST:PORT", help="member of etcd")
    made.add_argument("--secrets", type=Path, default=SECRETS, help="folder of ca.crt and etcd-client.{crt,key}")
    made.add_argument("--user", default="traefik", help="who we are when started as root")
    verbs = made.add_subparsers(required=True, metavar="COMMAND")
    for verb in (check, apply, show, status):
        sub = verbs.add_parser(verb.__name__, help=verb.__doc__)
        sub.set_defaults(verb=verb)
        if verb in (check, apply):
            sub.add_argument("file", type=Path)
    return made


def main(arguments: Sequence[str]) -> int:
    """Parse, do, print."""
    options = parser().parse_args(arguments)
    try:
        become(options.user)
        told = options.verb(options)
    except Failed as error:
        print(error, file=sys.stderr)
        return error.code
    except (OSError, KeyError, ValueError) as error:
        print(f"traefik-tree: {error}", file=sys.stderr)
        return 1
    print(json.dumps(told))
    return 0 if told.get("ok", True) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
