"""Upstreams for tests: a web server whose answers are in a dictionary, small real wheels, and packages of providers."""

from __future__ import annotations

import base64
import hashlib
import http.server
import io
import json
import os
import select
import socket
import socketserver
import ssl
import subprocess
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

JSON = "application/json"
PAGE = "application/vnd.pypi.simple.v1+json"


@dataclass
class Web:
    """A server. `answers`: path → content type and bytes; anything else is 404. `asked`: paths, as they came.
    `login` is `user:password` that everything wants."""

    base: str
    answers: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    login: str = ""

    def add(self, path: str, data: bytes | str | object, kind: str = "application/octet-stream") -> str:
        """Answer with this; what is neither bytes nor text becomes JSON. The URL."""
        plain = data if isinstance(data, bytes) else data.encode() if isinstance(data, str) else None
        self.answers[path] = (kind, plain) if plain is not None else (JSON, json.dumps(data).encode())
        return f"{self.base}{path}"

    def add_folder(self, folder: Path, below: str = "") -> None:
        """All files of a folder; `index.html` also for its folder, as web servers do it."""
        for path in (each for each in folder.rglob("*") if each.is_file()):
            name = f"{below}/{path.relative_to(folder).as_posix()}"
            kind = {".html": "text/html", ".json": JSON}.get(path.suffix, "application/octet-stream")
            self.add(name, path.read_bytes(), kind)
            if path.name == "index.html":
                self.add(name.removesuffix("index.html"), path.read_bytes(), kind)


@contextmanager
def web(pair: tuple[Path, Path] | None = None) -> Iterator[Web]:
    """A server on the loopback; `pair` is certificate and key."""
    found = Web("")

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            found.asked.append(path)
            status, (kind, data) = 200, found.answers.get(path, ("", b""))
            said = self.headers.get("Authorization", "")
            if found.login and said != f"Basic {base64.b64encode(found.login.encode()).decode()}":
                status, kind, data = 401, "text/plain", b"who are you?"
            elif path not in found.answers:
                status, kind, data = 404, "text/plain", b"no such page"
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that goes away, or that does not like our certificate, is no news."""

    server = Server(("127.0.0.1", 0), Handler)
    if pair is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*pair)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    found.base = f"{'https' if pair else 'http'}://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def stands_in(pair: tuple[Path, Path], host: str) -> Iterator[tuple[Web, str]]:
    """A server that programs reach as https://HOST through a proxy; and that proxy's URL, for https_proxy. `pair` has
    to be good for the host."""
    with web(pair) as site:
        port = int(site.base.rpartition(":")[2])
        site.base = f"https://{host}"

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                wanted = self.rfile.readline().split()[1].decode()
                while self.rfile.readline().strip():
                    pass
                if wanted != f"{host}:443":
                    self.wfile.write(b"HTTP/1.1 502 Nobody else is here\r\n\r\n")
                    return
                self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                with socket.create_connection(("127.0.0.1", port)) as far:
                    _tunnel(self.connection, far)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """As in `web`."""

        server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield site, f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            server.server_close()


def _tunnel(near: socket.socket, far: socket.socket) -> None:
    """Bytes in both directions, until either ends."""
    with suppress(OSError):
        while True:
            for each in select.select([near, far], [], [])[0]:
                data = each.recv(1 << 16)
                if not data:
                    return
                (far if each is near else near).sendall(data)


def certificate_for(folder: Path, *hosts: str) -> tuple[Path, Path]:
    """A certificate of our own for these hosts and 127.0.0.1, and its key."""
    folder.mkdir(parents=True, exist_ok=True)
    cert, key = folder / "cert.pem", folder / "key.pem"
    names = ",".join(("IP:127.0.0.1", *(f"DNS:{host}" for host in hosts)))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", f"/CN=naust test {os.urandom(4).hex()}", "-addext", f"subjectAltName={names}",
         "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


# Python packages ------------------------------------------------------------------------------------------------------


def sha256(data: bytes) -> str:
    """In hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def zipped(files: Mapping[str, bytes | str]) -> bytes:
    """A zip, the same for the same files."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o755 << 16
            archive.writestr(entry, data)
    return made.getvalue()


def metadata(name: str, version: str, *requires: str) -> str:
    """A wheel's METADATA."""
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    return "\n".join([*lines, *(f"Requires-Dist: {each}" for each in requires), "", ""])


