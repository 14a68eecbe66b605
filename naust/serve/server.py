"""The server: a door where everybody waits (naust.serve.door), and a fixed number of workers that serve."""

from __future__ import annotations

import queue
import resource
import signal
import socket
import ssl
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from common.errors import BadInput, Error, Partial
from naust.serve.answer import Answer, problem, send
from naust.serve.audit import Audit, is_kept
from naust.serve.connection import SILENCE, Body, Connection, Gone
from naust.serve.door import Door
from naust.serve.head import Head, Refused, parse, without_secrets
from naust.serve.service import Service

_WAITING = 8  # requests a worker that may queue up
_GONE = 499  # the status of a request whose client did not stay for the answer; as nginx has it


@dataclass(frozen=True, slots=True)
class Listening:
    """Where and how a server listens. Port 0 is any free one. `cert` and `key` make it TLS."""

    host: str
    port: int
    cert: Path | None = None
    key: Path | None = None
    workers: int = 32
    grace: float = 30.0  # seconds that requests in flight have to finish


@dataclass(slots=True)
class _Turn:
    """One request, as it will be written down."""

    address: str
    started: float
    before: int  # bytes that had been received on the connection
    method: str = "other"
    path: str = "-"
    who: str = "-"
    status: int = _GONE
    sent: int = 0
    noted: bool = False


class Server:
    """A service on a port, from `start` to `stop`."""

    def __init__(self, service: Service, listening: Listening, audit: Audit) -> None:
        """Raises BadInput if it cannot listen there, or the certificate is no good."""
        self._service, self._listening, self._audit = service, listening, audit
        tls = _context(listening)
        listener = _listen(listening)
        self.port = int(listener.getsockname()[1])
        self._door = Door(listener, tls, self._take, self._turned_away)
        self._ready: queue.Queue[tuple[Connection, bytes] | None] = queue.Queue()
        self._stopping = False
        self._busy: set[Connection] = set()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        service.metrics.gauge("naust_connections_waiting", "Connections between requests.", self._door.waiting)
        service.metrics.gauge("naust_requests_running", "Requests that are being served.", lambda: len(self._busy))

    def start(self) -> None:
        """Serve, in threads of its own."""
        self._spawn(self._door.keep, "doorkeeper")
        for number in range(self._listening.workers):
            self._spawn(self._work, f"worker-{number}")

    def stop(self) -> bool:
        """Accept nothing more, let what is in flight finish; whether all of it did. What did not is cut off."""
        self._stopping = True
        self._door.close()
        end = time.monotonic() + self._listening.grace
        while time.monotonic() < end and self._busy:
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
        self._door.end()
        return not left

    def reload(self) -> None:
        """Read certificates and tokens anew, and open the audit log anew. What is no good leaves the old in place."""
        try:
            self._door.tls = _context(self._listening)
            if self._service.tokens is not None:
                self._service.tokens.reload()
            self._audit.reopen()
        except Error as error:
            sys.stderr.write(f"reload: {error}\n")

    def _take(self, connection: Connection, head: bytes) -> bool:
        if self._ready.qsize() > self._listening.workers * _WAITING:
            return False
        with self._lock:
            self._busy.add(connection)
        self._ready.put((connection, head))
        return True

    def _turned_away(self, status: int) -> None:
        self._service.metrics.count("other", status, 0, 0, 0.0)

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
            # The door may give it to another worker at once, so it is not busy any more before it goes there.
            with self._lock:
                self._busy.discard(connection)
            if again:
                self._door.give_back(connection)

    def _serve(self, connection: Connection, data: bytes) -> bool:
        """One request; whether the connection waits for another one. If not it is not ours any more."""
        turn = _Turn(connection.address, time.monotonic(), connection.received - len(data))
        again = False
        try:
            head = parse(data)
            turn.method, turn.path = head.method, without_secrets(head.path)
            body = Body(connection, head)
            answer, turn.who = self._answer(head, body, connection)
            again = self._ends_well(head, body)
            self._reply(turn, connection, answer, head, again)
        except Refused as refused:
            turn.who = refused.who
            with suppress(Gone):
                self._reply(turn, connection, problem(refused.status, "UNSUPPORTED", refused.message), None, False)
        except Gone as gone:
            again = False
            if not turn.noted:
                turn.who, turn.status = gone.who if turn.who == "-" else turn.who, _GONE
        self._note(turn, connection)
        if not again:
            self._door.see_off(connection) if turn.status != _GONE else connection.close()
        return again

    def _reply(self, turn: _Turn, connection: Connection, answer: Answer, head: Head | None, again: bool) -> None:
        turn.status = answer.status
        if is_kept(turn.method, turn.status):  # before the client knows: what was done is written down, come what may
            self._note(turn, connection)
        bare, modern = (head.method == "HEAD", head.modern) if head else (False, True)
        turn.sent = send(connection, answer, bare=bare, last=not again, modern=modern)

    def _note(self, turn: _Turn, connection: Connection) -> None:
        if turn.noted:
            return
        turn.noted = True
        received, seconds = connection.received - turn.before, time.monotonic() - turn.started
        self._service.metrics.count(turn.method, turn.status, received, turn.sent, seconds)
        self._audit.note(
            who=turn.who, address=turn.address, method=turn.method, path=turn.path, status=turn.status,
            received=received, sent=turn.sent, seconds=seconds,
        )  # fmt: skip

    def _answer(self, head: Head, body: Body, connection: Connection) -> tuple[Answer, str]:
        try:
            return self._service.answer(head, body, connection.address, connection.secure)
        except (Refused, Gone):
            raise
        except Exception:
            traceback.print_exc()  # for the operator; the client learns nothing from it
            return problem(500, "UNKNOWN", "the server failed", "Tell its operator; the log has more"), "-"

    def _ends_well(self, head: Head, body: Body) -> bool:
        """Whether the connection can be used again."""
        return head.persistent and not self._stopping and (body.ended or body.drained())

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
    _more_files()
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


def _more_files() -> None:
    """As many open files as the system lets us have: each connection is one."""
    with suppress(OSError, ValueError):
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


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
