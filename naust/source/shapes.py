"""How sources.hcl is read: what each of its blocks may hold, and the manual of that.

Whatever is wrong in the file is named with file and line, all at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from common.errors import BadDefinition, BadInput, Corrupt, Problem
from common.hcl import Literal
from common.hcl import read as parsed
from common.model import Digest
from common.schema import Inner, Setting, Shape, reference
from common.schema import read as shaped
from common.values import Wrong, as_count, as_flag, as_text, did_you_mean, one_of
from naust.configuration import as_secret_place, as_url
from naust.source.definition import (
    EVERYTHING,
    FILE_NAME,
    LOCAL,
    MODES,
    PROXY,
    Apt,
    Definition,
    Files,
    Keep,
    Oci,
    OneFile,
    Provider,
    Pypi,
    Source,
    SourceSet,
    Terraform,
)
from naust.source.state import checked_path

_T = TypeVar("_T")


# Values ---------------------------------------------------------------------------------------------------------------


def as_texts(literal: Literal) -> tuple[str, ...]:
    """A list of texts."""
    if not isinstance(literal, tuple):
        raise Wrong("that is no list", "write it in brackets, [ … ]")
    return tuple(as_text(each) for each in literal)


def as_urls(literal: Literal) -> tuple[str, ...]:
    """A list of URLs without credentials."""
    return tuple(as_url(each) for each in as_texts(literal))


def as_url_or_none(literal: Literal) -> str:
    """A URL without credentials, or nothing."""
    return as_url(literal) if literal != "" else ""


def as_digest(literal: Literal) -> Digest:
    """`sha256:` and 64 hexadecimal digits."""
    return _refused_as_wrong(lambda: Digest.parse(as_text(literal)))


def as_path_below(literal: Literal) -> str:
    """A path that stays below the source."""
    text = as_text(literal)
    return _refused_as_wrong(lambda: checked_path(text), "write one such as bin/etcd.tar.gz, without .. and a first /")


def _refused_as_wrong(act: Callable[[], _T], fix: str = "") -> _T:
    try:
        return act()
    except (BadInput, Corrupt) as error:
        raise Wrong(error.message, fix or error.resolution) from error


# Shapes ---------------------------------------------------------------------------------------------------------------

KEEP = Shape(
    name="keep",
    summary="What stays; without it all does. `naust mirror --tidy` and `naust snapshot --tidy` take the rest away",
    make=Keep,
    settings=(
        Setting("last", "count", as_count, "So many of the newest stay"),
        Setting("days", "count", as_count, "What is younger than so many days stays"),
    ),
)
_KEEP = Inner(KEEP, "keep", one=True)
_URL = Setting("url", "url", as_url_or_none, "Where upstream is; empty: as this machine is configured")
_FOLDER = Setting("folder", "path", as_text, "Folder of what we publish ourselves, for mode local; beside this file")
_COMMON = (
    Setting(
        "mode",
        "choice",
        one_of(*MODES),
        "mirror: kept in step with upstream; local: published by us; proxy: fetched and kept on first use (apt, pypi, "
        "files), by `naust serve --sources`",
    ),
    Setting("may_miss", "list of text", as_texts, "Paths or names, `*` stands for any, without which it is whole too"),
)

APT = Shape(
    name="apt",
    summary="Suites of a Debian archive",
    make=Apt,
    label="name",
    label_summary="what the source is called",
    settings=(
        _URL,
        Setting("security_url", "url", as_url_or_none, "Where suites that end in -security are, if elsewhere"),
        Setting("suites", "list of text", as_texts, "Suites, such as trixie", True),
        Setting("components", "list of text", as_texts, "Components"),
        Setting("architectures", "list of text", as_texts, "Architectures"),
        Setting(
            "packages",
            "list of text",
            as_texts,
            "Names, and words such as priority:required; with all they depend on. Empty: all",
        ),
        Setting("recommends", "flag", as_flag, "What packages recommend too, not only what they depend on"),
        Setting("keyring", "path", as_text, "Keys that must have signed upstream; empty: Debian's"),
        Setting("key", "place of a secret", as_secret_place, "OpenPGP key that signs what is served"),
        _FOLDER,
        *_COMMON,
    ),
    inner=(_KEEP,),
)

PYPI = Shape(
    name="pypi",
    summary="Distributions of a Python package index",
    make=Pypi,
    label="name",
    label_summary="what the source is called",
    settings=(
        _URL,
        Setting("lock", "list of paths", as_texts, "Lock files with hashes, beside this file"),
        Setting("packages", "list of text", as_texts, "Requirements (PEP 508), with all they depend on"),
        Setting("python", "text", as_text, "Version of Python"),
        Setting("platforms", "list of text", as_texts, "Platform tags of wheels (PEP 425); empty: this machine's"),
        _FOLDER,
        *_COMMON,
    ),
    inner=(_KEEP,),
)

OCI = Shape(
    name="oci",
    summary="Container images of registries",
    make=Oci,
    label="name",
    label_summary="what the source is called",
    settings=(
        Setting("images", "list of urls", as_urls, "docker://HOST/NAME:TAG, or …@sha256:…", True),
        Setting("platforms", "list of text", as_texts, "Platforms such as linux/amd64; empty: all that there are"),
        *_COMMON,
    ),
    inner=(_KEEP,),
)

FILE = Shape(
    name="file",
    summary="One file",
    make=OneFile,
    label="path",
    label_summary="where it is found below the source",
    take_label=as_path_below,
    settings=(
        Setting("url", "url", as_url, "Where it is", True),
        Setting("digest", "digest", as_digest, "sha256:… that it must have", True),
        Setting("size", "count", as_count, "Its bytes, if known"),
        Setting("package", "text", as_text, "NAME==VERSION of what it is, for people and for `naust affected`"),
        Setting("may_miss", "flag", as_flag, "The source is whole without it too"),
    ),
)

FILES = Shape(
    name="files",
    summary="Single files by URL and digest, such as released binaries",
    make=Files,
    label="name",
    label_summary="what the source is called",
    settings=(_FOLDER, *_COMMON),
    inner=(Inner(FILE, "files"), _KEEP),
)

PROVIDER = Shape(
    name="provider",
    summary="One provider",
    make=Provider,
    label="name",
    label_summary="NAMESPACE/TYPE or HOST/NAMESPACE/TYPE",
    take_label=as_path_below,
    settings=(
        Setting("versions", "list of text", as_texts, "Versions", True),
        Setting("platforms", "list of text", as_texts, "Platforms such as linux_amd64"),
    ),
)

TERRAFORM = Shape(
    name="terraform",
    summary="Terraform providers",
    make=Terraform,
    label="name",
    label_summary="what the source is called",
    settings=(_URL, _FOLDER, *_COMMON),
    inner=(Inner(PROVIDER, "providers"), _KEEP),
)

SET = Shape(
    name="set",
    summary="Sources that make a snapshot together; without any set there is `all`",
    make=SourceSet,
    label="name",
    label_summary="what the snapshot is called",
    settings=(Setting("sources", "list of names", as_texts, "Sources of this file", True),),
    inner=(_KEEP,),
)

SOURCES = Shape(
    name=FILE_NAME,
    summary="Where what a build needs comes from",
    make=Definition,
    inner=(
        Inner(APT, "apt"),
        Inner(PYPI, "pypi"),
        Inner(OCI, "oci"),
        Inner(FILES, "files"),
        Inner(TERRAFORM, "terraform"),
        Inner(SET, "sets"),
    ),
)


# The file -------------------------------------------------------------------------------------------------------------

_INTRODUCTION = """\
Generated by `naust mirror --manual` from the schema that also reads this file; do not edit.

