"""Connections to HTTP servers that are kept and used again, each by one request at a time.

HTTP/1.1 (RFC 9112, section 9.3, Persistence), TLS by the standard library, proxies by the environment variables that
all programs know: http_proxy, https_proxy, no_proxy. What runs on this machine is never reached through a proxy.
"""

from __future__ import annotations

import http.client
import os
import select
import socket
import threading
from base64 import b64encode
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from common.errors import BadInput

if TYPE_CHECKING:
    import ssl

_PORTS = {"http": 80, "https": 443}
_KEPT = 16  # idle connections of one origin


@dataclass(frozen=True, slots=True)
class Origin:
    """What credentials belong to (RFC 6454): scheme, host and port together."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Origin:
        """The origin of a URL. Raises BadInput if it has none that we can reach."""
        parts = urlsplit(url)
        try:
            port = parts.port or _PORTS.get(parts.scheme, 0)
        except ValueError:
            port = 0
        if not parts.hostname or not port or parts.scheme not in _PORTS:
            raise BadInput(f"{shown(url)!r} is no web address", resolution="Write https://HOST or https://HOST:PORT.")
        return cls(parts.scheme, parts.hostname, port)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """Host and port as the Host header has them (RFC 9110, section 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Whether it is this machine."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether the host is this machine, by its name alone."""
    return host == "localhost" or host.endswith(".localhost") or host == "::1" or _is_loopback4(host)


def _is_loopback4(host: str) -> bool:
    numbers = host.split(".")
    return len(numbers) == 4 and numbers[0] == "127" and all(each.isdigit() for each in numbers)


def shown(url: str) -> str:
    """The URL as it may be shown: without user, password and query, which may hold signatures and tokens."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


@dataclass(slots=True)
class Connection:
    """One connection. `reused` says that it has served before, so the server may have given it up meanwhile;
    `absolute` that requests name the whole URL, as a proxy wants it."""

    origin: Origin
    line: http.client.HTTPConnection
    headers: dict[str, str]
    absolute: bool = False
    reused: bool = False

    @property
    def is_usable(self) -> bool:
        """Whether nothing came since the last answer: neither an end nor bytes that nobody asked for."""
        return self.line.sock is not None and not select.select([self.line.sock], [], [], 0)[0]


class Connections:
    """Any number of threads may take connections and give them back."""

    def __init__(self, idle: timedelta, ca: Path | None) -> None:
        self._idle = idle.total_seconds()
        self._ca = ca
        self._kept: dict[Origin, list[Connection]] = {}
        self._lock = threading.Lock()

    def take(self, origin: Origin, *, new: bool = False) -> Connection:
        """A connection for one request. It is made when the request is sent."""
        with self._lock:
            kept = self._kept.get(origin, [])
            while kept and not new:
                connection = kept.pop()
                if connection.is_usable:
                    connection.reused = True
                    return connection
                connection.line.close()
        return self._made(origin)

    def give(self, connection: Connection) -> None:
        """The answer was read to its end; the next request may have it."""
        with self._lock:
            kept = self._kept.setdefault(connection.origin, [])
            if len(kept) < _KEPT and connection.line.sock is not None:
                kept.append(connection)
                return
        connection.line.close()

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            every = [each for kept in self._kept.values() for each in kept]
            self._kept.clear()
        for each in every:
            each.line.close()

    def _made(self, origin: Origin) -> Connection:
        proxy = _proxy(origin)
        host, port, headers = _reached(proxy) if proxy else (origin.host, origin.port, {})
        if origin.scheme == "http":
            plain = http.client.HTTPConnection(host, port, timeout=self._idle)
            return Connection(origin, plain, headers, absolute=bool(proxy))
        secure = http.client.HTTPSConnection(host, port, timeout=self._idle, context=self._context)
        if proxy:
            secure.set_tunnel(origin.host, origin.port, headers)
        return Connection(origin, secure, {})

    @cached_property
    def _context(self) -> ssl.SSLContext:
        import ssl

        try:
            context = ssl.create_default_context(cafile=str(self._ca) if self._ca else None)
        except OSError as error:
            raise BadInput(
                f"the certificates in {self._ca} cannot be read",
                details=str(error),
                resolution="Name a PEM file that holds the certificates to trust.",
            ) from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


def _proxy(origin: Origin) -> str:
    """URL of the proxy for this origin, or ''."""
    if origin.is_local or not any(name.lower().endswith("_proxy") for name in os.environ):
        return ""
    from urllib.request import getproxies, proxy_bypass

    found = getproxies().get(origin.scheme, "")
    return "" if not found or proxy_bypass(f"{origin.host}:{origin.port}") else found


def _reached(proxy: str) -> tuple[str, int, dict[str, str]]:
    """Host and port of a proxy, and what tells it who we are. Raises BadInput."""
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if parts.scheme != "http" or not parts.hostname:
        raise BadInput(
            f"{shown(proxy)!r} is no proxy that can be used",
            resolution="Write http://HOST:PORT into the environment variables http_proxy and https_proxy.",
        )
    headers = {}
    if parts.username:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    return parts.hostname, parts.port or 80, headers


def plain_socket(line: http.client.HTTPConnection) -> socket.socket | None:
    """The socket, if bytes go over it as they are, so that the kernel may send a file by itself."""
    return line.sock if type(line.sock) is socket.socket else None
