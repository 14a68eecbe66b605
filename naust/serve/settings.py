"""What `naust serve` was told, checked before a port is opened."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from common.errors import BadInput
from common.values import Wrong, as_duration, as_size
from naust.serve.audit import Audit
from naust.serve.server import Listening, Server
from naust.serve.service import Rules, Service
from naust.serve.sources import REFRESH, Proxied
from naust.serve.tokens import Right, Tokens


@dataclass(frozen=True, slots=True)
class Settings:
    """The options as they were typed; see naust/cli/serve.py."""

    folder: str
    store: str | None
    listen: str
    cert: Path | None
    key: Path | None
    plain: bool
    tokens: Path | None
    anonymous: str
    audit: Path | None
    max_upload: str
    rate: int
    workers: int
    grace: str
    sparse: bool
    verbose: bool
    sources: Path | None = None
    refresh: str = ""


def prepared(settings: Settings) -> tuple[Server, str, str]:
    """A server that listens and is still to be started, its URL, and that of its store.

    Raises BadInput; Denied or NotFound for files that cannot be read or written.
    """
    host, port = _place(settings.listen)
    if (settings.cert is None) != (settings.key is None):
        raise BadInput("--cert and --key go together", resolution="Name both, or none for a server without TLS.")
    if settings.cert is None and not settings.plain and not is_loopback(host):
        raise BadInput(
            f"{host} would be served without TLS",
            resolution="Name --cert and --key, or say --plain if a proxy in front has them.",
        )
    root = _root(settings.folder or settings.store)
    rules = Rules(_anonymous(settings), _bytes(settings.max_upload), settings.rate, settings.sparse)
    tokens = Tokens(settings.tokens) if settings.tokens else None
    audit = Audit(settings.audit, verbose=settings.verbose)
    grace = _duration(settings.grace).total_seconds()
    listening = Listening(host, port, settings.cert, settings.key, settings.workers, grace)
    server = Server(Service(root, rules, tokens, _proxied(settings)), listening, audit)
    shown = f"[{host}]" if ":" in host else host
    url = f"{'https' if settings.cert else 'http'}://{shown}:{server.port}"
    return server, url, root.as_uri()


def _proxied(settings: Settings) -> Proxied:
    """The sources that are fetched on first use. Raises BadInput if the file has none, BadDefinition."""
    if settings.sources is None:
        return Proxied()
    from common.console import reporter
    from naust.source.definition import PROXY
    from naust.source.shapes import load

    blocks = tuple(each for each in load(settings.sources).sources if each.mode == PROXY)
    if not blocks:
        raise BadInput(
            f"{settings.sources} has no source of mode proxy",
            resolution='Write mode = "proxy" into one; what `naust mirror` fetched is served at /snapshots/ anyway.',
        )
    refresh = _duration(settings.refresh) if settings.refresh else REFRESH
    return Proxied(blocks, refresh, max(1, settings.workers * 3 // 4), report=reporter())


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _place(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise BadInput(f"{text!r} is no address to listen on", resolution="Write HOST:PORT, such as 0.0.0.0:8440.")
    return host.strip("[]") or "0.0.0.0", int(port)


def _root(wanted: str | None) -> Path:
    from naust.store import open_store
    from naust.store.directory import DirectoryStore

    if wanted and "://" not in wanted and Path(wanted).is_dir():
        wanted = str(Path(wanted).absolute())
    store = open_store(wanted)
    if not isinstance(store, DirectoryStore):
        raise BadInput(f"{store.url} is no directory", resolution="Serve a directory; copy other stores into one.")
    return store.root


def _anonymous(settings: Settings) -> Right | None:
    if settings.anonymous and settings.anonymous not in ("read", "write", "admin"):
        raise BadInput(
            f"{settings.anonymous!r} is nothing that the anonymous may do", resolution="Write read, write or admin."
        )
    if not settings.anonymous and settings.tokens is None:
        raise BadInput(
            "nobody could do anything",
            resolution="Name a file of tokens with --tokens, or say --anonymous read, write or admin.",
        )
    return Right[settings.anonymous.upper()] if settings.anonymous else None


def _bytes(text: str) -> int:
    try:
        return as_size(text) if text else 0
    except Wrong as wrong:
        raise BadInput(str(wrong), resolution="Write a number and a unit, such as 20GiB.") from wrong


def _duration(text: str) -> timedelta:
    try:
        return as_duration(text)
    except Wrong as wrong:
        raise BadInput(str(wrong), resolution="Write a number and a unit, such as 30s or 90d.") from wrong
