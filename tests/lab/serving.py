"""`naust serve` for tests: within the test's process, or as a process of its own; and sockets to torment it with."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from common.model import Digest, Kind
from naust import manifest as oci
from naust.manifest import Blob
from naust.serve.audit import Audit
from naust.serve.server import Listening, Server, serving
from naust.serve.service import Rules, Service
from naust.serve.sources import Proxied
from naust.serve.tokens import Right, Scope, Tokens, new
from naust.store.access import Access
from naust.store.https import HttpsStore
from naust.store.interface import Store
from tests.lab.programs import ROOT

NAUST = str(ROOT / ".venv" / "bin" / "naust")
FREELY = Rules(anonymous=Right.ADMIN)


@dataclass(frozen=True)
class Served:
    """A server within this process."""

    port: int
    root: Path
    service: Service
    server: Server
    secure: bool = False

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.secure else 'http'}://{self.host}"

    def store(self, access: Access | None = None) -> HttpsStore:
        """It, as clients of ours see it."""
        return HttpsStore.from_url(self.url, access or Access())


@contextmanager
def served(
    folder: Path,
    rules: Rules = FREELY,
    *,
    tokens: Path | None = None,
    audit: Path | None = None,
    pair: tuple[Path, Path] | None = None,
    workers: int = 8,
    grace: float = 5.0,
    proxied: Proxied | None = None,
) -> Iterator[Served]:
    """A server for `folder` on a free port of the loopback; `pair` is certificate and key."""
    service = Service(folder, rules, Tokens(tokens) if tokens else None, proxied)
    log = Audit(audit)
    cert, key = pair or (None, None)
    with serving(Server(service, Listening("127.0.0.1", 0, cert, key, workers, grace), log)) as server:
        yield Served(server.port, folder, service, server, pair is not None)
    log.close()


@contextmanager
def https(folder: Path) -> Iterator[Store]:
    """A store of ours behind a server of its own, for the contract suite."""
    with served(folder / "store") as server:
        yield server.store()


@contextmanager
def process(folder: Path, *options: str, log: Path, port: int = 0, memory: int = 0) -> Iterator[Process]:
    """`naust serve` as a process, from when it serves until the end of the block. `memory`: bytes that a file may have
    (RLIMIT_FSIZE), as a full disk in small."""
    argv = [NAUST, "serve", str(folder), "--listen", f"127.0.0.1:{port}", *options]
    if memory:
        argv = ["prlimit", f"--fsize={memory}", *argv]
    with log.open("ab") as output:
        began = output.tell()
        started = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    running = Process(started, log, _port(started, log, began))
    try:
        yield running
    finally:
        if started.poll() is None:
            started.kill()
        started.wait()


@dataclass(frozen=True)
class Process:
    """A server in a process of its own."""

    started: subprocess.Popen[bytes]
    log: Path
    port: int

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.started.send_signal(number)

    def ended(self, within: float = 20) -> int:
        """Wait for its end; the exit code."""
        return self.started.wait(within)


def _port(started: subprocess.Popen[bytes], log: Path, began: int) -> int:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        text = log.read_bytes()[began:].decode()
        if " serves file://" in text:
            return int(text.partition(" serves file://")[0].rpartition(":")[2])
        assert started.poll() is None, f"{started.args} ended:\n{text[-2000:]}"
        time.sleep(0.02)
    raise AssertionError(f"{started.args} does not serve:\n{log.read_text()[-2000:]}")


@contextmanager
def connected(port: int, timeout: float = 10, context: ssl.SSLContext | None = None) -> Iterator[socket.socket]:
    """A raw connection to a server on the loopback."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=timeout)) as plain:
        if context is None:
            yield plain
        else:
            with context.wrap_socket(plain, server_hostname="localhost") as secure:
                yield secure


def said(sock: socket.socket, data: bytes = b"") -> bytes:
    """All that the server says to this until it ends the connection."""
    sock.sendall(data)
    return rest(sock)


def rest(sock: socket.socket) -> bytes:
    """All that still comes."""
    found = bytearray()
    try:
        while data := sock.recv(1 << 16):
            found += data
    except ConnectionResetError:
        pass
    return bytes(found)


def status(answer: bytes) -> int:
    """The status of an answer; 0 if there is none."""
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0


def token(path: Path, name: str, *scopes: str) -> str:
    """A new token in this file."""
    return new(path, name, tuple(map(Scope.parse, scopes)), None).value


def resident(pid: int) -> int:
    """The most memory that the process ever had, bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    raise AssertionError(f"no process {pid}")


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of our own for localhost and 127.0.0.1, and its key."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    folder.mkdir(parents=True, exist_ok=True)
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", f"/CN=naust test {os.urandom(4).hex()}", "-addext", names, "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


@dataclass(frozen=True)
class Answered:
    """An answer; header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """OCI's code of the error."""
        return str(json.loads(self.body)["errors"][0]["code"])

    @property
    def message(self) -> str:
        """What the error says."""
        return str(json.loads(self.body)["errors"][0]["message"])


def ask(port: int, method: str, path: str, body: bytes | None = None, *, token: str = "", **fields: str) -> Answered:
    """One request on a connection of its own; underscores in header names stand for dashes."""
    headers = {key.replace("_", "-"): value for key, value in fields.items()}
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        data = answer.read()
        return Answered(answer.status, {key.lower(): value for key, value in answer.getheaders()}, data)


def upload(port: int, name: str, data: bytes, *, token: str = "") -> str:
    """Push a blob in one request; its digest."""
    digest = str(Digest.of(data))
    answer = ask(port, "POST", f"/v2/{name}/blobs/uploads/?digest={digest}", data, token=token)
    assert answer.status == 201, answer.body
    return digest


def publish(port: int, name: str, tag: str, data: bytes = b"content", *, token: str = "", **fields: str) -> Answered:
    """Push a file under a tag; the answer to its manifest."""
    for each in (data, b"{}"):
        upload(port, name, each, token=token)
    manifest = made(data)
    return ask(port, "PUT", f"/v2/{name}/manifests/{tag}", manifest, token=token, **fields)


def made(data: bytes, title: str = "thing.txt") -> bytes:
    """The manifest of a file."""
    blob = Blob(Digest.of(data), len(data), "text/plain")
    return oci.file_manifest(Kind.FILE, blob, title, oci.annotated(Kind.FILE, "1.0"))
