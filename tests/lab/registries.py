"""Registries of others for tests, two makes: docker-registry 2.8 (Debian), which has no referrers API and deletes no
tag alone, and CUE Labs' ociserver, which does both."""

from __future__ import annotations

import atexit
import json
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from common.model import Secret
from naust.store.access import NOTHING, Access
from naust.store.registry import RegistryStore
from tests.lab.programs import free_port, program, running
from tests.lab.serving import certificate

USER, PASSWORD = "lab", "lab-password"
# bcrypt of that password, the only kind that docker-registry takes
_HTPASSWD = f"{USER}:$2b$05$abcdefghijklmnopqrstuuL/Ej5MNdcjasz4Sr7bjTMIxZn.WGpgG\n"
_lock = threading.Lock()


@dataclass(frozen=True)
class Registry:
    """A registry at HOST:PORT."""

    host: str
    access: Access = NOTHING

    def store(self, prefix: str = "") -> RegistryStore:
        """A store in it, below a prefix."""
        return RegistryStore.from_url(f"docker://{self.host}/{prefix}".rstrip("/"), self.access)


@contextmanager
def docker_registry(folder: Path, port: int = 0) -> Iterator[Registry]:
    """docker-registry over plain HTTP, with deletion."""
    port = port or free_port()
    with running(_docker_registry(folder, port, {}), port=port, log=folder / "registry.log"):
        yield Registry(f"127.0.0.1:{port}")


@contextmanager
def locked_registry(folder: Path, certificate: Path, key: Path) -> Iterator[Registry]:
    """docker-registry over TLS, for those who have a password."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "htpasswd").write_text(_HTPASSWD)
    port = free_port()
    more: dict[str, object] = {
        "http": {
            "addr": f"127.0.0.1:{port}",
            "secret": "lab",
            "tls": {"certificate": str(certificate), "key": str(key)},
        },
        "auth": {"htpasswd": {"realm": "lab", "path": str(folder / "htpasswd")}},
    }
    with running(_docker_registry(folder, port, more), port=port, log=folder / "registry.log"):
        yield Registry(f"127.0.0.1:{port}", Access(user=USER, password=Secret(PASSWORD), ca=certificate))


@contextmanager
def registry_with_all(folder: Path) -> Iterator[Registry]:
    """`locked_registry` with a certificate of its own."""
    with locked_registry(folder, *certificate(folder)) as found:
        yield found


@contextmanager
def ociserver(folder: Path) -> Iterator[Registry]:
    """CUE Labs' ociserver, in memory."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    with running([program("ociserver"), f"127.0.0.1:{port}"], port=port, log=folder / "ociserver.log"):
        yield Registry(f"127.0.0.1:{port}")


def shared(make: str) -> Registry:
    """One registry of this make, see MAKES, for all tests of this process; it goes with it."""
    with _lock:
        return _shared(make)


@cache
def _shared(make: str) -> Registry:
    stack = ExitStack()
    atexit.register(stack.close)
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"naust-{make}-")))
    return stack.enter_context(MAKES[make](folder))


def fresh_prefix() -> str:
    """A prefix that nobody has used."""
    return f"test-{os.urandom(4).hex()}/below"


def _docker_registry(folder: Path, port: int, more: dict[str, object]) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "http": {"addr": f"127.0.0.1:{port}", "secret": "lab"},
    }
    path = folder / "registry.json"
    path.write_text(json.dumps(document | more))  # JSON is YAML
    return [program("docker-registry"), "serve", str(path)]


MAKES = {"docker-registry": docker_registry, "docker-registry-tls": registry_with_all, "ociserver": ociserver}
