"""What S3 servers say, read: listings, dates, errors, and how long to wait."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import BadInput, Conflict, Corrupt, Denied, Error, NotFound, Unavailable
from naust.store.s3_answers import bare, failure, page, seen, since, told
from naust.wire.transport import Transport
from tests.lab.faults import answering

NOW = "Wed, 25 Nov 2026 04:50:00 GMT"
LISTED = """<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix>p%2B/</Prefix>
<IsTruncated>true</IsTruncated><NextContinuationToken>next+one</NextContinuationToken><EncodingType>url</EncodingType>
<Contents><Key>p%2B/a+b%2Fc</Key><LastModified>2026-11-25T04:49:00.000Z</LastModified><ETag>&quot;abc&quot;</ETag>
<Size>7</Size><StorageClass>STANDARD</StorageClass></Contents></ListBucketResult>"""


@contextmanager
def answer(body: str, **headers: str) -> Iterator[object]:
    server = answering(200, {"Date": NOW, **headers}, body.encode())
    with server, Transport().request("GET", f"http://{server.address}/") as given:
        yield given


def test_a_page_of_a_listing_is_read_with_what_is_special_in_its_keys() -> None:
    with answer(LISTED) as given:
        found, token = page(given, len("p+/"))  # type: ignore[arg-type]
    assert [(each.key, each.size, each.etag) for each in found] == [("a b/c", 7, "abc")]
    assert token == "next+one"
    assert found[0].age == timedelta(seconds=59)


def test_a_last_page_has_no_token_and_one_without_a_namespace_is_read_too() -> None:
    plain = LISTED.replace(' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"', "").replace("true", "false")
    with answer(plain) as given:
        found, token = page(given, 0)  # type: ignore[arg-type]
    assert (len(found), token) == (1, "")


@pytest.mark.parametrize("body", ["", "<html>", "{}", "<a><b></a>"])
def test_what_is_no_listing_is_said_to_be_none(body: str) -> None:
    with answer(body) as given, pytest.raises(Corrupt):
        page(given, 0)  # type: ignore[arg-type]


def test_an_object_is_described_by_its_headers() -> None:
    headers = {"Last-Modified": "Wed, 25 Nov 2026 04:49:58 GMT", "ETag": '"e"', "x-amz-meta-sha256": "00"}
    with answer("four", **headers) as given:
        found = seen("key", given)  # type: ignore[arg-type]
    assert (found.size, found.etag, found.age, found.sha256) == (4, "e", timedelta(seconds=1), "00")


def test_an_age_is_rather_too_little_than_too_much() -> None:
    assert since("2026-11-25T04:49:58Z", NOW) == timedelta(seconds=1)
    assert since("2026-11-25T04:49:58.250Z", NOW) == timedelta(seconds=1.75)
    assert since("Wed, 25 Nov 2026 04:50:00 GMT", NOW) == timedelta(0)
    assert since("2026-11-25T05:00:00Z", NOW) == timedelta(0)
    assert since(datetime(2026, 11, 25, 4, 0, tzinfo=UTC), NOW) == timedelta(minutes=50) - timedelta(seconds=1)


@given(text=st.text(max_size=40))
def test_no_date_is_too_strange_to_be_read(text: str) -> None:
    assert since(text, NOW) >= timedelta(0) and since(NOW, text) >= timedelta(0)


@pytest.mark.parametrize(("etag", "read"), [('"a"', "a"), ("a", "a"), ('W/"a"', "a"), ('"a-3"', "a-3"), ("", "")])
def test_an_etag_is_taken_without_what_http_puts_around_it(etag: str, read: str) -> None:
    assert bare(etag) == read


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (404, "NoSuchBucket", BadInput),
        (404, "NoSuchKey", NotFound),
        (403, "AccessDenied", Denied),
        (404, "XAdminUserNotFound", Denied),
        (403, "RequestTimeTooSkewed", Denied),
        (412, "PreconditionFailed", Conflict),
        (409, "ConditionalRequestConflict", Conflict),
        (503, "SlowDown", Unavailable),
        (500, "UnknownError", Unavailable),
        (400, "RequestTimeout", Unavailable),
        (400, "XAmzContentSHA256Mismatch", Unavailable),
        (501, "NotImplemented", Error),
        (400, "InvalidArgument", Error),
    ],
)
def test_what_a_server_says_is_the_error_that_it_means(status: int, code: str, error: type[Error]) -> None:
    assert type(failure("b", "PUT http://host/b/k", status, code, "")) is error
    body = f"<Error><Code>{code}</Code></Error>".encode()
    server, transport = answering(status, {"Retry-After": "3"}, body), Transport()
    url = f"http://{server.address}/b/k"
    with server, pytest.raises(Error) as raised, told("b"), transport.request("PUT", url, body=b""):
        pass
    assert type(raised.value) is error
    if isinstance(raised.value, Unavailable) and status >= 500:
        assert raised.value.retry_after == timedelta(seconds=3)
