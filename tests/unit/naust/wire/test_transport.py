"""The HTTP client: what it makes of answers, where credentials go, what it never takes for whole."""

from __future__ import annotations

import io
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import BadInput, Conflict, Corrupt, Denied, Error, NotFound, Unavailable
from common.model import Secret
from naust.store.access import Access
from naust.wire.patience import Busy
from naust.wire.transport import Answer, Origin, Outgoing, Transport, basic, bearer, retry_after, shown
from tests.lab.faults import Fault, FaultProxy, answering
from tests.lab.serving import certificate

CONTENT = bytes(range(256)) * 400
TOKEN = Secret("very-secret-token")


@pytest.fixture
def transport() -> Iterator[Transport]:
    found = Transport(Access(idle=timedelta(seconds=0.5)))
    yield found
    found.close()


def content(transport: Transport, url: str) -> bytes:
    with transport.request("GET", url, credential=bearer(TOKEN)) as answer:
        return answer.content()


def part(transport: Transport, url: str, start: int, length: int | None) -> bytes:
    with transport.part(url, start, length) as body:
        return body.read()


@contextmanager
def saying(*answers: bytes, hold: float = 0.0) -> Iterator[str]:
    """A server that says exactly these bytes, one after the other, each to a connection of its own; its URL."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve() -> None:
            for answer in answers:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    client.recv(1 << 16)
                    client.sendall(answer)
                    time.sleep(hold)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/x"


# Statuses


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, Error), (401, Denied), (403, Denied), (404, NotFound), (409, Conflict), (410, NotFound),
        (412, Conflict), (418, Error),
        (429, Busy), (500, Unavailable), (502, Unavailable), (503, Busy), (504, Unavailable),
    ],
)  # fmt: skip
def test_a_status_becomes_the_error_that_it_stands_for(transport: Transport, status: int, error: type[Error]) -> None:
    with answering(status, body=b"because\x1b[31m") as server, pytest.raises(error) as found:
        content(transport, f"http://{server.address}/v2/x?signature=abc")
    assert type(found.value) is error
    assert "because" in found.value.details and str(status) in found.value.details
    assert "\x1b" not in str(found.value) and "signature" not in str(found.value)


def test_what_the_server_asks_to_wait_is_kept(transport: Transport) -> None:
    with answering(429, {"Retry-After": "7"}) as server, pytest.raises(Unavailable) as found:
        content(transport, f"http://{server.address}/")
    assert found.value.retry_after == timedelta(seconds=7)


def test_retry_after_is_seconds_or_a_date() -> None:
    now = datetime(2026, 11, 25, tzinfo=UTC)
    assert retry_after("120") == timedelta(minutes=2)
    assert retry_after(format_datetime(now + timedelta(seconds=30), usegmt=True), now) == timedelta(seconds=30)
    assert retry_after(format_datetime(now - timedelta(days=1), usegmt=True), now) == timedelta(0)
    assert retry_after("") is retry_after("soon") is retry_after("-1") is None


@given(st.text())
def test_no_retry_after_is_too_strange(text: str) -> None:
    found = retry_after(text)
    assert found is None or found >= timedelta(0)


def test_a_server_that_repeats_our_token_does_not_get_it_into_an_error(transport: Transport) -> None:
    with answering(403, body=f"no {TOKEN.value} here".encode()) as server, pytest.raises(Denied) as found:
        content(transport, f"http://user:{TOKEN.value}@{server.address}/?token={TOKEN.value}")
    assert TOKEN.value not in str(found.value) + repr(found.value)


# Redirects and credentials (case NA-08)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_origin_is_followed_without_credentials(transport: Transport, status: int) -> None:
    with answering(200, body=CONTENT) as other:
        with answering(status, {"Location": f"http://{other.address}/there"}) as first:
            assert content(transport, f"http://{first.address}/here") == CONTENT
        assert first.seen[0].headers["authorization"] == bearer(TOKEN).value
        assert "authorization" not in other.seen[0].headers


def test_a_redirect_within_the_origin_keeps_credentials(transport: Transport) -> None:
    with answering(200, body=CONTENT) as server:
        server.faults.insert(0, Fault(status=307, headers={"Location": "/there x?y=ü"}))
        assert content(transport, f"http://{server.address}/here") == CONTENT
    assert [each.headers.get("authorization") for each in server.seen] == [bearer(TOKEN).value] * 2


def test_credentials_do_not_come_back_after_a_way_round(transport: Transport) -> None:
    with answering(200, body=CONTENT) as first, answering(302) as other:
        first.faults.insert(0, Fault(status=302, headers={"Location": f"http://{other.address}/"}))
        other.faults[0].headers = {"Location": f"http://{first.address}/back"}
        content(transport, f"http://{first.address}/here")
    assert "authorization" not in first.seen[1].headers


def test_a_redirect_from_https_to_http_is_refused(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    with answering(200, body=CONTENT) as plain, FaultProxy(certificate=cert, key=key) as secure:
        secure.add(Fault(status=307, headers={"Location": f"http://{plain.address}/"}))
        with pytest.raises(Denied) as found:
            content(Transport(Access(ca=cert)), f"https://{secure.address}/")
    assert "not encrypted" in found.value.message and not plain.seen


def test_a_circle_of_redirects_is_left(transport: Transport) -> None:
    with answering(302, {"Location": "/b"}) as server, pytest.raises(Error) as found:
        content(transport, f"http://{server.address}/b")
    assert "circle" in found.value.message and len(server.seen) == 1
    with answering(302) as server, pytest.raises(Error, match="circle"):
        server.faults.clear()
        server.add(*(Fault(status=302, headers={"Location": f"/{number}"}) for number in range(100)))
        content(transport, f"http://{server.address}/start")
    assert len(server.seen) < 20


def test_a_body_goes_again_to_where_it_is_redirected(transport: Transport) -> None:
    with answering(201) as server:
        server.faults.insert(0, Fault(status=307, headers={"Location": "/there"}))
        body = Outgoing(io.BytesIO(CONTENT), len(CONTENT))
        with transport.request("PUT", f"http://{server.address}/here", body=body):
            pass
    assert [each.up for each in server.seen] == [len(CONTENT)] * 2


def test_a_redirect_that_would_lose_the_body_is_refused(transport: Transport) -> None:
    with (
        answering(302, {"Location": "/there"}) as server,
        pytest.raises(Error) as found,
        transport.request("PUT", f"http://{server.address}/here", body=b"x"),
    ):
        pass
    assert "another request" in found.value.message


# Answers that are not whole, or too much


@pytest.mark.parametrize("cut", [0, 1, 5000, len(CONTENT) - 1])
@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
def test_a_short_body_is_never_whole_and_gives_all_that_came(transport: Transport, cut: int, reset: bool) -> None:
    with answering(200, body=CONTENT) as origin, FaultProxy(origin.address) as proxy:
        proxy.add(Fault(cut_answer=cut, reset=reset))
        came = b""
        with pytest.raises(Unavailable), transport.request("GET", f"http://{proxy.address}/") as answer:
            while piece := answer.body.read(1 << 20):
                came += piece
    # After a reset the kernel may throw away what the program had not fetched yet.
    assert came == CONTENT[:cut] or (reset and CONTENT.startswith(came))


def test_silence_is_noticed(transport: Transport) -> None:
    with answering(200, body=CONTENT) as origin, FaultProxy(origin.address) as proxy:
        proxy.add(Fault(silent_answer=5000))
        begun, came = time.monotonic(), b""
        with pytest.raises(Unavailable, match="broke"), transport.request("GET", f"http://{proxy.address}/") as answer:
            while piece := answer.body.read(1 << 20):
                came += piece
        assert 0.4 < time.monotonic() - begun < 3 and came == CONTENT[:5000]


def test_what_came_together_with_the_head_is_not_lost_in_the_silence_behind_it(transport: Transport) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
    with saying(head + CONTENT[:5000], hold=2.0) as url, transport.request("GET", url) as answer:
        assert answer.body.read(1 << 20) == CONTENT[:5000]
        with pytest.raises(Unavailable, match="broke"):
            answer.body.read(1 << 20)


@given(sizes=st.lists(st.integers(1, 20_000), min_size=1, max_size=20))
@settings(deadline=None, max_examples=20)
def test_a_body_is_read_in_pieces_of_any_size(sizes: list[int]) -> None:
    with answering(200, body=CONTENT) as server, Transport().request("GET", f"http://{server.address}/") as answer:
        came = b"".join(answer.body.read(size) for size in sizes)
        assert came == CONTENT[: len(came)] and len(came) == min(sum(sizes), len(CONTENT))
        assert came + answer.content() == CONTENT


def test_a_server_that_takes_nothing_is_noticed(transport: Transport) -> None:
    with answering(201) as origin, FaultProxy(origin.address) as proxy, pytest.raises(Unavailable):
        proxy.add(Fault(silent_request=0))
        with transport.request("PUT", f"http://{proxy.address}/", body=Outgoing(io.BytesIO(bytes(64 << 20)), 64 << 20)):
            pass


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"HTTP", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 2oo OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(200)) + b"\r\n",
    ],
)  # fmt: skip
def test_what_is_no_answer_is_an_error_and_not_data(transport: Transport, answer: bytes) -> None:
    with saying(answer, answer) as url, pytest.raises(Unavailable):
        content(transport, url)


@given(st.binary(max_size=200))
def test_no_bytes_of_a_server_are_more_than_an_error(data: bytes) -> None:
    with saying(b"HTTP/1.1 200 OK\r\n" + data, data) as url:
        transport = Transport(Access(idle=timedelta(seconds=0.2)))
        for _ in range(2):
            with suppress(Error):
                content(transport, url)


def test_bytes_that_nobody_asked_for_do_not_answer_the_next_request(transport: Transport) -> None:
    first = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    with saying(first, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood", hold=0.2) as url:
        assert content(transport, url) == b"ok"
        assert content(transport, url) == b"good"


def test_an_answer_in_memory_is_bounded(transport: Transport) -> None:
    with answering(200, body=b"[" * 5000) as server:
        url = f"http://{server.address}/"
        with transport.request("GET", url) as answer, pytest.raises(Corrupt, match="longer"):
            answer.content(4999)
        with transport.request("GET", url) as answer, pytest.raises(Corrupt, match="no JSON"):
            answer.json()


def test_an_encoded_answer_is_refused(transport: Transport) -> None:
    with answering(200, {"Content-Encoding": "gzip"}, b"x") as server, pytest.raises(Error, match="gzip"):
        content(transport, f"http://{server.address}/")
    assert server.seen[0].headers["accept-encoding"] == "identity"


# Ranges


def ranged(start: int, end: int, total: int | str = len(CONTENT), *, body: bytes | None = None) -> Fault:
    """A 206 with this Content-Range."""
    sent = CONTENT[start : end + 1] if body is None else body
    return Fault(status=206, headers={"Content-Range": f"bytes {start}-{end}/{total}"}, body=sent)


def test_a_server_that_ignores_ranges_gives_the_same_bytes(transport: Transport) -> None:
    with answering(200, body=CONTENT) as server:
        for start, length in ((0, 10), (100, 50), (len(CONTENT) - 5, 10), (len(CONTENT) + 5, 10), (7, None), (0, None)):
            expected = CONTENT[start:] if length is None else CONTENT[start : start + length]
            assert part(transport, f"http://{server.address}/", start, length) == expected
    assert server.seen[1].headers["range"] == "bytes=100-149" and "range" not in server.seen[-1].headers


def test_a_range_read_off_by_one_gives_the_right_bytes(transport: Transport) -> None:
    with FaultProxy() as server:
        server.add(ranged(99, 149), ranged(99, 150))
        for _ in range(2):
            assert part(transport, f"http://{server.address}/", 100, 50) == CONTENT[100:150]


@pytest.mark.parametrize("fault", [ranged(101, 150), ranged(100, 130), ranged(100, 149, body=CONTENT[100:140])])
def test_a_part_that_is_not_what_was_asked_for_is_not_taken(transport: Transport, fault: Fault) -> None:
    with FaultProxy() as server, pytest.raises(Unavailable):
        server.add(fault)
        part(transport, f"http://{server.address}/", 100, 50)


def test_behind_the_end_there_is_nothing_but_a_wrong_end_is_trouble(transport: Transport) -> None:
    with answering(416, {"Content-Range": "bytes */1000"}) as server:
        assert part(transport, f"http://{server.address}/", 1000, 5) == b""
        with pytest.raises(Unavailable):
            part(transport, f"http://{server.address}/", 999, 5)


def test_a_server_that_does_not_understand_ranges_is_asked_for_all(transport: Transport) -> None:
    with answering(200, body=CONTENT) as server:
        server.faults.insert(0, Fault(status=416))
        assert part(transport, f"http://{server.address}/", 100, 50) == CONTENT[100:150]


# Connections


def test_connections_are_used_again_and_a_dead_one_is_no_trouble(transport: Transport) -> None:
    with answering(200, body=CONTENT) as origin, FaultProxy(origin.address) as proxy:
        url = f"http://{proxy.address}/"
        for _ in range(5):
            assert content(transport, url) == CONTENT
    with saying(*[b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"] * 3) as url:
        for _ in range(3):
            assert content(transport, url) == b"ok"  # the server ends each connection without saying so


def test_many_threads_may_use_it(transport: Transport) -> None:
    with answering(200, body=CONTENT) as server:
        wrong: list[object] = []

        def work() -> None:
            for _ in range(20):
                if content(transport, f"http://{server.address}/") != CONTENT:
                    wrong.append(1)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong and len(server.seen) == 160


@pytest.mark.parametrize("size", [0, 5, (3 << 20) + 1], ids=["none", "few", "3MiB"])
@pytest.mark.parametrize("known", [True, False])
def test_files_and_streams_are_sent_whole(transport: Transport, tmp_path: Path, size: int, known: bool) -> None:
    data = os.urandom(size)
    (tmp_path / "file").write_bytes(b"skipped" + data)
    for raw in (True, False):
        with answering(201) as server, (tmp_path / "file").open("rb", buffering=0 if raw else 8192) as file:
            file.seek(7)
            seen = io.BytesIO()
            body = Outgoing(file, size if known else None, None if raw else seen.write)  # type: ignore[arg-type]
            with transport.request("PUT", f"http://{server.address}/", body=body):
                assert server.seen[0].up == size
            assert raw or seen.getvalue() == data


def test_a_source_that_ends_early_is_told_and_nothing_is_taken_for_whole(transport: Transport, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(2 << 20))
    with answering(201) as origin, FaultProxy(origin.address) as server, (tmp_path / "file").open("rb") as file:
        for source in (file, io.BytesIO(bytes(2 << 20))):
            with pytest.raises(Corrupt, match="5 bytes early"):
                body = Outgoing(source, (2 << 20) + 5)
                with transport.request("PUT", f"http://{server.address}/", body=body):
                    pass
        assert not origin.seen or all(each.status == 0 for each in origin.seen)


def test_an_early_answer_to_an_upload_is_heard(transport: Transport) -> None:
    body = Outgoing(io.BytesIO(bytes(50 << 20)), 50 << 20)
    with (
        saying(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig", hold=0.1) as url,
        pytest.raises(Error) as found,
        transport.request("PUT", url, body=body),
    ):
        pass
    assert "413" in found.value.details or isinstance(found.value, Unavailable)  # the kernel may have dropped it


def test_nobody_there_is_unavailable(transport: Transport) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}/", "http://no-such-host.invalid/"):
        with pytest.raises(Unavailable, match="cannot be reached"):
            content(transport, url)


def test_a_certificate_that_nobody_vouches_for_is_refused_and_not_retried(tmp_path: Path, transport: Transport) -> None:
    cert, key = certificate(tmp_path)
    with FaultProxy(certificate=cert, key=key) as server:
        server.add(Fault(status=200, body=CONTENT, times=None))
        with pytest.raises(Error, match="not trusted") as found:
            content(transport, f"https://{server.address}/")
        assert not isinstance(found.value, Unavailable) and not server.seen
        assert content(Transport(Access(ca=cert)), f"https://{server.address}/") == CONTENT
        with pytest.raises(BadInput):
            content(Transport(Access(ca=tmp_path / "no")), f"https://{server.address}/")


def test_the_proxy_of_the_environment_is_used_but_not_for_this_machine(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with answering(200, body=b"by proxy") as proxy, answering(200, body=b"itself") as server:
        monkeypatch.setenv("http_proxy", f"http://me:secret@{proxy.address}")
        monkeypatch.setenv("no_proxy", "elsewhere.invalid")
        assert content(transport, "http://store.invalid:8080/x?y") == b"by proxy"
        assert proxy.seen[0].target == "http://store.invalid:8080/x?y"
        assert proxy.seen[0].headers["host"] == "store.invalid:8080"
        assert proxy.seen[0].headers["proxy-authorization"] == basic("me", Secret("secret")).value
        assert content(transport, f"http://{server.address}/") == b"itself"
        with pytest.raises(Unavailable):
            content(transport, "http://elsewhere.invalid/")


# Texts


def test_an_origin_is_scheme_host_and_port() -> None:
    assert (
        Origin.of("HTTPS://Example.org/x") == Origin.of("https://example.org:443/y") != Origin.of("http://example.org")
    )
    assert str(Origin.of("https://[::1]:5000/")) == "https://[::1]:5000" and Origin.of("http://[::1]/").is_local
    assert Origin.of("http://127.0.0.2/").is_local and not Origin.of("http://127.example.org/").is_local
    for url in ("ftp://x/", "https://", "x", "http://x:99999/", "http://x:y/"):
        with pytest.raises(BadInput):
            Origin.of(url)


def test_what_is_shown_of_a_url_holds_no_secret() -> None:
    assert shown("https://user:pass@host:1/path?X-Amz-Signature=abc#d") == "https://host:1/path"


def test_an_answer_knows_its_headers_in_any_case(transport: Transport) -> None:
    with answering(200, {"X-Thing": "yes"}) as server, transport.request("GET", f"http://{server.address}/") as answer:
        assert isinstance(answer, Answer) and answer.header("x-thing") == "yes" and answer.header("other") == ""
    assert server.seen[0].headers["user-agent"].startswith("naust/")
