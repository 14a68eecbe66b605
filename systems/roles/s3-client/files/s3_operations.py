"""The requests of a drive: signed as Amazon's SDK signs them, their answers verified."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from s3_content import BLOCK, Content, ContentError, Reading, Versions
from s3_profile import Planned
from s3_service import REGION
from s3_wire import Answer, Connection, Request

BUCKET = "drive"
PART = 5 * 1024 * 1024  # bytes, the least that S3 takes of all parts but the last (Amazon S3 user guide)
LISTED = 100  # keys of one page
_UNSIGNED = "UNSIGNED-PAYLOAD"
_RADOSGW = re.compile(r"tx[0-9a-f]{21}-[0-9a-f]{10}-([0-9a-f]+)-")
_CODE = re.compile(rb"<Code>([A-Za-z0-9]{1,60})</Code>")
_UPLOAD = re.compile(rb"<UploadId>([^<]{1,1024})</UploadId>")


class AnswerError(Exception):
    """The service answered, and not as it should."""


class Signer(S3SigV4Auth):
    """Signature Version 4. The digest of a body is given: it need not be in memory."""

    def __init__(self, access: str, secret: str) -> None:
        super().__init__(Credentials(access, secret), "s3", REGION)

    def payload(self, request: AWSRequest) -> str:
        """What is signed for the body."""
        return str(request.context["digest"])

    def signed(self, method: str, url: str, digest: str, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers, with those of the signature. Pure but for the time."""
        request = AWSRequest(method, url, headers=headers)
        request.context["digest"] = digest
        self.add_auth(request)
        return {str(name): str(value) for name, value in request.headers.items()}


@dataclass(slots=True)
class Seen:
    """What is known of a request, however it ends. `gateway` is the RadosGW's number, if one answered."""

    identifier: str
    gateway: str = ""
    received: int = 0
    stored: int = 0


