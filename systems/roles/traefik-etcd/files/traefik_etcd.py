"""The tree of Traefik's dynamic configuration in etcd: how it is read and written, and what tells two trees apart."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = "traefik/"
BESIDE = "seter/traefik/"  # what belongs to the tree without being rendered
DIGEST = BESIDE + "digest"
OVER = BESIDE + "over/"  # keys that lie over those of the tree: another program's, which no deploy touches
TIMEOUT = 5.0  # seconds


class Failed(Exception):
    """Something went wrong; `code` is the exit code."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Seen:
    """What etcd had at a revision: keys below the root, the digest that was noted (with its revision), and what other
    programs laid over the tree."""

    revision: int
    tree: Mapping[str, str]
    digest: str = ""
    digest_revision: int = 0
    over: Mapping[str, str] = field(default_factory=dict)

    @property
    def whole(self) -> dict[str, str]:
        """What Traefik is to have. Over nothing lies nothing: a tree that is gone must be seen to be gone."""
        return {**self.tree, **self.over} if self.tree else {}


@dataclass(frozen=True, slots=True)
class Change:
    """What has to be written and deleted, keys relative to the root."""

    write: Mapping[str, str]
    delete: tuple[str, ...]
    digest: str


def pair_problems(tree: Mapping[str, str], folder: Path) -> list[str]:
    """Certificates whose key does not fit; the files that ssl wants are made in this folder."""
    found = []
    for key in sorted(key for key in tree if key.endswith("/certFile")):
        with _file_of(tree, key, folder) as pair:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(pair)
            except (ssl.SSLError, OSError) as error:
                found.append(f"{key}: this certificate and its key are no pair: {getattr(error, 'reason', error)}")
    return found


def ended(tree: Mapping[str, str], before: Mapping[str, str], folder: Path) -> list[str]:
    """Certificates that are not valid now, as a client finds them, and that are not among those `before`: one that
    ends while it is served holds up no other change."""
    found = []
    for key in sorted(key for key in tree if key.endswith("/certFile") and tree[key] not in before.values()):
        with _file_of(tree, key, folder) as pair:
            try:
                _shake_hands(pair)
            except ssl.SSLCertVerificationError as error:
                found.append(f"{key}: no client would take this certificate: {error.verify_message}")
    return found


@contextmanager
def _file_of(tree: Mapping[str, str], key: str, folder: Path) -> Iterator[Path]:
    """A certificate and its key, for as long as they are looked at."""
    pair = folder / "pair"
    pair.touch(0o600)
    try:
        pair.write_text(tree[key] + "\n" + tree.get(key.replace("/certFile", "/keyFile"), ""))
        yield pair
    finally:
        pair.unlink()


def _shake_hands(pair: Path) -> None:
    """In memory, with a client that trusts just this certificate. Raises ssl.SSLCertVerificationError, with OpenSSL's
    words (X509_STORE_CTX_get_error(3))."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pair)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(pair)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    asks = client.wrap_bio(to_client, to_server)
    answers = server.wrap_bio(to_server, to_client, server_side=True)
    for side in (asks, answers, asks):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()


def digest_of(tree: Mapping[str, str]) -> str:
    """Of a tree without its private keys: each of them changes with its certificate."""
    public = {key: value for key, value in tree.items() if not key.endswith("/keyFile")}
    return "sha256:" + hashlib.sha256(json.dumps(public, sort_keys=True).encode()).hexdigest()


def difference(wanted: Mapping[str, str], seen: Seen) -> Change:
    """What makes etcd's tree the wanted one."""
    write = {key: value for key, value in wanted.items() if seen.tree.get(key) != value}
    return Change(write, tuple(sorted(set(seen.tree) - set(wanted))), digest_of(wanted))


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


def seen_in(answer: Mapping[str, Any]) -> Seen:
    """What etcd had, from the answer to READ."""
    tree, noted, over = (part.get("response_range", {}).get("kvs", []) for part in answer["responses"])
    digest = [(text_of(pair.get("value", "")), int(pair["mod_revision"])) for pair in noted]
    revision = int(answer["header"]["revision"])
    return Seen(revision, values(tree, ROOT), *(digest[0] if digest else ("", 0)), values(over, OVER))


def values(pairs: Iterable[Mapping[str, Any]], prefix: str) -> dict[str, str]:
    """Keys, relative to a prefix, with their values."""
    return {text_of(pair["key"]).removeprefix(prefix): text_of(pair.get("value", "")) for pair in pairs}


def below(prefix: str) -> dict[str, str]:
    """Which keys a request means that asks for all with a prefix."""
    return {"key": b64(prefix), "range_end": b64(end_of(prefix))}


READ = {
    "success": [
        {"request_range": below(ROOT)},
        {"request_range": {"key": b64(DIGEST)}},
        {"request_range": below(OVER)},
    ]
}


@dataclass(frozen=True, slots=True)
class Etcd:
    """A member of etcd, reached over mutual TLS."""

    host: str
    port: int
    secrets: Path

    def call(self, request: Mapping[str, Any], path: str = "/v3/kv/txn") -> dict[str, Any]:
        """Send one request, a transaction unless a path says otherwise. Raises Failed, with code 3 when nobody answers
        or there is no leader."""
        context = ssl.create_default_context(cafile=str(self.secrets / "ca.crt"))
        context.load_cert_chain(self.secrets / "etcd-client.crt", self.secrets / "etcd-client.key")
        connection = http.client.HTTPSConnection(self.host, self.port, context=context, timeout=TIMEOUT)
        try:
            connection.request("POST", path, json.dumps(request), {"Content-Type": "application/json"})
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