Sources are data: a value is a literal (`"text"`, `5`, `true` or a list of these). A path is relative to the file. The
names of sources and sets are names of artefacts, `snapshot/NAME`, so no two may be equal."""


def load(path: Path) -> Definition:
    """What the file says, its paths made absolute. Raises BadDefinition with all of its problems."""
    problems: list[Problem] = []
    block = parsed(path, str(path), problems)
    found = shaped(SOURCES, block, problems) if block is not None else None
    if found is not None:
        problems.extend(_problems(found))
    if problems or found is None:
        raise BadDefinition(problems)
    return _absolute(found, path.parent.absolute())


def manual() -> str:
    """The reference of sources.hcl, Markdown."""
    return reference(f"Reference: {FILE_NAME}", _INTRODUCTION, ((FILE_NAME, SOURCES),))


def _problems(found: Definition) -> Iterator[Problem]:
    names: dict[str, int] = {}
    blocks: tuple[Source | SourceSet, ...] = (*found.sources, *found.sets)
    for each in blocks:
        first = names.setdefault(each.name, each.place.line)
        if first != each.place.line:
            yield _problem(each, f"is a name already, in line {first}", "take another")
        elif not found.sets and each.name == EVERYTHING:
            yield _problem(each, "is the name of the set of all", "take another, or write a set")
    known = [each.name for each in found.sources]
    for one in found.sets:
        for name in one.sources:
            if name not in known:
                yield _problem(one, f"there is no source {name!r}", did_you_mean(name, known, "sources"))
    for source in found.sources:
        yield from _faults(source)


_NO_PROXY = {
    "oci": "naust copy keeps single images, and mode mirror those that are named",
    "terraform": "an index of providers has hashes of their contents, so they have to be here first: mode mirror",
}


def _faults(source: Source) -> Iterator[Problem]:
    """What no single attribute shows."""
    if source.mode == PROXY and isinstance(source, Oci | Terraform):
        yield _problem(source, f"there is no mode proxy of {source.type}", _NO_PROXY[source.type])
    if isinstance(source, Oci):
        if source.mode == LOCAL:
            yield _problem(source, "images of our own need no source", "push them: naust push")
        return
    if (source.mode == LOCAL) != bool(source.folder):
        yield _problem(source, "folder and mode local need each other", 'write both, or mode = "mirror" and no folder')
    if isinstance(source, Files) and source.mode != LOCAL and not source.files:
        yield _problem(source, "holds no file", 'add file "PATH" { … }')
    if isinstance(source, Pypi) and source.mode != LOCAL and not (source.lock or source.packages):
        yield _problem(source, "names neither lock nor packages", 'write lock = ["requirements.txt"]')
    if isinstance(source, Terraform) and source.mode != LOCAL and not source.providers:
        yield _problem(source, "holds no provider", 'add provider "NAMESPACE/TYPE" { … }')


def _problem(block: Source | SourceSet, message: str, fix: str) -> Problem:
    return Problem(block.place.file, block.place.line, f'"{block.name}": {message}', fix)


def _absolute(found: Definition, folder: Path) -> Definition:
    def placed(path: str) -> str:
        return str(folder / path) if path else ""

    return replace(
        found,
        apt=tuple(replace(each, keyring=placed(each.keyring), folder=placed(each.folder)) for each in found.apt),
        pypi=tuple(
            replace(each, lock=tuple(placed(one) for one in each.lock), folder=placed(each.folder))
            for each in found.pypi
        ),
        files=tuple(replace(each, folder=placed(each.folder)) for each in found.files),
        terraform=tuple(replace(each, folder=placed(each.folder)) for each in found.terraform),
    )
