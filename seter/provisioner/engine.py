"""A Docker engine: the way to it, and what `seter doctor` finds at it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import docker
from docker.tls import TLSConfig

from common.errors import Error, Unavailable
from common.system import Engine, Target
from seter.finding import Finding, clock, failed, good, space, warn
from seter.provisioner.docker_errors import translated
from seter.provisioner.tunnel import Tunnel, ssh_of

DEFAULT = "engine"  # how doctor calls the one that DOCKER_HOST names
ANY_API = "1.41"  # where no version is sent
OLDEST_API = (1, 41)  # of Docker 20.10, the oldest that was tried
SOCKET = "unix:///var/run/docker.sock"
CALL_TIMEOUT = 120  # seconds
CONNECT_WITHIN = 10  # seconds
PATIENCE = 600  # seconds that an engine may say nothing while it takes an image
FOLDER = "engines"  # of the deployment's folder: how those behind SSH are reached


@dataclass(frozen=True)
class Way:
    """How an engine is reached from here. `url` is None for what docker's own client takes without DOCKER_HOST."""

    name: str
    url: str | None
    ca: str = ""
    cert: str = ""
    key: str = ""
    tunnel: Tunnel | None = field(default=None, repr=False)

    def api(self, connections: int) -> docker.APIClient:
        """The SDK's low-level client. Raises Unavailable, Missing, Denied, BadInput."""
        with translated(f"connecting to {self.name}"):
            if not self.key:
                return docker.APIClient(base_url=self.url, version="auto", timeout=CALL_TIMEOUT, num_pools=connections)
            made = docker.APIClient(
                base_url=self.url, version=self._version(), timeout=CALL_TIMEOUT, num_pools=connections, tls=self._tls()
            )
            made.trust_env = False
            return made

    def client(self) -> docker.DockerClient:
        """The SDK's client, for what takes long."""
        version = self._version() if self.key else "auto"
        made = docker.DockerClient(base_url=self.url, version=version, timeout=PATIENCE, tls=self._tls())
        made.api.trust_env = not self.key
        return made

    def _version(self) -> str:
        """The engine's own. The SDK would ask with whom the environment trusts (REQUESTS_CA_BUNDLE), which for requests
        goes before what a session is told."""
        asking = docker.APIClient(base_url=self.url, version=ANY_API, timeout=CALL_TIMEOUT, tls=self._tls())
        asking.trust_env = False
        with closing(asking):
            return str(asking.version(api_version=False)["ApiVersion"])

    def _tls(self) -> TLSConfig | bool:
        """The engine's certificate is checked, and it checks ours."""
        return bool(self.key) and TLSConfig(client_cert=(self.cert, self.key), ca_cert=self.ca, verify=True)

    def variables(self) -> dict[str, object]:
        """By which the role `process` reaches it."""
        pair = {"ca_path": self.ca, "client_cert": self.cert, "client_key": self.key} if self.key else {}
        return {"docker_host": self.url or SOCKET, **({"docker_tls": pair} if pair else {})}

    def words(self) -> str:
        """Options of docker's own client; none for the engine that it takes by itself."""
        if self.name == DEFAULT:
            return ""
        pair = f" --tlsverify --tlscacert={self.ca} --tlscert={self.cert} --tlskey={self.key}" if self.key else ""
        return f"--host={self.url}{pair}"


def way_to(engine: Engine | None, folder: Path, target: Target | None) -> Way:
    """The way, open; None is the engine that DOCKER_HOST names, else the local one. `folder` is the deployment's.

    Raises Unavailable for a machine that does not answer, Denied for one whose host key is not known."""
    if engine is None:
        return Way(DEFAULT, os.environ.get("DOCKER_HOST"))
    if engine.url.startswith("ssh:"):
        tunnel = Tunnel(engine, ssh_of(engine, target, folder / FOLDER / engine.name))
        return Way(engine.name, f"unix://{tunnel.socket}", tunnel=tunnel)
    if engine.url.startswith("tcp:"):
        _knock(engine)
    ca, cert, key = (
        str(Path(path).expanduser().absolute()) if path else "" for path in (engine.ca, engine.cert, engine.key)
    )
    return Way(engine.name, engine.url, ca, cert, key)


def _knock(engine: Engine) -> None:
    """A machine that is gone is found out soon; the SDK would wait as long as for an answer."""
    parts = urlsplit(engine.url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 0), CONNECT_WITHIN).close()
    except OSError as error:
        raise Unavailable(
            f"the engine {engine.name} does not answer at {engine.url}",
            details=str(error),
            resolution="See that its machine runs, and that dockerd listens there; try again.",
        ) from error


class Client(Protocol):
    """What of the SDK's client is needed."""

    base_url: str

    def info(self) -> Mapping[str, Any]:
        """What the engine says of itself and its machine."""
        ...

    def version(self) -> Mapping[str, Any]:
        """Its versions."""
        ...


def examine(api: Client, name: str) -> Iterator[Finding]:
    """Whether it answers, is new enough, and has the right time and space."""
    try:
        with translated(f"asking {name}"):
            version = api.version()
            before = time.time()
            said = api.info()
            after = time.time()
    except Error as error:
        yield failed(name, "Docker", error)
        return
    yield from findings(name, version, said, before, after)
    root = Path(str(said["DockerRootDir"]))
    if "unix" in api.base_url and root.is_dir():  # else nobody tells from here
        free = os.statvfs(root)
        yield space(name, str(root), free.f_bavail * free.f_frsize, free.f_favail if free.f_files else -1)


def findings(
    name: str, version: Mapping[str, Any], said: Mapping[str, Any], before: float, after: float
) -> Iterator[Finding]:
    """What an engine said, between these two moments of our clock (seconds since 1970). Pure."""
    says = f"{version['Version']} on {said['Name']}, answers within {after - before:.1f} s"
    if tuple(int(part) for part in str(version["ApiVersion"]).split(".")) < OLDEST_API:
        yield warn(name, "Docker", says, "Install 20.10 or newer there: nobody has tried an older one.")
    else:
        yield good(name, "Docker", says)
    # With nine digits of a second, of which Python 3.11 reads them all and keeps six.
    offset = datetime.fromisoformat(str(said["SystemTime"])).timestamp() - (before + after) / 2
    yield clock(name, offset, (after - before) / 2)
    if not said.get("IPv4Forwarding", True):
        yield warn(name, "forwarding", "IPv4 forwarding is off", "sysctl -w net.ipv4.ip_forward=1 there.")
