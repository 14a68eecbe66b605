"""What naust's own clients ask beyond the distribution API: everything at once as NDJSON, and what collecting needs.

GET /api/v1/artifacts?prefix=P       {"name","tag","version","digest","size","media_type","created","made_from",
                                      "annotations"}, or {"name","tag","damaged"}; has an ETag
GET /api/v1/blobs                    {"digest","size","age"}                        these and all below need admin:*
DELETE /api/v1/blobs/D?older_than=S  {"deleted"}
GET /api/v1/roots                    {"name","tag"}
GET /api/v1/upkeep                   {"pushing"}: seconds, or null
POST /api/v1/upkeep?older_than=S     {"uploads","entries"}: how many stale ones were given up, and entries tidied
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from datetime import timedelta

from common.errors import Corrupt
from common.model import Artifact, Kind
from naust.serve.answer import LINES, Answer, as_json, gathered, problem
from naust.serve.call import Call, Failed, digest_in
from naust.serve.ranges import named
from naust.serve.served import ServedStore, tidy
from naust.serve.tokens import Right
from naust.serve.uploads import sweep

_SETTLED = 1.0  # seconds after which a folder's time of change can be relied on
_LONGEST = 10 * 365 * 86400.0  # seconds


class Api:
    """`/api/v1` of a store."""

    def __init__(self, store: ServedStore) -> None:
        self._store = store

    def artifacts(self, call: Call) -> Answer:
        """Every artefact that may be read."""
        prefix = call.head.asked("prefix")
        tag = self._state(call, prefix)
        fields = {"Content-Type": LINES, "ETag": f'"{tag}"', "Cache-Control": "private, no-cache"}
        if call.head.header("if-none-match") and named(call.head.header("if-none-match"), tag):
            return Answer(304, fields)
        return Answer(200, fields, stream=gathered(self._lines(call, prefix)))

    def blobs(self, call: Call) -> Answer:
        """Every blob."""
        call.need_everywhere(Right.ADMIN)
        lines = (
            _line({"digest": str(each.digest), "size": each.size, "age": each.age.total_seconds()})
            for each in self._store.blobs()
        )
        return Answer(200, {"Content-Type": LINES}, stream=gathered(lines))

    def delete_blob(self, call: Call, digest: str) -> Answer:
        """Take a blob away, if it is old enough."""
        call.need_everywhere(Right.ADMIN)
        return as_json({"deleted": self._store.delete(digest_in(digest), older_than=_age(call))})

    def roots(self, call: Call) -> Answer:
        """Every name with each of its tags."""
        call.need_everywhere(Right.ADMIN)
        lines = (_line({"name": name, "tag": tag}) for name, tag in self._store.roots())
        return Answer(200, {"Content-Type": LINES}, stream=gathered(lines))

    def pushing(self, call: Call) -> Answer:
        """How long the oldest push is under way."""
        call.need_everywhere(Right.ADMIN)
        age = self._store.pushing()
        return as_json({"pushing": None if age is None else age.total_seconds()})

    def upkeep(self, call: Call) -> Answer:
        """Give up stale uploads, and what is kept about blobs that are gone."""
        call.need_everywhere(Right.ADMIN)
        uploads = sweep(self._store.root, _age(call)) + self._store.stale_uploads(_age(call))
        return as_json({"uploads": uploads, "entries": tidy(self._store.root) + self._store.tidy()})

    def _lines(self, call: Call, prefix: str) -> Iterator[bytes]:
        for name, found in self._store.artifacts(prefix):
            if call.holder.may(Right.READ, name):
                yield _line(_damaged(name, found) if isinstance(found, Corrupt) else _described(name, found))

    def _state(self, call: Call, prefix: str) -> str:
        """Differs whenever the answer could. A name's folder changes with each of its tags (rename(2), link(2))."""
        total = hashlib.sha256(f"{prefix}\n{','.join(map(str, call.holder.scopes))}\n".encode())
        newest = 0
        for kind in Kind:
            for folder in _folders(self._store.root / kind):
                status = folder.stat()
                newest = max(newest, status.st_mtime_ns)
                total.update(f"{kind}/{folder.name} {status.st_ino} {status.st_mtime_ns}\n".encode())
        if time.time() - newest / 1e9 < _SETTLED:
            total.update(os.urandom(16))  # two changes may have the same time
        return total.hexdigest()[:32]


def _folders(path: os.PathLike[str]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _described(name: str, artifact: Artifact) -> dict[str, object]:
    return {
        "name": name,
        "tag": artifact.reference.tag,
        "version": artifact.version,
        "digest": str(artifact.digest),
        "size": artifact.size,
        "media_type": artifact.media_type,
        "created": artifact.created.isoformat(),
        "made_from": str(artifact.made_from) if artifact.made_from else None,
        "annotations": dict(artifact.annotations),
    }


def _damaged(name: str, error: Corrupt) -> dict[str, object]:
    before, _, rest = error.message.partition(f"{name}:")
    return {"name": name, "tag": rest.partition(" ")[0] if before else "", "damaged": error.message}


def _line(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def _age(call: Call) -> timedelta:
    text = call.head.asked("older_than") or "0"
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _LONGEST:
        raise Failed(problem(400, "UNSUPPORTED", "older_than is no number of seconds"))
    return timedelta(seconds=seconds)
