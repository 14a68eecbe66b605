#!/usr/bin/python3
"""Checks the tree of Traefik's dynamic configuration and writes it to etcd in one transaction.

`traefik-tree check FILE` says what is wrong with a tree and touches nothing. `apply FILE` writes the difference to what
etcd has, stale keys deleted, all in one transaction that fails when somebody else wrote meanwhile. `show` prints what
etcd has, keys of certificates hidden. `status` prints what this node's Traefik makes of it. `start COMMAND…` becomes
Traefik, having put a first key below an empty root.

FILE is a JSON object: key below the root → text, or {"file": PATH} for a value that is read from a file (certificates
and their keys, which thus never are an argument or part of a rendered file).

Exit codes: 0 done or nothing to do; 1 failed; 2 the tree or the command is wrong, nothing was written; 3 etcd or
Traefik does not answer, trying again may help.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import http.client
import json
import os
import pwd
import ssl
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import traefik_schema

ROOT = "traefik/"
DIGEST = "seter/traefik/digest"  # beside the root: Traefik looks at every key below it
SECRETS = Path("/etc/seter/secrets/traefik")
API = "http://127.0.0.1:8080/api"
TIMEOUT = 5.0  # seconds
ATTEMPTS = 3  # when somebody else writes at the same time
SEED = "seed"  # key below the root; Traefik passes over what it does not know there
SEED_WAIT = 5.0  # seconds
SEED_PAUSE = 0.2


class Failed(Exception):
    """Something went wrong; `code` is the exit code."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Seen:
    """What etcd had at a revision: keys below the root, and the digest that was noted (with its revision)."""

    revision: int
    tree: Mapping[str, str]
    digest: str = ""
    digest_revision: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """What has to be written and deleted, keys relative to the root."""

    write: Mapping[str, str]
    delete: tuple[str, ...]
    digest: str


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


def pair_problems(tree: Mapping[str, str], folder: Path) -> list[str]:
    """Certificates whose key does not fit; the files that ssl wants are made in this folder."""
    found = []
    for key in sorted(key for key in tree if key.endswith("/certFile")):
        certificate = folder / "pair"
        certificate.touch(0o600)
        certificate.write_text(tree[key] + "\n" + tree.get(key.replace("/certFile", "/keyFile"), ""))
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate)
        except (ssl.SSLError, OSError) as error:
            found.append(f"{key}: this certificate and its key are no pair: {getattr(error, 'reason', error)}")
        finally:
            certificate.unlink()
    return found


def checked_tree(file: Path) -> dict[str, str]:
    """The tree in this file, known to be good. Raises Failed with everything that is wrong."""
    tree = read_tree(file)
    found = traefik_schema.problems(tree)
    with tempfile.TemporaryDirectory(prefix="traefik-tree-") as folder:
        found = found or pair_problems(tree, Path(folder))
    if found:
        raise Failed("\n".join([f"{file} is no configuration for Traefik, nothing was written:", *found]), 2)
    return tree


def digest_of(tree: Mapping[str, str]) -> str:
    """Of a tree without its private keys: each of them changes with its certificate."""
    public = {key: value for key, value in tree.items() if not key.endswith("/keyFile")}
    return "sha256:" + hashlib.sha256(json.dumps(public, sort_keys=True).encode()).hexdigest()


def difference(wanted: Mapping[str, str], seen: Seen) -> Change:
    """What makes etcd's tree the wanted one."""
    write = {key: value for key, value in wanted.items() if seen.tree.get(key) != value}
    return Change(write, tuple(sorted(set(seen.tree) - set(wanted))), digest_of(wanted))


def hidden(tree: Mapping[str, str]) -> dict[str, str]:
    """The tree as it may be shown."""
    return {
        key: "***" if key.endswith("/keyFile") else fingerprint(value) if key.endswith("/certFile") else value
        for key, value in sorted(tree.items())
    }


def fingerprint(certificate: str) -> str:
    """Of a certificate in PEM (the first, when there are several)."""
    first = certificate.split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"
    try:
        return "sha256:" + hashlib.sha256(ssl.PEM_cert_to_DER_cert(first.strip())).hexdigest()
    except ValueError:
        return "no certificate"


# etcd by its JSON gateway (etcd.io, "gRPC gateway"; keys and values are base64). The library for it in Debian brings
# two dozen packages; what we need of it is one call.


def b64(value: str) -> str:
    """Base64 of a text."""
    return base64.b64encode(value.encode()).decode()


def text_of(value: str) -> str:
    """The text of a base64."""
    return base64.b64decode(value).decode()


