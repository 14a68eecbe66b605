"""Heads, bodies and ranges of requests are read strictly; nothing that comes makes the reader fail in another way."""

from __future__ import annotations

import socket
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from naust.serve.connection import Body, Connection, Gone
from naust.serve.head import LONGEST_HEAD, Head, Refused, parse
from naust.serve.ranges import Unsatisfiable, named, only, part, upload_part


def head(*lines: str, first: str = "GET / HTTP/1.1", host: str = "Host: a") -> Head:
    return parse("\r\n".join([first, *((host,) if host else ()), *lines, "", ""]).encode("latin-1"))


def refused(*lines: str, first: str = "GET / HTTP/1.1", host: str = "Host: a") -> int:
    with pytest.raises(Refused) as error:
        head(*lines, first=first, host=host)
    return error.value.status


def test_a_head_says_what_is_asked() -> None:
    found = head("Content-Length: 5", "X: a", "x:  b ", first="PUT /a%20b/c?n=1&n=2&e= HTTP/1.1")
    assert (found.method, found.path, found.length, found.persistent) == ("PUT", "/a b/c", 5, True)
    assert (found.query, found.header("x")) == ({"n": ("1", "2"), "e": ("",)}, "a, b")
    assert (found.asked("n"), found.asked("none")) == ("1", "")
    assert head("Transfer-Encoding: Chunked").length is None
    assert head(first="GET http://b:80/c HTTP/1.1").path == "/c"
    assert not head("Connection: keep-alive, Close").persistent
    assert not head(first="GET / HTTP/1.0", host="").persistent


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["Content-Length: 5", "Content-Length: 5"], 400),
        (["Content-Length: 5", "Content-Length: 6"], 400),
        (["Content-Length: 5, 5"], 400),
        (["Content-Length: +5"], 400),
        (["Content-Length: -5"], 400),
        (["Content-Length: 5_0"], 400),
        (["Content-Length: 0x5"], 400),
        (["Content-Length: \xb2"], 400),
        (["Content-Length:"], 400),
        (["Content-Length: 9999999999999999999"], 400),
        (["Content-Length: 5", "Transfer-Encoding: chunked"], 400),
        (["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], 400),
        (["Transfer-Encoding: chunked, chunked"], 501),
        (["Transfer-Encoding: gzip, chunked"], 501),
        (["Transfer-Encoding: identity"], 501),
        (["Transfer-Encoding:\x0bchunked"], 400),
        (["Transfer-Encoding : chunked"], 400),
        ([" Transfer-Encoding: chunked"], 400),
        (["X: a", "\tb"], 400),
        (["X: a\rTransfer-Encoding: chunked"], 400),
        (["X: a\nTransfer-Encoding: chunked"], 400),
        (["X: a\0b"], 400),
        (["no colon"], 400),
        ([": value"], 400),
        (["Host: b"], 400),
        ([f"X{number}: y" for number in range(100)], 431),
    ],
)
def test_what_could_be_understood_in_two_ways_is_refused(lines: list[str], status: int) -> None:
    assert refused(*lines) == status


@pytest.mark.parametrize(
    ("first", "status"),
    [
        ("GET /", 400),
        ("GET  / HTTP/1.1", 400),
        ("GET / HTTP/1.1 ", 400),
        (" GET / HTTP/1.1", 400),
        ("GET\t/ HTTP/1.1", 400),
        ("G(T / HTTP/1.1", 400),
        ("BREW / HTTP/1.1", 501),
        ("GET / HTTP/2.0", 505),
        ("GET / HTTP/11", 400),
        ("GET x HTTP/1.1", 400),
        ("GET * HTTP/1.1", 400),
        ("GET /../x HTTP/1.1", 400),
        ("GET /a/%2e%2e/x HTTP/1.1", 400),
        ("GET /a/%2E/x HTTP/1.1", 400),
        ("GET /a%2f..%2fx HTTP/1.1", 400),
        ("GET /a%00 HTTP/1.1", 400),
        ("GET /a%0a HTTP/1.1", 400),
        ("GET /a%5cb HTTP/1.1", 400),
        ("GET /a%ff HTTP/1.1", 400),
        ("GET /a%zz HTTP/1.1", 400),
        ("GET /\xe4 HTTP/1.1", 400),
        ("GET /#x HTTP/1.1", 400),
        (f"GET /{'a' * 9000} HTTP/1.1", 414),
        ("GET /?" + "&".join("a=1" for _ in range(60)) + " HTTP/1.1", 400),
    ],
)
def test_a_strange_request_line_is_refused(first: str, status: int) -> None:
    assert refused(first=first) == status


def test_a_request_names_one_host() -> None:
    assert refused(host="") == 400
    assert refused(host="Host: a/b") == 400
    assert refused(host="Host: a@b") == 400
    assert head(host="Host: [::1]:80").header("host") == "[::1]:80"


@given(st.binary(max_size=300) | st.text(max_size=100).map(lambda text: f"GET {text} HTTP/1.1\r\nHost: a".encode()))
@settings(max_examples=300, deadline=None)
def test_no_head_makes_the_reader_fail(data: bytes) -> None:
    try:
        found = parse(data + b"\r\n\r\n")
    except Refused as error:
        assert 400 <= error.status < 600
        return
    assert found.path.startswith("/")
    assert not {"..", "."} & set(found.path.split("/"))
    assert found.path.isprintable()


