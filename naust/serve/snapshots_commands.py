"""Lines that a person can copy: how apt, pip, docker, terraform and curl use a snapshot. Paths of sources are checked
when they are mirrored, names by their grammar; what goes into a shell is quoted all the same."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import quote, urlsplit

from naust.serve.pages_commands import Command

MOST = 20  # suites, images, files of which there are lines
KEYRING = "key.asc"  # our public key, in an archive that we signed
_RELEASE = ("InRelease", "Release")


def commands(type: str, url: str, paths: Iterable[str], images: Iterable[str]) -> tuple[Command, ...]:
    """Lines for one source, whose files are below `url` (without a slash at its end). `paths` are some of its files,
    `images` what a registry's client writes after the host and before the tag, with it."""
    make = _BY_TYPE.get(type, _files)
    return tuple(make(url, list(paths), list(images)))


def _apt(url: str, paths: list[str], images: list[str]) -> Iterator[Command]:
    key = f"/etc/apt/keyrings/{urlsplit(url).hostname or 'naust'}.asc"
    signed = KEYRING in paths
    if signed:
        yield Command("Trust the key that the archive is signed with", f"curl -fsS {url}/{KEYRING} -o {key}")
    options = f" [signed-by={key}]" if signed else ""
    for suite, components in list(_suites(paths).items())[:MOST]:
        yield Command(
            f"A line for sources.list: {suite}", f"deb{options} {url} {suite} {' '.join(components)}".rstrip()
        )


def _suites(paths: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in paths:
        parts = path.split("/")
        if parts[0] != "dists":
            continue
        for i, part in enumerate(parts):
            if part in _RELEASE and i == len(parts) - 1:
                found.setdefault("/".join(parts[1:i]), [])
            if part.startswith("binary-") and parts[i - 1] not in found.setdefault("/".join(parts[1 : i - 1]), []):
                found["/".join(parts[1 : i - 1])].append(parts[i - 1])
    return found


def _pypi(url: str, paths: list[str], images: list[str]) -> Iterator[Command]:
    yield Command("Install with pip", f"pip install --index-url {url}/simple/ NAME")
    yield Command("For all of pip's commands", f"pip config set global.index-url {url}/simple/")


def _oci(url: str, paths: list[str], images: list[str]) -> Iterator[Command]:
    host = url.partition("://")[2].partition("/")[0]
    for image in images[:MOST]:
        yield Command("Pull with Docker", f"docker pull {shlex.quote(f'{host}/{image}')}")


def _terraform(url: str, paths: list[str], images: list[str]) -> Iterator[Command]:
    block = f'provider_installation {{ network_mirror {{ url = "{url}/" }} }}'
    yield Command("In terraform's configuration file, each block on a line of its own (needs https)", block)


def _files(url: str, paths: list[str], images: list[str]) -> Iterator[Command]:
    for path in paths[:MOST]:
        name = path.rpartition("/")[2]
        yield Command(f"Fetch {path}", f"curl -fsS -o {shlex.quote(name)} {url}/{quote(path)}")


_BY_TYPE: dict[str, Callable[[str, list[str], list[str]], Iterator[Command]]] = {
    "apt": _apt,
    "pypi": _pypi,
    "oci": _oci,
    "terraform": _terraform,
}
