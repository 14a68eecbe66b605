"""S3 servers of two makes: versitygw, one for a whole run, and the RadosGW of a deployment of s3-lb."""

from __future__ import annotations

import atexit
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from common.model import Secret
from naust.store.access import Access
from naust.store.s3 import S3Store
from naust.store.s3_bucket import Bucket
from tests.lab.doors import Door
from tests.lab.programs import free_port, program, running

if TYPE_CHECKING:
    from tests.conftest import Running

BUCKET = "naust-test"
_ACCESS_KEY, _SECRET_KEY = "lab", "lab-secret-key"
_lock = threading.Lock()


@dataclass(frozen=True)
class Server:
    """An S3 server that has the bucket."""

    endpoint: str
    access: Access

    def bucket(self, prefix: str, **more: object) -> Bucket:
        """The part of its bucket below a prefix; `more` are fields of Access."""
        return Bucket(BUCKET, prefix, replace(self.access, **more))  # type: ignore[arg-type]

    def store(self, prefix: str, *, renewed: timedelta = timedelta(0), **more: object) -> S3Store:
        """A store there. Blobs are renewed at any age: the tests cannot wait an hour."""
        return S3Store(self.bucket(prefix, **more), f"s3://{BUCKET}/{prefix}", renewed=renewed)

    def by(self, address: str) -> Server:
        """The same server, reached by another address (HOST:PORT)."""
        endpoint = f"http://{address}"
        return Server(endpoint, replace(self.access, endpoint=endpoint))


def server(endpoint: str, access_key: str, secret_key: str) -> Server:
    """A server whose bucket is made now, unless it is there."""
    access = Access(endpoint=endpoint, access_key=access_key, secret_key=Secret(secret_key), idle=timedelta(seconds=10))
    found = Server(endpoint, access)
    made = found.bucket("").signer.client
    if BUCKET not in {each["Name"] for each in made.list_buckets()["Buckets"]}:
        made.create_bucket(Bucket=BUCKET)
    return found


@contextmanager
def versitygw(folder: Path) -> Iterator[Server]:
    """A versitygw of its own, which keeps objects as files below `folder`."""
    port = free_port()
    (folder / "buckets" / BUCKET).mkdir(parents=True, exist_ok=True)
    argv = [program("versitygw"), "--port", f"127.0.0.1:{port}", "--access", _ACCESS_KEY, "--secret", _SECRET_KEY]
    with running([*argv, "--quiet", "posix", str(folder / "buckets")], port=port, log=folder / "versitygw.log"):
        yield server(f"http://127.0.0.1:{port}", _ACCESS_KEY, _SECRET_KEY)


def shared_versitygw() -> Server:
    """One versitygw for all tests of this process; it goes with it."""
    with _lock:
        return _shared()


@cache
def _shared() -> Server:
    stack = ExitStack()
    atexit.register(stack.close)
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="naust-versitygw-"))
    return stack.enter_context(versitygw(Path(folder)))


def fresh_prefix() -> str:
    """A prefix that nobody has used, with what some clients stumble over in it (case NA-06)."""
    return f"test {os.urandom(4).hex()}+x"


def radosgw(deployment: Running) -> Server:
    """The RadosGW on the first gateway of a deployment, by the plain HTTP that it speaks on its node."""
    secrets = "/etc/seter/secrets/radosgw"
    access_key, secret_key = (
        deployment.seter("exec", "gw1", "radosgw", "--", "cat", f"{secrets}/{name}").out.strip()
        for name in ("s3-access-key", "s3-secret-key")
    )
    gateway = next(name for name in deployment.containers() if name.endswith(".gw1"))
    pid = int(deployment.docker("inspect", "--format", "{{.State.Pid}}", gateway))
    return server(f"http://{Door(pid, 7480).address}", access_key, secret_key)
