"""A client of the OCI distribution specification 1.1: registries, and the naust server, which is one too.

Repositories are named in full here, prefix included. Uploads are in naust.wire.distribution_upload, referrers in
naust.wire.distribution_referrers, credentials in naust.wire.distribution_auth.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO
from urllib.parse import quote, urljoin

from common.errors import BadInput, Corrupt, Denied, Error, NotFound
from common.model import Digest
from naust import manifest as oci
from naust.store.access import NOTHING, Access
from naust.wire.distribution_auth import Authorization
from naust.wire.patience import Busy, patiently
from naust.wire.transport import SUCCESS, Answer, Body, Origin, Outgoing, Transport, part_of, refusal, shown

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
ACCEPTED = ", ".join((oci.MANIFEST, oci.INDEX, DOCKER_MANIFEST, DOCKER_INDEX))
_PAGE = 1000  # names or tags that are asked for at once
_MOST_PAGES = 100_000
_CODE = re.compile(r'"code"\s*:\s*"([A-Z_]{1,40})"')
_TRIES = 4  # of one request
_LONGEST_WAIT = 1.0  # seconds; who wants us to wait for longer is heard by the user too: naust.store.retrying


def pull_scope(repository: str) -> str:
    """The scope of a token that may read."""
    return f"repository:{repository}:pull"


def push_scope(repository: str, mount_from: str = "") -> str:
    """The scope of a token that may write, and read what is to be mounted from another repository."""
    other = f" repository:{mount_from}:pull" if mount_from else ""
    return f"repository:{repository}:pull,push{other}"


def delete_scope(repository: str) -> str:
    """The scope of a token that may delete."""
    return f"repository:{repository}:delete,pull"


@dataclass(frozen=True, slots=True)
class Held:
    """A manifest as the registry gave it; its digest is that of its bytes, and was checked."""

    data: bytes
    digest: Digest
    media_type: str


class Distribution:
    """One registry at `base`, such as https://registry.example.org:5000. Any number of threads may use it."""

    def __init__(self, base: str, access: Access = NOTHING) -> None:
        self.base = base.rstrip("/")
        self.transport = Transport(access)
        self._authorization = Authorization(self.transport, self.base, access)

    @contextmanager
    def request(
        self,
        method: str,
        path: str,
        *,
        scope: str = "",
        headers: Mapping[str, str] | None = None,
        body: Body = None,
        accept: Container[int] = SUCCESS,
    ) -> Iterator[Answer]:
        """As `Transport.request`, with our credentials, and again a few times if the registry is too busy. `path` may
        be a URL, as Location headers have it: of another origin, it gets no credentials."""
        with ExitStack() as opened:

            def ask() -> Answer:
                return opened.enter_context(self._request(method, path, scope, headers, body, accept))

            once = isinstance(body, Outgoing)  # large, and whoever sends it knows where it goes on
            yield ask() if once else patiently(ask, _TRIES, longest=_LONGEST_WAIT, only=Busy)

    @contextmanager
    def _request(
        self,
        method: str,
        path: str,
        scope: str,
        headers: Mapping[str, str] | None,
        body: Body,
        accept: Container[int],
    ) -> Iterator[Answer]:
        url = urljoin(f"{self.base}/", path)
        ours = Origin.of(url) == Origin.of(self.base)
        sent = self._authorization.credential(scope) if ours else None
        begin = body.source.tell() if isinstance(body, Outgoing) and body.source.seekable() else None
        first = self.transport.request(
            method, url, headers=headers, credential=sent, body=body, accept=_Also(accept, 401 if ours else 0)
        )
        with first as answer:
            if answer.status != 401 or 401 in accept:
                yield answer
                return
            credential = self._authorization.answer_to(answer, scope, sent)
            if credential is None or (isinstance(body, Outgoing) and begin is None):
                raise refusal(answer, method, [sent.value] if sent else [])
        if isinstance(body, Outgoing) and begin is not None:
            body.source.seek(begin)
        with self.transport.request(
            method, url, headers=headers, credential=credential, body=body, accept=accept
        ) as answer:
            yield answer

    @contextmanager
    def part(self, path: str, start: int = 0, length: int | None = None, *, scope: str = "") -> Iterator[BinaryIO]:
        """As `Transport.part`, with our credentials."""
        with part_of(partial(self.request, scope=scope), path, start, length) as body:
            yield body

    def ping(self) -> None:
        """Whether it is there, speaks this protocol and knows us (specification, "Endpoints", end-1).

        Raises Denied, Unavailable; NotFound if it is no registry.
        """
        with self.request("GET", "/v2/", accept=(200,)):
            pass

    # Blobs (end-2)

    def blob_size(self, repository: str, digest: Digest) -> int | None:
        """Size of a blob in bytes, None if it is not there."""
        return self._size(f"/v2/{repository}/blobs/{digest}", repository, {})

    @contextmanager
    def blob(self, repository: str, digest: Digest, start: int = 0, length: int | None = None) -> Iterator[BinaryIO]:
        """Bytes of a blob, as `Transport.part`. Raises NotFound."""
        with self.part(f"/v2/{repository}/blobs/{digest}", start, length, scope=pull_scope(repository)) as body:
            yield body

    # Manifests (end-3, end-7, end-9)

    def manifest(self, repository: str, reference: str) -> Held:
        """The manifest with this tag or digest. Raises NotFound; Corrupt if it is not what the digest or the registry
        says."""
        path = f"/v2/{repository}/manifests/{quote(reference, safe=':')}"
        with self.request("GET", path, scope=pull_scope(repository), headers={"Accept": ACCEPTED}) as answer:
            data = answer.content()
            stated = reference if ":" in reference else answer.header("Docker-Content-Digest")
            return Held(data, _checked(data, stated, answer.url), answer.header("Content-Type").partition(";")[0])

    def manifest_size(self, repository: str, digest: Digest) -> int | None:
        """Size of a manifest in bytes, None if it is not there."""
        return self._size(f"/v2/{repository}/manifests/{digest}", repository, {"Accept": ACCEPTED})

    def manifest_digest(self, repository: str, tag: str) -> Digest | None:
        """What the tag stands for, None if it is free."""
        path = f"/v2/{repository}/manifests/{quote(tag)}"
        asked = self.request(
            "HEAD", path, scope=pull_scope(repository), headers={"Accept": ACCEPTED}, accept=(200, 404)
        )
        with asked as answer:
            if answer.status == 404:
                return None
            stated = answer.header("Docker-Content-Digest")
        try:
            # The header is optional (specification, "Pulling manifests").
            return _digest(stated, path) if stated else self.manifest(repository, tag).digest
        except NotFound:
            return None

    def put_manifest(
        self, repository: str, reference: str, data: bytes, *, headers: Mapping[str, str] | None = None
    ) -> bool:
        """Store a manifest under a tag or its digest. Whether the registry lists it as a referrer by itself.

        Raises NotFound if the registry misses what it names, Conflict where `headers` are conditions.
        """
        path = f"/v2/{repository}/manifests/{quote(reference, safe=':')}"
        kind = {"Content-Type": media_type(data)} | dict(headers or {})
        sent = self.request(
            "PUT", path, scope=push_scope(repository), headers=kind, body=data, accept=_Also(SUCCESS, 400)
        )
        with sent as answer:
            if answer.status == 400:
                stated = Digest.parse(reference) if ":" in reference else None
                raise refused_digest(stated, answer) or _refused_manifest(answer, repository, reference)
            return bool(answer.header("OCI-Subject"))

    def delete_manifest(self, repository: str, reference: str, *, headers: Mapping[str, str] | None = None) -> None:
        """Delete a tag, or by its digest a manifest with all of its tags. That it is not there is success.

        Raises Denied if the registry does not delete that.
        """
        path = f"/v2/{repository}/manifests/{quote(reference, safe=':')}"
        refused = (400, 405, 501)  # docker-registry 2.8 says 400 or 405 to a tag
        sent = self.request(
            "DELETE", path, scope=delete_scope(repository), headers=headers, accept=_Also(SUCCESS, 404, *refused)
        )
        with sent as answer:
            if answer.status in refused:
                raise Denied(
                    f"{self.base} does not delete {repository}{'@' if ':' in reference else ':'}{reference}",
                    details=str(refusal(answer, "DELETE").details),
                    resolution="This registry takes no tag away alone, or deleting is turned off in it.",
                )

    # Lists (end-8; the catalog is Docker's)

    def tags(self, repository: str) -> Iterator[str]:
        """All tags of a repository, in the registry's order; none if there is no such repository."""
        for document in self._pages(f"/v2/{repository}/tags/list?n={_PAGE}", pull_scope(repository)):
            yield from _texts(document, "tags")

    def catalog(self) -> Iterator[str]:
        """All repositories. Raises Denied or NotFound where a registry does not tell."""
        for document in self._pages(f"/v2/_catalog?n={_PAGE}", "registry:catalog:*", missing=False):
            yield from _texts(document, "repositories")

    def _pages(self, path: str, scope: str, *, missing: bool = True) -> Iterator[Mapping[str, object]]:
        seen: set[str] = set()
        while path and path not in seen and len(seen) < _MOST_PAGES:
            seen.add(path)
            with self.request("GET", path, scope=scope, accept=(200, 404) if missing else (200,)) as answer:
                if answer.status == 404:
                    return
                document = answer.json()
                path = next_page(answer)
            yield document if isinstance(document, dict) else {}

    def _size(self, path: str, repository: str, headers: Mapping[str, str]) -> int | None:
        asked = self.request("HEAD", path, scope=pull_scope(repository), headers=headers, accept=(200, 404))
        with asked as answer:
            length = answer.header("Content-Length")
            return int(length) if answer.status == 200 and length.isdecimal() else None


