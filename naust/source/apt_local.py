"""A folder of .deb files as if it were an archive: what we publish ourselves.

Every suite of the source has all of them, in its first component. Their Release is of the time when the newest file was
changed, so the same files with the same times give the same bytes. Formats: deb(5), by dpkg-deb; those of
naust.source.apt_release.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from common.errors import BadInput, Corrupt
from common.files import file_digest
from common.model import Digest
from common.run import CommandFailed, run
from naust.source.apt_archive import Data, Suite
from naust.source.apt_packages import read
from naust.source.apt_release import parse

_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class _File:
    """A .deb. `path` is below the folder, `changed` seconds since 1970."""

    path: str
    size: int
    changed: float
    digest: Digest
    architecture: str
    paragraph: bytes = field(repr=False)


def suites(
    folder: Path, names: Sequence[str], component: str, architectures: Sequence[str]
) -> list[tuple[Suite, dict[str, tuple[Data, ...]]]]:
    """Each suite and its index for each architecture. Raises BadInput without any package, or with one for another
    architecture; Corrupt for a file that is no package."""
    paths = sorted(folder.rglob("*.deb"))
    if not paths:
        raise BadInput(f"{folder} has no .deb in it", resolution="Put some there, or correct `folder` of the source.")
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        files = list(threads.map(lambda path: _file(folder, path), paths))
    for each in files:
        if each.architecture not in ("all", *architectures):
            raise BadInput(
                f"{folder / each.path} is for {each.architecture}",
                resolution="Write that into `architectures` of the source, or take the file away.",
            )
    found: dict[str, tuple[Data, ...]] = {each: (Data(component, _index(files, each)),) for each in architectures}
    return [(_suite(files, name, component, architectures), found) for name in names]


def _suite(files: Sequence[_File], name: str, component: str, architectures: Sequence[str]) -> Suite:
    newest = datetime.fromtimestamp(max(each.changed for each in files), UTC)
    lines = [
        "Origin: naust",
        f"Suite: {name}",
        f"Codename: {name}",
        f"Date: {newest:%a, %d %b %Y %H:%M:%S} UTC",
        f"Architectures: {' '.join(architectures)}",
        f"Components: {component}",
        "SHA256:",
    ]
    lines += [f" {each.digest.hex} {each.size} {each.path}" for each in files if not any(map(str.isspace, each.path))]
    text = "".join(f"{line}\n" for line in lines).encode()
    return Suite(parse(text, name), text)


def _index(files: Sequence[_File], architecture: str) -> bytes:
    return b"\n".join(each.paragraph for each in files if each.architecture in ("all", architecture))


def _file(folder: Path, path: Path) -> _File:
    relative = path.relative_to(folder).as_posix()
    try:
        control = run(("dpkg-deb", "--field", str(path))).stdout.strip()
    except CommandFailed as error:
        raise Corrupt(
            f"{path} is no Debian package", details=error.details, resolution="Build it anew, or take it away."
        ) from error
    status, digest = path.stat(), file_digest(path)
    text = f"{control}\nFilename: {relative}\nSize: {status.st_size}\nSHA256: {digest.hex}\n"
    paragraph = text.encode()
    deb = read(paragraph.strip(b"\n"), ("", relative))
    return _File(relative, status.st_size, status.st_mtime, digest, deb.architecture, paragraph)
