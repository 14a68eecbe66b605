"""Where this machine gets Debian from, as apt is configured here, for any suite.

Formats: sources.list(5), both of them; apt_auth.conf(5). The machine's suites are carried over by their ending: where
apt has `bookworm`, `bookworm-updates` and `bookworm-security`, the suites `trixie`, `trixie-updates` and
`trixie-security` come from the same places.

A URL may hold a password. It stays in the URL, which naust.source.fetch takes apart before a request is sent, and
which is shown only without it.
"""

from __future__ import annotations

import platform
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

from common.errors import Missing

ETC = Path("/etc/apt")
ENDINGS = ("", "-updates", "-security", "-backports", "-proposed-updates")
_ONE_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^]]*)]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>.+)")
_FIELD = re.compile(r"^([\w-]+):[ \t]*(.*(?:\n[ \t].*)*)", re.M)


@dataclass(frozen=True, slots=True)
class Configured:
    """One suite at one place of the machine's apt."""

    uri: str = field(repr=False)
    suite: str
    components: tuple[str, ...]


def one_line(text: str) -> Iterator[Configured]:
    """The sources of a `*.list` file."""
    for line in text.splitlines():
        if (match := _ONE_LINE.match(line.split("#", 1)[0].strip())) and _debians(match["options"] or ""):
            yield Configured(match["uri"], match["suite"], tuple(match["components"].split()))


def deb822(text: str) -> Iterator[Configured]:
    """The sources of a `*.sources` file."""
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    for paragraph in re.split(r"\n\s*\n", "\n".join(lines)):
        fields = {match[1].lower(): match[2] for match in _FIELD.finditer(paragraph)}
        signed_by = fields.get("signed-by", "").strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").strip().lower() == "no":
            continue
        if signed_by and not _debians(f"signed-by={signed_by}"):
            continue
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield Configured(uri, suite, tuple(fields.get("components", "").split()))


def places(suites: Sequence[str], etc: Path = ETC, codename: str = "") -> dict[str, str]:
    """Suite → URL of its archive, with the login that apt uses there. `codename` is the machine's own when empty.

    Raises Missing, which says what to do, if apt here knows no place for one of them.
    """
    known = carried_over(_configured(etc), codename or _codename())
    found = {suite: known[_ending(suite)] for suite in suites if _ending(suite) in known}
    if lost := [suite for suite in suites if suite not in found]:
        raise Missing(
            f"apt on this machine knows no place that could have {', '.join(lost)}",
            resolution=f"Write the `url` of a Debian archive into the source, or add one for 'main' below {etc}.",
        )
    logins = tuple(_logins(etc))
    return {suite: with_login(url, logins) for suite, url in found.items()}


def carried_over(sources: Iterable[Configured], codename: str) -> dict[str, str]:
    """Ending of a suite → the first place for it: only Debian's own suites with `main`, and what is on the web."""
    found: dict[str, str] = {}
    for source in sources:
        ending = source.suite.removeprefix(codename) if codename and source.suite.startswith(codename) else None
        if ending in ENDINGS and "main" in source.components and urlsplit(source.uri).scheme in ("http", "https"):
            found.setdefault(ending, source.uri.rstrip("/"))
    return found


@dataclass(frozen=True, slots=True)
class Login:
    """A line of auth.conf. `machine` is a host, maybe with scheme, port and the beginning of a path."""

    machine: str
    user: str
    password: str = field(repr=False)

    def fits(self, url: str) -> bool:
        """Whether it is for this URL. Without a scheme it is only for https, as apt_auth.conf(5) has it."""
        scheme, _, place = self.machine.rpartition("://")
        parts = urlsplit(url)
        host, _, path = place.partition("/")
        hosts = (parts.netloc, parts.hostname) if ":" not in host else (parts.netloc,)
        return parts.scheme == (scheme or "https") and host in hosts and f"{parts.path}/".startswith(f"/{path}")


def logins(text: str) -> Iterator[Login]:
    """The lines of an auth.conf, which is like a netrc."""
    words = iter(shlex.split(text, comments=True))
    said: dict[str, str] = {}
    for word in words:
        if word == "machine" and "machine" in said:
            yield _login(said)
            said = {}
        if word in ("machine", "login", "password"):
            said[word] = next(words, "")
    if "machine" in said:
        yield _login(said)


def with_login(url: str, known: Sequence[Login]) -> str:
    """The URL with user and password of the first that fits, unless it has its own."""
    parts = urlsplit(url)
    found = next((each for each in known if each.fits(url)), None)
    if "@" in parts.netloc or found is None:
        return url
    user, password = quote(found.user, safe=""), quote(found.password, safe="")
    return parts._replace(netloc=f"{user}:{password}@{parts.netloc}").geturl()


def _login(said: dict[str, str]) -> Login:
    return Login(said["machine"], said.get("login", ""), said.get("password", ""))


def _logins(etc: Path) -> Iterator[Login]:
    for path in [etc / "auth.conf", *sorted((etc / "auth.conf.d").glob("*.conf"))]:
        try:
            yield from logins(path.read_text())
        except (OSError, ValueError):  # not there, not ours to read, or no such file: then there is no login in it
            continue


def _configured(etc: Path) -> Iterator[Configured]:
    for path in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*.list"))]:
        if path.exists():
            yield from one_line(path.read_text())
    for path in sorted((etc / "sources.list.d").glob("*.sources")):
        yield from deb822(path.read_text())


def _debians(options: str) -> bool:
    """Whether what signs a source is Debian's keyring, or not said."""
    return "signed-by=" not in options.lower() or "debian-archive" in options


def _ending(suite: str) -> str:
    return next((each for each in reversed(ENDINGS) if each and suite.endswith(each)), "")


def _codename() -> str:
    release = platform.freedesktop_os_release()
    return release.get("VERSION_CODENAME", "") if release.get("ID") == "debian" else ""
