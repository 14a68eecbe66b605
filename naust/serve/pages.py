"""Pages for people: browse and search, one artefact, two versions side by side. Plain HTML without a script.

Pure: nothing here opens a port, and nothing changes the store. Whatever comes out of an artefact is untrusted: it is
escaped by the template engine, put into URLs only after quoting, and no page may load or run anything (Content
Security Policy level 3). Pages meet WCAG 2.2 AA in contrast and use by keyboard; tests hold both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from common.errors import BadInput, Conflict, Corrupt, Denied, Error, NotFound, Unavailable
from common.model import Artifact, Digest, Kind, Reference, Verdict
from naust.listing import artifacts
from naust.serve.pages_artifact import LONGEST_LIST, facts, tagged
from naust.serve.pages_attached import channel_moves, revoked_digests
from naust.serve.pages_catalogue import look, wanted
from naust.serve.pages_commands import commands
from naust.serve.pages_difference import difference
from naust.serve.pages_text import Links, plain, safe_base, with_page
from naust.store.interface import Store
from naust.version import is_dated

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
HTML = "text/html; charset=utf-8"
# No script, no frame, nothing from elsewhere: https://www.w3.org/TR/CSP3/
POLICY = (
    "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = (
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cache-Control", "private, no-cache"),
    ("Vary", "Accept, Authorization"),
)
_STATUS: tuple[tuple[type[Error], int, str], ...] = (
    (NotFound, 404, "Not found"),
    (BadInput, 404, "Not found"),
    (Denied, 403, "Not allowed"),
    (Corrupt, 500, "Damaged"),
    (Conflict, 409, "Conflict"),
    (Unavailable, 503, "Not available"),
)

Readable = Callable[[str], bool]
Verdicts = Callable[[Artifact], Sequence[Verdict]]


@dataclass(frozen=True, slots=True)
class Page:
    """An answer to GET. `media_type` is the value of Content-Type."""

    status: int
    media_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Visit:
    """Who looks at what. `segments` are the parts of the path, decoded."""

    store: Store
    segments: tuple[str, ...]
    query: Mapping[str, str]
    links: Links
    readable: Readable
    verdicts: Verdicts


def page(
    store: Store,
    path: str,
    query: Mapping[str, str],
    *,
    base_url: str = "",
    readable: Readable = lambda name: True,
    verdicts: Verdicts = lambda artifact: (),
) -> Page | None:
    """The page at this path, as it stands in a URL, or None if no page can be there.

    `base_url` is how visitors reach the server (`https://naust.example.org`, without a slash at its end); it goes into
    links and commands. `readable` says whether the visitor may see `kind/name`; `verdicts` are checks of an artefact
    that somebody has made, if they are to be shown. Never raises: an error is a page with its own status.
    """
    segments = tuple(unquote(each) for each in path.strip("/").split("/")) if path.strip("/") else ()
    visit = _Visit(store, segments, query, Links(safe_base(base_url)), readable, verdicts)
    make = _route(visit)
    if make is None:
        return None
    try:
        return make(visit)
    except Error as error:
        return problem(error, base_url=base_url)


def problem(error: Error, *, base_url: str = "", status: int = 0) -> Page:
    """An error as a page: what is the case, and what to do next. `status` is the error's own if 0."""
    own, title = next(((code, text) for kind, code, text in _STATUS if isinstance(error, kind)), (500, "Failed"))
    # Where a store lies and how it is built is none of a visitor's business; damage has to be told though.
    details = error.details if isinstance(error, Corrupt) else ""
    return rendered(
        "problem.html", Links(safe_base(base_url)), status or own, title=title, error=error, details=details
    )


def _route(visit: _Visit) -> Callable[[_Visit], Page] | None:
    match visit.segments:
        case ():
            return _catalogue
        case ("style.css",):
            return _style
        case (kind,) if kind in set(Kind):
            return _catalogue
        case (kind, _) if kind in set(Kind):
            return _name
        case (kind, _, "diff") if kind in set(Kind) and ({"a", "b"} & set(visit.query) or not _has_diff_tag(visit)):
            return _difference
        case (kind, _, _) if kind in set(Kind):
            return _artifact
    return None


def _has_diff_tag(visit: _Visit) -> bool:
    """A tag may be called `diff`; its page then has that path, and the comparison has a query."""
    try:
        return "diff" in visit.store.tags("/".join(visit.segments[:2]))
    except Error:
        return False


def _catalogue(visit: _Visit) -> Page:
    asked = wanted(visit.query, visit.segments[0] if visit.segments else "")
    found = look(visit.store, asked, visit.readable)
    shown = [(f"{row.kind}/{row.name}", Digest.parse(row.digest)) for row in found.rows]
    return rendered(
        "catalogue.html",
        visit.links,
        asked=asked,
        found=found,
        revoked={str(digest) for digest in revoked_digests(visit.store, shown)},
        kinds=tuple(Kind),
        other=lambda number: visit.links.here(visit.segments, with_page(visit.query, number)),
    )


