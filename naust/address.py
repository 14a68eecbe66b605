"""How people and programs write which artefact they mean, and the URI that every artefact has.

container/traefik   container/traefik:3.7.15   container/traefik:3.7.15-20261124T221500Z
container/traefik@sha256:…   file:///srv/naust/container/traefik/3.7.15-20261124T221500Z
"""

from __future__ import annotations

from dataclasses import dataclass

from common.errors import BadInput
from common.model import Artifact, Digest, Kind, Reference
from naust.version import legal


@dataclass(frozen=True, slots=True)
class Address:
    """What was meant. `store` is the URL of the store that a URI names, else ''; `version` is as it was typed."""

    reference: Reference
    version: str = ""
    digest: Digest | None = None
    store: str = ""


def parse(text: str) -> Address:
    """Read an address. A version becomes the legal tag of it, so `1:2.3+dfsg-1` can be typed. Raises BadInput."""
    rest, at, digest = text.partition("@")
    store, path, version = _split_uri(rest) if "://" in rest else ("", *_split(rest))
    tag = legal(version) if any(mark in version for mark in ":+~") else version
    return Address(
        reference=Reference.parse(f"{path}:{tag}" if tag else path),
        version=version,
        digest=Digest.parse(digest) if at else None,
        store=store,
    )


def uri(store_url: str, artifact: Artifact) -> str:
    """Where the artefact's manifest is; with the digest when no tag stands for it."""
    reference = artifact.reference
    path = f"{store_url}/{reference.kind}/{reference.name}"
    return f"{path}/{reference.tag}" if reference.tag else f"{path}@{artifact.digest}"


def _split(text: str) -> tuple[str, str]:
    path, colon, version = text.partition(":")
    if colon and not version:
        raise BadInput(f"{text!r} has no version after the colon", resolution="Write one, or leave out the colon.")
    return path, version


def _split_uri(text: str) -> tuple[str, str, str]:
    """Store, `kind/name`, tag: `STORE/container/traefik/3.7.15`, `STORE/container/traefik:3.7.15`, or without a tag."""
    *head, third, kind, last = ["", *text.split("/")]
    if third in set(Kind) and ":" not in last:
        return "/".join(head[1:]), f"{third}/{kind}", last
    path, version = _split(f"{kind}/{last}")
    return "/".join([*head, third][1:]), path, version
