"""Where connections wait: for their first request, for the next one, and for the client to take the last answer.

One thread accepts, agrees on TLS and reads heads, and never waits for one client; so clients that say nothing, or say
it slowly, hold no worker.
"""

from __future__ import annotations

import errno
import selectors
import socket
import ssl
import time
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from naust.serve.answer import problem, send
from naust.serve.connection import Connection, Gone
from naust.serve.head import Refused

IDLE = 75.0  # seconds that a connection may wait for its next request
SLOWEST_HEAD = 10.0  # seconds within which a request's head, and TLS before it, must have come
LINGER = 2.0  # seconds that a client has to take the last answer while it still sends
_MOST = 1024  # connections; when there are more, those that have waited longest go
_READS = 64  # of one connection in a row
_TICK = 0.5  # seconds between two looks at the clock


class Door:
    """All connections that no worker has. `take` gets each with a whole head, and says whether it is served; `counted`
    gets the status of what was answered here."""

    def __init__(
        self,
        listening: socket.socket,
        tls: ssl.SSLContext | None,
        take: Callable[[Connection, bytes], bool],
        counted: Callable[[int], None],
    ) -> None:
        self.tls = tls
        self._socket, self._take, self._counted = listening, take, counted
        self._back: deque[Connection] = deque()
        self._wake, self._woken = socket.socketpair()
        self._waiting: dict[Connection, None] = {}  # in the order in which they began to wait
        self._closing = False
        self._selector = selectors.DefaultSelector()
        for sock, what in ((listening, "door"), (self._woken, "wake")):
            sock.setblocking(False)
            self._selector.register(sock, selectors.EVENT_READ, what)

    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    # For the workers

    def give_back(self, connection: Connection) -> None:
        """It was served and waits for its next request."""
        self._back.append(connection)
        self._call()

    def see_off(self, connection: Connection) -> None:
        """It got its last answer. What the client still sends is thrown away for a short while, because a socket that
        is closed over unread bytes takes the answer back (RFC 9112, 9.6)."""
        if self._closing:
            connection.linger(LINGER)
            return
        connection.leave()
        self.give_back(connection)

    def close(self) -> None:
        """Let nobody in any more; those who wait are sent away. Returns before that is done: `keep` then ends."""
        self._closing = True
        self._call()

    def _call(self) -> None:
        with suppress(OSError):
            self._wake.send(b"x")

    # The thread

    def keep(self) -> None:
        """Until `close`."""
        looked = 0.0
        while not self._closing:
            for key, _ in self._selector.select(_TICK):
                self._happened(key.data)
            while self._back:
                connection = self._back.popleft()
                self._wait_for(connection, LINGER if connection.leaving else IDLE)
            if time.monotonic() - looked > _TICK:
                looked = time.monotonic()
                self._send_home(looked)
        self._shut()

    def _happened(self, what: object) -> None:
        try:
            if isinstance(what, Connection):
                self._hear(what)
            elif what == "door":
                self._accept()
            else:
                with suppress(BlockingIOError):
                    self._woken.recv(4096)
        except Exception:
            traceback.print_exc()  # one connection must not end all others
            if isinstance(what, Connection):
                self._drop(what)

    def _shut(self) -> None:
        self._socket.close()
        for connection in [*self._waiting, *self._back]:
            connection.close()
        self._waiting.clear()
        self._selector.close()

    def _accept(self) -> None:
        for _ in range(64):
            try:
                sock, address = self._socket.accept()
            except OSError as error:  # nobody more, or no file descriptors left
                if error.errno in (errno.EMFILE, errno.ENFILE) and self._waiting:
                    self._drop(next(iter(self._waiting)))
                return
            sock.setblocking(False)
            with suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                if self.tls is not None:
                    sock = self.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            except (OSError, ValueError):
                sock.close()
                continue
            self._wait_for(Connection(sock, str(address[0])), SLOWEST_HEAD)
            if len(self._waiting) > _MOST:
                self._drop(next(iter(self._waiting)))

    def _wait_for(self, connection: Connection, seconds: float) -> None:
        """Wait for the next request of a connection; it may be here already."""
        connection.deadline = time.monotonic() + seconds
        self._waiting[connection] = None
        try:
            connection.sock.setblocking(False)
            self._selector.register(connection.sock, selectors.EVENT_READ, connection)
        except (ValueError, KeyError, OSError):
            self._drop(connection)
            return
        self._hear(connection)

    def _hear(self, connection: Connection) -> None:
        fresh = not connection.begun
        try:
            ended = self._read(connection)
            head = None if connection.leaving else connection.head()
        except Refused as refused:
            self._turn_away(connection, refused.status, refused.message)
            return
        except OSError:
            self._drop(connection)
            return
        if head is not None:
            self._leave(connection)
            if not self._take(connection, head):
                self._turn_away(connection, 503, "the server is busy")
        elif ended:
            self._drop(connection)
        elif fresh and connection.begun and not connection.leaving:
            connection.deadline = min(connection.deadline, time.monotonic() + SLOWEST_HEAD)

    def _read(self, connection: Connection) -> bool:
        """Take what has come; whether that was the end."""
        try:
            if not connection.shaken:
                assert isinstance(connection.sock, ssl.SSLSocket)
                connection.sock.do_handshake()
                connection.shaken = True
            for _ in range(_READS):
                if connection.full:
                    break
                if not connection.fill():
                    return True
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        return connection.leaving and connection.full

    def _turn_away(self, connection: Connection, status: int, message: str) -> None:
        """Answer without a worker; never waits."""
        self._leave(connection)
        answer = problem(status, "UNSUPPORTED" if status < 500 else "UNAVAILABLE", message).having(Retry_After="1")
        with suppress(Gone):
            send(connection, answer, bare=False, last=True, modern=True)
        self._counted(status)
        connection.leave()
        self._back.append(connection)

    def _send_home(self, now: float) -> None:
        for connection in [each for each in self._waiting if each.deadline < now]:
            if connection.begun and not connection.leaving:
                self._turn_away(connection, 408, "the request came too slowly")
            else:
                self._drop(connection)

    def _leave(self, connection: Connection) -> None:
        self._waiting.pop(connection, None)
        with suppress(ValueError, KeyError, OSError):
            self._selector.unregister(connection.sock)

    def _drop(self, connection: Connection) -> None:
        self._leave(connection)
        connection.close()

    def end(self) -> None:
        """Give up what it holds, once `keep` ended."""
        for sock in (self._wake, self._woken):
            sock.close()
        for connection in self._back:
            connection.close()
