"""Requests that can be made without knowing the answers before: over HTTP/1.1 and over HTTP/2 alike."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from tests.lab.s3.sides import Side
from tests.lab.s3.table_keys import KEYS
from tests.lab.s3.table_objects import RANGES
from tests.lab.s3.wire import Headers, Request

BUCKET = "http2"


def requests(side: Side) -> Iterator[tuple[str, Request]]:
    """Cell → request, in the order in which they are to be sent."""
    yield "made", side.request("PUT", BUCKET)
    for word, key in KEYS.items():
        style = "virtual" if len(word) % 2 else "path"
        for method, how in (("PUT", "unsigned"), ("GET", "v4"), ("HEAD", "v4"), ("GET", "query"), ("GET", "v2")):
            body = f"this is {word}".encode() if method == "PUT" else b""
            cell = f"key {word} | {style} | {how} | {method}"
            yield cell, side.request(method, BUCKET, key, body=body, how=how, style=style)
    for words in RANGES:
        yield f"range {words}", side.request("GET", BUCKET, "a", headers=(("Range", words),))
    for page in (
        "",
        "list-type=2&encoding-type=url&delimiter=%2F",
        "prefix=a%3B",
        "max-keys=2&marker=a%2Bb",
        "versions",
    ):
        yield f"list {page}", side.request("GET", BUCKET, None, page)
    fields: Headers = (("x-amz-meta-a", "b;c"), ("Content-Type", "text/plain"), ("Cookie", "a=b; c=d"))
    yield "fields | PUT", side.request("PUT", BUCKET, "fields", headers=fields, body=b"fields")
    yield "fields | HEAD", side.request("HEAD", BUCKET, "fields")
    packed: Headers = (("Content-Encoding", "gzip"),)
    yield "packed | PUT", side.request("PUT", BUCKET, "packed", headers=packed, body=b"as it was stored")
    yield "packed | GET", side.request("GET", BUCKET, "packed")
    for method, how in itertools.product(("PUT", "GET", "DELETE"), ("v4", "query")):
        body = b"stranger" if method == "PUT" else b""
        yield (
            f"wrong secret | {how} | {method}",
            side.request(method, BUCKET, "a", body=body, how=how, keys=side.keys.wrong()),
        )
    text = "".join(f"<Object><Key>no {number}</Key></Object>" for number in range(200))
    yield "many deleted", side.request("POST", BUCKET, None, "delete", body=f"<Delete>{text}</Delete>".encode())
    for word, key in KEYS.items():
        yield f"key {word} | DELETE", side.request("DELETE", BUCKET, key)
    yield "list after", side.request("GET", BUCKET)
