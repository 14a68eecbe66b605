"""Signatures of S3, by botocore's signers: in a header, in the query, of chunks, and the old version 2."""

from __future__ import annotations

import base64
import hashlib
import hmac
import zlib
from dataclasses import dataclass, replace
from typing import Any

from botocore.auth import HmacV1Auth, HmacV1QueryAuth, S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.lab.s3.wire import Headers, Request

REGION = "default"
EXPIRES = 600  # seconds
UNSIGNED = "UNSIGNED-PAYLOAD"
CHUNKED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
CHUNKED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
_EMPTY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Keys:
    """Access key and secret key."""

    access: str
    secret: str

    def wrong(self) -> Keys:
        """The same user with another secret."""
        return replace(self, secret=self.secret[::-1])


class _Given(S3SigV4Auth):
    """Signs with the words for the payload that it is given, instead of the payload's hash."""

    said = ""

    def payload(self, request: AWSRequest) -> str:
        return self.said or str(super().payload(request))

    def part(self, request: AWSRequest, kind: str, before: str, *hashes: str) -> str:
        """Signature of a chunk (Amazon S3 API, "Signature calculations: transferring payload in multiple chunks")."""
        lines = [f"AWS4-HMAC-SHA256-{kind}", request.context["timestamp"], self.credential_scope(request), before]
        return str(self.signature("\n".join([*lines, *hashes]), request))


def sign(request: Request, keys: Keys, how: str, host: str, *, bucket: str = "") -> Request:
    """The request with a signature. `how`: none, v4, unsigned, query, v2, v2query, or one of the words above.

    `bucket` is the one in the host, if any: version 2 signs it as part of the path. A target that is not to be written
    as the signature wants it has to be put in its place afterwards.
    """
    if how == "none":
        return request
    given = {UNSIGNED: UNSIGNED, "unsigned": UNSIGNED}.get(how, how if how.startswith("STREAMING") else "")
    body = request.body
    if given.startswith("STREAMING"):
        more: Headers = (("X-Amz-Decoded-Content-Length", str(len(body))), ("Content-Encoding", "aws-chunked"))
        more += (("X-Amz-Trailer", "x-amz-checksum-crc32"),) if given.endswith("TRAILER") else ()
        request = replace(request, headers=(*request.headers, *more))
    # A signature in the query does not cover the body, which botocore would take for form fields.
    payload = b"" if how.endswith("query") else body
    made = AWSRequest(request.method, f"https://{host}{request.target}", dict(request.headers), payload)
    made.auth_path = f"/{bucket}{request.target.partition('?')[0]}" if bucket else None
    credentials = Credentials(keys.access, keys.secret)
    if how in ("query", "v2query"):
        signer: Any = (
            S3SigV4QueryAuth(credentials, "s3", REGION, expires=EXPIRES)
            if how == "query"
            else HmacV1QueryAuth(credentials, expires=EXPIRES)
        )
        signer.add_auth(made)
        return replace(request, target=str(made.url).partition(host)[2])
    if how == "v2":
        HmacV1Auth(credentials).add_auth(made)
        return replace(request, headers=tuple(made.headers.items()))
    given_auth = _Given(credentials, "s3", REGION)
    given_auth.said = given
    given_auth.add_auth(made)
    signed = replace(request, headers=tuple(made.headers.items()))
    if given.startswith("STREAMING"):
        return replace(signed, body=_chunked(given_auth, made, given, body))
    return signed


def _chunked(signer: _Given, made: AWSRequest, given: str, body: bytes, size: int = 65536) -> bytes:
    """The body in chunks, each with its signature where the words say so, and a trailer where they say so."""
    before = made.headers["Authorization"].rpartition("Signature=")[2]
    signed = given != UNSIGNED_TRAILER
    found = bytearray()
    for start in [*range(0, len(body), size), len(body)]:
        chunk = body[start : start + size]
        words = f"{len(chunk):x}"
        if signed:
            before = signer.part(made, "PAYLOAD", before, _EMPTY, hashlib.sha256(chunk).hexdigest())
            words += f";chunk-signature={before}"
        found += f"{words}\r\n".encode() + chunk + (b"\r\n" if chunk else b"")
    if given.endswith("TRAILER"):
        line = f"x-amz-checksum-crc32:{crc32(body)}"
        found += f"{line}\r\n".encode()
        if signed:
            digest = hashlib.sha256(f"{line}\n".encode()).hexdigest()
            found += f"x-amz-trailer-signature:{signer.part(made, 'TRAILER', before, digest)}\r\n".encode()
    return bytes(found + b"\r\n")


def crc32(body: bytes) -> str:
    """As S3 writes it."""
    return base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()


def md5(body: bytes) -> str:
    """As Content-MD5 has it (RFC 1864)."""
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


def form_fields(keys: Keys, policy: bytes, date: str) -> Headers:
    """Fields that sign a form (Amazon S3 API, "Authenticating requests in browser-based uploads using POST").

    `date` is YYYYMMDD. The policy has to name the credential, the algorithm and the date itself."""
    encoded = base64.b64encode(policy).decode()
    key = f"AWS4{keys.secret}".encode()
    for word in (date, REGION, "s3", "aws4_request"):
        key = hmac.new(key, word.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, encoded.encode(), hashlib.sha256).hexdigest()
    return (("policy", encoded), ("x-amz-signature", signature))
