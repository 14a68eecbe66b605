"""One of many leads: who made a key in etcd that is bound to a lease (etcd.io, "Lease"), while it is there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from traefik_etcd import Failed, b64


class Calls(Protocol):
    """What of traefik_etcd.Etcd is needed."""

    def call(self, request: Mapping[str, Any], path: str = "/v3/kv/txn") -> dict[str, Any]:
        """One request. Raises Failed."""
        ...


class Lost(Exception):
    """This node does not lead any more."""


class Lead:
    """Whether this node leads: a key in etcd that is bound to a lease, which is kept alive as long as we are."""

    def __init__(self, etcd: Calls, node: str, life: int, key: str, badge: Mapping[str, str] | None = None) -> None:
        """`life` of the lease in seconds; etcd grants no less than its election takes. Who holds `key` leads. `badge`
        is keys and values that are there as long as we are, whoever leads."""
        self._etcd, self._node, self._life, self._key, self._badge = etcd, node, life, key, badge or {}
        self._lease, self._made, self._until = "", "", 0.0

    @property
    def mine(self) -> bool:
        """We lead, for all that we can know."""
        return bool(self._made) and time.monotonic() < self._until

    def must(self) -> None:
        """Raises Lost when we do not lead."""
        if not self.mine:
            raise Lost(f"{self._node} does not lead any more")

    def hold(self) -> None:
        """Keep what we have, or try to get it. Raises Failed."""
        asked = time.monotonic()
        if self._lease and not self._kept():
            self._lease, self._made = "", ""
        if not self._lease:
            granted = self._etcd.call({"TTL": self._life}, "/v3/lease/grant")
            self._lease, self._life = str(granted["ID"]), int(granted["TTL"])
            self._show()
        taken = {"key": b64(self._key), "value": b64(self._node), "lease": self._lease}
        answer = self._etcd.call(
            {
                "compare": [{"key": b64(self._key), "target": "CREATE", "result": "EQUAL", "create_revision": "0"}],
                "success": [{"request_put": taken}, {"request_range": {"key": b64(self._key)}}],
                "failure": [{"request_range": {"key": b64(self._key)}}],
            }
        )
        (pair,) = answer["responses"][-1]["response_range"]["kvs"]
        self._made = str(pair["create_revision"]) if pair.get("lease") == self._lease else ""
        self._until = asked + self._life

    def _show(self) -> None:
        """Once for a lease: what is not written again needs no room in etcd's history."""
        puts = [
            {"request_put": {"key": b64(key), "value": b64(text), "lease": self._lease}}
            for key, text in self._badge.items()
        ]
        if puts:
            self._etcd.call({"success": puts})

    def _kept(self) -> bool:
        answer = self._etcd.call({"ID": self._lease}, "/v3/lease/keepalive")
        return int(answer.get("result", {}).get("TTL", 0)) > 0

    def end(self) -> None:
        """Let another lead at once. Raises Failed."""
        if self._lease:
            self._etcd.call({"ID": self._lease}, "/v3/lease/revoke")
        self._lease, self._made = "", ""

    def stay(self, ending: threading.Event, failed: Callable[[str], None]) -> None:
        """Hold until the end; a thread of its own, since what the leader does may take longer than the lease."""
        while not ending.is_set():
            try:
                self.hold()
            except (Failed, KeyError, ValueError) as fault:
                failed(str(fault))
            ending.wait(self._life / 3)

    def write(self, put: Mapping[str, str], delete: Sequence[str] = (), *, bound: bool = False) -> None:
        """One transaction of keys and values; `bound` ones go when we end. Raises Lost when another leads, Failed."""
        self.must()
        lease = {"lease": self._lease} if bound else {}
        answer = self._etcd.call(
            {
                "compare": [
                    {"key": b64(self._key), "target": "CREATE", "result": "EQUAL", "create_revision": self._made},
                ],
                "success": [
                    *({"request_put": {"key": b64(key), "value": b64(text), **lease}} for key, text in put.items()),
                    *({"request_delete_range": {"key": b64(key)}} for key in delete),
                ],
            }
        )
        if not answer.get("succeeded"):
            self._made = ""
            raise Lost(f"another leads than {self._node}")
