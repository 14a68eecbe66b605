"""A way into a node's own network: what listens on its loopback, reached from here.

A gateway lets in nobody but who is named, so a test that wants to speak to a RadosGW itself goes in by the namespace,
as an operator on the node would.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import socket
import socketserver
import threading
from contextlib import suppress
from pathlib import Path

CLONE_NEWNET = 0x40000000  # sched.h
_libc = ctypes.CDLL(None, use_errno=True)


class Door(socketserver.ThreadingTCPServer):
    """Listens on a free port of this machine's loopback; each connection goes on to the node's own, at `port`."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, pid: int, port: int) -> None:
        self._namespace, self._port = Path(f"/proc/{pid}/ns/net"), port
        super().__init__(("127.0.0.1", 0), _Through)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        atexit.register(self.server_close)

    @property
    def address(self) -> str:
        """HOST:PORT here."""
        return f"127.0.0.1:{self.server_address[1]}"

    def inside(self) -> socket.socket:
        """A connection that was made in there. A namespace is a thread's own (setns(2)), and a socket keeps its."""
        made: list[socket.socket | OSError] = []
        thread = threading.Thread(target=lambda: made.append(self._connected()))
        thread.start()
        thread.join()
        if isinstance(made[0], OSError):
            raise made[0]
        return made[0]

    def _connected(self) -> socket.socket | OSError:
        try:
            with self._namespace.open("rb") as namespace:
                if _libc.setns(namespace.fileno(), CLONE_NEWNET):
                    number = ctypes.get_errno()
                    return OSError(number, os.strerror(number))
            return socket.create_connection(("127.0.0.1", self._port), timeout=10)
        except OSError as fault:
            return fault


class _Through(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, Door)
        with suppress(OSError), self.server.inside() as inner:
            inner.settimeout(None)
            for each in (inner, self.request):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=_pump, args=(inner, self.request), daemon=True)
            back.start()
            _pump(self.request, inner)
            back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """All that comes, and then its end; a reset on either side ends both."""
    try:
        while data := source.recv(1 << 18):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
