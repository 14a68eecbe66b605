"""What dpkg lists as installed, out of its status file (dpkg(1), "FILES"; deb822(5); Debian Policy 4.7, chapter 5).

The file comes out of an image, so anybody may have written it: whatever stands there, reading it gives a list or
Corrupt. Fields are kept as they are written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from common.errors import Corrupt

PATH = "var/lib/dpkg/status"
MOST = 100_000  # packages; Debian has fewer
_FIELD = re.compile(r"^([!-9;-~]+):[ \t]*(.*(?:\n[ \t].*)*)", re.M)
_SOURCE = re.compile(r"(\S+)(?:\s+\((\S+)\))?")
_STATE = re.compile(r"\S+\s+\S+\s+(?:installed|triggers-\w+)")  # whose files are there (dpkg-query(1), package status)


@dataclass(frozen=True, slots=True, order=True)
class Installed:
    """An installed package. `source` is the source package, in `source_version`; `depends` are Pre-Depends and Depends
    as the package writes them, `provides` likewise."""

    name: str
    version: str
    architecture: str
    source: str = ""
    source_version: str = ""
    depends: str = ""
    provides: str = ""


def installed(status: bytes, what: str) -> tuple[Installed, ...]:
    """The packages that are installed, sorted. `what` names the file in errors. Raises Corrupt if it has a paragraph
    without a name, or more packages than there are."""
    found: list[Installed] = []
    for paragraph in re.split(r"\n[ \t]*\n", status.decode("utf-8", "replace").strip("\n")):
        fields = {match[1].lower(): match[2].strip() for match in _FIELD.finditer(paragraph)}
        if not _STATE.fullmatch(fields.get("status", "")):
            continue
        if not fields.get("package") or len(found) >= MOST:
            raise Corrupt(
                f"{what} cannot be read",
                details=f"It has {len(found)} packages, and then one without a name or one too many.",
                resolution="Build the artefact again.",
            )
        found.append(_package(fields))
    return tuple(sorted(found))


def _package(fields: dict[str, str]) -> Installed:
    version = fields.get("version", "")
    source = _SOURCE.match(fields.get("source", ""))
    relations = (fields.get("pre-depends", ""), fields.get("depends", ""))
    return Installed(
        name=fields["package"],
        version=version,
        architecture=fields.get("architecture", ""),
        source=source[1] if source else fields["package"],
        source_version=source[2] or version if source else version,
        depends=", ".join(text for text in relations if text),
        provides=fields.get("provides", ""),
    )