def wheel(name: str, version: str, *requires: str, tag: str = "py3-none-any") -> tuple[str, bytes]:
    """A wheel that pip installs, with one module; its file name and bytes."""
    info = f"{name}-{version}.dist-info"
    files: dict[str, bytes | str] = {
        f"{name}.py": f"version = {version!r}\n",
        f"{info}/METADATA": metadata(name, version, *requires),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{each},,\n" for each in (*files, f"{info}/RECORD"))
    return f"{name}-{version}-{tag}.whl", zipped(files)


def listed(site: Web, project: str, *files: tuple[str, bytes], **more: object) -> None:
    """A project's page (PEP 691) and its files, in an index below /simple; `more` goes to each file."""
    found = []
    for name, data in files:
        url = site.add(f"/files/{name}", data)
        found.append({"filename": name, "url": url, "hashes": {"sha256": sha256(data)}, "size": len(data), **more})
    page = {"meta": {"api-version": "1.1"}, "name": project, "files": found}
    site.add(f"/simple/{project}/", json.dumps(page), PAGE)


# Providers ------------------------------------------------------------------------------------------------------------


def provider(type: str, version: str, *, folders: bool = False) -> bytes:
    """A package of a provider; nobody starts it."""
    files: dict[str, bytes | str] = {"docs/": b""} if folders else {}
    files |= {"LICENSE": "free\n", "docs/README.md": version}
    return zipped(files | {f"terraform-provider-{type}_v{version}_x5": f"#!/bin/sh\necho {version}\n"})


@dataclass(frozen=True)
class Publisher:
    """Who signs releases, with an OpenPGP key of a home of its own."""

    gpg: tuple[str, ...]
    key: str  # public, armoured

    @classmethod
    def new(cls, home: Path) -> Publisher:
        """With a new key. The folder's path must be short: gpg-agent has a socket in it."""
        home.mkdir(mode=0o700, parents=True)
        gpg = ("gpg", "--homedir", str(home), "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "")
        new = [*gpg, "--quick-generate-key", "publisher@example.org", "ed25519", "sign", "0"]
        subprocess.run(new, check=True, capture_output=True)
        armour = subprocess.run([*gpg, "--armor", "--export"], check=True, capture_output=True, text=True).stdout
        return cls(gpg, armour)

    def sign(self, data: bytes) -> bytes:
        """A detached signature."""
        return subprocess.run([*self.gpg, "--detach-sign"], input=data, check=True, capture_output=True).stdout

    def stop(self) -> None:
        """End gpg's agent."""
        subprocess.run(["gpgconf", "--homedir", self.gpg[2], "--kill", "all"], check=False, capture_output=True)


def release(
    site: Web, type: str, version: str, packages: Mapping[str, bytes], publisher: Publisher, key: str = ""
) -> str:
    """A release of hashicorp/<type> in a registry at this site: platform → package. The provider's name. `key`: what
    the registry says that it is signed by."""
    site.add("/.well-known/terraform.json", {"providers.v1": "/v1/providers/"})
    base, stem = f"/v1/providers/hashicorp/{type}", f"terraform-provider-{type}_{version}"
    sums = "".join(f"{sha256(data)}  {stem}_{platform}.zip\n" for platform, data in packages.items()).encode()
    known = json.loads(site.answers.get(f"{base}/versions", ("", b'{"versions": []}'))[1])["versions"]
    platforms = [dict(zip(("os", "arch"), platform.split("_"), strict=True)) for platform in packages]
    known.append({"version": version, "protocols": ["5.0"], "platforms": platforms})
    site.add(f"{base}/versions", {"versions": known})
    for platform, data in packages.items():
        answer = {
            "protocols": ["5.0"],
            "os": platform.split("_")[0],
            "arch": platform.split("_")[1],
            "filename": f"{stem}_{platform}.zip",
            "download_url": site.add(f"/files/{stem}_{platform}.zip", data),
            "shasum": sha256(data),
            "shasums_url": site.add(f"/files/{stem}_SHA256SUMS", sums),
            "shasums_signature_url": site.add(f"/files/{stem}_SHA256SUMS.sig", publisher.sign(sums)),
            "signing_keys": {"gpg_public_keys": [{"key_id": "1", "ascii_armor": key or publisher.key}]},
        }
        site.add(f"{base}/{version}/download/{platform.replace('_', '/')}", answer)
    return f"{site.base.removeprefix('https://')}/hashicorp/{type}"
