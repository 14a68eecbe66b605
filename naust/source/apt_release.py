"""Release files of a Debian archive: reading those of upstream, writing ours.

Format: wiki.debian.org/DebianRepository/Format, "Release files"; what apt makes of the fields: apt-secure(8) and
apt's apt-pkg/deb/debmetaindex.cc.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from common.errors import BadInput, Corrupt
from common.model import Digest

LARGEST = 8 << 20  # bytes of a Release file; Debian's has 0.15 MB
_FORMS = (".xz", ".gz", "")  # of an index, the smallest first
_KEPT = ("Origin", "Label", "Suite", "Version", "Codename")  # clients pin by them: apt_preferences(5)
_AHEAD = timedelta(days=1)  # that a clock may differ
_BEGIN = b"-----BEGIN PGP SIGNED MESSAGE-----"
_LINE = re.compile(r" ([0-9a-f]{64}) +([0-9]{1,12}) (\S+)")


@dataclass(frozen=True, slots=True)
class Listed:
    """A file that a Release vouches for. `path` is below the suite's folder, `size` in bytes."""

    path: str
    size: int
    digest: Digest


@dataclass(frozen=True, slots=True)
class Release:
    """What a Release file says. `date` is upstream's, `until` when it expires, if it does."""

    suite: str
    fields: Mapping[str, str]
    files: Mapping[str, Listed]
    date: datetime
    until: datetime | None

    @property
    def by_hash(self) -> bool:
        """Whether indexes can be fetched by their digest."""
        return self.fields.get("acquire-by-hash", "").lower() == "yes"

    def indexes(self, components: Sequence[str], architecture: str) -> tuple[tuple[str, tuple[Listed, ...]], ...]:
        """The package index of each component, in every form that there is, the smallest first. Packages for all
        architectures are in an index of their own where upstream has one and does not repeat them in the others.

        Raises BadInput if there is no such component or architecture.
        """
        every = [architecture]
        if "all" in self._words("architectures") and "packages" not in self._words("no-support-for-architecture-all"):
            every.append("all")
        found = []
        for component in components:
            indexes = [self._index(component, each) for each in every]
            if not any(indexes):
                raise self._no_index(component, architecture)
            found += [(component, forms) for forms in indexes if forms]
        return tuple(found)

    def _index(self, component: str, architecture: str) -> tuple[Listed, ...]:
        paths = (f"{component}/binary-{architecture}/Packages{form}" for form in _FORMS)
        return tuple(self.files[path] for path in paths if path in self.files)

    def _words(self, name: str) -> list[str]:
        return self.fields.get(name, "").lower().split()

    def _no_index(self, component: str, architecture: str) -> BadInput:
        return BadInput(
            f"{self.suite} has no packages of component {component} for {architecture}",
            details=f"Its components are {self.fields.get('components', 'not said')}; "
            f"its architectures {self.fields.get('architectures', 'not said')}.",
            resolution="Correct `components` or `architectures` of the source.",
        )


def parse(text: bytes, suite: str) -> Release:
    """Read a Release file whose signature was checked. Raises Corrupt if it is not that of this suite, or is no such
    file."""
    fields = fields_of(text)
    files = {}
    for line in fields.get("sha256", "").split("\n"):
        if match := _LINE.fullmatch(line.rstrip()):
            files[match[3]] = Listed(match[3], int(match[2]), Digest("sha256", match[1]))
    if not files:
        raise unusable(suite, "It names no file with a SHA256.")
    # Another suite's Release, rightly signed, in the place of this one would be a downgrade.
    names = {fields.get(name, "") for name in ("suite", "codename")} - {""}
    if names and suite not in names and suite.partition("/")[0] not in names:
        raise unusable(suite, f"It is that of {' or '.join(sorted(names))}.")
    until = fields.get("valid-until")
    return Release(
        suite, fields, files, _moment(fields.get("date", ""), suite), _moment(until, suite) if until else None
    )


def unsigned(data: bytes) -> bytes:
    """What a clear-signed Release says, without a look at its signature; other data as it is."""
    if not data.startswith(_BEGIN):
        return data
    _, _, rest = data.replace(b"\r\n", b"\n").partition(b"\n\n")
    return rest.partition(b"\n-----BEGIN PGP SIGNATURE-----")[0]


def check_date(release: Release, now: datetime) -> None:
    """Raises Corrupt if the Release has expired: somebody may hold back newer ones, or upstream stands still. Or if it
    is of the future, because no later one would be taken after it."""
    if release.date > now + _AHEAD:
        raise Corrupt(
            f"the Release of {release.suite} is of {release.date:%Y-%m-%d %H:%M} UTC, which is not yet",
            resolution="See that this clock is right, then that of upstream.",
        )
    if release.until is not None and release.until < now:
        raise Corrupt(
            f"the Release of {release.suite} has expired at {release.until:%Y-%m-%d %H:%M} UTC",
            details=f"It is of {release.date:%Y-%m-%d %H:%M} UTC.",
            resolution="See that this clock is right. If it is, this mirror is no longer kept up: use another one.",
        )


def fields_of(text: bytes) -> dict[str, str]:
    """The fields of the first paragraph by their names in lower case; lines that continue one keep their form.
    Of a field that is there twice, the first counts."""
    found: dict[str, str] = {}
    name = ""
    for line in text.decode("utf-8", "replace").split("\n"):
        if line[:1] in (" ", "\t"):
            if name:
                found[name] += "\n" + line
            continue
        if not line.strip():
            if found:
                break
            continue
        key, colon, value = line.partition(":")
        name = key.strip().lower() if colon and key.strip().lower() not in found else ""
        if name:
            found[name] = value.strip()
    return found


def written(
    upstream: Release, components: Sequence[str], architectures: Sequence[str], files: Iterable[Listed]
) -> bytes:
    """Our Release of this suite. Its date is upstream's, so that its bytes do not depend on when it is made; and it
    never expires, because a snapshot stays as it is."""
    lines = [f"{name}: {upstream.fields[name.lower()]}" for name in _KEPT if upstream.fields.get(name.lower())]
    lines += [
        f"Date: {upstream.date:%a, %d %b %Y %H:%M:%S} UTC",
        "Acquire-By-Hash: yes",
        "No-Support-for-Architecture-all: Packages",
        f"Architectures: {' '.join(architectures)}",
        f"Components: {' '.join(components)}",
        f"Description: {upstream.fields.get('description', upstream.suite)}",
        "SHA256:",
    ]
    lines += [f" {each.digest.hex} {each.size:>8} {each.path}" for each in sorted(files, key=lambda each: each.path)]
    return "".join(f"{_one_line(line)}\n" for line in lines).encode()


def unusable(suite: str, details: str) -> Corrupt:
    """The error of a Release file that says something else than it should."""
    return Corrupt(
        f"the Release of {suite} cannot be used",
        details=details,
        resolution="See that `url` is that of a Debian archive and `suites` are right; else tell who runs it.",
    )


def _one_line(text: str) -> str:
    """Upstream's words must not become fields of ours."""
    return text.replace("\n", " ").replace("\r", " ")


def _moment(text: str, suite: str) -> datetime:
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise unusable(suite, f"{text[:60]!r} is no date.") from error
