"""How our programs speak to etcd: its JSON gateway for clients, and what its port for members says without a quorum.

etcd.io, "gRPC gateway": every call is a POST of JSON, 64 bit numbers are texts, keys and values base64. `GET /members`
of the port for members (etcd, server/etcdserver/api/etcdhttp/peer.go) is answered from what that member knows itself.
"""

from __future__ import annotations

import http.client
import json
import os
import pwd
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CLUSTER = "/etc/seter/now/etcd/cluster.json"
SECRETS = Path("/etc/seter/secrets/etcd")
TIMEOUT = 5.0  # seconds
PEER_PORT, CLIENT_PORT = 2380, 2379
# A data folder that the next start takes, and what it puts in the place of; both beside the data.
GOING, BEFORE = "restored.go", "data.before"
WAITING = "waiting"  # a file beside the data: why etcd has not been started yet


class Failed(Exception):
    """A member refused, or nobody answered; `status` is its HTTP status, 0 for no answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Cluster:
    """What seter wrote: this node's name, all members by name with their addresses, and where the data is."""

    name: str
    token: str
    members: Mapping[str, str]
    state: Path
    secrets: Path

    @classmethod
    def read(cls, path: str) -> Cluster:
        """Raises ValueError with the reason."""
        try:
            found = json.loads(Path(path).read_text(encoding="utf-8"))
            members = {str(name): str(address) for name, address in found["members"].items()}
            secrets = Path(found.get("secrets", SECRETS))
            read = cls(str(found["name"]), str(found["token"]), members, Path(found["state"]), secrets)
        except (OSError, AttributeError, KeyError, TypeError, ValueError) as fault:
            raise ValueError(f"{path} cannot be used: {type(fault).__name__}: {fault}") from fault
        if read.name not in read.members:
            raise ValueError(f"{path} cannot be used: {read.name} is none of its members")
        return read

    @property
    def others(self) -> dict[str, str]:
        """The members but this one."""
        return {name: address for name, address in self.members.items() if name != self.name}

    @property
    def data(self) -> Path:
        """etcd's own folder."""
        return self.state / "data"

    def peer_url(self, name: str) -> str:
        """Where this member is for the others."""
        return f"https://{bracketed(self.members[name])}:{PEER_PORT}"

    @property
    def initial(self) -> str:
        """All members, as etcd's `initial-cluster` has them."""
        return ",".join(f"{name}={self.peer_url(name)}" for name in self.members)


def bracketed(address: str) -> str:
    """As it stands in a URL."""
    return f"[{address}]" if ":" in address else address


@dataclass(frozen=True, slots=True)
class Member:
    """A member as the cluster knows it. One that was added and never started has no name; one that took no part in an
    agreement yet has no client URLs."""

    id: int
    name: str
    peers: tuple[str, ...]
    clients: tuple[str, ...]
    learner: bool = False

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Member:
        """From the gateway's JSON or that of the port for members. Raises KeyError, TypeError, ValueError."""
        number = found["ID"] if "ID" in found else found["id"]
        return cls(
            int(number),
            str(found.get("name", "")),
            tuple(map(str, found.get("peerURLs") or ())),
            tuple(map(str, found.get("clientURLs") or ())),
            bool(found.get("isLearner", False)),
        )


class Api:
    """Asks members with this node's certificate. The files are read for each call, since they are drawn anew."""

    def __init__(self, cluster: Cluster) -> None:
        self._secrets = cluster.secrets

    def call(self, address: str, path: str, request: Mapping[str, Any], timeout: float = TIMEOUT) -> dict[str, Any]:
        """One call of the gateway. Raises Failed."""
        status, body = self._ask(address, CLIENT_PORT, "POST", path, json.dumps(request), timeout)
        try:
            found = json.loads(body)
        except ValueError as fault:
            raise Failed(f"{address}{path}: {body.strip()[:200]}", status) from fault
        if status != 200 or not isinstance(found, dict):
            said = found.get("message") or found.get("error") if isinstance(found, dict) else ""
            raise Failed(str(said or body.strip()[:200]), status)
        return found

    def members(self, address: str, timeout: float = TIMEOUT) -> list[Member]:
        """What the whole cluster agrees on. Raises Failed, without a quorum too."""
        return members_of(self.call(address, "/v3/cluster/member/list", {"linearizable": True}, timeout).get("members"))

    def known(self, address: str, timeout: float = TIMEOUT) -> list[Member] | None:
        """What the member there knows by itself; None if one waits there that has no data. Raises Failed."""
        status, body = self._ask(address, PEER_PORT, "GET", "/members", None, timeout)
        try:
            found = json.loads(body)
        except ValueError as fault:
            raise Failed(f"{address} answers {status}", status) from fault
        if isinstance(found, dict) and found.get("waiting") is True:
            return None
        return members_of(found)

    def _ask(
        self, address: str, port: int, method: str, path: str, body: str | None, timeout: float
    ) -> tuple[int, str]:
        try:
            connection = http.client.HTTPSConnection(address, port, context=self.context(), timeout=timeout)
            try:
                connection.request(method, path, body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                return answer.status, answer.read().decode()
            finally:
                connection.close()
        except (OSError, ValueError, http.client.HTTPException) as fault:
            raise Failed(f"{address}:{port} does not answer: {fault}") from fault

    def context(self, *, server: bool = False) -> ssl.SSLContext:
        """Mutual TLS. Raises OSError."""
        purpose = ssl.Purpose.CLIENT_AUTH if server else ssl.Purpose.SERVER_AUTH
        context = ssl.create_default_context(purpose, cafile=str(self._secrets / "ca.crt"))
        context.load_cert_chain(self._secrets / "member.crt", self._secrets / "member.key")
        context.verify_mode = ssl.CERT_REQUIRED
        return context


def members_of(found: object) -> list[Member]:
    """Raises Failed for what is no list of members."""
    if not isinstance(found, Sequence) or isinstance(found, str):
        raise Failed("no list of members")
    try:
        return [Member.of(each) for each in found]
    except (AttributeError, KeyError, TypeError, ValueError) as fault:
        raise Failed(f"no list of members: {type(fault).__name__}: {fault}") from fault


def become(user: str) -> None:
    """Go on as this user when we are root: in a container root may not read what belongs to others."""
    if os.geteuid() == 0:
        entry = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
