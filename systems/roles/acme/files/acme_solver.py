"""Answers http-01 challenges (RFC 8555, section 8.3) on every node: the answers are in etcd, so any node knows them."""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATH = re.compile(r"/\.well-known/acme-challenge/([A-Za-z0-9_-]{1,256})")
TIMEOUT = 2.0  # seconds for a look at another gateway
FRESH = 0.25  # seconds: anybody may ask, so etcd is not asked more often than this


class Answers:
    """Token → answer, read again when one is asked for that is not known."""

    def __init__(self, read: Callable[[], Mapping[str, str]]) -> None:
        """`read` raises what it likes; then nothing is known."""
        self._read, self._lock = read, threading.Lock()
        self._known: Mapping[str, str] = {}
        self._at = -FRESH

    def of(self, token: str) -> str:
        """The answer, or ""."""
        with self._lock:
            if token not in self._known and time.monotonic() - self._at >= FRESH:
                self._known = self._read()
                self._at = time.monotonic()
            return self._known.get(token, "")


class Handler(BaseHTTPRequestHandler):
    """GET of one kind of path."""

    timeout = 5  # seconds

    def do_GET(self) -> None:
        """Answer one request."""
        assert isinstance(self.server, Server)
        found = PATH.fullmatch(self.path.partition("?")[0])
        answer = self.server.answers.of(found[1]) if found else ""
        if not answer:
            self.send_error(404)
            return
        body = answer.encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not worth a line."""


class Server(ThreadingHTTPServer):
    """For the Traefik of this node, and of one whose agent does not run."""

    daemon_threads = True

    def __init__(self, port: int, answers: Answers) -> None:
        self.answers = answers
        super().__init__(("", port), Handler)


def shows(address: str, port: int, host: str, token: str, answer: str) -> bool:
    """Whether a challenge is answered as it should be: by the agent itself (`port`), and by the gateway, asked as the
    server will ask. A gateway that takes no connection gets none from the server either: it is not announced."""
    if not _answers(address, port, host, token, answer, otherwise=False):
        return False
    return _answers(address, 80, host, token, answer, otherwise=True)


def _answers(address: str, port: int, host: str, token: str, answer: str, *, otherwise: bool) -> bool:
    connection = http.client.HTTPConnection(address, port, timeout=TIMEOUT)
    try:
        connection.connect()
    except OSError:
        return otherwise
    try:
        connection.request("GET", f"/.well-known/acme-challenge/{token}", headers={"Host": host})
        got = connection.getresponse()
        return got.status == 200 and got.read(4096).decode(errors="replace").strip() == answer
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def serve(port: int, answers: Answers) -> Server:
    """Answer from now on, in a thread that ends with the program. Raises OSError."""
    server = Server(port, answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