class _Also:
    """A few statuses more."""

    def __init__(self, accept: Container[int], *more: int) -> None:
        self._accept, self._more = accept, more

    def __contains__(self, status: object) -> bool:
        return status in self._accept or status in self._more


def media_type(data: bytes) -> str:
    """The media type that a manifest has to be sent with. Raises Corrupt."""
    read = oci.parse(data, "what is to be sent")
    return oci.INDEX if read.media_type == oci.MANIFEST and read.children else read.media_type


def next_page(answer: Answer) -> str:
    """Where a list goes on (RFC 8288, Link with rel="next"), '' at its end."""
    found = re.search(r"""<([^<>]*)>\s*;[^,]*\brel\s*=\s*"?next\b""", answer.header("Link"))
    return urljoin(answer.url, found[1]) if found else ""


def codes(answer: Answer) -> tuple[str, tuple[str, ...]]:
    """What a registry says of an error, as text, and its codes (specification, "Error Codes")."""
    data = answer.beginning(1 << 16)
    try:
        errors = json.loads(data)["errors"]
        return data.decode("utf-8", "replace"), tuple(str(each["code"]) for each in errors)
    except (ValueError, KeyError, TypeError, RecursionError):
        # Some put all that they did not like into it, and it was cut off above.
        text = data.decode("utf-8", "replace")
        return text, tuple(_CODE.findall(text))


