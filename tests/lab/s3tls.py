"""An S3 server behind TLS at the port and under the name that the role s3-client asks for: versitygw on loopback."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from s3_service import PORT, Service

from tests.lab.indexes import certificate_for
from tests.lab.programs import program

NAME = "s3.example.test"


@contextmanager
def versitygw_with_tls(folder: Path, address: str) -> Iterator[tuple[Service, subprocess.Popen[bytes]]]:
    """A server at a loopback address of its own, as the port is a fixed one: what a client needs, and its process."""
    certificate, key = certificate_for(folder, NAME)
    for name, text in (("access", "lab"), ("secret", "lab-secret-key")):
        (folder / name).write_text(text)
    (folder / "buckets").mkdir()
    argv = [
        program("versitygw"), "--port", f"{address}:{PORT}", "--access", "lab", "--secret", "lab-secret-key",
        "--cert", str(certificate), "--key", str(key), "--quiet", "--keep-alive", "posix", str(folder / "buckets"),
    ]  # fmt: skip
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + 20
            while True:
                with suppress(OSError), socket.create_connection((address, PORT), 1):
                    break
                assert time.monotonic() < end and process.poll() is None
                time.sleep(0.05)
            yield service_at(address, folder), process
        finally:
            process.kill()


def service_at(address: str, folder: Path) -> Service:
    """What a client needs for a server at another address with the certificate and keys of this folder."""
    return Service(NAME, (address,), 1.0, folder / "cert.pem", folder / "access", folder / "secret", 0, "")
