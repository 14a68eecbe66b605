"""Commands that a visitor can copy: how to get, check and use an artefact with naust and with programs of others."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from common.errors import Corrupt
from common.model import Kind
from naust.push import checked_title
from naust.serve.pages_artifact import Facts

_UNKNOWN = "https://SERVER"  # where nobody told how the server is reached


@dataclass(frozen=True, slots=True)
class Command:
    """One command and what it does."""

    label: str
    text: str


def commands(known: Facts, base_url: str) -> tuple[Command, ...]:
    """Commands for this artefact on the server at `base_url`. Names and tags are safe in a shell by their grammar."""
    base = base_url or _UNKNOWN
    return (*_naust(known, base), *_foreign(known, base), *_download(known, base), *_deploy(known, base))


def _naust(known: Facts, base: str) -> Iterator[Command]:
    reference = known.artifact.reference
    uri = shlex.quote(f"{base}/{known.name}/{reference.tag}")
    yield Command("Pull with naust", f"naust pull {uri}")
    yield Command("Check who signed it", f"naust verify {uri} --policy policy.hcl")


def _foreign(known: Facts, base: str) -> Iterator[Command]:
    image = shlex.quote(f"{base.partition('://')[2]}/{known.artifact.reference}")
    if known.artifact.reference.kind == Kind.CONTAINER:
        yield Command("Pull with Docker", f"docker pull {image}")
        plain = " --insecure" if _is_plain(base) else ""
        yield Command("Save with crane", f"crane pull{plain} {image} {shlex.quote(_file(known, '.tar'))}")
    else:
        yield Command("Pull with oras", f"oras pull{' --plain-http' if base.startswith('http:') else ''} {image}")


def _download(known: Facts, base: str) -> Iterator[Command]:
    if len(known.manifest.layers) != 1 or known.artifact.reference.kind == Kind.CONTAINER:
        return
    file = known.manifest.title
    try:
        file = checked_title(file, known.name)
    except Corrupt:
        file = _file(known, "")
    url = f"{base}/{known.name}/{known.artifact.reference.tag}?download"
    yield Command("Download the file with curl", f"curl --fail --location --output {shlex.quote(file)} '{url}'")


def _deploy(known: Facts, base: str) -> Iterator[Command]:
    if known.artifact.reference.kind in (Kind.CONTAINER, Kind.VM, Kind.ROOTFS):
        yield Command(
            "Deploy a system from this store with seter", f"seter deploy SYSTEM TARGET --store {shlex.quote(base)}"
        )


def _file(known: Facts, suffix: str) -> str:
    return f"{known.artifact.reference.name}-{known.artifact.reference.tag}{suffix}"


def _is_plain(base: str) -> bool:
    """Whether Docker and crane have to be told that there is no TLS; on the loopback they try without."""
    parts = urlsplit(base)
    host = parts.hostname or ""
    try:
        loopback = ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    return parts.scheme == "http" and not loopback