def end_of(prefix: str) -> str:
    """The first key after all that start with this prefix."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def transaction(seen: Seen, change: Change) -> dict[str, Any]:
    """The transaction that makes this change, unless a key below the root or the digest is newer than what was seen."""
    puts = {ROOT + key: value for key, value in change.write.items()} | {DIGEST: change.digest}
    return {
        "compare": [
            {
                "key": b64(ROOT),
                "range_end": b64(end_of(ROOT)),
                "target": "MOD",
                "result": "LESS",
                "mod_revision": str(seen.revision + 1),
            },
            {"key": b64(DIGEST), "target": "MOD", "result": "EQUAL", "mod_revision": str(seen.digest_revision)},
        ],
        "success": [
            *({"request_put": {"key": b64(key), "value": b64(value)}} for key, value in sorted(puts.items())),
            *({"request_delete_range": {"key": b64(ROOT + key)}} for key in change.delete),
        ],
    }


def seeding() -> dict[str, Any]:
    """The transaction that puts a first key below the root if there is none."""
    empty = {
        "key": b64(ROOT),
        "range_end": b64(end_of(ROOT)),
        "target": "CREATE",
        "result": "EQUAL",
        "create_revision": "0",
    }
    return {"compare": [empty], "success": [{"request_put": {"key": b64(ROOT + SEED), "value": b64("waiting")}}]}


def seen_in(answer: Mapping[str, Any]) -> Seen:
    """What etcd had, from the answer to READ."""
    below, noted = (part.get("response_range", {}).get("kvs", []) for part in answer["responses"])
    tree = {text_of(pair["key"]).removeprefix(ROOT): text_of(pair.get("value", "")) for pair in below}
    digest = [(text_of(pair.get("value", "")), int(pair["mod_revision"])) for pair in noted]
    return Seen(int(answer["header"]["revision"]), tree, *(digest[0] if digest else ("", 0)))


READ = {
    "success": [
        {"request_range": {"key": b64(ROOT), "range_end": b64(end_of(ROOT))}},
        {"request_range": {"key": b64(DIGEST)}},
    ]
}


@dataclass(frozen=True, slots=True)
class Etcd:
    """A member of etcd, reached over mutual TLS."""

    host: str
    port: int
    secrets: Path

    def call(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Send one transaction. Raises Failed, with code 3 when nobody answers or there is no leader."""
        context = ssl.create_default_context(cafile=str(self.secrets / "ca.crt"))
        context.load_cert_chain(self.secrets / "etcd-client.crt", self.secrets / "etcd-client.key")
        connection = http.client.HTTPSConnection(self.host, self.port, context=context, timeout=TIMEOUT)
        try:
            connection.request("POST", "/v3/kv/txn", json.dumps(request), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            body = answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            raise Failed(f"etcd on {self.host}:{self.port} does not answer: {error}", 3) from error
        finally:
            connection.close()
        if answer.status != 200:
            raise Failed(f"etcd answered {answer.status}: {body.strip()[:300]}", 3 if answer.status >= 500 else 1)
        done: dict[str, Any] = json.loads(body)
        return done


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
            return {"changed": False, **told, "revision": seen.revision}
        answer = etcd.call(transaction(seen, change))
        if answer.get("succeeded"):
            return {"changed": True, **told, "revision": int(answer["header"]["revision"])}
    raise Failed("somebody else writes the tree at the same time; look who, then apply again")


def start(options: argparse.Namespace) -> dict[str, Any]:
    """Become Traefik. Under an empty root it would look again after ever longer pauses instead of watching."""
    etcd, until = etcd_of(options), time.monotonic() + SEED_WAIT
    while time.monotonic() < until:
        try:
            etcd.call(seeding())
            break
        except Failed as error:
            print(f"traefik-tree: {error}", file=sys.stderr)
            time.sleep(SEED_PAUSE)
    os.execv(options.command[0], options.command)


def show(options: argparse.Namespace) -> dict[str, Any]:
    """Show what etcd has."""
    seen = seen_in(etcd_of(options).call(READ))
    as_noted = digest_of(seen.tree) == seen.digest
    return {"revision": seen.revision, "digest": seen.digest, "as_noted": as_noted, "tree": hidden(seen.tree)}


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
    ours = [service["name"] for service in services if service["name"].endswith("@etcd")]
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
    for verb in (check, apply, show, status, start):
        sub = verbs.add_parser(verb.__name__, help=verb.__doc__)
        sub.set_defaults(verb=verb)
        if verb in (check, apply):
            sub.add_argument("file", type=Path)
        if verb is start:
            sub.add_argument("command", nargs=argparse.REMAINDER)
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
