"""Uploads to a registry that is busy, as no real one is on command."""

from __future__ import annotations

import http.client
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from common.errors import Unavailable
from common.model import Digest
from naust.wire.bodies import Received
from naust.wire.distribution import Distribution
from naust.wire.distribution_upload import SMALL, Uploads
from naust.wire.transport import Answer

BASE = "https://registry.example"


@dataclass
class Busy:
    """What it has got of an upload it puts together late: at each question it has read some more."""

    late: list[int]
    base: str = BASE
    content: bytearray = field(default_factory=bytearray)
    arrived: bytes = b""
    sent: list[int] = field(default_factory=list)
    stored: Digest | None = None

    @contextmanager
    def request(self, method: str, path: str, *, body: Any = None, **_: Any) -> Iterator[Answer]:
        headers = {"Location": "/v2/x/blobs/uploads/1"}
        if method == "PATCH":
            data = body.source.read(body.size)
            self.sent.append(len(data))
            if len(self.sent) == 1:
                self.arrived = data[: sum(self.late)]
                raise Unavailable("the line broke", resolution="")
            self.content += self.arrived + data  # what had arrived is put before it, told or not
            headers["Range"] = f"0-{len(self.content) - 1}"
        elif method == "GET":
            if self.late:
                self.content += self.arrived[: self.late[0]]
                self.arrived = self.arrived[self.late.pop(0) :]
            headers["Range"] = f"0-{max(0, len(self.content) - 1)}"
        elif method == "PUT":
            self.stored = Digest.of(bytes(self.content))
        yield _answer(202 if method in ("PATCH", "POST") else 204 if method == "GET" else 201, headers)


def _answer(status: int, headers: dict[str, str]) -> Answer:
    message = http.client.HTTPMessage()
    for name, value in headers.items():
        message[name] = value
    return Answer(status, message, f"{BASE}/v2/", cast(Received, io.BytesIO()))


@pytest.mark.parametrize("late", [(700_000,), (100_000, 300_000), (100_000, 100_000, 100_000, 100_000)])
def test_an_upload_goes_on_only_when_the_registry_has_read_all_that_came(late: Sequence[int]) -> None:
    data, waits = bytes(range(256)) * (2 * SMALL // 256), list[float]()
    registry = Busy(list(late))
    uploads = Uploads(cast(Distribution, registry), waits.append)
    with pytest.raises(Unavailable):
        uploads.write("x", Digest.of(data), len(data), io.BytesIO(data))
    uploads.write("x", Digest.of(data), len(data), io.BytesIO(data))
    assert registry.stored == Digest.of(data)
    assert registry.sent == [len(data), len(data) - sum(late)]
    assert len(waits) == len(late)
