"""The parts of `s3-client drive` that need no server: contents, versions, answers, counts."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import cast

import pytest
import s3_client
import s3_tally
from hypothesis import given
from hypothesis import strategies as st
from s3_content import BLOCK, Content, ContentError, Reading, Versions
from s3_drive import reason_of
from s3_hdr import Histogram
from s3_operations import Signer
from s3_profile import Profile
from s3_service import Service
from s3_tally import Outcome, Run, Tally
from s3_wire import Connection, Request, WireError, head_of

FIXTURE = Path(__file__).parents[1] / "seter" / "fixtures" / "drive.json"
SIZES = st.one_of(st.integers(0, 100), st.sampled_from([BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 17]))


def read(whole: bytes, versions: Versions, *, piece: int = 5000, reading: Reading | None = None) -> None:
    reading = reading or Reading("run", "k1", versions)
    for at in range(0, len(whole), piece):
        reading.take(whole[at : at + piece])
    reading.finish()


def whole(version: int, size: int, key: str = "k1") -> bytes:
    return b"".join(Content("run", key, version, size).blocks())


def stored(*sizes: int) -> Versions:
    versions = Versions()
    for number, size in enumerate(sizes):
        versions.end(versions.begin(size, 10.0 * number), 10.0 * number + 1)
    return versions


@given(SIZES, st.integers(1, 3 * BLOCK))
def test_what_was_stored_is_read_whatever_its_pieces(size: int, piece: int) -> None:
    assert len(whole(0, size)) == size
    read(whole(0, size), stored(size), piece=piece)


@given(SIZES.filter(bool), st.data())
def test_one_changed_byte_is_found(size: int, data: st.DataObject) -> None:
    content = bytearray(whole(0, size))
    at = data.draw(st.integers(0, size - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ContentError):
        read(bytes(content), stored(size))


@given(SIZES.filter(bool), st.data())
def test_what_is_cut_off_or_goes_on_is_found(size: int, data: st.DataObject) -> None:
    content = whole(0, size)
    with pytest.raises(ContentError):
        read(content[: data.draw(st.integers(0, size - 1))], stored(size))
    with pytest.raises(ContentError):
        read(content + data.draw(st.binary(min_size=1)), stored(size))


def test_swapped_blocks_and_another_key_s_content_are_found() -> None:
    content = whole(0, 2 * BLOCK)
    with pytest.raises(ContentError, match="from byte 7"):
        read(content[BLOCK:] + content[:BLOCK], stored(2 * BLOCK))
    with pytest.raises(ContentError, match="from byte 16"):
        read(whole(0, 100, "k2"), stored(100))


def test_what_was_overwritten_before_the_reading_began_is_old() -> None:
    with pytest.raises(ContentError, match="k1 is old: version 0 after 1"):
        read(whole(0, 50), stored(50, 60))
    read(whole(1, 60), stored(50, 60))


def test_while_it_is_overwritten_both_are_right() -> None:
    versions = stored(50)
    reading = Reading("run", "k1", versions)
    versions.end(versions.begin(60, 20.0), 21.0)
    read(whole(0, 50), versions, reading=reading)
    reading = Reading("run", "k1", stored(50))
    versions = stored(50)
    reading = Reading("run", "k1", versions)
    versions.end(versions.begin(60, 20.0), 21.0)
    read(whole(1, 60), versions, reading=reading)
    assert Reading("run", "k1", versions).sizes() == {60}


def test_of_two_that_were_stored_at_once_either_may_have_come_last() -> None:
    versions = stored(50)
    one, other = versions.begin(60, 20.0), versions.begin(70, 20.5)
    versions.end(other, 21.0)
    versions.end(one, 22.0)
    read(whole(one, 60), versions)
    read(whole(other, 70), versions)
    with pytest.raises(ContentError, match="old"):
        read(whole(0, 50), versions)


def test_a_store_that_failed_may_still_have_happened() -> None:
    versions = stored(50)
    versions.begin(60, 20.0)
    read(whole(0, 50), versions)
    read(whole(1, 60), versions)


def heard(answer: bytes, method: str = "GET") -> tuple[int, bytes, bool]:
    """What a connection makes of an answer: status, body, whether it can be used again."""

    async def exchanged() -> tuple[int, bytes, bool]:
        reader = asyncio.StreamReader(limit=65536)
        reader.feed_data(answer)
        reader.feed_eof()
        connection = Connection(reader, _Nobody())
        found = await connection.exchange(Request(method, "/drive", {"Host": "s3.example.test"}))
        return found.status, found.body, connection.reusable

    return asyncio.run(exchanged())


class _Nobody(asyncio.StreamWriter):
    """Takes what is sent."""

    def __init__(self) -> None:
        pass

    def write(self, data: object) -> None:
        pass

    async def drain(self) -> None:
        pass

    def __del__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(("answer", "found"), [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", (200, b"abc", True)),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: Close\r\n\r\nabc", (200, b"abc", False)),
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", (204, b"", True)),
    (b"HTTP/1.1 200 \r\nTransfer-Encoding:chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\nA:b\r\n\r\n", (200, b"abc", True)),
    (b"HTTP/1.1 503 Slow\r\n\r\nuntil the end", (503, b"until the end", False)),
])  # fmt: skip
def test_answers_are_read_as_http_has_them(answer: bytes, found: tuple[int, bytes, bool]) -> None:
    assert heard(answer) == found


def test_the_answer_to_head_has_no_body() -> None:
    assert heard(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "HEAD") == (200, b"", True)


@pytest.mark.parametrize("answer", [
    b"", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n",
    b"SSH-2.0\r\n\r\n", b"HTTP/1.1 xx\r\n\r\n", b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\nA: " + b"a" * 200_000 + b"\r\n\r\n",
])  # fmt: skip
def test_what_is_no_answer_is_told(answer: bytes) -> None:
    with pytest.raises(WireError):
        heard(answer)


@given(st.binary())
def test_any_head_is_read_or_refused(text: bytes) -> None:
    try:
        status, _ = head_of(b"HTTP/1.1 200 OK\r\n" + text)
    except ValueError:
        return
    assert status == 200


def test_a_request_cannot_have_a_line_put_into_it() -> None:
    with pytest.raises(ValueError, match="end of a line"):
        Request("GET", "/x\r\nA: b", {}).head()


def test_a_signature_covers_what_the_service_must_not_find_changed_and_nothing_that_proxies_change() -> None:
    headers = Signer("access", "secret").signed(
        "PUT", "https://s3.example.test/drive/r/k1", "0" * 64, {"Host": "s3.example.test"}
    )
    signed = headers["Authorization"].partition("SignedHeaders=")[2].partition(",")[0]
    assert signed == "host;x-amz-content-sha256;x-amz-date"
    assert headers["X-Amz-Content-SHA256"] == "0" * 64
    assert "secret" not in json.dumps(headers)


RUN = Run("s3.example.test", ("192.0.2.10",), Profile().document(), 1.0, 10.0, 0, 0)


def outcome(number: int, seconds: float, *, lag: float = 0.0001, reason: str = "", gateway: str = "gw1") -> Outcome:
    return Outcome(number, number / 10, lag, seconds, "GET", "192.0.2.10", gateway, 100, 0, reason, f"id-{number}")


def test_a_run_whose_starts_lagged_behind_is_not_valid_and_says_why() -> None:
    tally = Tally(1.0)
    for number in range(100):
        tally.hear(outcome(number, 0.01, lag=0.004 if number < 98 else 0.0061))
    whole = s3_tally.document(tally, RUN)
    assert whole["valid"] is False
    assert "p99 of the lag behind the plan is 6.1 ms, above 5 ms" in str(whole["invalid"])
    assert "not valid" in s3_tally.as_text(tally, RUN)


def test_a_run_that_kept_to_its_plan_is_valid() -> None:
    tally = Tally(1.0)
    for number in range(100):
        tally.hear(outcome(number, 0.01, lag=0.004))
    assert s3_tally.document(tally, RUN)["valid"] is True and s3_tally.invalid(tally, RUN) == []


def test_a_run_without_requests_or_with_unsent_ones_or_one_that_was_stopped_is_not_valid() -> None:
    assert s3_tally.invalid(Tally(1.0), RUN) == ["no request was sent"]
    tally = Tally(1.0)
    tally.hear(outcome(1, 0.01))
    run = Run("s3.example.test", (), {}, 1.0, 10.0, 4, 3, ("it was stopped after 3 s",))
    assert s3_tally.invalid(tally, run) == ["it was stopped after 3 s", "3 planned requests were not sent"]


def test_failures_and_late_ones_are_told_with_time_gateway_and_reason() -> None:
    tally = Tally(1.0)
    tally.hear(outcome(12, 0.2, reason="answer 503 SlowDown", gateway="gw2"))
    tally.hear(outcome(3, 1.5))
    tally.hear(outcome(4, 0.1))
    whole = s3_tally.document(tally, RUN)
    (failure,), (late,) = tally.told("failed"), tally.told("late")
    assert (failure["planned"], failure["gateway"], failure["reason"]) == (1.2, "gw2", "answer 503 SlowDown")
    assert (late["planned"], late["seconds"], late["gateway"]) == (0.3, 1.5, "gw1")
    assert (whole["ok"], whole["failed"], whole["late"]) == (2, 1, 1)
    assert failure["identifier"] == "id-12"


def test_a_line_has_what_ended_since_the_last_one() -> None:
    tally = Tally(1.0)
    tally.hear(outcome(1, 0.01))
    first, second = tally.line(1, 5, 100.0), tally.line(2, 4, 101.0)
    assert (first["ok"], first["sent"], first["gateways"]) == (1, 5, {"gw1": {"ok": 1, "failed": 0}})
    assert (second["ok"], second["p99"], second["gateways"]) == (0, None, {})


def test_more_failures_than_are_told_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_tally, "TOLD", 5)
    tally = Tally(1.0)
    for number in range(8):
        tally.hear(outcome(number, 0.1, reason="answer 500"))
    whole = s3_tally.document(tally, RUN)
    assert whole["failures_untold"] == 3 and len(tally.told("failed")) == 5


def test_the_example_that_reports_are_tested_with_has_what_a_document_has() -> None:
    tally = Tally(1.0)
    tally.hear(outcome(1, 2.0))
    tally.hear(outcome(2, 0.1, reason="answer 500"))
    example, whole = json.loads(FIXTURE.read_text()), s3_tally.document(tally, RUN)
    assert list(example) == list(whole)
    for name in ("lag", "latency"):
        assert list(example[name]) == list(json.loads(json.dumps(whole))[name])
    for name in ("timeline", "failures", "late_requests"):
        assert list(example[name][0]) == list(json.loads(json.dumps(whole))[name][0])
    assert Histogram.decoded(example["latency"]["histogram"]).total == example["sent"]


def test_reasons_are_for_people() -> None:
    assert reason_of(TimeoutError(), 2.0, 3) == "no answer within 2 s"
    assert reason_of(ConnectionResetError(104, "reset"), 2.0) == "ConnectionResetError: [Errno 104] reset"
    assert reason_of(ConnectionResetError(104, "reset"), 2.0, 3).endswith(
        "on a connection that was kept after 3 answers"
    )
    assert reason_of(ContentError("k1 is old"), 2.0, 3) == "k1 is old"


def test_a_profile_that_cannot_be_driven_is_refused_before_anything_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service = cast(Service, None)
    for profile in ('{"rate": 0}', "[]", str(tmp_path / "none.json"), "{"):
        options = s3_client.command_line().parse_args(["drive", "--profile", profile, "--rate", "5"])
        options.rate = None
        assert s3_client.one_drive(service, ("192.0.2.10",), options) == 2
        assert "cannot be used" in capsys.readouterr().err


def test_a_profile_of_a_log_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "access.log"
    line = {"StartUTC": "2026-11-24T22:00:00Z", "RequestMethod": "HEAD", "RequestPath": "/b/k", "DownstreamStatus": 200}
    log.write_text(json.dumps(line) + "\n")
    assert s3_client.main(["profile", "--from-log", str(log)]) == 0
    assert Profile.parsed(capsys.readouterr().out).operations == {"HEAD": 1.0}
    assert s3_client.main(["profile", "--from-log", str(tmp_path)]) == 2
    assert "cannot be used" in capsys.readouterr().err
