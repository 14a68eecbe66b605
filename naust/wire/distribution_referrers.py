"""Who names a manifest as subject: the referrers API, or the index under a tag where a registry does not have it.

OCI distribution specification 1.1, "Listing Referrers" (end-12), "Referrers Tag Schema" and "Pushing Manifests with
Subject". Without the API it is the client who keeps the index, and two who write it at once may lose an entry of one
another; each writer looks again after it wrote.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from urllib.parse import quote

from common.errors import BadInput, Conflict, Corrupt, NotFound
from common.model import Digest
from naust import manifest as oci
from naust.store.interface import Referrer
from naust.wire.distribution import Distribution, next_page, pull_scope

_TRIES = 5  # of writing the index, while others write it too
_MOST = 1_000_000  # referrers of one manifest


def referrers_tag(digest: Digest) -> str:
    """The tag that the index of a manifest's referrers has (specification, "Referrers Tag Schema")."""
    return f"{digest.algorithm}-{digest.hex}"[:128]


class Referrers:
    """Of one registry; remembers whether it has the API."""

    def __init__(self, client: Distribution) -> None:
        self._client = client
        self._api: bool | None = None

    def of(self, repository: str, digest: Digest, type: str | None = None) -> Iterator[Referrer]:
        """The referrers of a manifest, of one artifact type or of all. Raises Corrupt for a list without sense."""
        for count, entry in enumerate(self._entries(repository, digest, type)):
            if count == _MOST:
                raise Corrupt(f"{digest} has too many referrers", resolution="Tell whoever runs the registry.")
            found = _referrer(entry, repository)
            if type in (None, found.artifact_type):
                yield found

    def note(self, repository: str, subject: Digest, manifest: bytes, digest: Digest) -> None:
        """Enter a manifest, which is there, into the index of its subject. For registries without the API.

        Raises Conflict if others write that index without a pause.
        """
        tag = referrers_tag(subject)
        entry = _described(manifest, digest)
        for _ in range(_TRIES):
            entries = self._index(repository, tag)
            if any(each.get("digest") == str(digest) for each in entries):
                return
            document = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [*entries, entry]}
            self._client.put_manifest(repository, tag, oci.encode(document))
        if not any(each.get("digest") == str(digest) for each in self._index(repository, tag)):
            raise Conflict(
                f"the list of what refers to {subject} is written by others without a pause",
                resolution="Run the command again.",
            )

    def _entries(self, repository: str, digest: Digest, type: str | None) -> Iterator[Mapping[str, object]]:
        if self._api is not False:
            query = f"?artifactType={quote(type, safe='')}" if type else ""
            path = f"/v2/{repository}/referrers/{digest}{query}"
            while path:
                scope, headers = pull_scope(repository), {"Accept": oci.INDEX}
                with self._client.request("GET", path, scope=scope, headers=headers, accept=(200, 404)) as answer:
                    self._api = answer.status == 200
                    document, path = (answer.json(), next_page(answer)) if self._api else (None, "")
                yield from _manifests(document)
        if not self._api:
            yield from self._index(repository, referrers_tag(digest))

    def _index(self, repository: str, tag: str) -> list[Mapping[str, object]]:
        try:
            return list(_manifests(json.loads(self._client.manifest(repository, tag).data)))
        except NotFound:
            return []


def _manifests(document: object) -> Iterator[Mapping[str, object]]:
    listed = document.get("manifests") if isinstance(document, dict) else None
    yield from (each for each in listed if isinstance(each, dict)) if isinstance(listed, list) else ()


def _referrer(entry: Mapping[str, object], repository: str) -> Referrer:
    try:
        size = entry["size"]
        if not isinstance(size, int):
            raise TypeError(f"{size!r} is no size")
        kind, artifact = str(entry.get("mediaType", "")), str(entry.get("artifactType", ""))
        return Referrer(Digest.parse(str(entry["digest"])), size, kind, artifact)
    except (BadInput, KeyError, TypeError) as error:
        raise Corrupt(
            f"the list of referrers in {repository} cannot be read",
            details=str(error)[:200],
            resolution="Tell whoever runs the registry.",
        ) from error


def _described(manifest: bytes, digest: Digest) -> dict[str, object]:
    read = oci.parse(manifest, str(digest))
    entry = oci.Blob(digest, len(manifest), read.media_type).described()
    entry["artifactType"] = read.artifact_type
    return entry | ({"annotations": dict(read.annotations)} if read.annotations else {})
