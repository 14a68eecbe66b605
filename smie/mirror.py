"""The machine's own Debian mirror, as apt is configured here, for whatever suite a base image asks for.

Formats: deb822 and one-line, sources.list(5). The machine's suites are carried over by their ending: on a machine with
`bookworm`, `bookworm-updates` and `bookworm-security`, a base of `trixie` gets `trixie`, `trixie-updates` and
`trixie-security` from the same places. Whoever wants another mirror sets `$SMIE_MIRROR`.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import Missing

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
ENDINGS = ("", "-updates", "-security")
_ONE_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^]]*)]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>.+)")


@dataclass(frozen=True, slots=True)
class Source:
    """One suite at one place. `uri` may hold a password: it goes into files of mode 0600, never into logs or argv."""

    uri: str
    suite: str
    components: tuple[str, ...]

    def line(self, keyring: Path) -> str:
        """The one-line form, sources.list(5)."""
        return f"deb [signed-by={keyring}] {self.uri} {self.suite} {' '.join(self.components)}"


def one_line(text: str) -> Iterator[Source]:
    """The sources of a `*.list` file."""
    for line in text.splitlines():
        if (match := _ONE_LINE.match(line.split("#", 1)[0].strip())) and _debians(match["options"] or ""):
            yield Source(match["uri"], match["suite"], tuple(match["components"].split()))


def deb822(text: str) -> Iterator[Source]:
    """The sources of a `*.sources` file."""
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    for paragraph in re.split(r"\n\s*\n", "\n".join(lines)):
        fields = {
            match[1].lower(): match[2] for match in re.finditer(r"^([\w-]+):[ \t]*(.*(?:\n[ \t].*)*)", paragraph, re.M)
        }
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").strip().lower() == "no":
            continue
        if not _debians("signed-by=" + fields["signed-by"].strip() if fields.get("signed-by") else ""):
            continue
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield Source(uri, suite, tuple(fields.get("components", "").split()))


def _debians(options: str) -> bool:
    """Whether what signs a source is Debian's keyring, or not said."""
    return "signed-by=" not in options.lower() or "debian-archive" in options


def carried_over(sources: Iterable[Source], codename: str, suite: str, components: Sequence[str]) -> tuple[Source, ...]:
    """The same mirrors for another suite: only Debian's own suites with `main`, each once."""
    wanted = {codename + ending: suite + ending for ending in ENDINGS}
    found = dict.fromkeys(
        Source(source.uri.rstrip("/"), wanted[source.suite], tuple(components))
        for source in sources
        if source.suite in wanted and "main" in source.components
    )
    return tuple(found)


def machine_sources(suite: str, components: Sequence[str], etc: Path = Path("/etc/apt")) -> tuple[Source, ...]:
    """Where this machine gets a suite of Debian from. Raises Missing, which says what to do."""
    if not KEYRING.exists():
        raise Missing(
            "Debian's archive keys are not installed", resolution="Run: apt-get install debian-archive-keyring"
        )
    if mirror := os.environ.get("SMIE_MIRROR"):
        return (Source(mirror.rstrip("/"), suite, tuple(components)),)
    found = carried_over(_configured(etc), _codename(), suite, components)
    if not any(source.suite == suite for source in found):
        raise Missing(
            f"apt on this machine knows no Debian mirror that could have {suite}",
            resolution=f"Set SMIE_MIRROR to the URL of a Debian mirror, or add one for 'main' below {etc}.",
        )
    return found


def _configured(etc: Path) -> Iterator[Source]:
    for path in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*.list"))]:
        if path.exists():
            yield from one_line(path.read_text())
    for path in sorted((etc / "sources.list.d").glob("*.sources")):
        yield from deb822(path.read_text())


def _codename() -> str:
    release = platform.freedesktop_os_release()
    return release.get("VERSION_CODENAME", "") if release.get("ID") == "debian" else ""