# Bodies


def body_of(data: bytes, *fields: str, limit: int = 1 << 20) -> tuple[Body, socket.socket]:
    ours, theirs = socket.socketpair()
    theirs.sendall(data)
    theirs.shutdown(socket.SHUT_WR)
    ours.settimeout(5)
    return Body(Connection(ours, "test"), head(*fields, first="PUT / HTTP/1.1"), limit), theirs


def pieces(data: bytes, *fields: str, limit: int = 1 << 20, size: int = 8) -> bytes:
    body, theirs = body_of(data, *fields, limit=limit)
    with theirs:
        return b"".join(bytes(piece) for piece in body.pieces(memoryview(bytearray(size))))


CHUNKED = "Transfer-Encoding: chunked"


def test_a_body_ends_where_it_says() -> None:
    assert pieces(b"hello world", "Content-Length: 5") == b"hello"
    assert pieces(b"", "Content-Length: 0") == b""
    assert pieces(b"5\r\nhello\r\n0a;x=y\r\n world and\r\n0\r\nA: b\r\n\r\n", CHUNKED) == b"hello world and"


@pytest.mark.parametrize(
    "data",
    [
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloX\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"-1\r\n\r\n",
        b"\r\n",
        b"g\r\n",
        b"1" * 16 + b"\r\n",
        b"5;" + b"a" * 2000 + b"\r\nhello\r\n0\r\n\r\n",
        b"0\r\n" + b"A: b\r\n" * 3000 + b"\r\n",
    ],
)
def test_a_malformed_chunk_is_refused(data: bytes) -> None:
    with pytest.raises(Refused):
        pieces(data, CHUNKED)


def test_what_came_before_a_connection_broke_comes_out() -> None:
    body, theirs = body_of(b"123456789012", "Content-Length: 20")
    found = bytearray()
    with theirs, pytest.raises(Gone):
        for piece in body.pieces(memoryview(bytearray(8))):
            found += piece
    assert found == b"123456789012"


def test_a_body_above_the_limit_is_refused() -> None:
    for fields, data in (("Content-Length: 30", b"x" * 30), (CHUNKED, b"1e\r\n" + b"x" * 30 + b"\r\n0\r\n\r\n")):
        with pytest.raises(Refused) as error:
            pieces(data, fields, limit=20)
        assert error.value.status == 413


@given(st.binary(max_size=200) | st.lists(st.sampled_from([b"5", b"0", b"\r\n", b"hello", b";", b"A:b"])).map(b"".join))
@settings(max_examples=200, deadline=None)
def test_no_chunked_body_makes_the_reader_fail(data: bytes) -> None:
    with suppress(Refused, Gone):
        assert len(pieces(data, CHUNKED)) <= len(data)


def test_a_head_may_come_in_pieces_but_not_for_ever() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        connection = Connection(ours, "test")
        theirs.sendall(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n")
        connection.fill()
        assert connection.head() is None
        theirs.sendall(b"\r\nGET /2 HTTP/1.1\r\n\r\n")
        connection.fill()
        assert connection.head() == b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        assert connection.head() == b"GET /2 HTTP/1.1\r\n\r\n"
        theirs.sendall(b"x" * (LONGEST_HEAD + 1))
        connection.fill()
        with pytest.raises(Refused):
            connection.head()


# Ranges and conditions


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-4", (0, 5)),
        ("bytes=5-", (5, 5)),
        ("bytes=-3", (7, 3)),
        ("bytes=-30", (0, 10)),
        ("bytes=8-100", (8, 2)),
        ("Bytes=0-0", (0, 1)),
        ("", None),
        ("bytes=0-1,3-4", None),
        ("lines=0-1", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
    ],
)
def test_a_range_is_a_part_or_nothing(header: str, expected: tuple[int, int] | None) -> None:
    assert part(header, 10) == expected


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=5-4", "bytes=-0", "bytes=99-100"])
def test_a_range_outside_is_told(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        part(header, 10)


@given(st.text(max_size=40) | st.from_regex(r"bytes=[0-9]{0,20}-[0-9]{0,20}", fullmatch=True), st.integers(0, 1 << 50))
@settings(max_examples=300, deadline=None)
def test_no_range_leads_outside(header: str, size: int) -> None:
    try:
        found = part(header, size)
    except Unsatisfiable:
        return
    assert found is None or (found[0] >= 0 and found[1] > 0 and sum(found) <= size)


def test_the_place_of_a_chunk() -> None:
    assert upload_part("") is None
    assert upload_part("5-9") == upload_part("bytes 5-9/20") == (5, 5)
    for wrong in ("9-5", "a-b", "5", "-5", "5-"):
        with pytest.raises(ValueError, match=wrong):
            upload_part(wrong)


def test_entity_tags_are_compared() -> None:
    assert named('"a", W/"b"', "b")
    assert named("*", "b")
    assert named("sha256:b", "sha256:b")
    assert not named('"ab"', "b")
    assert only('"sha256:a"') == only("sha256:a") == "sha256:a"
    for wrong in ("", '"a", "b"', "*,a"):
        with pytest.raises(ValueError):
            only(wrong)
