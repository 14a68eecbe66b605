"""Operations on objects: signatures and bodies of every kind, ranges, conditions, metadata, copies, many at once."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import replace

from tests.lab.s3 import signing
from tests.lab.s3.compare import Note
from tests.lab.s3.sides import Side
from tests.lab.s3.signing import crc32, md5
from tests.lab.s3.wire import Headers, Request

HOWS = (
    "v4", "unsigned", "query", "v2", "v2query", signing.CHUNKED, signing.UNSIGNED_TRAILER, signing.CHUNKED_TRAILER,
)  # fmt: skip
SIZES = (0, 1, 4096, 65536, 65537, 300000)  # bytes; 64 KiB is a chunk
CONTENT = bytes(itertools.islice(itertools.cycle(range(256)), 1000))
ETAG = f'"{hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()}"'
RANGES = (
    "bytes=0-0", "bytes=0-", "bytes=10-19", "bytes=-10", "bytes=999-999", "bytes=990-2000", "bytes=1000-", "bytes=-0",
    "bytes=-2000", "bytes=5-4", "bytes=0-1,5-6", "bytes= 1-2", "bytes=a-b", "items=0-1", "BYTES=0-1", "bytes=0-999",
)  # fmt: skip
EARLIER, LATER = "Thu, 01 Jan 2015 00:00:00 GMT", "Fri, 01 Jan 2038 00:00:00 GMT"
CONDITIONS: tuple[Headers, ...] = (
    (("If-Match", ETAG),),
    (("If-Match", '"other"'),),
    (("If-Match", "*"),),
    (("If-None-Match", ETAG),),
    (("If-None-Match", '"other"'),),
    (("If-None-Match", "*"),),
    (("If-Modified-Since", EARLIER),),
    (("If-Modified-Since", LATER),),
    (("If-Unmodified-Since", EARLIER),),
    (("If-Unmodified-Since", LATER),),
    (("If-Match", ETAG), ("If-Unmodified-Since", EARLIER)),
    (("If-None-Match", '"other"'), ("If-Modified-Since", LATER)),
    (("If-Range", ETAG), ("Range", "bytes=0-1")),
    (("If-Match", ETAG), ("Range", "bytes=0-1")),
)
# Kept with the object or sent to it; what an answer has of them is compared.
FIELDS: tuple[Headers, ...] = (
    (("Content-Type", "text/plain; charset=utf-8"),),
    (("Content-Type", ""),),
    (("Content-Encoding", "gzip"),),
    (("Content-Encoding", "aws-chunked"),),
    (("Content-Language", "de, en"),),
    (("Content-Disposition", "attachment; filename=\"a;b.txt\"; filename*=UTF-8''%C3%BC"),),
    (("Cache-Control", "no-cache, max-age=0"),),
    (("Expires", LATER),),
    (("x-amz-meta-name", "value"),),
    (("x-amz-meta-a", "one letter"),),
    (("x-amz-meta-a-b_c.d", "signs"),),
    (("X-Amz-Meta-MixedCase", "Value"),),
    (("x-amz-meta-space", "two  spaces"),),
    (("x-amz-meta-ü", "name"),),
    (("x-amz-meta-utf8", "=?UTF-8?B?w7w=?="),),
    (("x-amz-meta-long", "v" * 1900),),
    tuple((f"x-amz-meta-{number}", str(number)) for number in range(30)),
    (("x-amz-storage-class", "STANDARD"),),
    (("x-amz-storage-class", "NOWHERE"),),
    (("x-amz-tagging", "a=b&c=d%20e&f="),),
    (("x-amz-acl", "public-read"),),
    (("x-amz-website-redirect-location", "/other"),),
    (("x-amz-checksum-crc32", crc32(CONTENT)),),
    (("x-amz-sdk-checksum-algorithm", "CRC32"), ("x-amz-checksum-crc32", crc32(CONTENT))),
    (("Content-MD5", md5(CONTENT)),),
    (("Content-MD5", md5(b"other")),),
    (("Content-MD5", "no base64!"),),
    (("If-None-Match", "*"),),
    (("User-Agent", "aws-cli/2.0 md/Botocore#1.0"), ("amz-sdk-invocation-id", "1"), ("amz-sdk-request", "attempt=1")),
    (("Accept-Encoding", "gzip, deflate"), ("Accept", "*/*"), ("Accept-Language", "de")),
    (("Cookie", "a=b; c=d"), ("Referer", "https://example.test/a?b")),
    (("x-amz-server-side-encryption", "AES256"),),
)

_ABSENT: tuple[tuple[str, str, str | None], ...] = (
    ("GET", "refused", "no"), ("HEAD", "refused", "no"), ("DELETE", "refused", "no"), ("PUT", "no", "a"),
    ("GET", "no", "a"), ("GET", "no", None), ("HEAD", "no", None), ("DELETE", "no", None),
)  # fmt: skip


def bodies(side: Side, note: Note) -> None:
    """Every kind of signature with bodies of several sizes, read back."""
    for style in ("path", "virtual"):
        bucket = f"bodies-{style}"
        note(f"{bucket}: made", side.ask("PUT", bucket))
        for how, size in itertools.product(HOWS, SIZES):
            body, cell = (CONTENT * (size // 1000 + 1))[:size], f"body {size} | {how} | {style} |"
            note(f"{cell} PUT", side.ask("PUT", bucket, cell, body=body, how=how, style=style))
            note(f"{cell} GET", side.ask("GET", bucket, cell, style=style))
        note(f"{bucket}: list", side.ask("GET", bucket, style=style))


def refusals(side: Side, note: Note) -> None:
    """Signatures that are wrong, old or missing, and requests that make no sense."""
    note("refusals: made", side.ask("PUT", "refused"))
    note("refusals: stored", side.ask("PUT", "refused", "a", body=CONTENT))
    for method, how in itertools.product(("PUT", "GET", "HEAD", "DELETE"), HOWS):
        body = b"stranger" if method == "PUT" else b""
        cell = f"wrong secret | {how} | {method}"
        note(cell, side.ask(method, "refused", "a", body=body, how=how, keys=side.keys.wrong()))
    for method, bucket, key in _ABSENT:
        note(f"nothing there | {method} {bucket} {key}", side.ask(method, bucket, key))
    for method in ("GET", "HEAD", "PUT", "DELETE", "POST", "OPTIONS"):
        note(
            f"unsigned | {method}", side.ask(method, "refused", "a", how="none", body=b"a" if method == "PUT" else b"")
        )
    for method in ("PATCH", "PROPFIND", "FOO", "TRACE"):
        note(f"method {method}", side.ask(method, "refused", "a"))
    note("too long a key", side.ask("PUT", "refused", "k" * 1025, body=b"a"))
    note("refusals: unharmed", side.ask("GET", "refused", "a"))


QUERIES = {  # as it is signed, and as it is sent instead
    "response-content-type=a%2Fb": ("a/b",),
    "response-content-type=a%3Bb": ("a;b",),
    "response-content-disposition=a%3Bb%2Bc%20d": ("a;b%2Bc+d", "a%3bb%2bc%20d"),
    "response-content-language=a%3Db": ("a=b",),
    "response-content-language=%C3%BC": ("%c3%bc",),
    "response-expires=a%26b%25%23": (),
    "response-cache-control=": (),
    "versionId=null": (),
    "partNumber=1": (),
    "x-id=GetObject": (),
    "b=2&a=1&c=": (),
    "a%2Fb=1": (),
}


def queries(side: Side, note: Note) -> None:
    """Queries, some of them sent otherwise than they are signed."""
    note("queries: made", side.ask("PUT", "queries"))
    note("queries: stored", side.ask("PUT", "queries", "a", body=CONTENT))
    for (query, raws), how in itertools.product(QUERIES.items(), ("v4", "query")):
        signed = side.request("GET", "queries", "a", query, how=how)
        note(f"query {query} | {how}", side.send(signed))
        for raw in raws:
            name, _, value = query.partition("=")
            sent = replace(signed, target=signed.target.replace(f"{name}={value}", f"{name}={raw}"))
            assert sent.target != signed.target
            note(f"query {query} sent as {raw} | {how}", side.send(sent))


def reading(side: Side, note: Note) -> None:
    """Ranges and conditions."""
    note("reading: made", side.ask("PUT", "reading"))
    note("reading: stored", side.ask("PUT", "reading", "a", body=CONTENT))
    note("reading: an empty one", side.ask("PUT", "reading", "empty"))
    for method, words in itertools.product(("GET", "HEAD"), RANGES):
        note(f"range {words} | {method}", side.ask(method, "reading", "a", headers=(("Range", words),)))
    note("range of an empty one", side.ask("GET", "reading", "empty", headers=(("Range", "bytes=0-1"),)))
    for method, headers in itertools.product(("GET", "HEAD"), CONDITIONS):
        note(f"condition {dict(headers)} | {method}", side.ask(method, "reading", "a", headers=headers))
    for number, headers in enumerate(CONDITIONS[:6]):
        note(
            f"condition {dict(headers)} | PUT", side.ask("PUT", "reading", f"put-{number}", headers=headers, body=b"a")
        )
        note(f"condition {dict(headers)} | PUT again", side.ask("PUT", "reading", "a", headers=headers, body=CONTENT))
        copied = tuple((f"x-amz-copy-source-{name.lower()}", value) for name, value in headers)
        source = (("x-amz-copy-source", f"/{side.bucket('reading')}/a"), *copied)
        note(f"condition {dict(headers)} | copy", side.ask("PUT", "reading", f"copy-{number}", headers=source))
    note("reading: list", side.ask("GET", "reading"))


def fields(side: Side, note: Note) -> None:
    """Headers that are kept with an object, and such that are not."""
    note("fields: made", side.ask("PUT", "fields"))
    for number, headers in enumerate(FIELDS):
        key, cell = f"key-{number}", f"field {number} {dict(headers[:2])}"[:120]
        note(f"{cell} | PUT", side.ask("PUT", "fields", key, headers=headers, body=CONTENT))
        note(f"{cell} | HEAD", side.ask("HEAD", "fields", key))
        note(f"{cell} | GET", side.ask("GET", "fields", key, headers=headers if "Accept" in dict(headers) else ()))
        source: Headers = (("x-amz-copy-source", f"/{side.bucket('fields')}/{key}"),)
        note(f"{cell} | copy", side.ask("PUT", "fields", f"copy-{number}", headers=source))
        replaced = (*source, ("x-amz-metadata-directive", "REPLACE"), ("x-amz-meta-new", "n"))
        note(f"{cell} | copy, replaced", side.ask("PUT", "fields", f"copy-{number}", headers=replaced))
        note(f"{cell} | HEAD of the copy", side.ask("HEAD", "fields", f"copy-{number}"))


def many(side: Side, note: Note) -> None:
    """Deleting many at once."""
    note("many: made", side.ask("PUT", "many"))
    for number in range(20):
        side.ask("PUT", "many", f"a+{number}", body=b"a")
    named = "".join(f"<Object><Key>a+{number}</Key></Object>" for number in range(10))
    absent = "".join(f"<Object><Key>no {number}</Key></Object>" for number in range(900))
    for word, objects in (
        ("ten", named),
        ("ten, quietly", f"<Quiet>true</Quiet>{named}"),
        ("absent", absent),
        ("none", ""),
    ):
        body = f"<Delete>{objects}</Delete>".encode()
        headers = (("Content-MD5", md5(body)),)
        note(f"many: {word}", side.ask("POST", "many", None, "delete", headers=headers, body=body))
        note(
            f"many: {word}, wrong sum",
            side.ask("POST", "many", None, "delete", headers=(("Content-MD5", md5(b"")),), body=body),
        )
        note(f"many: {word}, list", side.ask("GET", "many"))
    note("many: no XML", side.ask("POST", "many", None, "delete", body=b"<Delete><Object>"))


def framing(side: Side, note: Note) -> None:
    """How bodies are delimited and asked for."""
    note("framing: made", side.ask("PUT", "framing"))
    right = side.request("PUT", "framing", "a", body=CONTENT, headers=(("Expect", "100-continue"),))
    note("Expect | right", side.send(right, wait=10.0))
    wrong = side.request(
        "PUT", "framing", "a", body=b"b", headers=(("Expect", "100-continue"),), keys=side.keys.wrong()
    )
    note("Expect | wrong secret", side.send(wrong, wait=10.0))
    nowhere = side.request("PUT", "nowhere", "a", body=b"b", headers=(("Expect", "100-continue"),))
    note("Expect | no such bucket", side.send(nowhere, wait=10.0))
    note("Expect | body sent at once", side.send(right))
    note("Expect | read back", side.ask("GET", "framing", "a"))
    for size in (0, 5, 70000):
        data = b"c" * size
        plain = side.request("PUT", "framing", "chunked", how="unsigned")
        chunks = (f"{size:x}\r\n".encode() + data + b"\r\n" if size else b"") + b"0\r\n\r\n"
        sent = Request("PUT", plain.target, (*plain.headers, ("Transfer-Encoding", "chunked")), chunks, length=False)
        note(f"chunked transfer of {size} bytes", side.send(sent))
        note(f"chunked transfer of {size} bytes, read back", side.ask("HEAD", "framing", "chunked"))
    for method in ("PUT", "POST"):
        plain = side.request(method, "framing", "no length", how="unsigned")
        note(f"{method} without a length", side.send(Request(method, plain.target, plain.headers, length=False)))
    made = side.request("PUT", "framing-made")
    note("PUT without a length, a bucket", side.send(Request("PUT", made.target, made.headers, length=False)))
    for word in ("close", "keep-alive", "x-amz-date", "x-amz-meta-a"):
        signed = side.request("PUT", "framing", "b", headers=(("x-amz-meta-a", "b"),), body=b"b")
        note(
            f"Connection: {word}",
            side.send(Request("PUT", signed.target, (*signed.headers, ("Connection", word)), signed.body)),
        )
    note("GET with a body", side.ask("GET", "framing", "a", body=b"body"))
    note("DELETE with a body", side.ask("DELETE", "framing", "a", body=b"body"))
