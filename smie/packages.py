"""Debian packages as inputs of an image, and the texts by which apt is told about exactly these.

Nothing here reads or writes anything. Formats: deb822(5), the Debian repository format
(https://wiki.debian.org/DebianRepository/Format) and `apt-get --print-uris`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from urllib.parse import unquote

# 'URI' FILE SIZE ALGORITHM:HASH
_PRINTED = re.compile(r"'[^']+' (?P<file>\S+\.deb) (?P<size>\d+) SHA256:(?P<sha256>[0-9a-f]{64})")
_FIELD = re.compile(r"^([A-Za-z0-9-]+): *(.*)$", re.M)


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """One package in one version. `sha256` is that of the .deb, in hexadecimal; `size` its bytes."""

    name: str
    version: str
    architecture: str
    sha256: str
    size: int

    @property
    def file(self) -> str:
        """What apt calls it in its archives."""
        return f"{self.name}_{self.version.replace(':', '%3a')}_{self.architecture}.deb"


def printed(text: str) -> tuple[Package, ...]:
    """The packages that `apt-get install --print-uris` would fetch, sorted by name."""
    found = []
    for match in _PRINTED.finditer(text):
        name, version, architecture = match["file"].removesuffix(".deb").split("_")
        found.append(Package(name, unquote(version), architecture, match["sha256"], int(match["size"])))
    return tuple(sorted(found))


def records(text: str) -> dict[tuple[str, str, str], str]:
    """Paragraphs of a Packages file, or of what `apt-cache show` prints, by name, version and architecture."""
    found = {}
    for paragraph in text.strip().split("\n\n"):
        fields = dict(_FIELD.findall(paragraph))
        if "Package" in fields:
            found[fields["Package"], fields["Version"], fields["Architecture"]] = paragraph.strip("\n")
    return found


def status(paragraphs: Iterable[str]) -> str:
    """A dpkg status file in which these are installed, as far as apt's resolver looks."""
    return "".join(
        re.sub(r"^(Package: .*)$", r"\1\nStatus: install ok installed", paragraph, count=1, flags=re.M) + "\n\n"
        for paragraph in paragraphs
    )


def packages_file(chosen: Sequence[Package], paragraphs: Sequence[str]) -> str:
    """The Packages file of a repository that holds only these, in a folder `pool`."""
    return "".join(
        re.sub(r"^Filename: .*$", f"Filename: pool/{package.file}", paragraph, count=1, flags=re.M) + "\n\n"
        for package, paragraph in zip(chosen, paragraphs, strict=True)
    )


def release_file(suite: str, date: datetime, architecture: str, content: str) -> str:
    """The Release file that belongs to `packages_file`."""
    data = content.encode()
    return (
        f"Origin: Debian\nLabel: Debian\nSuite: {suite}\nCodename: {suite}\n"
        f"Architectures: {architecture}\nComponents: main\nDate: {format_datetime(date, usegmt=True)}\n"
        f"SHA256:\n {hashlib.sha256(data).hexdigest()} {len(data)} main/binary-{architecture}/Packages\n"
    )


def installed(status_file: str) -> set[tuple[str, str, str]]:
    """Name, version and architecture of what a dpkg status file says is installed."""
    return {key for key, text in records(status_file).items() if "\nStatus: install ok installed" in text}
