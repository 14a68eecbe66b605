"""Where Terraform leaves its states: a server on the loopback, for as long as a call of Terraform lasts.

It speaks what Terraform's `http` backend asks for (developer.hashicorp.com/terraform/language/backend/http): GET, POST,
LOCK and UNLOCK on one address. User and password are made for this server alone and reach Terraform through its
environment. What is written goes into the deployment's encrypted cell, and only under the lease.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets as random_source
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from socketserver import BaseServer

from common.errors import Error
from seter.provisioner.machines import Machines, with_state

USER = "seter"
LARGEST = 16 << 20  # bytes of a state that is taken
BACKEND: dict[str, object] = {"terraform": {"backend": {"http": {}}}}  # all that it has to know is in its environment


@dataclass
class States:
    """The server of one unit's state. `refused` is why a write was not taken."""

    machines: Machines
    unit: str
    password: str = field(default_factory=lambda: random_source.token_urlsafe(32), repr=False)
    refused: Error | None = None
    _holder: bytes = b""
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def environment(self, port: int) -> dict[str, str]:
        """What Terraform finds the server by."""
        address = f"http://127.0.0.1:{port}/{self.unit}"
        return {
            "TF_HTTP_ADDRESS": address,
            "TF_HTTP_LOCK_ADDRESS": address,
            "TF_HTTP_UNLOCK_ADDRESS": address,
            "TF_HTTP_USERNAME": USER,
            "TF_HTTP_PASSWORD": self.password,
            "TF_HTTP_RETRY_MAX": "1",
        }

    def get(self) -> tuple[int, bytes]:
        """The state, or that there is none."""
        unit = self.machines.read().units.get(self.unit)
        state = unit.state if unit is not None else ""
        return (200, state.encode()) if state else (204, b"")

    def post(self, data: bytes) -> tuple[int, bytes]:
        """Write it. Refused without a lease, and for what is no state."""
        try:
            text = data.decode()
            if not isinstance(json.loads(text), dict):
                raise ValueError
        except ValueError:
            return 400, b"this is no state"
        try:
            self.machines.change(lambda book: with_state(book, self.unit, text))
        except Error as error:
            self.refused = error
            return 409, error.message.encode()
        return 200, b""

    def lock(self, data: bytes) -> tuple[int, bytes]:
        """One at a time; who is second is told who is first."""
        with self._turn:
            if self._holder and self._holder != data:
                return 423, self._holder
            self._holder = data
            return 200, b""

    def unlock(self, data: bytes) -> tuple[int, bytes]:
        """Free again, whoever says so: `terraform force-unlock` sends no holder."""
        with self._turn:
            self._holder = b""
            return 200, b""

    def allows(self, header: str) -> bool:
        """Whether this is our user and password (RFC 7617)."""
        wanted = base64.b64encode(f"{USER}:{self.password}".encode()).decode()
        return hmac.compare_digest(header.encode(), f"Basic {wanted}".encode())


class _Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"

    def __init__(self, states: States, request: socket, address: tuple[str, int], server: BaseServer) -> None:
        self._states = states
        super().__init__(request, address, server)

    def do_GET(self) -> None:
        self._answer(lambda _: self._states.get())

    def do_POST(self) -> None:
        self._answer(self._states.post)

    def do_LOCK(self) -> None:
        self._answer(self._states.lock)

    def do_UNLOCK(self) -> None:
        self._answer(self._states.unlock)

    def _answer(self, act: Callable[[bytes], tuple[int, bytes]]) -> None:
        length = self.headers.get("Content-Length", "0")
        size = int(length) if length.isdecimal() else -1
        if not self._states.allows(self.headers.get("Authorization", "")):
            self._say(401, b"")
        elif self.path.partition("?")[0] != f"/{self._states.unit}":  # a write names its lock behind
            self._say(404, b"")
        elif not 0 <= size <= LARGEST:
            self._say(413, b"")
        else:
            try:
                code, body = act(self.rfile.read(size))
            except Error as error:
                code, body = 500, error.message.encode()
            self._say(code, body)

    def _say(self, code: int, body: bytes) -> None:
        if code in (401, 404, 413):
            self.close_connection = True
        self.send_response(code)
        if code == 401:
            self.send_header("WWW-Authenticate", "Basic")
        self.send_header("Content-Type", "application/json")
        if code != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if code != 204 else b"")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: states are nobody's news."""


@contextmanager
def served(states: States) -> Iterator[dict[str, str]]:
    """The server runs while the block does; Terraform's environment."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, states))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="states", daemon=True)
    thread.start()
    try:
        yield states.environment(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
