"""Manifests, tags and referrers: distribution specification 1.1, "Pulling manifests", "Pushing Manifests", "Listing
Tags", "Listing Referrers", "Deleting Manifests". Ours is compare and swap by If-Match and If-None-Match (RFC 9110, 13).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from common.errors import Conflict, Corrupt, NotFound
from common.model import Digest
from naust import manifest as oci
from naust.manifest import Manifest
from naust.serve.answer import BYTES, Answer, as_json, link, problem
from naust.serve.call import Call, Failed, digest_in
from naust.serve.head import Refused
from naust.serve.ranges import named, only
from naust.serve.served import ServedStore
from naust.serve.tokens import Right
from naust.store.interface import check_tag
from naust.version import is_dated

_TRIES = 10  # times that a channel may move while we move it
_MOST_TAGS = 20  # that one request gives a manifest
_PAGE = 10_000  # tags or names in one answer


class Manifests:
    """The manifests of a store, as clients see them."""

    def __init__(self, store: ServedStore) -> None:
        self._store = store

    def read(self, call: Call, name: str, reference: str) -> Answer:
        """GET and HEAD of a manifest."""
        call.need(Right.READ, name)
        data, digest = self.found(name, reference)
        fields = {"ETag": f'"{digest}"', "Docker-Content-Digest": str(digest), "Content-Type": media_type(data)}
        if call.head.header("if-none-match") and named(call.head.header("if-none-match"), str(digest)):
            return Answer(304, fields)
        return Answer(200, fields, data)

    def found(self, name: str, reference: str) -> tuple[bytes, Digest]:
        """A manifest of this name, and the digest that it goes by. Raises Failed, NotFound, Corrupt."""
        if ":" in reference:
            digest = digest_in(reference)
            if not self._store.has(name, digest):
                raise NotFound(f"{name} has no manifest {digest}", resolution="`naust list` shows what there is")
            data = self._store.read_manifest(name, reference)
            if _is_no_manifest(data):
                raise NotFound(f"{name} has no manifest {digest}", resolution="That digest is a blob's")
            return data, digest
        data = self._store.read_manifest(name, check_tag(name, reference))
        return data, self._digest(name, data)

    def write(self, call: Call, name: str, reference: str) -> Answer:
        """PUT of a manifest under a digest or a tag; `tag` parameters give it more tags."""
        call.need(Right.WRITE, name)
        data = self._body(call)
        read = self._checked(call, name, reference, data)
        tags = call.head.query.get("tag", ()) if ":" in reference else ()
        for tag in tags[:_MOST_TAGS]:
            check_tag(name, tag)
        if ":" in reference:
            digest = self._store.put_manifest(name, str(digest_in(reference)), data)
            for tag in tags[:_MOST_TAGS]:
                self._move(name, tag, data)
        else:
            digest = self._put_tag(call, name, check_tag(name, reference), data)
        self._store.link(name, digest)
        fields = {"Location": f"/v2/{name}/manifests/{digest}", "Docker-Content-Digest": str(digest)}
        fields |= {"ETag": f'"{digest}"'} | ({"OCI-Tag": ", ".join(tags[:_MOST_TAGS])} if tags else {})
        return Answer(201, fields | ({"OCI-Subject": str(read.subject)} if read.subject else {}))

    def delete(self, call: Call, name: str, reference: str) -> Answer:
        """DELETE of a tag, or of a manifest with all its tags."""
        if ":" in reference:
            return self._delete_manifest(call, name, digest_in(reference))
        # Versions never change, so to take one away takes more than to publish it.
        call.need(Right.ADMIN if is_dated(check_tag(name, reference)) else Right.WRITE, name)
        expected = self._expected(call)
        if not self._store.has_tag(name, reference):
            raise NotFound(f"{name} has no tag {reference}", resolution="`naust list` shows what there is")
        if expected is not None and expected.algorithm != "sha256":
            data, digest = self.found(name, reference)
            expected = Digest.of(data) if digest == expected else expected
        self._take_tag(name, reference, expected)
        return Answer(202)

    def tags(self, call: Call, name: str) -> Answer:
        """GET of the tags of a name, or of a page of them."""
        call.need(Right.READ, name)
        every = list(self._store.tags(name))
        if not every:
            raise NotFound(f"there is no {name}", resolution="`naust list` shows what there is")
        page, more = _page(call, every)
        answer = as_json({"name": name, "tags": page})
        return answer.having(Link=link(f"/v2/{name}/tags/list", more)) if more else answer

    def names(self, call: Call) -> Answer:
        """GET of all names that may be read, or of a page of them."""
        every = [name for name in self._store.names() if call.holder.may(Right.READ, name)]
        page, more = _page(call, every)
        answer = as_json({"repositories": page})
        return answer.having(Link=link("/v2/_catalog", more)) if more else answer

    def referrers(self, call: Call, name: str, subject: str) -> Answer:
        """GET of an index of the manifests that have this one as their subject."""
        call.need(Right.READ, name)
        wanted = call.head.asked("artifactType")
        found = list(self._descriptors(name, digest_in(subject), wanted))
        document = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": found}
        answer = as_json(document, media_type=oci.INDEX)
        return answer.having(OCI_Filters_Applied="artifactType") if wanted else answer

    # What is behind it

    def _body(self, call: Call) -> bytes:
        try:
            return call.body.read(oci.LARGEST)
        except Refused as error:
            if error.status != 413:
                raise
            todo = "Put what is long into a blob"
            told = problem(413, "MANIFEST_INVALID", f"a manifest has at most {oci.LARGEST} bytes", todo)
            raise Failed(told) from error

    def _checked(self, call: Call, name: str, reference: str, data: bytes) -> Manifest:
        try:
            read = oci.parse(data, f"{name}@{reference}" if ":" in reference else f"{name}:{reference}")
        except Corrupt as error:
            raise Failed(problem(400, "MANIFEST_INVALID", error.message, error.details)) from error
        if ":" in reference and Digest.of(data, digest_in(reference).algorithm) != digest_in(reference):
            raise Failed(problem(400, "DIGEST_INVALID", f"the manifest is not {reference}", "Send it again"))
        document = json.loads(data)
        stated = str(document.get("mediaType") or "")
        sent = call.head.header("content-type").partition(";")[0].strip().lower()
        if _is_no_manifest(data) or stated not in ("", *oci.MANIFESTS):
            told = "only manifests and indexes of OCI, and those of Docker's version 2, are kept here"
            raise Failed(problem(400, "MANIFEST_INVALID", told, "Let the client make one of those"))
        if stated and sent in oci.MANIFESTS and sent != stated:
            told = f"the Content-Type is {sent}, and the manifest says {stated}"
            raise Failed(problem(400, "MANIFEST_INVALID", told, "Make them agree"))
        self._check_parts(call, name, read)
        return read

    def _check_parts(self, call: Call, name: str, read: Manifest) -> None:
        """What it names must belong to the name, or a manifest would be a way to read what others keep."""
        everything = call.holder.may_everywhere(Right.READ)
        for blob in read.blobs:
            size = self._store.stat(name, blob.digest)
            if size is None and self._store.sparse:
                continue
            if size is None or not (everything or self._store.has(name, blob.digest)):
                told = f"{name} has no blob {blob.digest}, which the manifest names"
                raise Failed(problem(404, "MANIFEST_BLOB_UNKNOWN", told, "Push or mount it first"))
            if size != blob.size:
                told = f"the blob {blob.digest} has {size} bytes, and the manifest says {blob.size}"
                raise Failed(problem(400, "SIZE_INVALID", told, "Make the manifest anew"))

    def _put_tag(self, call: Call, name: str, tag: str, data: bytes) -> Digest:
        match, none = call.head.header("if-match"), call.head.header("if-none-match")
        if not match and not none:
            return self._move(name, tag, data)
        if none and (match or none.strip() != "*"):
            raise Failed(problem(400, "UNSUPPORTED", "one of If-Match and If-None-Match: * can be held to"))
        try:
            return self._store.put_manifest(name, tag, data, replacing=self._expected(call))
        except Conflict as error:
            raise Failed(_precondition(error)) from error

    def _expected(self, call: Call) -> Digest | None:
        match = call.head.header("if-match")
        if not match:
            return None
        try:
            return digest_in(only(match))
        except ValueError:
            raise Failed(problem(400, "UNSUPPORTED", "If-Match has to name one digest")) from None

    def _move(self, name: str, tag: str, data: bytes) -> Digest:
        """Let the tag stand for this, whatever it stood for; a version is never replaced. Raises Conflict."""
        for tries in range(_TRIES):
            try:
                return self._store.put_manifest(name, tag, data, replacing=self._stands_for(name, tag, data))
            except Conflict:
                if is_dated(tag) or tries == _TRIES - 1:
                    raise
        raise AssertionError("not reached")

    def _stands_for(self, name: str, tag: str, wanted: bytes) -> Digest | None:
        try:
            there = self._store.read_manifest(name, tag)
        except NotFound:
            return None
        except Corrupt:
            there = (self._store.root / name / tag).read_bytes()[: oci.LARGEST + 1]
        return None if is_dated(tag) or there == wanted else Digest.of(there)

    def _digest(self, name: str, data: bytes) -> Digest:
        """SHA-256, unless a client gave the name this manifest by another digest alone."""
        plain = Digest.of(data)
        if not self._store.has_other_digests(name) or self._store.linked(name, plain):
            return plain
        other = Digest.of(data, "sha512")
        return other if self._store.linked(name, other) else plain

    def _take_tag(self, name: str, tag: str, expected: Digest | None) -> None:
        try:
            self._store.delete_tag(name, tag, expected=expected)
        except Conflict as error:
            raise Failed(_precondition(error)) from error

    def _delete_manifest(self, call: Call, name: str, digest: Digest) -> Answer:
        call.need(Right.WRITE, name)
        data, _ = self.found(name, str(digest))
        tags = [tag for tag in self._store.every_tag(name) if self._stands(name, tag, digest)]
        call.need(Right.ADMIN if not tags or any(map(is_dated, tags)) else Right.WRITE, name)
        for tag in tags:
            self._take_tag(name, tag, Digest.of(data))
        self._store.forget(name, digest, oci.parse(data, str(digest)).subject)
        if self._store.has(name, digest):
            self._store.link(name, digest)
            raise Failed(problem(409, "DENIED", f"an index of {name} names {digest}", "Delete the index first"))
        return Answer(202)

    def _stands(self, name: str, tag: str, digest: Digest) -> bool:
        try:
            return Digest.of(self._store.read_manifest(name, tag), digest.algorithm) == digest
        except (NotFound, Corrupt):
            return False

    def _descriptors(self, name: str, subject: Digest, wanted: str) -> Iterator[dict[str, Any]]:
        for each in self._store.referrers(name, subject, wanted or None):
            data = self._store.read_manifest(name, str(each.digest))
            document: dict[str, Any] = {"mediaType": media_type(data), "digest": str(each.digest), "size": each.size}
            document |= {"artifactType": each.artifact_type} if each.artifact_type else {}
            annotations = json.loads(data).get("annotations")
            yield document | ({"annotations": annotations} if annotations else {})


def media_type(data: bytes) -> str:
    """What a manifest is served as; nothing that a browser would run, whatever it says of itself."""
    document = json.loads(data)
    stated = document.get("mediaType") or (oci.INDEX if "manifests" in document else oci.MANIFEST)
    return stated if stated in oci.MANIFESTS else BYTES


def _is_no_manifest(data: bytes) -> bool:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return True
    return not isinstance(document, dict) or not {"config", "layers", "manifests"} & set(document)


def _precondition(error: Conflict) -> Answer:
    return problem(412, "DENIED", error.message, error.resolution)


def _page(call: Call, every: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """A page of a sorted list, and the query of the next one, if there is more."""
    asked, last = call.head.asked("n"), call.head.asked("last")
    if asked and not (asked.isascii() and asked.isdigit()):
        raise Failed(problem(400, "UNSUPPORTED", "n is no number"))
    count = min(int(asked[:9]), _PAGE) if asked else _PAGE
    rest = [each for each in every if each > last] if last else every
    page = rest[:count]
    return page, [("n", str(count)), ("last", page[-1])] if page and len(rest) > count else []
