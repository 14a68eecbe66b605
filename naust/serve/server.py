"""The server: one thread that waits for everybody, and a fixed number of workers that serve.

The doorkeeper accepts, agrees on TLS and reads heads, never waiting for one client; so clients that say nothing, or
say it slowly, hold no worker. A worker gets a connection with a whole head, serves it and gives the connection back.
"""

from __future__ import annotations

import queue
import selectors
import signal
import socket
import ssl
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from common.errors import BadInput, Error, Partial
from naust.serve.answer import Answer, problem, send
from naust.serve.audit import Audit
from naust.serve.connection import SILENCE, Body, Connection, Gone
from naust.serve.head import Head, Refused, parse, without_secrets
from naust.serve.service import Service

IDLE = 75.0  # seconds that a connection may wait for its next request
SLOWEST_HEAD = 10.0  # seconds within which a request's head, and TLS before it, must have come
_MOST = 1024  # connections; when there are more, those that have waited longest go
_WAITING = 8  # requests a worker that may queue up
_TICK = 0.5  # seconds between two looks at the clock


@dataclass(frozen=True, slots=True)
class Listening:
    """Where and how a server listens. Port 0 is any free one. `cert` and `key` make it TLS."""

    host: str
    port: int
    cert: Path | None = None
    key: Path | None = None
    workers: int = 32
    grace: float = 30.0  # seconds that requests in flight have to finish


class Server:
    """A service on a port, from `start` to `stop`."""

    def __init__(self, service: Service, listening: Listening, audit: Audit) -> None:
        """Raises BadInput if it cannot listen there, or the certificate is no good."""
        self._service, self._listening, self._audit = service, listening, audit
        self._tls = _context(listening)
        self._socket = _listen(listening)
        self.port = int(self._socket.getsockname()[1])
        self._ready: queue.Queue[tuple[Connection, bytes] | None] = queue.Queue()
        self._back: deque[Connection] = deque()
        self._wake, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._waiting: dict[Connection, None] = {}  # in the order in which they began to wait
        self._stopping = False
        self._busy: set[Connection] = set()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        service.metrics.gauge("naust_connections_waiting", "Connections between requests.", lambda: len(self._waiting))
        service.metrics.gauge("naust_requests_running", "Requests that are being served.", lambda: len(self._busy))

    def start(self) -> None:
        """Serve, in threads of its own."""
        for sock, what in ((self._socket, "door"), (self._woken, "wake")):
            sock.setblocking(False)
            self._selector.register(sock, selectors.EVENT_READ, what)
        self._spawn(self._keep_door, "doorkeeper")
        for number in range(self._listening.workers):
            self._spawn(self._work, f"worker-{number}")

    def stop(self) -> bool:
        """Accept nothing more, let what is in flight finish; whether all of it did. What did not is cut off."""
        self._stopping = True
        self._wake_up()
        end = time.monotonic() + self._listening.grace
        while time.monotonic() < end and (self._busy or not self._ready.empty()):
            time.sleep(0.02)
        with self._lock:
            left = list(self._busy)
        for connection in left:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
        for _ in range(self._listening.workers):
            self._ready.put(None)
        for thread in self._threads:
            thread.join(5)
        self._wake.close()
        self._woken.close()
        return not left

    def reload(self) -> None:
        """Read certificates and tokens anew, and open the audit log anew. What is no good leaves the old in place."""
        try:
            self._tls = _context(self._listening)
            if self._service.tokens is not None:
                self._service.tokens.reload()
            self._audit.reopen()
        except Error as error:
            sys.stderr.write(f"reload: {error}\n")

    # The doorkeeper

    def _keep_door(self) -> None:
        looked = 0.0
        while not self._stopping:
            for key, _ in self._selector.select(_TICK):
                if key.data == "door":
                    self._accept()
                elif key.data == "wake":
                    with suppress(BlockingIOError):
                        self._woken.recv(4096)
                else:
                    self._hear(key.data)
            while self._back:
                self._wait_for(self._back.popleft(), IDLE)
            if time.monotonic() - looked > _TICK:
                looked = time.monotonic()
                self._send_home(looked)
        self._close_door()

    def _close_door(self) -> None:
        self._socket.close()
        for connection in [*self._waiting, *self._back]:
            connection.close()
        self._waiting.clear()
        self._selector.close()

    def _accept(self) -> None:
        for _ in range(64):
            try:
                sock, address = self._socket.accept()
            except OSError:  # nobody more, or no file descriptors left: those who wait go first
                return
            sock.setblocking(False)
            with suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                if self._tls is not None:
                    sock = self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            except (OSError, ValueError):
                sock.close()
                continue
            self._wait_for(Connection(sock, str(address[0])), SLOWEST_HEAD)
            if len(self._waiting) > _MOST:
                self._drop(next(iter(self._waiting)))

    def _wait_for(self, connection: Connection, seconds: float) -> None:
        """Wait for the next request of a connection; it may be here already."""
        connection.deadline = time.monotonic() + seconds
        connection.sock.setblocking(False)
        self._waiting[connection] = None
        try:
            self._selector.register(connection.sock, selectors.EVENT_READ, connection)
        except (ValueError, KeyError, OSError):
            self._drop(connection)
            return
        self._hear(connection)

    def _hear(self, connection: Connection) -> None:
        fresh = not connection.begun
        try:
            ended = self._read(connection)
            head = connection.head()
        except Refused as refused:
            self._leave(connection)
            self._turn_away(connection, refused.status, refused.message)
            return
        except OSError:
            self._drop(connection)
            return
        if head is not None:
            self._leave(connection)
            self._hand_over(connection, head)
        elif ended:
            self._drop(connection)
        elif fresh and connection.begun:
            connection.deadline = min(connection.deadline, time.monotonic() + SLOWEST_HEAD)

    def _read(self, connection: Connection) -> bool:
        """Take what has come; whether the client ended it."""
        try:
            if not connection.shaken:
                assert isinstance(connection.sock, ssl.SSLSocket)
                connection.sock.do_handshake()
                connection.shaken = True
            while not connection.full:
                if not connection.fill():
                    return True
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        return False

    def _hand_over(self, connection: Connection, head: bytes) -> None:
        if self._ready.qsize() > self._listening.workers * _WAITING:
            self._turn_away(connection, 503, "the server is busy")
            return
        with self._lock:
            self._busy.add(connection)
        self._ready.put((connection, head))

    def _turn_away(self, connection: Connection, status: int, message: str) -> None:
        """Answer without a worker; never waits."""
        answer = problem(status, "UNSUPPORTED" if status < 500 else "UNAVAILABLE", message).having(Retry_After="1")
        with suppress(Gone, OSError):
            send(connection, answer, bare=False, last=True, modern=True)
            connection.sock.shutdown(socket.SHUT_WR)
        self._service.metrics.count("other", status, 0, 0, 0.0)
        connection.close()

    def _send_home(self, now: float) -> None:
        for connection in [each for each in self._waiting if each.deadline < now]:
            self._leave(connection)
            if connection.begun:
                self._turn_away(connection, 408, "the request came too slowly")
            else:
                connection.close()

    def _leave(self, connection: Connection) -> None:
        self._waiting.pop(connection, None)
        with suppress(ValueError, KeyError, OSError):
            self._selector.unregister(connection.sock)

    def _drop(self, connection: Connection) -> None:
        self._leave(connection)
        connection.close()

    # The workers

    def _work(self) -> None:
        while (found := self._ready.get()) is not None:
            connection, data = found
            try:
                connection.sock.settimeout(SILENCE)
                again = self._serve(connection, data)
            except Exception:
                traceback.print_exc()
                again = False
                connection.close()
            with self._lock:
                self._busy.discard(connection)
            if again:
                self._back.append(connection)
                self._wake_up()

    def _serve(self, connection: Connection, data: bytes) -> bool:
        """One request; whether the connection waits for another one. It is closed if not."""
        started, received = time.monotonic(), connection.received
        method, path, who, status, sent, again = "other", "-", "-", 499, 0, False  # 499: the client has gone
        try:
            head = parse(data)
            method, path = head.method, without_secrets(head.path)
            body = Body(connection, head)
            answer, who = self._answer(head, body, connection)
            status = answer.status
            again = self._ends_well(head, body, answer)
            sent = send(connection, answer, bare=head.method == "HEAD", last=not again, modern=head.modern)
        except Refused as refused:
            status, again = refused.status, False
            with suppress(Gone):
                send(connection, _refusal(refused), bare=False, last=True, modern=True)
        except Gone:
            again, status = False, 499
        if not again:
            connection.linger() if status != 499 else connection.close()
        received = connection.received - received + len(data)
        seconds = time.monotonic() - started
        self._service.metrics.count(method, status, received, sent, seconds)
        self._audit.note(
            who=who, address=connection.address, method=method, path=path, status=status, received=received, sent=sent,
            seconds=seconds,
        )  # fmt: skip
        return again

    def _answer(self, head: Head, body: Body, connection: Connection) -> tuple[Answer, str]:
        try:
            return self._service.answer(head, body, connection.address, connection.secure)
        except (Refused, Gone):
            raise
        except Exception:
            traceback.print_exc()  # for the operator; the client learns nothing from it
            return problem(500, "UNKNOWN", "the server failed", "Tell its operator; the log has more"), "-"

    def _ends_well(self, head: Head, body: Body, answer: Answer) -> bool:
        """Whether the connection can be used again."""
        return head.persistent and not self._stopping and (body.ended or body.drained())

    def _wake_up(self) -> None:
        with suppress(OSError):
            self._wake.send(b"x")

    def _spawn(self, run: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=run, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)