def refused_digest(digest: Digest | None, answer: Answer) -> Error | None:
    """The error of a registry that takes only the digests that all have to take (image specification 1.1,
    descriptor.md, "Registered Algorithms"); None if that cannot be why it refused."""
    if digest is None or digest.algorithm == "sha256":
        return None
    return Error(
        f"the registry keeps nothing under {digest.algorithm} digests",
        details=refusal(answer, "PUT").details,
        resolution="Put it into another store; naust's own keep it as it is.",
    )


def _texts(document: Mapping[str, object], key: str) -> Iterator[str]:
    found = document.get(key)
    yield from (each for each in found if isinstance(each, str)) if isinstance(found, list) else ()


def _digest(text: str, url: str) -> Digest:
    """What a registry says a digest is. Raises Corrupt."""
    try:
        return Digest.parse(text)
    except BadInput as error:
        raise Corrupt(
            f"the registry gives {text[:80]!r} as the digest of {shown(url)}", resolution="Tell whoever runs it."
        ) from error


def _checked(data: bytes, stated: str, url: str) -> Digest:
    """The digest of a manifest. Raises Corrupt if it is another one than stated."""
    wanted = _digest(stated, url) if stated else None
    found = Digest.of(data, wanted.algorithm if wanted else "sha256")
    if wanted not in (None, found):
        raise Corrupt(
            f"the manifest at {shown(url)} is damaged, or the registry lies",
            details=f"It should have {wanted} and has {found}.",
            resolution="Push the artefact again, or pull it from another store.",
        )
    return found


def _refused_manifest(answer: Answer, repository: str, reference: str) -> Error:
    text, found = codes(answer)
    details = "".join(mark if mark.isprintable() else " " for mark in text[:500])
    if {"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN"} & set(found):
        return NotFound(
            f"the registry misses something that {repository}:{reference} names",
            details=details,
            resolution="Push the artefact again; only what is missing is sent.",
        )
    return Corrupt(
        f"the registry refuses the manifest of {repository}:{reference}",
        details=details,
        resolution="Nothing was stored under that name.",
    )
