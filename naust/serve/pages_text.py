"""Text on pages: links that are safe to follow, dates and numbers for people, and what untrusted text may hold."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit

if TYPE_CHECKING:
    from markupsafe import Markup

# Scheme, host with port, path; RFC 3986, the parts that a server can have. The host often comes from a request.
_BASE = re.compile(r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~-]+)*")
_WEB = re.compile(r"https?://[A-Za-z0-9._~:/?#@!$&()*+,;=%\[\]-]+")
_FORBIDDEN = ("Cc", "Cs")  # Unicode: control characters, lone surrogates (JSON can hold them, UTF-8 cannot)
# Unicode Standard Annex 9: marks that turn the direction of text, so that it reads as something else.
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, slots=True)
class Links:
    """Where pages are. `base` is '' or a URL that `safe_base` let pass."""

    base: str

    @property
    def prefix(self) -> str:
        """The path that the server is below, such as behind a proxy; usually ''."""
        return urlsplit(self.base).path

    def to(self, *segments: str, **query: str) -> str:
        """The path of a page, each part quoted."""
        return self.here(segments, query)

    def here(self, segments: Sequence[str], query: Mapping[str, str]) -> str:
        """As `to`, with a query that has any names."""
        path = "/".join(quote(_encodable(each), safe="") for each in segments)
        said = {key: _encodable(text) for key, text in query.items()}
        return f"{self.prefix}/{path}{'?' if said else ''}{urlencode(said)}"

    def artifact(self, name: str, *more: str, **query: str) -> str:
        """The path below `kind/name`."""
        return self.to(*name.split("/"), *more, **query)


def safe_base(url: str) -> str:
    """The URL, if it can stand in links and commands as it is; else ''."""
    found = url.rstrip("/")
    return found if _BASE.fullmatch(found) else ""


def web_address(text: str) -> str:
    """The text, if it is a web address that a person may click; else ''. No other scheme is one."""
    return text if _WEB.fullmatch(text) and len(text) <= 2000 else ""


def plain(value: object) -> object:
    """Text without what a page must not show: each control, surrogate and turning character becomes U+FFFD.

    Marked-up text is the template's own and stays as it is. Line ends and tabs are kept.
    """
    if not isinstance(value, str) or hasattr(value, "__html__") or value.isprintable():
        return value
    return "".join(map(_shown, value))


def _shown(character: str) -> str:
    if character in "\n\t":
        return character
    forbidden = character in _TURNING or unicodedata.category(character) in _FORBIDDEN
    return "\ufffd" if forbidden else character


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def with_page(query: Mapping[str, str], number: int) -> dict[str, str]:
    """The same query on another page; what is empty is left out."""
    kept = {key: text for key, text in query.items() if key in ("q", "kind", "show") and text}
    return kept | ({"page": str(number)} if number > 1 else {})


def dated(created: str) -> datetime:
    """The date in a row of a listing (naust.brief): UTC."""
    return datetime.fromisoformat(created).replace(tzinfo=UTC)


def moment(when: datetime) -> str:
    """A date for people, in UTC; '' for the epoch, which stands for a date that nobody knows."""
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M") if when.timestamp() > 0 else ""


def number(count: int) -> str:
    """A count with thin spaces between thousands (ISO 80000-1): `100 000`."""
    return f"{count:,}".replace(",", "\u202f")


def with_code(text: str) -> Markup:
    """The text of an error, escaped; what stands between backticks is marked up as code."""
    from markupsafe import Markup, escape

    parts = str(plain(text)).split("`")
    last = len(parts) - 1
    # An odd backtick at the end opens nothing.
    marked = (
        each if i % 2 == 0 or i == last else Markup("<code>{}</code>").format(each) for i, each in enumerate(parts)
    )
    return Markup("").join(map(escape, marked))
