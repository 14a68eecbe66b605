"""What the programs of roles say of themselves: /metrics for Prometheus, /status for their own verb `status`."""

from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol


class Tells(Protocol):
    """What is known, at any moment; asked by threads of the server."""

    def report(self) -> dict[str, Any]:
        """For `status`."""
        ...

    def metrics(self) -> str:
        """Prometheus text format 0.0.4."""
        ...


class Server(ThreadingHTTPServer):
    """On every address of both families."""

    address_family = socket.AF_INET6
    daemon_threads = True

    def __init__(self, port: int, state: Tells) -> None:
        self.state = state
        super().__init__(("::", port), Handler)

    def server_bind(self) -> None:
        """One socket for IPv4 and IPv6."""
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


class Handler(BaseHTTPRequestHandler):
    """GET only."""

    def do_GET(self) -> None:
        """Answer one request."""
        assert isinstance(self.server, Server)
        state = self.server.state
        if self.path == "/metrics":
            text, media_type = state.metrics(), "text/plain; version=0.0.4"
        elif self.path == "/status":
            text, media_type = json.dumps(state.report()), "application/json"
        else:
            self.send_error(404)
            return
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not worth a line."""


def serve(port: int, state: Tells) -> Server:
    """Answer from now on, in a thread that ends with the program. Raises OSError."""
    server = Server(port, state)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
