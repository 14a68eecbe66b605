"""Licences as Debian packages and Python distributions name them, as SPDX names them.

Debian: the machine-readable copyright file (DEP-5, https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/),
field `License` of the paragraphs on files. Its short names are SPDX's, but for those of a table (section "Short name").
Python: `License-Expression`, else `License`, else the classifiers (core metadata 2.4). A name that SPDX's list of
licences does not have, or nobody mapped here, stays a name: a guess would be worse.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from email.parser import HeaderParser

LONGEST, MOST = (
    120,
    60,
)  # characters of a name, names of a package; what is beyond is no name, or a list of all there is

_KNOWN = """
0BSD AFL-2.1 AGPL-3.0-only AGPL-3.0-or-later Apache-2.0 APSL-2.0 Artistic-1.0-Perl Artistic-2.0 Beerware
BSD-2-Clause BSD-3-Clause BSD-3-Clause-Attribution BSD-4-Clause BSD-4-Clause-UC BSL-1.0 CC-BY-3.0 CC-BY-4.0
CC-BY-SA-3.0 CC-BY-SA-4.0 CC0-1.0 curl EPL-2.0 FSFAP FSFUL FSFULLR GFDL-1.2-only GFDL-1.2-or-later GFDL-1.3-only
GFDL-1.3-or-later GFDL-1.3-no-invariants-only GFDL-1.3-no-invariants-or-later GPL-1.0-only GPL-1.0-or-later
GPL-2.0-only GPL-2.0-or-later GPL-3.0-only GPL-3.0-or-later HPND ICU ISC Jam LGPL-2.0-only LGPL-2.0-or-later
LGPL-2.1-only LGPL-2.1-or-later LGPL-3.0-only LGPL-3.0-or-later Libpng MIT MIT-CMU MPL-1.1 MPL-2.0 NCSA OFL-1.1
OLDAP-2.8 OpenSSL PSF-2.0 Python-2.0 Python-2.0.1 TCL Unicode-DFS-2016 Unicode-3.0 Unlicense Vim W3C WTFPL X11
Zlib ZPL-2.1
"""
_OTHER_NAMES = {
    "expat": "MIT", "mit/x11": "MIT", "mit license": "MIT", "cc0": "CC0-1.0", "openldap-2.8": "OLDAP-2.8",
    "zpl 2.1": "ZPL-2.1", "apache-2": "Apache-2.0", "apache 2.0": "Apache-2.0", "apache license 2.0": "Apache-2.0",
    "bsd 3-clause": "BSD-3-Clause", "artistic": "Artistic-1.0-Perl", "gfdl-niv-1.3": "GFDL-1.3-no-invariants-only",
    "gfdl-niv-1.3+": "GFDL-1.3-no-invariants-or-later", "mpl-2": "MPL-2.0",
}  # fmt: skip
_VERSIONED = re.compile(r"(a?gpl|lgpl|gfdl)-(\d)(?:\.(\d))?(\+?)", re.I)
_BY_LOWER = {name.lower(): name for name in _KNOWN.split()}
# The parts of what is combined: `and` and `or`, `and` binding closer; a comma sets groups apart, which is not taken up.
_OR, _AND = re.compile(r"\s+or\s+", re.I), re.compile(r"\s+and\s+", re.I)
_PARAGRAPHS = re.compile(r"\n[ \t]*\n")


def of_debian(copyright: str) -> tuple[str, ...]:
    """The names in a copyright file, each once, in its order; none if people wrote it for people."""
    paragraphs = _PARAGRAPHS.split(copyright)
    if not re.match(r"\s*Format(-Specification)?:", copyright, re.I):
        return ()
    found = (re.search(r"^License:[ \t]*(.*)$", each, re.M | re.I) for each in paragraphs if _is_about_files(each))
    return tuple(dict.fromkeys(_plain(match[1]) for match in found if match and match[1].strip()))[:MOST]


def of_python(metadata: str) -> tuple[str, ...]:
    """The names in the metadata of a distribution."""
    said = HeaderParser().parsestr(metadata)
    if stated := str(said.get("License-Expression") or "").strip():
        return (_plain(stated),)
    if (text := str(said.get("License") or "").strip()) and "\n" not in text and len(text) <= LONGEST:
        return () if text.upper() == "UNKNOWN" else (_plain(text),)
    return tuple(dict.fromkeys(_classified(said.get_all("Classifier", ()))))[:MOST]


def spdx(name: str) -> str:
    """The SPDX expression that a name means; '' if that is not certain."""
    if any(sign in name for sign in ",()"):
        return ""
    choices = [[_identifier(one) for one in _AND.split(part)] for part in _OR.split(name)]
    if not all(all(choice) for choice in choices):
        return ""
    return " OR ".join(" AND ".join(choice) for choice in choices)


def expression(names: Sequence[str]) -> str:
    """One SPDX expression in which all of these hold; '' if one of them has none, or there are none."""
    found = sorted({spdx(name) for name in names})
    if not found or not found[0]:
        return ""
    return found[0] if len(found) == 1 else " AND ".join(f"({one})" if " " in one else one for one in found)


def cyclonedx(names: Sequence[str]) -> list[dict[str, object]]:
    """`licenses` of a CycloneDX component: one expression, else each by its id or name."""
    whole = expression(names)
    if whole and (" " in whole):
        return [{"expression": whole}]
    return [{"license": _license(name)} for name in dict.fromkeys(names)]


def _license(name: str) -> dict[str, object]:
    known = spdx(name)
    return {"id": known} if known and " " not in known else {"name": name}


def _is_about_files(paragraph: str) -> bool:
    return re.search(r"^Files:", paragraph, re.M | re.I) is not None


def _classified(classifiers: Iterable[object]) -> Iterator[str]:
    for each in classifiers:
        text = str(each)
        if text.startswith("License :: "):
            yield _plain(text.rpartition(" :: ")[2])


def _identifier(name: str) -> str:
    plain = name.strip().lower()
    if match := _VERSIONED.fullmatch(plain.removesuffix("-only").removesuffix("-or-later")):
        later = match[4] or plain.endswith("-or-later")
        plain = f"{match[1]}-{match[2]}.{match[3] or 0}-{'or-later' if later else 'only'}"
    return _BY_LOWER.get(plain) or _OTHER_NAMES.get(plain, "")


def _plain(text: str) -> str:
    """A name on one line that a terminal can show."""
    return "".join(each if each.isprintable() else " " for each in text).strip()[:LONGEST]