def _name(visit: _Visit) -> Page:
    name, _, digest = "/".join(visit.segments).partition("@")
    _permit(visit, name)
    every = _versions(visit.store, name)
    if digest:
        return _by_digest(visit, name, digest, every)
    channels = tuple(each for each in every if not is_dated(each.reference.tag))
    shown = every[:LONGEST_LIST]
    return rendered(
        "name.html",
        visit.links,
        name=name,
        versions=tuple(each for each in shown if is_dated(each.reference.tag)),
        channels=channels,
        same={each.digest: each.reference.tag for each in reversed(every) if is_dated(each.reference.tag)},
        hidden=len(every) - len(shown),
        moves=channel_moves(visit.store, name, (each.reference.tag for each in channels)),
        revoked=revoked_digests(visit.store, ((name, each.digest) for each in shown)),
    )


def _by_digest(visit: _Visit, name: str, digest: str, every: Sequence[Artifact]) -> Page:
    # Only what has a tag of this name: a digest alone is no right to read what another name has.
    sought = Digest.parse(digest)
    for each in every:
        if each.digest == sought:
            return _artifact_page(visit, name, each.reference.tag)
    raise NotFound(f"no tag of {name} stands for {digest}", resolution=f"Look at the versions of {name}.")


def _artifact(visit: _Visit) -> Page:
    kind, short, tag = visit.segments
    _permit(visit, f"{kind}/{short}")
    return _artifact_page(visit, f"{kind}/{short}", tag)


def _artifact_page(visit: _Visit, name: str, tag: str) -> Page:
    known = facts(visit.store, name, tag)
    sought = visit.query.get("packages", "").strip()
    packages = known.attached.packages_like(sought)
    return rendered(
        "artifact.html",
        visit.links,
        name=name,
        tag=tag,
        dated=is_dated(tag),
        known=known,
        artifact=known.artifact,
        alike=tagged(visit.store, name, known.artifact.digest, but=tag),
        commands=commands(known, visit.links.base),
        sought=sought,
        packages=packages,
        verdicts=tuple(visit.verdicts(known.artifact)),
    )


def _difference(visit: _Visit) -> Page:
    name = "/".join(visit.segments[:2])
    _permit(visit, name)
    every = _versions(visit.store, name)
    tags = [each.reference.tag for each in every]
    before, after = visit.query.get("a", ""), visit.query.get("b", "")
    compared = difference(facts(visit.store, name, before), facts(visit.store, name, after)) if before and after else ""
    return rendered(
        "difference.html", visit.links, name=name, tags=tags[:LONGEST_LIST], a=before, b=after, compared=compared
    )


def _versions(store: Store, name: str) -> tuple[Artifact, ...]:
    """All tags of a name, newest first. Raises NotFound if there is none."""
    reference = Reference.parse(name)
    found = artifacts(store, reference.kind, reference.name, damaged=lambda error: None)
    if not found:
        raise NotFound(
            f"there is no {name} here", resolution="Search the catalogue for it, or push it with `naust push`."
        )
    return found


def _permit(visit: _Visit, name: str) -> None:
    """Raises Denied whether or not the name exists, so that nobody learns which do; NotFound for what is no name."""
    Reference.parse(name)
    if not visit.readable(name):
        raise Denied(
            f"you may not see {name}",
            resolution="Log in with a token that may read this name: any user name, the token as password. "
            "Whoever runs this server hands them out.",
        )


def _style(visit: _Visit) -> Page:
    known = visit.query.get("v") == _style_hash()
    lasting = "public, max-age=31536000, immutable" if known else "no-cache"
    headers = (("X-Content-Type-Options", "nosniff"), ("Cache-Control", lasting))
    return Page(200, "text/css; charset=utf-8", _style_bytes(), headers)


@cache
def _style_bytes() -> bytes:
    return (TEMPLATES / "style.css").read_bytes()


@cache
def _style_hash() -> str:
    return hashlib.sha256(_style_bytes()).hexdigest()[:16]


@cache
def _environment() -> Environment:
    # Imported here: `naust` starts without a template engine.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from common.console import amount
    from naust.serve.pages_text import dated, moment, number, with_code

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        finalize=plain,
    )
    made.filters.update(amount=amount, dated=dated, moment=moment, number=number, code=with_code)
    return made


def rendered(template: str, links: Links, status: int = 200, **values: object) -> Page:
    """A page made from one of the templates."""
    text = _environment().get_template(template).render(links=links, style=_style_hash(), **values)
    return Page(status, HTML, text.encode(), HEADERS)
