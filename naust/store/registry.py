"""A store in an OCI registry, `docker://HOST[:PORT][/PREFIX]`: names become repositories below the prefix.

What a registry cannot do, because its protocol has no way to say it: compare and swap. `put_manifest` looks, puts, and
reads back. Two who put one tag within the same moment may both be told that they did it, and the later one stays; who
reads back the other's manifest is told Conflict. Blobs cannot be listed; the registry collects what nothing names.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from typing import BinaryIO, Self, cast
from urllib.parse import urlsplit

from common.errors import BadInput, Corrupt, Denied, NotFound, Unavailable
from common.model import Digest, Kind
from naust import manifest as oci
from naust.store.access import NOTHING, Access
from naust.store.interface import (
    Referrer,
    Store,
    Traits,
    check_name,
    check_replacing,
    check_tag,
    no_blob,
    no_manifest,
    taken,
)
from naust.version import is_fallback
from naust.wire.connections import is_loopback
from naust.wire.distribution import Distribution
from naust.wire.distribution_referrers import Referrers
from naust.wire.distribution_upload import Uploads

_TRAITS = Traits(compare_and_swap=False, lists_blobs=False, holds=False, referrers=True, streams=4)
_HUB = ("docker.io", "registry-1.docker.io")  # the name in references, and where Docker's own registry is
_PREFIX = re.compile(r"(?:[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/|$))*")  # specification, "Pulling manifests"
_REMEMBERED = 60.0  # seconds that a name which has a tag is not asked again, so that a list that broke gets on
_MOST_KNOWN = 100_000


class RegistryStore(Store):
    """Any registry of distribution specification 1.0 or 1.1."""

    def __init__(self, client: Distribution, url: str, prefix: str = "") -> None:
        self._client, self._url, self._prefix = client, url, prefix
        self._uploads = Uploads(client)
        self._referrers = Referrers(client)
        self._known: set[tuple[str, Digest, int]] = set()  # blobs that were seen there by this process
        self._deletes_names = True  # until one is refused
        self._tagged: dict[str, float] = {}  # names that have a tag → time.monotonic() when that was so

    @classmethod
    def from_url(cls, url: str, access: Access = NOTHING) -> Self:
        """Registries of this machine are spoken to without TLS, as Docker does, unless `access` names certificates to
        trust. Raises BadInput."""
        parts = urlsplit(url)
        prefix = parts.path.strip("/")
        if not parts.hostname or parts.username or parts.query or not _PREFIX.fullmatch(prefix):
            raise BadInput(
                "that is no registry", resolution="Write docker://HOST, docker://HOST:PORT or docker://HOST/PREFIX."
            )
        scheme = "http" if is_loopback(parts.hostname) and access.ca is None else "https"
        host = _HUB[1] if parts.netloc == _HUB[0] else parts.netloc
        return cls(
            Distribution(f"{scheme}://{host}", access),
            f"docker://{parts.netloc}{f'/{prefix}' if prefix else ''}",
            prefix,
        )

    @property
    def url(self) -> str:
        return self._url

    def traits(self) -> Traits:
        return replace(_TRAITS, deletes_names=self._deletes_names)

    # Blobs

    def stat(self, name: str, digest: Digest) -> int | None:
        where = self._repository(name)
        size = self._client.blob_size(where, digest)
        if size is None:  # manifests are blobs too, and registries keep them apart
            size = self._client.manifest_size(where, digest)
        if size is not None:
            self._know(where, digest, size)
        return size

    @contextmanager
    def read(self, name: str, digest: Digest, start: int = 0, length: int | None = None) -> Iterator[BinaryIO]:
        where = self._repository(name)
        with ExitStack() as stack:
            try:
                body = stack.enter_context(self._client.blob(where, digest, start, length))
            except NotFound:
                try:
                    path = f"/v2/{where}/manifests/{digest}"
                    body = stack.enter_context(self._client.part(path, start, length))
                except NotFound:
                    raise no_blob(name, digest, self.url) from None
            except Unavailable:
                # ociserver says 500 where others say that there is nothing behind the end.
                if not start or (self.stat(name, digest) or start + 1) > start:
                    raise
                body = cast(BinaryIO, io.BytesIO())
            yield body

    def write(self, name: str, digest: Digest, size: int, source: BinaryIO, *, mount_from: str | None = None) -> None:
        where = self._repository(name)
        if self._client.blob_size(where, digest) != size:
            origin = self._repository(mount_from) if mount_from and mount_from != name else ""
            self._uploads.write(where, digest, size, source, origin)
        self._know(where, digest, size)

    def add(self, name: str, source: BinaryIO) -> tuple[Digest, int]:
        where = self._repository(name)
        digest, size = self._uploads.add(where, source)
        self._know(where, digest, size)
        return digest, size

    # Manifests

    def manifest(self, name: str, reference: str) -> bytes:
        where = self._repository(name)
        wanted = str(Digest.parse(reference)) if ":" in reference else check_tag(name, reference)
        try:
            return self._client.manifest(where, wanted).data
        except NotFound:
            raise no_manifest(name, reference, self.url) from None

    def put_manifest(self, name: str, reference: str, manifest: bytes, *, replacing: Digest | None = None) -> Digest:
        where = self._repository(name)
        stated = Digest.parse(reference) if ":" in reference else None
        wanted = Digest.of(manifest, stated.algorithm if stated else "sha256")
        if stated not in (None, wanted):
            raise Corrupt(
                f"the manifest of {name} is not {stated}", details=f"It is {wanted}.", resolution="Nothing was stored."
            )
        read = oci.parse(manifest, f"{name}:{reference}")
        self._check_whole(name, where, read)
        if not stated:
            check_tag(name, reference)
            check_replacing(name, reference, replacing)
            if self._client.manifest_digest(where, reference) == wanted:
                return wanted
            self._check_free(name, where, reference, wanted, replacing)
        listed = self._client.put_manifest(where, reference, manifest)
        if not stated:
            self._check_free(name, where, reference, wanted, wanted)
        if read.subject and not listed:
            self._referrers.note(where, read.subject, manifest, wanted)
        self._know(where, wanted, len(manifest))
        return wanted

    def _check_free(self, name: str, where: str, tag: str, wanted: Digest, replacing: Digest | None) -> None:
        """Raises Conflict unless the tag stands for `replacing` (None: for nothing)."""
        there = self._client.manifest_digest(where, tag)
        if there != replacing:
            raise taken(name, tag, there, wanted, replacing)

    def _check_whole(self, name: str, where: str, read: oci.Manifest) -> None:
        for blob in read.blobs:
            if (where, blob.digest, blob.size) not in self._known and self.stat(name, blob.digest) != blob.size:
                raise no_blob(name, blob.digest, self.url)

    def delete_tag(self, name: str, tag: str, *, expected: Digest | None = None) -> None:
        where = self._repository(name)
        there = self._client.manifest_digest(where, check_tag(name, tag))
        if there is None:
            return
        if expected not in (None, there):
            raise taken(name, tag, there, expected or there, expected)
        try:
            self._client.delete_manifest(where, tag)
            self._tagged.pop(name, None)
        except Denied:
            self._deletes_names = False
            raise

    def names(self, prefix: str = "") -> Iterator[str]:
        below = f"{self._prefix}/" if self._prefix else ""
        try:
            found = sorted({each.removeprefix(below) for each in self._client.catalog() if each.startswith(below)})
        except NotFound as error:
            raise Denied(
                f"{self.url} does not tell what it has",
                details=error.details,
                resolution="Name the artefact: its tags can be listed all the same.",
            ) from error
        for name in found:
            if name.startswith(prefix) and _is_name(name) and self._has_tag(name):
                yield name

    def _has_tag(self, name: str) -> bool:
        now = time.monotonic()
        if now - self._tagged.get(name, now - _REMEMBERED) < _REMEMBERED:
            return True
        if next(iter(self.tags(name)), None) is None:
            return False
        self._tagged[name] = now
        return True

    def tags(self, name: str) -> Iterator[str]:
        where = self._repository(name)
        yield from sorted(tag for tag in self._client.tags(where) if not is_fallback(tag))

    def referrers(self, name: str, digest: Digest, type: str | None = None) -> Iterator[Referrer]:
        where = self._repository(name)
        yield from self._referrers.of(where, digest, type)

    def hold(self, name: str) -> AbstractContextManager[None]:
        check_name(name)
        return nullcontext()

    def _repository(self, name: str) -> str:
        return f"{self._prefix}/{check_name(name)}" if self._prefix else check_name(name)

    def _know(self, where: str, digest: Digest, size: int) -> None:
        if len(self._known) < _MOST_KNOWN:
            self._known.add((where, digest, size))


def _is_name(text: str) -> bool:
    kind, _, rest = text.partition("/")
    try:
        return kind in set(Kind) and bool(rest) and check_name(text) == text
    except BadInput:
        return False
