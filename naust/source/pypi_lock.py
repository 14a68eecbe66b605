"""Lock files in pip's requirements format: exact versions with hashes, as pip-compile and `uv pip compile` write them.

Format: https://pip.pypa.io/en/stable/reference/requirements-file-format/ and
https://pip.pypa.io/en/stable/topics/secure-installs/ (hash-checking mode).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import BadDefinition, BadInput, Problem
from common.model import Digest

if TYPE_CHECKING:
    from packaging.requirements import Requirement
    from packaging.version import Version

LARGEST = 16 << 20  # bytes of a lock file
_DEEPEST = 8  # files that name files
_COMMENT = re.compile(r"(?:^|\s+)#.*$")
_HASH = re.compile(r"\s--hash[=\s]\s*([A-Za-z0-9]+):([0-9A-Fa-f]+)(?=\s|$)")
_OPTION = re.compile(r"\s--?[A-Za-z].*$")
_OTHER = re.compile(r"(?:-r\s*|--requirement[=\s]\s*)(\S.*)")
_WITH_HASHES = "write the file with hashes: `pip-compile --generate-hashes` or `uv pip compile --generate-hashes`"


@dataclass(frozen=True, slots=True)
class Pin:
    """A project in one version. With `hashes`, only files that have one of them are meant. `chosen` is a file that the
    index with the right ones has."""

    project: str
    version: Version
    hashes: frozenset[Digest] = frozenset()
    chosen: Digest | None = None


@dataclass(frozen=True, slots=True)
class _Line:
    file: Path
    number: int
    text: str


def pins(paths: Iterable[str], environments: Iterable[Mapping[str, str]]) -> tuple[Pin, ...]:
    """What the files pin for any of these environments, each project and version once, sorted.

    Raises BadDefinition with all problems, BadInput if a file cannot be read.
    """
    problems: list[Problem] = []
    known = tuple(environments)
    found: dict[tuple[str, Version], Pin] = {}
    for path in paths:
        for line in _lines(Path(path), problems, 0):
            pin = _pin(line, known, problems)
            if pin is not None:
                before = found.get((pin.project, pin.version), pin)
                found[pin.project, pin.version] = Pin(pin.project, pin.version, before.hashes | pin.hashes)
    if problems:
        raise BadDefinition(problems)
    return tuple(found[key] for key in sorted(found))


def _lines(path: Path, problems: list[Problem], depth: int) -> Iterator[_Line]:
    """Lines that name something, continued ones joined, those of files that are named in their place."""
    for line in _joined(path, _text(path)):
        other = _OTHER.fullmatch(line.text)
        if other is None:
            yield line
        elif depth >= _DEEPEST:
            problems.append(Problem(str(path), line.number, "files name files without end", "take the circle out"))
        else:
            yield from _lines(path.parent / other[1].strip(), problems, depth + 1)


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST:
            raise BadInput(f"{path} has more than {LARGEST} bytes", resolution="Name a lock file.")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise BadInput(
            f"the lock file {path} cannot be read", details=str(error), resolution="Name a text file that can."
        ) from error


def _joined(path: Path, text: str) -> Iterator[_Line]:
    """As pip does it: a backslash joins, comments go afterwards, and a comment line ends what is being joined."""
    parts: list[str] = []
    begun = 0
    for number, raw in enumerate(text.splitlines(), 1):
        begun = begun or number
        comment = raw.lstrip().startswith("#")
        if raw.endswith("\\") and not comment:
            parts.append(raw[:-1])
            continue
        parts.append(f" {raw}" if comment else raw)
        if whole := _COMMENT.sub("", "".join(parts)).strip():
            yield _Line(path, begun, whole)
        parts, begun = [], 0
    if whole := _COMMENT.sub("", "".join(parts)).strip():
        yield _Line(path, begun, whole)


def _pin(line: _Line, environments: tuple[Mapping[str, str], ...], problems: list[Problem]) -> Pin | None:
    """What the line pins; None for what pins nothing for these environments, and for a problem."""
    from packaging.utils import canonicalize_name

    if line.text.startswith("-"):  # an option of pip: where to look is the definition's to say
        if re.match(r"-e\b|--editable\b", line.text):
            problems.append(_problem(line, "an editable requirement", "pin a released version instead"))
        return None
    hashes = frozenset(
        Digest("sha256", found[2].lower())
        for found in _HASH.finditer(line.text)
        if found[1] == "sha256" and len(found[2]) == 64
    )
    required = _requirement(line, problems)
    if required is None or not applies(required, environments):
        return None
    version = _exact(required)
    if required.url or version is None:
        what = f"{required.name} is not pinned by =="
        problems.append(_problem(line, what, "use a lock file, or name the project in `packages`"))
        return None
    if not hashes:
        problems.append(_problem(line, f"{required.name} has no sha256 hash", _WITH_HASHES))
        return None
    return Pin(canonicalize_name(required.name), version, hashes)


def _requirement(line: _Line, problems: list[Problem]) -> Requirement | None:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return Requirement(_OPTION.sub("", _HASH.sub("", line.text)).strip())
    except (InvalidRequirement, RecursionError) as error:
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        problems.append(_problem(line, f"no requirement: {what}", "see pip's format of requirements files"))
        return None


def applies(required: Requirement, environments: Iterable[Mapping[str, str]], extras: Iterable[str] = ("",)) -> bool:
    """Whether its marker holds in any of the environments, with any of the extras."""
    marker = required.marker
    if marker is None:
        return True
    wanted = tuple(extras) or ("",)
    return any(marker.evaluate({**each, "extra": extra}) for each in environments for extra in wanted)


def _exact(required: Requirement) -> Version | None:
    """The version of `==VERSION`, which may stand for no others."""
    from packaging.version import InvalidVersion, Version

    stated = list(required.specifier)
    if len(stated) != 1 or stated[0].operator not in ("==", "===") or stated[0].version.endswith(".*"):
        return None
    try:
        return Version(stated[0].version)
    except InvalidVersion:
        return None


def _problem(line: _Line, message: str, fix: str) -> Problem:
    return Problem(str(line.file), line.number, message[:300], fix)
