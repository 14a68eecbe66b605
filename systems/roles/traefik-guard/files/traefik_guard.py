#!/usr/bin/python3
"""Watches the tree in etcd and gives it to this node's Traefik, which reads a folder.

    traefik-guard run             until SIGTERM, which leaves Traefik with what it has
    traefik-guard status          JSON: applied and stored revision, what was refused; with --in-step 1 if they differ
    traefik-guard check-config    exit 0 when the file of --config can be used, else 2 and the reason

Options before the verb: --config FILE. Exit codes: 0 done, 1 not in step or failed, 2 wrong file or usage.

A tree that is empty, or wrong for the Traefik of this node, or that brings a certificate that has ended, is refused
whole: Traefik goes on with the last good one, the log says why, and `traefik_guard_refused` is 1. So does a Traefik
that starts while etcd is away: the last good tree is on the node's disk, readable by its user alone, since it has the
certificates' keys.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import traefik_schema
from metrics_server import program, serve, until_told
from traefik_etcd import BESIDE, READ, ROOT, Etcd, Failed, Seen, b64, digest_of, end_of, ended, pair_problems, seen_in

CONFIG = "/etc/seter/now/traefik-guard/traefik-guard.json"
TREE, KNOWN = "tree.yml", "applied.json"
SILENCE = 10.0  # seconds without an event, after which it looks anyway
PAUSE = 1.0  # seconds until the next try when etcd is away


@dataclass(frozen=True, slots=True)
class Config:
    """What seter wrote. `always` is put beside what etcd has."""

    etcd: Etcd
    folder: Path
    metrics_port: int
    metrics_address: str
    always: Mapping[str, Any]

    @classmethod
    def read(cls, path: str) -> Config:
        """Raises ValueError with the reason."""
        try:
            found = json.loads(Path(path).read_text(encoding="utf-8"))
            host, _, port = str(found["etcd"]).rpartition(":")
            etcd = Etcd(host.strip("[]"), int(port), Path(found["secrets"]))
            metrics = int(found["metrics_port"]), str(found["metrics_address"])
            return cls(etcd, Path(found["folder"]), *metrics, dict(found["always"]))
        except (OSError, KeyError, TypeError, ValueError) as fault:
            raise ValueError(f"{path} cannot be used: {type(fault).__name__}: {fault}") from fault


@dataclass(slots=True)
class State:
    """What is known; read by the server's threads. Revisions are etcd's; 0 is none."""

    applied: int = 0
    digest: str = ""
    stored: int = 0
    refused: str = ""
    reachable: bool = False
    looked_at: float = 0.0
    changes: int = 0

    def report(self) -> dict[str, Any]:
        """For `status`."""
        return {
            "ok": self.in_step,
            "summary": self.refused or ("in step" if self.in_step else "etcd is away" if self.applied else "no tree"),
            "applied_revision": self.applied,
            "stored_revision": self.stored,
            "digest": self.digest,
            "refused": self.refused,
            "etcd": self.reachable,
        }

    @property
    def in_step(self) -> bool:
        """Whether Traefik has what etcd has, as far as that can be known."""
        return self.reachable and not self.refused and self.applied == self.stored > 0

    def metrics(self) -> str:
        """Prometheus text format 0.0.4."""
        rows = (
            ("traefik_guard_applied_revision", "gauge", "etcd's revision of the tree that Traefik has", self.applied),
            ("traefik_guard_stored_revision", "gauge", "etcd's revision of the tree that etcd has", self.stored),
            (
                "traefik_guard_refused",
                "gauge",
                "1 while etcd has a tree that is empty or wrong",
                int(bool(self.refused)),
            ),
            ("traefik_guard_etcd_up", "gauge", "1 while etcd answers", int(self.reachable)),
            ("traefik_guard_looked_timestamp_seconds", "gauge", "When etcd was last read", f"{self.looked_at:.3f}"),
            ("traefik_guard_changes_total", "counter", "Trees that Traefik was given", self.changes),
        )
        lines = [f"# HELP {name} {about}\n# TYPE {name} {kind}\n{name} {value}" for name, kind, about, value in rows]
        return "\n".join(lines) + "\n"


class Guard:
    """Reads, judges, writes."""

    def __init__(self, config: Config, state: State) -> None:
        self._config, self.state = config, state
        self._lost = False

    def begin(self) -> None:
        """What an earlier life applied counts; without one Traefik gets what always holds. Raises OSError."""
        known = self._config.folder / KNOWN
        try:
            found = json.loads(known.read_text(encoding="utf-8"))
            self.state.applied, self.state.digest = int(found["revision"]), str(found["digest"])
            if not (self._config.folder / TREE).exists():
                raise ValueError("its tree is gone")
            if found["always"] != self._config.always:
                self.state.digest = ""  # so it is written anew, with what always holds now, as soon as etcd answers
        except (OSError, KeyError, TypeError, ValueError):
            self.state.applied, self.state.digest = 0, ""
            self._write(TREE, self._config.always)

    def look(self) -> int:
        """Read etcd once and apply what is new and good; the revision of all of etcd. Raises Failed,
        OSError."""
        seen, newest = read(self._config)
        state = self.state
        state.reachable, state.looked_at, state.stored, self._lost = True, time.time(), newest, False
        whole = seen.whole
        digest = digest_of(whole)
        if (newest, digest) == (state.applied, state.digest):
            self._refuse("")
            return int(seen.revision)
        found = traefik_schema.problems(whole)
        with tempfile.TemporaryDirectory(prefix="guard-", dir=self._config.folder) as folder:
            found = found or pair_problems(whole, Path(folder)) or ended(whole, self._certificates(), Path(folder))
        self._refuse("; ".join(found))
        if not found:
            self._write(TREE, merged(traefik_schema.document(whole), self._config.always))
            self._write(KNOWN, {"revision": newest, "digest": digest, "always": self._config.always})
            state.applied, state.digest, state.changes = newest, digest, state.changes + 1
            log(f"applied: revision {newest}, {len(whole)} keys")
        return int(seen.revision)

    def lost(self, reason: str) -> None:
        """etcd does not answer; said once."""
        if not self._lost:
            log(f"{reason}; Traefik goes on with revision {self.state.applied}")
        self.state.reachable, self._lost = False, True

    def _certificates(self) -> dict[str, str]:
        """Those that Traefik has."""
        try:
            pairs = json.loads((self._config.folder / TREE).read_text(encoding="utf-8"))["tls"]["certificates"]
            return {str(place): str(pair["certFile"]) for place, pair in enumerate(pairs)}
        except (OSError, KeyError, TypeError, ValueError):
            return {}

    def _refuse(self, reason: str) -> None:
        if reason and reason != self.state.refused:
            log(f"refused, Traefik goes on with revision {self.state.applied}: {reason}")
        self.state.refused = reason

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        # Traefik looks at names that end in .yml alone; JSON is YAML (YAML 1.2, section 1.3).
        beside = self._config.folder / f".{name}.new"
        with suppress(FileNotFoundError):
            beside.unlink()
        opened = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(opened, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._config.folder / name)


def read(config: Config) -> tuple[Seen, int]:
    """The tree, and the revision of its last change. Raises Failed."""
    answer = config.etcd.call(READ)
    newest = max(
        (int(pair["mod_revision"]) for part in answer["responses"] for pair in part["response_range"].get("kvs", [])),
        default=0,
    )
    return seen_in(answer), newest


def merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Both, by name; where both have a value the first one's."""
    result = dict(other)
    for key, value in one.items():
        below = result.get(key)
        result[key] = merged(value, below) if isinstance(value, Mapping) and isinstance(below, Mapping) else value
    return result