@dataclass(slots=True)
class Operations:
    """All that a drive asks for. `run` is part of every key; `clock` is seconds, monotonic."""

    host: str
    signer: Signer
    run: str
    clock: Callable[[], float]
    versions: dict[str, Versions] = field(default_factory=dict)
    stored: set[str] = field(default_factory=set)  # keys that may be there
    buckets: set[str] = field(default_factory=set)  # the same of buckets, beside the one that has the keys

    async def act(self, planned: Planned, connection: Connection, seen: Seen) -> None:
        """One planned request. Raises OSError, WireError, AnswerError, ContentError."""
        if planned.operation == "GET":
            await self._get(planned.key, connection, seen)
        elif planned.operation == "HEAD":
            await self._head(planned.key, connection, seen)
        elif planned.operation == "PUT":
            await self.put(planned.key, planned.size, connection, seen)
        elif planned.operation == "DELETE":
            await self.delete(planned.key, connection, seen)
        elif planned.operation == "LIST":
            await self._list(connection, seen)
        elif planned.operation == "BUCKET":
            await self._bucket(f"{BUCKET}-{self.run}-{planned.key}", connection, seen)
        else:
            await self._multipart(planned.key, planned.size, connection, seen)

    async def put(self, key: str, size: int, connection: Connection, seen: Seen) -> None:
        """Store the next version; its tag is the MD5 of what was sent (Amazon S3 API, PutObject)."""
        versions = self.versions.setdefault(key, Versions())
        self.stored.add(key)
        version = versions.begin(size, self.clock())
        await self._store(connection, seen, key, "", Content(self.run, key, version, size))
        versions.end(version, self.clock())

    async def delete(self, key: str, connection: Connection, seen: Seen) -> None:
        """It is not there afterwards, whether it was or not."""
        await self._ask(connection, seen, "DELETE", key, good=(204, 200))
        self.stored.discard(key)

    async def _store(self, connection: Connection, seen: Seen, key: str, query: str, content: Content) -> str:
        md5 = hashlib.md5(usedforsecurity=False)
        small = b"".join(content.blocks()) if content.size <= BLOCK else None
        # As SDKs do over TLS, what is large goes without a digest in its signature; the tag says whether it arrived.
        digest = _UNSIGNED if small is None else hashlib.sha256(small).hexdigest()
        pieces = _counted(content.blocks() if small is None else [small], md5.update)
        answer = await self._ask(connection, seen, "PUT", key, query, digest, content.size, pieces)
        seen.stored += content.size
        tag = answer.headers.get("etag", "").strip('"')
        if tag != md5.hexdigest():
            raise ContentError(f"{key} was stored as {tag or 'nothing'}, not as {md5.hexdigest()}")
        return tag

    async def _get(self, key: str, connection: Connection, seen: Seen) -> None:
        reading = Reading(self.run, key, self.versions[key])
        await self._ask(connection, seen, "GET", key, take=reading.take)
        reading.finish()

    async def _head(self, key: str, connection: Connection, seen: Seen) -> None:
        reading = Reading(self.run, key, self.versions[key])
        answer = await self._ask(connection, seen, "HEAD", key)
        found = answer.headers.get("content-length", "")
        if found not in {str(size) for size in reading.sizes()}:
            raise ContentError(f"{key} has {found or 'no'} bytes, not {' or '.join(map(str, sorted(reading.sizes())))}")

    async def _list(self, connection: Connection, seen: Seen) -> None:
        query = f"list-type=2&max-keys={LISTED}&prefix={quote(self.run + '/', safe='')}"
        answer = await self._ask(connection, seen, "GET", "", query)
        if b"<Key>" + self.run.encode() not in answer.body or not answer.body.rstrip().endswith(b"</ListBucketResult>"):
            raise ContentError("a list without the keys that are there")

    async def _bucket(self, name: str, connection: Connection, seen: Seen) -> None:
        """Make a bucket, find it, remove it: RadosGW tells all others of it each time, and waits for them."""
        self.buckets.add(name)
        await self._ask(connection, seen, "PUT", "", bucket=name)
        await self._ask(connection, seen, "HEAD", "", bucket=name)
        await self.remove_bucket(name, connection, seen)

    async def remove_bucket(self, name: str, connection: Connection, seen: Seen) -> None:
        """It is not there afterwards; a balancer's second try finds what the first has done."""
        await self._ask(connection, seen, "DELETE", "", bucket=name, good=(204, 404))
        self.buckets.discard(name)

    async def _multipart(self, key: str, size: int, connection: Connection, seen: Seen) -> None:
        """One part of 5 MiB, and a last one of `size` bytes."""
        answer = await self._ask(connection, seen, "POST", key, "uploads=")
        upload = _UPLOAD.search(answer.body)
        if upload is None:
            raise AnswerError("an upload without a number")
        self.stored.add(key)
        number, tags = quote(upload[1].decode(), safe=""), []
        for part, length in ((1, PART), (2, max(1, size))):
            content = Content(self.run, key, part, length)
            tags.append(await self._store(connection, seen, key, f"partNumber={part}&uploadId={number}", content))
        parts = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{tag}</ETag></Part>" for n, tag in enumerate(tags, 1))
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        digest = hashlib.sha256(body).hexdigest()
        answer = await self._ask(connection, seen, "POST", key, f"uploadId={number}", digest, len(body), [body])
        whole = hashlib.md5(b"".join(map(bytes.fromhex, tags)), usedforsecurity=False).hexdigest()
        if f"{whole}-2".encode() not in answer.body:
            raise ContentError(f"{key} was put together as another content{_code(answer.body)}")

    async def _ask(
        self,
        connection: Connection,
        seen: Seen,
        method: str,
        key: str,
        query: str = "",
        digest: str = hashlib.sha256(b"").hexdigest(),
        size: int = 0,
        body: Iterable[bytes] = (),
        *,
        bucket: str = BUCKET,
        good: tuple[int, ...] = (200,),
        take: Callable[[bytes], None] | None = None,
    ) -> Answer:
        path = f"/{bucket}/{quote(f'{self.run}/{key}', safe='/')}" if key else f"/{bucket}"
        target = f"{path}?{query}" if query else path
        headers = self.signer.signed(method, f"https://{self.host}{target}", digest, {"Host": self.host})
        # After signing: proxies may take these two, or add to them.
        headers["amz-sdk-invocation-id"] = seen.identifier
        if method in ("PUT", "POST"):
            headers["Content-Length"] = str(size)
        answer = await connection.exchange(Request(method, target, headers, body), take)
        seen.received += answer.received
        who = _RADOSGW.match(answer.headers.get("x-amz-request-id", ""))
        seen.gateway = who[1] if who else ""
        if answer.status not in good:
            raise AnswerError(f"answer {answer.status}{_code(answer.body)}")
        return answer


def identifier() -> str:
    """Of one request, as SDKs name theirs: the gateways' access logs have it."""
    return str(uuid.uuid4())


def _code(body: bytes) -> str:
    found = _CODE.search(body)
    return f" {found[1].decode()}" if found else ""


def _counted(pieces: Iterable[bytes], hear: Callable[[bytes], None]) -> Iterator[bytes]:
    for piece in pieces:
        hear(piece)
        yield piece
