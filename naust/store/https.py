"""A store behind `naust serve`: `https://HOST[:PORT]`, or `http://` where the URL says so.

Blobs and manifests by the distribution API, to which naust's server adds compare and swap (If-Match, If-None-Match) and
a mount that needs no name; everything at once by `/api/v1` (naust/serve/api.py). Listing and deleting blobs needs a
token whose scope is `admin:*`.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from datetime import datetime, timedelta
from typing import Any, BinaryIO, Self
from urllib.parse import urlencode, urlsplit

from common.errors import BadInput, Conflict, Corrupt, Error, NotFound
from common.files import CHUNK
from common.model import Artifact, Digest, Reference
from naust import manifest as oci
from naust.store.access import NOTHING, Access
from naust.store.interface import (
    Collectable,
    Indexed,
    Referrer,
    Store,
    Stored,
    Traits,
    check_name,
    check_replacing,
    check_tag,
    no_blob,
    no_manifest,
    taken,
)
from naust.version import is_fallback
from naust.wire.distribution import Distribution, push_scope
from naust.wire.distribution_referrers import Referrers
from naust.wire.distribution_upload import Uploads

_TRAITS = Traits(compare_and_swap=True, lists_blobs=True, holds=False, referrers=True, streams=4)
_DIGEST = re.compile(r"sha(?:256:[0-9a-f]{64}|512:[0-9a-f]{128})")
_LONGEST_LINE = 8 << 20  # bytes of NDJSON
_NEVER = 10 * 365 * 86400  # seconds


class HttpsStore(Store, Collectable, Indexed):
    """A server of ours. Any number of threads may use it."""

    def __init__(self, client: Distribution, url: str) -> None:
        self._client, self._url = client, url
        self._uploads = Uploads(client)
        self._referrers = Referrers(client)

    @classmethod
    def from_url(cls, url: str, access: Access = NOTHING) -> Self:
        """Raises BadInput for a URL with a path, a query or credentials."""
        parts = urlsplit(url)
        if not parts.hostname or parts.username or parts.password or parts.query or parts.path.strip("/"):
            raise BadInput(
                "that is no naust server",
                resolution="Write https://HOST or https://HOST:PORT; the token comes from naust.hcl or $NAUST_TOKEN.",
            )
        plain = f"{parts.scheme}://{parts.netloc}"
        return cls(Distribution(plain, access), plain)

    @property
    def url(self) -> str:
        return self._url

    def traits(self) -> Traits:
        return _TRAITS

    # Blobs

    def stat(self, name: str, digest: Digest) -> int | None:
        return self._client.blob_size(check_name(name), digest)

    @contextmanager
    def read(self, name: str, digest: Digest, start: int = 0, length: int | None = None) -> Iterator[BinaryIO]:
        with ExitStack() as stack:
            try:
                body = stack.enter_context(self._client.blob(check_name(name), digest, start, length))
            except NotFound:
                raise no_blob(name, digest, self.url) from None
            yield body

    def write(self, name: str, digest: Digest, size: int, source: BinaryIO, *, mount_from: str | None = None) -> None:
        if not self._mounted(check_name(name), digest, size):
            self._uploads.write(name, digest, size, source)

    def replace(self, name: str, digest: Digest, size: int, source: BinaryIO) -> None:
        self._uploads.write(check_name(name), digest, size, source)

    def add(self, name: str, source: BinaryIO) -> tuple[Digest, int]:
        # Whoever thinks that the server has it already hashes first and calls `write`.
        return self._uploads.add(check_name(name), source)

    def _mounted(self, name: str, digest: Digest, size: int) -> bool:
        """Whether the server has the blob, under any name that we may read; from now on this name has it too."""
        query = urlencode({"mount": str(digest), "size": size, "only": "true"})
        path = f"/v2/{name}/blobs/uploads/?{query}"
        with self._client.request("POST", path, scope=push_scope(name), body=b"", accept=(201, 404)) as answer:
            return answer.status == 201

    # Manifests

    def manifest(self, name: str, reference: str) -> bytes:
        wanted = str(Digest.parse(reference)) if ":" in reference else check_tag(name, reference)
        try:
            return self._client.manifest(check_name(name), wanted).data
        except NotFound:
            raise no_manifest(name, reference, self.url) from None
        except Error as error:
            raise _damaged(error, name, reference) from error

    def put_manifest(self, name: str, reference: str, manifest: bytes, *, replacing: Digest | None = None) -> Digest:
        stated = Digest.parse(reference) if ":" in reference else None
        wanted = Digest.of(manifest, stated.algorithm if stated else "sha256")
        if stated not in (None, wanted):
            raise Corrupt(
                f"the manifest of {name} is not {stated}", details=f"It is {wanted}.", resolution="Nothing was stored."
            )
        read = oci.parse(manifest, f"{check_name(name)}:{reference}")
        if not stated:
            check_tag(name, reference)
            check_replacing(name, reference, replacing)
        condition = {"If-Match": f'"{replacing}"'} if replacing else {"If-None-Match": "*"}
        try:
            self._client.put_manifest(name, reference, manifest, headers={} if stated else condition)
        except NotFound as error:
            raise self._missing(name, read, error) from error
        except Conflict as error:
            raise taken(name, reference, self._client.manifest_digest(name, reference), wanted, replacing) from error
        return wanted

    def _missing(self, name: str, read: oci.Manifest, error: NotFound) -> NotFound:
        said = set(_DIGEST.findall(error.details))
        named = next((blob for blob in read.blobs if str(blob.digest) in said), None)
        return no_blob(name, named.digest, self.url) if named else error

    def delete_tag(self, name: str, tag: str, *, expected: Digest | None = None) -> None:
        check_tag(name, tag)
        headers = {"If-Match": f'"{expected}"'} if expected else {}
        try:
            self._client.delete_manifest(name, tag, headers=headers)
        except Conflict as error:
            there = self._client.manifest_digest(name, tag)
            raise taken(name, tag, there, expected or Digest.of(b""), expected) from error

    def names(self, prefix: str = "") -> Iterator[str]:
        yield from sorted(name for name in self._client.catalog() if name.startswith(prefix))

    def tags(self, name: str) -> Iterator[str]:
        yield from sorted(tag for tag in self._client.tags(check_name(name)) if not is_fallback(tag))

    def referrers(self, name: str, digest: Digest, type: str | None = None) -> Iterator[Referrer]:
        yield from self._referrers.of(check_name(name), digest, type)

    def hold(self, name: str) -> AbstractContextManager[None]:
        check_name(name)
        return nullcontext()

    # Collectable

    def blobs(self) -> Iterator[Stored]:
        for line in self._lines("/api/v1/blobs"):
            yield Stored(Digest.parse(line["digest"]), int(line["size"]), timedelta(seconds=float(line["age"])))

    def delete(self, digest: Digest, *, older_than: timedelta = timedelta(0)) -> bool:
        path = f"/api/v1/blobs/{digest}?older_than={older_than.total_seconds()}"
        return bool(self._object("DELETE", path).get("deleted"))

    def roots(self) -> Iterator[tuple[str, str]]:
        for line in self._lines("/api/v1/roots"):
            yield str(line["name"]), str(line["tag"])

    def pushing(self) -> timedelta | None:
        seconds = self._object("GET", "/api/v1/upkeep").get("pushing")
        return None if seconds is None else timedelta(seconds=float(seconds))

    def stale_uploads(self, older_than: timedelta) -> int:
        path = f"/api/v1/upkeep?older_than={older_than.total_seconds()}"
        return int(self._object("POST", path).get("uploads", 0))

    def tidy(self) -> int:
        return int(self._object("POST", f"/api/v1/upkeep?older_than={_NEVER}").get("entries", 0))

    # Indexed

    def artifacts(self, prefix: str = "") -> Iterator[tuple[str, Artifact | Corrupt]]:
        query = f"?{urlencode({'prefix': prefix})}" if prefix else ""
        for line in self._lines(f"/api/v1/artifacts{query}"):
            yield str(line["name"]), _artifact(line)

    # What is behind it

    def _object(self, method: str, path: str) -> dict[str, Any]:
        body = b"" if method == "POST" else None
        with self._client.request(method, path, body=body) as answer:
            found = answer.json()
        return found if isinstance(found, dict) else {}

    def _lines(self, path: str) -> Iterator[dict[str, Any]]:
        with self._client.request("GET", path) as answer:
            for line in _split(answer.body):
                yield self._read(line, path)

    def _read(self, line: bytes, path: str) -> dict[str, Any]:
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise Corrupt(
                f"{self.url}{path} makes no sense",
                details=line[:200].decode("utf-8", "replace"),
                resolution="See that the URL is that of a naust server.",
            )
        return found


def _split(body: BinaryIO | io.RawIOBase) -> Iterator[bytes]:
    """The lines of an answer, as they come. Raises Corrupt if one is far too long."""
    rest = b""
    while chunk := body.read(CHUNK):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
        if len(rest) > _LONGEST_LINE:
            raise Corrupt("a line of the listing has no end", resolution="See that the URL is that of a naust server.")
    if rest:
        yield rest


def _artifact(line: dict[str, Any]) -> Artifact | Corrupt:
    if "damaged" in line:
        return Corrupt(str(line["damaged"]), resolution="Push or build the artefact again.")
    try:
        return Artifact(
            reference=Reference.parse(f"{line['name']}:{line['tag']}"),
            version=str(line["version"]),
            digest=Digest.parse(line["digest"]),
            size=int(line["size"]),
            media_type=str(line["media_type"]),
            created=datetime.fromisoformat(line["created"]),
            made_from=Digest.parse(line["made_from"]) if line["made_from"] else None,
            annotations=tuple(sorted((str(key), str(value)) for key, value in line["annotations"].items())),
        )
    except (BadInput, KeyError, ValueError, TypeError, AttributeError) as error:
        return Corrupt(
            f"{line.get('name')}:{line.get('tag')} is listed in a way that makes no sense",
            details=f"{type(error).__name__}: {error}",
            resolution="See that server and client are of versions that know each other.",
        )


def _damaged(error: Error, name: str, reference: str) -> Error:
    """Our server says 422 when what it keeps is not what it was; that is no reason to try again."""
    if type(error) is not Error or not error.details.startswith("422"):
        return error
    return Corrupt(
        f"the manifest of {name}{'@' if ':' in reference else ':'}{reference} is damaged",
        details=error.details,
        resolution="Push or build the artefact again, or restore it on the server from a copy.",
    )