def run(server: Server, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reloads. A second signal ends the process at once. In the main thread.

    Raises Partial if requests had to be cut off.
    """
    stopped = threading.Event()

    def stop(number: int, frame: object) -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_DFL)
        stopped.set()

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, stop)
    signal.signal(signal.SIGHUP, lambda number, frame: server.reload())
    server.start()
    ready()
    while not stopped.wait(3600):
        pass
    if not server.stop():
        raise Partial("requests were cut off", resolution="Give them more time with --grace.")


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Serve while the block runs."""
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _refusal(refused: Refused) -> Answer:
    return problem(refused.status, "UNSUPPORTED", refused.message)


def _listen(listening: Listening) -> socket.socket:
    try:
        family = socket.getaddrinfo(listening.host, listening.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((listening.host, listening.port), family=family, backlog=512)
    except OSError as error:
        raise BadInput(
            f"cannot listen on {listening.host}:{listening.port}",
            details=str(error),
            resolution="Name an address of this machine and a port that is free.",
        ) from error


def _context(listening: Listening) -> ssl.SSLContext | None:
    if listening.cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        context.load_cert_chain(listening.cert, listening.key, password=_no_password)
    except (OSError, ssl.SSLError) as error:
        raise BadInput(
            f"{listening.cert} and {listening.key} make no certificate",
            details=str(error),
            resolution="Name PEM files: a chain of certificates, and the key of the first without a password.",
        ) from error
    return context


def _no_password() -> str:
    raise OSError("the key has a password")
