"""The two sides that are compared: a RadosGW asked directly, and the virtual IP with TLS."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.conftest import Running
from tests.lab.s3.signing import Keys, sign
from tests.lab.s3.wire import Answer, Headers, Request, Way, exchange

HOST = "s3.example.test"
VIP = "192.0.2.10"


@dataclass(frozen=True)
class Side:
    """One side. `letter` is in the names of its buckets, which are equally long on both sides."""

    letter: str
    way: Way
    keys: Keys

    def bucket(self, name: str) -> str:
        """Name of this side's bucket."""
        return f"cmp-{self.letter}-{name}"

    def request(
        self,
        method: str,
        bucket: str,
        key: str | None = None,
        query: str = "",
        *,
        headers: Headers = (),
        body: bytes = b"",
        how: str = "v4",
        style: str = "path",
        host: str = HOST,
        wire: str | None = None,
        keys: Keys | None = None,
    ) -> Request:
        """A signed request. `key` is encoded as S3 signs it; `wire` is sent for it instead, as it is. `style`: path or
        virtual. Bucket "" is the service."""
        name = self.bucket(bucket) if bucket else ""
        virtual = style == "virtual" and bool(name)
        host = f"{name}.{host}" if virtual else host
        start = "/" if virtual or not name else f"/{name}" + ("" if key is None else "/")
        path = start + quote(key or "", safe="/-_.~")
        target = f"{path}?{query}" if query else path
        plain = Request(method, target, (("Host", host), *headers), body)
        signed = sign(plain, keys or self.keys, how, host, bucket=name if virtual else "")
        if wire is None:
            return signed
        return replace(signed, target=signed.target.replace(path, start + wire, 1))

    def send(self, request: Request, **more: float) -> Answer:
        """Its answer. A RadosGW that is asked directly is told that the client came by TLS, as a balancer says it."""
        if self.way.authority is None:
            request = replace(request, headers=(*request.headers, ("X-Forwarded-Proto", "https")))
        return exchange(self.way, request, **more)

    def ask(self, method: str, bucket: str, key: str | None = None, query: str = "", **more: Any) -> Answer:
        """The answer to a signed request; see `request`."""
        return self.send(self.request(method, bucket, key, query, **more))


def sides(running: Running, folder: Path) -> tuple[Side, Side]:
    """Directly to the RadosGW of the first gateway, asked on that gateway; and from the client through the first
    virtual IP. `folder` takes the certificate of the CA."""

    def words(role: str, name: str, node: str) -> str:
        return running.seter("exec", node, role, "--", "cat", f"/etc/seter/secrets/{role}/{name}").out

    keys = Keys(*(words("radosgw", f"s3-{name}-key", "gw1").strip() for name in ("access", "secret")))
    authority = folder / "ca.crt"
    authority.write_text(words("s3-client", "ca.crt", "cl1"))
    direct = Side("d", Way(pid_of(running, "gw1"), "127.0.0.1", 7480), keys)
    balanced = Side("b", Way(pid_of(running, "cl1"), VIP, 443, authority, HOST), keys)
    return direct, balanced


def pid_of(running: Running, node: str) -> int:
    """A process of the container that holds a node's network."""
    return int(running.docker("inspect", "--format", "{{.State.Pid}}", f"s3-lb.container.{running.instance}.{node}"))


def alike(side: Side, other: Side) -> tuple[Side, Side]:
    """The same two sides with buckets that nobody has used."""
    mark = os.urandom(2).hex()
    return replace(side, letter=f"{side.letter[0]}{mark}"), replace(other, letter=f"{other.letter[0]}{mark}")


def until_ready(side: Side) -> None:
    """Wait until the side answers. The first use of a fresh cluster makes pools, which takes seconds."""
    end = time.monotonic() + 60
    while side.ask("GET", "").status != 200:
        assert time.monotonic() < end
        time.sleep(0.2)