@contextmanager
def watching(config: Config, revision: int) -> Iterator[Iterator[None]]:
    """What comes for each change of the tree after this revision (etcd.io, "gRPC gateway", watch). Raises OSError."""
    etcd = config.etcd
    context = ssl.create_default_context(cafile=str(etcd.secrets / "ca.crt"))
    context.load_cert_chain(etcd.secrets / "etcd-client.crt", etcd.secrets / "etcd-client.key")
    connection = http.client.HTTPSConnection(etcd.host, etcd.port, context=context, timeout=SILENCE)
    # One range, since a watch has one: what lies beside the root, the root, and the little that may lie between them.
    wanted = {"key": b64(BESIDE), "range_end": b64(end_of(ROOT))}
    request = {"create_request": {**wanted, "start_revision": str(revision + 1)}}
    try:
        connection.request("POST", "/v3/watch", json.dumps(request), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise OSError(f"etcd answers {answer.status} to a watch")
        yield _events(answer)
    except http.client.HTTPException as fault:
        raise OSError(f"etcd ends the watch: {type(fault).__name__}: {fault}") from fault
    finally:
        connection.close()


def _events(answer: http.client.HTTPResponse) -> Iterator[None]:
    while line := answer.readline():
        result = json.loads(line).get("result", {})
        if result.get("canceled"):
            return  # compacted meanwhile, say: all is read again
        if result.get("events"):
            yield
    raise OSError("etcd ended the watch")


def follow(guard: Guard, config: Config, ending: threading.Event) -> None:
    """Look, then look again at each change, and now and then without one. Never raises for what etcd does."""
    while not ending.is_set():
        try:
            revision = guard.look()
            with watching(config, revision) as events, suppress(TimeoutError):
                for _ in events:
                    if ending.is_set():
                        return
                    guard.look()
        except (Failed, OSError, ValueError, KeyError) as fault:
            guard.lost(str(fault))
            ending.wait(PAUSE)


def run(config: Config) -> int:
    """Until SIGTERM or SIGINT. Raises OSError."""
    ending = until_told()
    guard = Guard(config, State())
    guard.begin()
    serve(config.metrics_port, guard.state, config.metrics_address)
    threading.Thread(target=follow, args=(guard, config, ending), daemon=True).start()
    ending.wait()
    return 0


def log(text: str) -> None:
    """One line to stderr."""
    print(f"traefik-guard: {text}", file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
    """See the top of this file."""
    return program(__doc__, CONFIG, argv, Config.read, run, strict="--in-step")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
