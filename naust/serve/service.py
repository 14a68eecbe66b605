"""From a request to its answer: who asks, how often, what for, and who has to be told of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from common.errors import Error
from common.model import Kind
from naust.serve.answer import Answer, as_json, problem
from naust.serve.api import Api
from naust.serve.artefacts import Artefacts
from naust.serve.blobs import Blobs
from naust.serve.call import ANONYMOUS, TOKEN_HELP, Call, Failed, challenge, digest_in, failure, name_in, token_of
from naust.serve.connection import Body, Gone
from naust.serve.head import Head, Refused
from naust.serve.manifests import Manifests
from naust.serve.metrics import MEDIA_TYPE, Metrics
from naust.serve.rate import Rate
from naust.serve.served import ServedStore
from naust.serve.snapshots import Snapshots
from naust.serve.snapshots_images import Images, is_image
from naust.serve.sources import Proxied, Sources
from naust.serve.tokens import Holder, Right, Scope, Tokens

_NAMED = re.compile(r"/v2/(.+?)/(?:(blobs/uploads)/?|(blobs/uploads|blobs|manifests|referrers)/([^/]+)|(tags/list))")
_ARTEFACT = re.compile(rf"/((?:{'|'.join(Kind)})/[^/@]+)/([^/]+)")


@dataclass(frozen=True, slots=True)
class Rules:
    """What a server allows. `anonymous` is what those without a token may do everywhere; None: nothing."""

    anonymous: Right | None = None
    largest: int = 0  # bytes of a blob; 0 is no limit
    each_second: int = 0  # requests of one client; 0 is no limit
    sparse: bool = False


Handler = Callable[..., Answer]


class Service:
    """A store behind its interface. Any number of threads."""

    def __init__(self, root: Path, rules: Rules, tokens: Tokens | None = None, proxied: Proxied | None = None) -> None:
        self.store = ServedStore(root, sparse=rules.sparse)
        root.mkdir(parents=True, exist_ok=True)
        self.metrics = Metrics()
        self.tokens = tokens
        self._rate = Rate(rules.each_second)
        scopes = (Scope(rules.anonymous, "*"),) if rules.anonymous else ()
        self._nobody = Holder(ANONYMOUS, scopes)
        self._blobs = Blobs(self.store, rules.largest)
        self._manifests = Manifests(self.store)
        self._api = Api(self.store)
        self._artefacts = Artefacts(self.store, self._manifests)
        self._snapshots = Snapshots(self.store, self._artefacts)
        self._images = Images(self.store, self._snapshots)
        self._sources = Sources(self.store, proxied or Proxied())
        self._single: dict[str, Handler] = {
            "/healthz": _well,
            "/metrics": self._numbers,
            "/token": _token,
            "/v2": self._ping,
            "/v2/": self._ping,
            "/v2/_catalog": self._manifests.names,
        }
        self.metrics.gauge("naust_uploads_open", "Uploads that are under way.", self._blobs.uploads.count)

    def answer(self, head: Head, body: Body, address: str, secure: bool) -> tuple[Answer, str]:
        """The answer, and the name of whoever asked. Never raises an error of the store; raises Refused and Gone."""
        who = "-"
        try:
            holder, anonymous = self._holder(head, address)
            who = holder.name
            self._hold_back(address if anonymous else f"token {who}")
            return self._route(Call(head, body, holder, secure, anonymous)), who
        except Failed as failed:
            return failed.answer, who
        except (Refused, Gone) as ended:
            ended.who = who
            raise

    def _hold_back(self, client: str) -> None:
        wait = self._rate.wait(client)
        if wait:
            told = problem(429, "TOOMANYREQUESTS", "too many requests", f"Try again in {wait} s")
            raise Failed(told.having(Retry_After=str(wait)))

    def _holder(self, head: Head, address: str) -> tuple[Holder, bool]:
        token = token_of(head)
        if token is None or (token == ANONYMOUS and self._nobody.scopes):
            return self._nobody, True
        found = self.tokens.holder(token) if self.tokens else None
        if found is None and self.tokens is None:
            return self._nobody, True  # without tokens everybody is nobody
        if found is None:
            self._hold_back(address)  # whoever guesses tokens is held back too
            told = problem(401, "UNAUTHORIZED", "the token is unknown, revoked or expired", TOKEN_HELP)
            raise Failed(challenge(told))
        return found, False

    def _route(self, call: Call) -> Answer:
        path, method = call.head.path, call.head.method
        code = ""
        try:
            if path in self._single:
                return self._allowed(method, {"GET": self._single[path]}, call)
            if path.startswith("/v2/"):
                handlers, code, words = self._named(call)
                return self._allowed(method, handlers, call, *words)
            if path.startswith("/api/"):
                return self._own(call)
            if path == "/snapshots" or path.startswith("/snapshots/"):
                return self._allowed(method, {"GET": self._snapshots.read}, call)
            if path == "/sources" or path.startswith("/sources/"):
                return self._allowed(method, {"GET": self._sources.read}, call)
            return self._for_people(call)
        except Error as error:
            raise Failed(failure(error, code, self.store.url)) from error

    def _allowed(self, method: str, handlers: dict[str, Handler], call: Call, *words: object) -> Answer:
        handler = handlers.get("GET" if method == "HEAD" else method)
        if handler is None:
            known = ", ".join((*handlers, *(("HEAD",) if "GET" in handlers else ())))
            raise Failed(problem(405, "UNSUPPORTED", f"{method} is not for this path").having(Allow=known))
        return handler(call, *words)

    def _named(self, call: Call) -> tuple[dict[str, Handler], str, tuple[object, ...]]:
        """What can be done with a path below /v2/kind/name, the code if it is not there, and what is named."""
        if not call.holder.scopes:
            raise call.refused("do that")
        found = _NAMED.fullmatch(call.head.path)
        if found is None:
            raise Failed(problem(404, "UNSUPPORTED", "the distribution API has no such path"))
        name, start, part, last, tags = found.groups()
        if is_image(name):
            return *self._images.handler(name, start, part, last), ()
        try:
            name = name_in(name)
        except Failed:
            if call.head.method != "HEAD":
                raise
            # Nobody sees why a HEAD failed; the request that follows a 404 will be told.
            raise Failed(problem(404, "NAME_UNKNOWN", "there is no such name")) from None
        blobs, manifests = self._blobs, self._manifests
        if tags:
            return {"GET": manifests.tags}, "NAME_UNKNOWN", (name,)
        if start or (part == "blobs" and last == "uploads"):
            return {"POST": blobs.start}, "BLOB_UPLOAD_UNKNOWN", (name,)
        if part == "blobs/uploads":
            handlers: dict[str, Handler] = {"GET": blobs.status, "PATCH": blobs.append, "PUT": blobs.finish}
            return handlers | {"DELETE": blobs.cancel}, "BLOB_UPLOAD_UNKNOWN", (name, last)
        if part == "blobs":
            return {"GET": blobs.read, "DELETE": blobs.delete}, "BLOB_UNKNOWN", (name, digest_in(last))
        if part == "referrers":
            return {"GET": manifests.referrers}, "MANIFEST_UNKNOWN", (name, last)
        handlers = {"GET": manifests.read, "PUT": manifests.write, "DELETE": manifests.delete}
        return handlers, "MANIFEST_UNKNOWN", (name, last)

    def _own(self, call: Call) -> Answer:
        method, api = call.head.method, self._api
        paths: dict[str, dict[str, Handler]] = {
            "/api/v1/artifacts": {"GET": api.artifacts},
            "/api/v1/blobs": {"GET": api.blobs},
            "/api/v1/roots": {"GET": api.roots},
            "/api/v1/upkeep": {"GET": api.pushing, "POST": api.upkeep},
        }
        if not call.holder.scopes:
            raise call.refused("do that")
        if call.head.path in paths:
            return self._allowed(method, paths[call.head.path], call)
        before, _, digest = call.head.path.rpartition("/")
        if before == "/api/v1/blobs":
            return self._allowed(method, {"DELETE": api.delete_blob}, call, digest)
        raise Failed(problem(404, "UNSUPPORTED", "there is no such path"))

    def _for_people(self, call: Call) -> Answer:
        if not call.holder.scopes and call.head.path != "/style.css":
            raise self._artefacts.locked(call, "look around")
        found = _ARTEFACT.fullmatch(call.head.path)
        if found and ("a" not in call.head.query or found[2] != "diff"):
            return self._allowed(call.head.method, {"GET": self._artefacts.read}, call, name_in(found[1]), found[2])
        return self._allowed(call.head.method, {"GET": self._artefacts.page}, call)

    def _ping(self, call: Call) -> Answer:
        """Clients learn here how to log in, even if they may read without."""
        version = {"Docker-Distribution-Api-Version": "registry/2.0"}
        if call.anonymous and self.tokens is not None and not call.head.header("authorization"):
            told = problem(401, "UNAUTHORIZED", "log in, or go on as anonymous", TOKEN_HELP)
            endpoint = f"{call.base}/token" if call.holder.scopes else ""
            raise Failed(challenge(told.having(**version), endpoint))
        return as_json({}).having(**version)

    def _numbers(self, call: Call) -> Answer:
        if not call.holder.scopes:
            raise call.refused("read the metrics")
        return Answer(200, {"Content-Type": MEDIA_TYPE}, self.metrics.text().encode())


def _well(call: Call) -> Answer:
    return Answer(200, {"Content-Type": "text/plain; charset=utf-8"}, b"ok\n")


def _token(call: Call) -> Answer:
    """Clients that insist on a token service get their own token back, or the one of nobody."""
    return as_json({"token": ANONYMOUS if call.anonymous else token_of(call.head)}).having(Cache_Control="no-store")
