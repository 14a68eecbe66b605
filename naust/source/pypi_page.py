"""The page that an index has for a project: which files there are, read from what a stranger sent.

Simple repository API: https://packaging.python.org/en/latest/specifications/simple-repository-api/ (PEP 503 HTML,
PEP 691 JSON, PEP 592 yanked, PEP 658 and 714 metadata, PEP 700 sizes). Names in a page are never used as they come:
what does not parse as the name of a wheel or source distribution of this project is not there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit

from common.errors import BadInput, Corrupt
from common.model import Digest
from naust.wire.transport import shown

if TYPE_CHECKING:
    from packaging.tags import Tag
    from packaging.version import Version

JSON = "application/vnd.pypi.simple.v1+json"
ACCEPT = f"{JSON}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
LARGEST = 64 << 20  # bytes of a page; the largest of the public index have a third of that
MOST = 200_000  # files of a page
_LONGEST = 255  # bytes of a file name: NAME_MAX of Linux
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]*")


@dataclass(frozen=True, slots=True)
class Listed:
    """One file of a page, with what its name says. `tags` are empty for a source distribution. `yanked` is the reason,
    '' without one, None where it is not yanked. `metadata` is whether there is `<url>.metadata`, and its digest where
    the page says it. `size` in bytes, -1 where it does not."""

    filename: str
    url: str
    version: Version
    tags: frozenset[Tag]
    digest: Digest | None = None
    size: int = -1
    requires_python: str = ""
    yanked: str | None = None
    metadata: bool = False
    metadata_digest: Digest | None = None
    uploaded: str = ""


def page(
    project: str, data: bytes, content_type: str, url: str, versions: Container[Version] | None = None
) -> tuple[Listed, ...]:
    """The files of a project's page that came from `url`: all, or those of some versions, which is several times as
    fast. Raises Corrupt for what is no such page."""
    kind = content_type.partition(";")[0].strip().lower()
    said = _json(data, url) if kind.endswith("json") else _html(data, url)
    found: list[Listed] = []
    for count, each in enumerate(said, 1):
        if count > MOST:
            raise _no_page(url, f"It lists more than {MOST} files.")
        if versions is not None and _version(each.filename) not in versions:
            continue
        if (file := _listed(project, each, url)) is not None:
            found.append(file)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Said:
    """A file as the page has it, whichever form it has."""

    filename: str
    url: str
    sha256: object = None
    size: object = None
    requires_python: object = None
    yanked: object = False
    metadata: object = None
    uploaded: object = None


def _listed(project: str, said: _Said, base: str) -> Listed | None:
    parsed = names(said.filename)
    url = _address(base, said.url)
    if parsed is None or parsed[0] != project or not url:
        return None
    metadata, metadata_digest = _metadata(said.metadata)
    size = said.size if isinstance(said.size, int) and not isinstance(said.size, bool) and said.size >= 0 else -1
    return Listed(
        filename=said.filename,
        url=url,
        version=parsed[1],
        tags=parsed[2],
        digest=_sha256(said.sha256),
        size=size,
        requires_python=_plain(said.requires_python),
        yanked=_yanked(said.yanked),
        metadata=metadata,
        metadata_digest=metadata_digest,
        uploaded=_plain(said.uploaded),
    )


def names(filename: str) -> tuple[str, Version, frozenset[Tag]] | None:
    """Project, version and tags that a file name says; None if it is no name of a distribution, and so nothing that
    may become a path."""
    from packaging.utils import (
        InvalidSdistFilename,
        InvalidWheelFilename,
        parse_sdist_filename,
        parse_wheel_filename,
    )

    if len(filename) > _LONGEST or not _FILE_NAME.fullmatch(filename):
        return None
    try:
        if filename.endswith(".whl"):
            project, version, _, tags = parse_wheel_filename(filename)
            return project, version, tags
        project, version = parse_sdist_filename(filename)
        return project, version, frozenset()
    except (InvalidWheelFilename, InvalidSdistFilename, ValueError):
        return None


def _version(filename: str) -> Version | None:
    """The version that a name has at the place where both kinds have it, and no other look at it."""
    if filename.endswith(".whl"):
        text = "".join(filename.split("-", 2)[1:2])
    else:
        text = filename.rpartition("-")[2].removesuffix(".zip").removesuffix(".tar.gz")
    return _parsed(text)


@lru_cache(1 << 16)
def _parsed(text: str) -> Version | None:
    from packaging.version import InvalidVersion, Version

    try:
        return Version(text)
    except InvalidVersion:
        return None


# PEP 691 --------------------------------------------------------------------------------------------------------------


def _json(data: bytes, url: str) -> Iterator[_Said]:
    try:
        document = json.loads(data)
        major = str(document["meta"]["api-version"]).partition(".")[0]
        files = document["files"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _no_page(url, f"{type(error).__name__}: {error}") from error
    if major != "1" or not isinstance(files, list):
        raise _no_page(url, f"Its version of the protocol begins with {major[:20]!r}.")
    for each in files:
        if isinstance(each, dict):
            yield _from_json(each)


def _from_json(said: Mapping[str, object]) -> _Said:
    hashes = said.get("hashes")
    return _Said(
        filename=str(said.get("filename", "")),
        url=str(said.get("url", "")),
        sha256=hashes.get("sha256") if isinstance(hashes, dict) else None,
        size=said.get("size"),
        requires_python=said.get("requires-python"),
        yanked=said.get("yanked", False),
        metadata=said.get("core-metadata", said.get("dist-info-metadata")),
        uploaded=said.get("upload-time"),
    )


# PEP 503 --------------------------------------------------------------------------------------------------------------


class _Anchors(HTMLParser):
    """The links of a page, and what it says of itself."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.base = ""
        self.version = ""
        self.found: list[dict[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given: dict[str, str] = {}
        for name, value in attrs:  # of an attribute that is there twice, the first counts (HTML, 13.2.5.33)
            given.setdefault(name, value or "")
        if tag == "a" and "href" in given and len(self.found) <= MOST:
            self.found.append(given)
        elif tag == "base" and "href" in given and not self.base:
            self.base = given["href"]
        elif tag == "meta" and given.get("name") == "pypi:repository-version":
            self.version = given.get("content", "")


def _html(data: bytes, url: str) -> Iterator[_Said]:
    reader = _Anchors()
    try:
        reader.feed(data.decode("utf-8", "replace"))
        reader.close()
    except (AssertionError, ValueError) as error:  # what the parser makes of the worst of input
        raise _no_page(url, f"{type(error).__name__}: {error}") from error
    if reader.version and reader.version.partition(".")[0] != "1":
        raise _no_page(url, f"Its version of the protocol is {reader.version[:20]!r}.")
    if not reader.found:
        raise _no_page(url, "It has no links.")
    for given in reader.found:
        if (said := _from_html(given, reader.base)) is not None:
            yield said


def _from_html(given: Mapping[str, str], base: str) -> _Said | None:
    try:
        target = urljoin(base, given["href"].strip())
        parts = urlsplit(target)
    except ValueError:
        return None
    algorithm, _, digits = parts.fragment.partition("=")
    return _Said(
        filename=unquote(parts.path.rpartition("/")[2]),
        url=parts._replace(fragment="").geturl(),
        sha256=digits.partition("&")[0] if algorithm == "sha256" else None,
        requires_python=given.get("data-requires-python"),
        yanked=given.get("data-yanked", False),
        metadata=given.get("data-core-metadata", given.get("data-dist-info-metadata")),
    )


# Values ---------------------------------------------------------------------------------------------------------------


def _address(base: str, target: str) -> str:
    """The URL of a file, '' if it is none that can be fetched; never with a password in it."""
    try:
        parts = urlsplit(urljoin(base, target.strip()))
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return ""
    url = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
    return url if usable and url.isprintable() else ""


def _sha256(said: object) -> Digest | None:
    try:
        return Digest.parse(f"sha256:{str(said).lower()}") if said else None
    except BadInput:
        return None


def _metadata(said: object) -> tuple[bool, Digest | None]:
    """`true`, or a digest: as a mapping in JSON, as `sha256=…` in HTML."""
    if isinstance(said, dict):
        return bool(said), _sha256(said.get("sha256"))
    if isinstance(said, str):
        return said.lower() not in ("", "false"), _sha256(said.partition("=")[2])
    return said is True, None


def _yanked(said: object) -> str | None:
    if isinstance(said, str):
        return _plain(said)
    return "" if said is True else None


def _plain(said: object) -> str:
    """A short text that a terminal and a page can take."""
    text = said if isinstance(said, str) else ""
    return "".join(mark for mark in text if mark.isprintable())[:1000]


def _no_page(url: str, details: str) -> Corrupt:
    return Corrupt(
        f"what {shown(url)} gives is no page of a Python package index",
        details=details[:300],
        resolution="See that the URL is that of a simple index, such as https://pypi.org/simple, and that no portal "
        "or proxy answers in its place.",
    )
