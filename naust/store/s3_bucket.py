"""Objects of one bucket below one prefix: the S3 calls that a store needs (Amazon S3 API reference), each tried again
when the server is busy, each with errors that a person can act on.

What reads, lists and carries bytes goes over naust.wire.transport; what the server does by itself (copies, multipart
uploads) is asked of it by boto3 in naust.store.s3_multipart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from typing import BinaryIO, TypeVar

from common.errors import Conflict, NotFound
from naust.store.access import Access
from naust.store.s3_answers import Seen, page, seen, told
from naust.store.s3_signing import EMPTY, Signer
from naust.wire.bodies import Outgoing
from naust.wire.patience import patiently
from naust.wire.transport import Answer, Transport

A = TypeVar("A")
B = TypeVar("B")
_LISTED = 1000  # keys that a server lists at once
_SMALL_AT_ONCE = 4  # small requests beside each other for each transfer that is allowed


class Bucket:
    """One bucket, or the part of it below a prefix; keys are relative to that. Any number of threads may use one."""

    def __init__(self, name: str, prefix: str, access: Access) -> None:
        self.name = name
        self.prefix = f"{prefix}/" if prefix else ""
        self.at_once = max(1, access.at_once)
        self.signer = Signer(name, access)

    # Reading

    def head(self, key: str) -> Seen | None:
        """What is known of the object; None if it is not there."""

        def look() -> Seen | None:
            with self.request("HEAD", key, accept=(200, 404)) as answer:
                return seen(key, answer) if answer.status == 200 else None

        return patiently(look)

    def get(self, key: str, *, unless: str = "", at_most: int = 32 << 20) -> tuple[bytes, Seen] | None:
        """The object whole; None if it is not there. With `unless`, nothing is sent if that is its ETag: b"" then.

        Raises BadInput if there is no bucket; Corrupt if it is longer than `at_most`.
        """
        more = {"If-None-Match": f'"{unless}"'} if unless else {}

        def fetch() -> tuple[bytes, Seen] | None:
            try:
                with self.request("GET", key, headers=more, accept=(200, 304)) as answer:
                    return (answer.content(at_most) if answer.status == 200 else b""), seen(key, answer)
            except NotFound:
                return None

        return patiently(fetch)

    @contextmanager
    def read(self, key: str, start: int = 0, length: int | None = None) -> Iterator[BinaryIO]:
        """The object's bytes from `start`, `length` of them or all. Not tried again: only whoever reads knows how far
        it came. Raises NotFound."""
        url = self.signer.url(self.prefix + key)
        signed = self.signer.headers("GET", url, {})
        with told(self.name), self._transport.part(url, start, length, headers=signed) as body:
            yield body

    def listed(self, prefix: str) -> Iterator[Seen]:
        """All objects whose keys begin so, sorted by their bytes."""
        token = ""
        while True:
            found, token = self._page(prefix, token)
            yield from found
            if not token:
                return

    def _page(self, prefix: str, token: str) -> tuple[list[Seen], str]:
        query = {"list-type": "2", "prefix": self.prefix + prefix, "encoding-type": "url", "max-keys": str(_LISTED)}
        if token:
            query["continuation-token"] = token

        def fetch() -> tuple[list[Seen], str]:
            with self.request("GET", "", query=query) as answer:
                return page(answer, len(self.prefix))

        return patiently(fetch)

    # Writing

    def put(
        self,
        key: str,
        data: bytes,
        *,
        new: bool = False,
        instead_of: str = "",
        sha256: str = "",
        media_type: str = "application/octet-stream",
    ) -> None:
        """Write an object, whole and at once. Only if it is not there yet (`new`), or still has this ETag
        (`instead_of`): else Conflict, on servers that know these conditions (see naust.store.s3_format)."""
        headers = {"Content-Type": media_type} | ({"x-amz-meta-sha256": sha256} if sha256 else {})
        headers |= {"If-None-Match": "*"} if new else {"If-Match": instead_of} if instead_of else {}
        payload = hashlib.sha256(data).hexdigest()

        def send() -> None:
            try:
                with self.request("PUT", key, headers=headers, body=data, payload=payload):
                    pass
            except NotFound as error:  # what If-Match compares with is gone
                raise Conflict(error.message, details=error.details, resolution=error.resolution) from error

        patiently(send)

    def delete(self, key: str, *, only: str = "") -> None:
        """Take an object away; that it is not there is success. Only if it still has this ETag: else Conflict, on
        servers that know that condition."""
        headers = {"If-Match": only} if only else {}

        def remove() -> None:
            with self.request("DELETE", key, headers=headers, accept=(200, 204, 404)):
                pass

        patiently(remove)

    def each(self, act: Callable[[A], B], arguments: Sequence[A]) -> Iterator[B]:
        """Small requests, several at once; results in the order of the arguments."""
        if len(arguments) < 2:
            return map(act, arguments)
        return self._pool.map(act, arguments)

    @contextmanager
    def request(
        self,
        method: str,
        key: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | Outgoing | None = None,
        payload: str = EMPTY,
        accept: Sequence[int] = (200, 204),
    ) -> Iterator[Answer]:
        """One signed request; an empty key stands for the bucket. `payload` is the body's SHA-256, or UNSIGNED."""
        url = self.signer.url(self.prefix + key if key else "", query)
        signed = self.signer.headers(method, url, headers or {}, payload)
        with (
            told(self.name),
            self._transport.request(method, url, headers=signed, body=body, accept=accept) as answer,
        ):
            yield answer

    @cached_property
    def _transport(self) -> Transport:
        return Transport(self.signer.access())

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.at_once * _SMALL_AT_ONCE, thread_name_prefix="s3")
