"""What has the artefact's own URI: its manifest for a program, its page for a person, its file for either."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

from common.errors import Corrupt, Denied, NotFound
from naust import manifest as oci
from naust.serve.answer import Answer, problem
from naust.serve.blobs import sent
from naust.serve.call import Call, Failed
from naust.serve.head import accepts_pages
from naust.serve.manifests import Manifests
from naust.serve.served import ServedStore
from naust.serve.tokens import Right


class Artefacts:
    """Everything outside of the interfaces for programs."""

    def __init__(self, store: ServedStore, manifests: Manifests) -> None:
        self._store = store
        self._manifests = manifests

    def read(self, call: Call, name: str, tag: str) -> Answer:
        """`/kind/name/tag`."""
        if "download" in call.head.query:
            return self._file(call, name, tag)
        if accepts_pages(call.head):
            return self.page(call)
        return self._manifests.read(call, name, tag).having(Vary="Accept")

    def page(self, call: Call) -> Answer:
        """A page for people."""
        from naust.serve.pages import page
        from naust.serve.pages import problem as told

        holder = call.holder
        found = page(
            self._store,
            quote(call.head.path),
            {key: values[0] for key, values in call.head.query.items()},
            base_url=call.base,
            readable=lambda name: holder.may(Right.READ, name),
        )
        if found is None and accepts_pages(call.head):
            found = told(NotFound(f"there is no {call.head.path[:200]}", resolution="Begin at /"), base_url=call.base)
        if found is None:
            raise Failed(problem(404, "NAME_UNKNOWN", f"there is no {call.head.path[:200]}", "Begin at /"))
        if call.anonymous and found.status in (401, 403):
            raise self.locked(call, "read that")
        return Answer(found.status, {"Content-Type": found.media_type, **dict(found.headers)}, found.body)

    def locked(self, call: Call, what: str) -> Failed:
        """As `call.refused`; a browser shows this page when its visitor does not log in."""
        failed = call.refused(what)
        if not accepts_pages(call.head):
            return failed
        from naust.serve.pages import problem as told

        error = Denied("this is not for everybody", resolution="Log in: any user name, and a token as password.")
        shown = told(error, base_url=call.base)
        headers = {**failed.answer.headers, "Content-Type": shown.media_type, **dict(shown.headers)}
        return Failed(replace(failed.answer, headers=headers, body=shown.body))

    def _file(self, call: Call, name: str, tag: str) -> Answer:
        call.need(Right.READ, name)
        data, digest = self._manifests.found(name, tag)
        read = oci.parse(data, f"{name}:{tag}")
        if len(read.layers) != 1 or read.is_container:
            todo = "Pull it with naust, docker, crane or oras"
            raise Failed(problem(404, "BLOB_UNKNOWN", f"{name}:{tag} is not one file", todo))
        blob = read.layers[0]
        answer = sent(self._store, call.head, blob.digest)
        plain = _plain(read.title, f"{name.partition('/')[2]}-{tag}")
        return answer.having(
            Content_Disposition=f"attachment; filename=\"{_ascii(plain)}\"; filename*=UTF-8''{quote(plain, safe='')}",
            Content_Security_Policy="default-src 'none'; sandbox",
            Docker_Content_Digest=str(digest),
        )


def _plain(title: str, otherwise: str) -> str:
    """A file name that leads nowhere else."""
    from naust.push import checked_title

    try:
        return checked_title(title, "it")
    except Corrupt:
        return otherwise


def _ascii(name: str) -> str:
    return "".join(each if each.isascii() and each.isprintable() and each not in '"\\' else "_" for each in name)


def nothing(call: Call) -> Answer:
    """Raises NotFound."""
    raise NotFound(f"there is no {call.head.path[:200]}", resolution="Begin at /v2/, /api/v1/artifacts or /")
