"""Profiles of the role s3-client: read, made of logs, turned into requests."""

from __future__ import annotations

import itertools
import json
import statistics
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from s3_log import parsed, profile_of
from s3_profile import ARRIVALS, CONNECTIONS, OPERATIONS, SETTLED, Plan, Profile, Sizes

from seter.chaos.allowance import read_terms

WEIGHTS = st.dictionaries(st.sampled_from(OPERATIONS), st.floats(0.01, 100), min_size=1)
SIZES = st.tuples(st.integers(0, 5000), st.integers(0, 5000), st.floats(0.01, 9)).map(
    lambda drawn: Sizes(drawn[0], drawn[0] + drawn[1], drawn[2])
)
PROFILES = st.builds(
    Profile,
    rate=st.floats(0.5, 500),
    arrival=st.sampled_from(ARRIVALS),
    seed=st.integers(0, 2**53),
    objects=st.integers(1, 300),
    exponent=st.floats(0, 10),
    operations=WEIGHTS,
    sizes=st.lists(SIZES, min_size=1, max_size=4).map(tuple),
    connections=st.sampled_from(CONNECTIONS),
    timeout=st.floats(0.001, 3600),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
NAMES = st.sampled_from([*Profile().document()])


@given(PROFILES)
def test_a_profile_reads_as_it_was_written(profile: Profile) -> None:
    assert Profile.parsed(json.dumps(profile.document())) == profile


@given(st.one_of(st.text(), JSON.map(json.dumps), st.dictionaries(NAMES, JSON).map(json.dumps)))
def test_any_text_is_a_profile_that_can_be_driven_or_is_refused(text: str) -> None:
    try:
        profile = Profile.parsed(text)
    except ValueError:
        return
    assert list(itertools.islice(Plan(profile, 1.0).requests(), 3)) is not None


def test_the_load_of_an_experiment_may_ask_for_all_that_the_client_can_do() -> None:
    for operation in OPERATIONS:
        asked = {"operations": {operation: 1}}
        assert read_terms([{"name": "seter", "load": asked}], "a").load.operations == {operation: 1}


def test_all_faults_of_a_profile_are_told_at_once() -> None:
    text = json.dumps({
        "rate": -1, "arival": "x", "operations": {"FETCH": 1}, "sizes": [{"at_least": 9, "at_most": 3}],
        "objects": 1.5, "connections": ["kept"], "timeout": True, "format": 2,
    })  # fmt: skip
    with pytest.raises(ValueError, match="rate is -1") as refused:
        Profile.parsed(text)
    for words in ("arival", "FETCH", "no weight", "at_most is 3", "objects is 1.5", "connections", "timeout", "format"):
        assert words in str(refused.value)


def test_constant_arrivals_are_equally_far_apart() -> None:
    dues = [one.due for one in Plan(Profile(rate=50, arrival="constant"), 2.0).requests()]
    assert dues == [number / 50 for number in range(100)]


def test_poisson_arrivals_have_the_mean_and_spread_of_poisson() -> None:
    dues = [one.due for one in Plan(Profile(rate=200, seed=3), 60.0).requests()]
    gaps = [later - earlier for earlier, later in itertools.pairwise(dues)]
    assert dues == sorted(dues) and dues[0] > 0 and dues[-1] < 60
    assert statistics.mean(gaps) == pytest.approx(1 / 200, rel=0.05)
    assert statistics.stdev(gaps) == pytest.approx(1 / 200, rel=0.05)


@given(PROFILES)
@settings(max_examples=30)
def test_a_seed_gives_the_same_requests_again_and_another_seed_others(profile: Profile) -> None:
    def some() -> list[object]:
        return list(itertools.islice(Plan(profile, 1e9).requests(), 40))

    assert some() == some()
    assert [*Plan(profile, 1.0).prepared()] == [*Plan(profile, 1.0).prepared()]


def test_operations_sizes_and_keys_come_as_often_as_they_weigh() -> None:
    profile = Profile(
        rate=1000, objects=50, exponent=1.0, operations={"GET": 60.0, "PUT": 30.0, "DELETE": 10.0},
        sizes=(Sizes(1000, 1999, 3.0), Sizes(100_000, 199_999, 1.0)),
    )  # fmt: skip
    requests = list(Plan(profile, 60.0).requests())
    kinds = Counter(one.operation for one in requests)
    assert {kind: round(count / len(requests), 1) for kind, count in kinds.items()} == {
        "GET": 0.6,
        "PUT": 0.3,
        "DELETE": 0.1,
    }
    sizes = [one.size for one in requests if one.operation == "PUT"]
    assert all(1000 <= size <= 1999 or 100_000 <= size <= 199_999 for size in sizes)
    assert statistics.mean(size < 2000 for size in sizes) == pytest.approx(0.75, abs=0.02)
    keys = Counter(one.key for one in requests if one.operation == "GET")
    assert keys["k0"] / keys["k1"] == pytest.approx(2, rel=0.1) and keys["k0"] / keys["k9"] == pytest.approx(
        10, rel=0.3
    )


def test_what_is_removed_is_read_by_nobody_and_was_stored_some_time_ago() -> None:
    profile = Profile(rate=500, operations={"GET": 1.0, "PUT": 2.0, "DELETE": 1.0, "MULTIPART": 0.1})
    stored: dict[str, float] = {}
    found = 0
    for one in Plan(profile, 30.0).requests():
        if one.operation in ("PUT", "MULTIPART"):
            stored[one.key] = one.due
        if one.operation == "DELETE":
            assert one.key.startswith("n")
            found += one.key in stored
            assert one.due - stored.pop(one.key, -SETTLED) >= SETTLED
        if one.operation == "GET":
            assert one.key.startswith("k")
    assert found > 1000


def traefik(at: int, method: str, path: str, *, size: int = 0, status: int = 200, host: str = "s3.example.test") -> str:
    sizes = {
        "RequestContentSize": size if method == "PUT" else 0,
        "DownstreamContentSize": size if method == "GET" else 0,
    }
    start = f"2026-11-24T22:{at // 60:02}:{at % 60:02}.500000123Z"  # as Traefik writes it
    return json.dumps({"StartUTC": start, "RequestMethod": method, "RequestPath": path, "RequestHost": host,
                       "DownstreamStatus": status, "ClientHost": "203.0.113.9", **sizes})  # fmt: skip


S3 = (
    'owner pictures [24/Nov/2026:22:00:{at:02} +0000] 203.0.113.9 requester 3E57427F REST.{what} {key} '
    '"GET /pictures/{key}?X-Amz-Signature=abc HTTP/1.1" {status} - {sent} {size} 70 10 "-" "aws-cli \\"x\\"" - host= '
    "SigV4 ECDHE AuthHeader s3.example.test TLSv1.2"
)  # fmt: skip


def test_a_log_of_traefik_gives_rate_operations_sizes_and_popularity() -> None:
    lines = [traefik(n % 60, "GET", f"/b/secret-{n % 3}", size=5000) for n in range(600)]
    lines += [traefik(5, "PUT", "/b/secret-9", size=70_000), traefik(6, "HEAD", "/b/secret-9"), "nonsense", "{}"]
    lines += [
        traefik(7, "DELETE", "/b/x"),
        traefik(8, "GET", "/b/"),
        traefik(8, "POST", "/b/"),
        traefik(9, "POST", "/b/u"),
    ]
    lines += [traefik(9, "POST", "/b/u"), traefik(9, "GET", "/key", size=5000, host="b.s3.example.test")]
    found = profile_of(lines)
    assert found.operations == {"DELETE": 2, "GET": 601, "HEAD": 1, "LIST": 1, "MULTIPART": 1, "PUT": 1}
    assert found.rate == pytest.approx(607 / 59, rel=0.02)
    assert Sizes(4096, 8191, 601.0) in found.sizes and Sizes(65536, 131071, 1.0) in found.sizes
    assert Profile.parsed(json.dumps(found.document())) == found


def test_an_upload_of_unknown_length_is_an_upload() -> None:
    found = profile_of([traefik(1, "PUT", "/b/k", size=-1), traefik(2, "PUT", "/b/k", size=300)])
    assert found.operations == {"PUT": 2} and found.sizes == (Sizes(256, 511, 1.0),)


def test_a_log_of_s3_gives_the_same() -> None:
    asked = [
        ("GET.OBJECT", 200, 9),
        ("PUT.OBJECT", 200, 4),
        ("HEAD.OBJECT", 404, 1),
        ("GET.BUCKET", 200, 1),
        ("POST.UPLOAD", 200, 1),
        ("PUT.BUCKET", 200, 1),
    ]
    lines = [
        S3.format(at=n % 60, what=what, key="-" if "BUCKET" in what else f"K-{n}", status=code, sent=2000, size=2000)
        for what, code, count in asked
        for n in range(count)
    ]  # fmt: skip
    found = profile_of(lines)
    assert found.operations == {"GET": 9, "PUT": 4, "HEAD": 1, "LIST": 1, "MULTIPART": 1, "BUCKET": 1}
    assert found.sizes == (Sizes(1024, 2047, 13.0),) and found.objects == 9


@given(st.lists(st.text(alphabet='abc-/ ~é"\\', min_size=3).map(lambda text: "SECRET" + text), min_size=1, max_size=5))
def test_a_profile_of_a_log_has_nothing_of_its_requests(keys: list[str]) -> None:
    lines = [traefik(1, "GET", f"/b/{key}", size=10) for key in keys]
    lines += [S3.format(at=1, what="GET.OBJECT", key="SECRET", status=200, sent=1, size=1)]
    text = json.dumps(profile_of(lines).document())
    assert not any(word in text for word in ("SECRET", "203.0.113", "Signature", "pictures", "example"))


@given(st.text())
def test_any_line_is_read_or_passed_over(text: str) -> None:
    parsed(text)
    parsed("{" + text)


@given(st.dictionaries(st.sampled_from([*json.loads(traefik(1, "GET", "/a/b"))]), JSON))
def test_any_object_is_read_or_passed_over(found: dict[str, object]) -> None:
    parsed(json.dumps({**json.loads(traefik(1, "GET", "/a/b")), **found}))


def test_a_log_without_a_request_is_refused() -> None:
    with pytest.raises(ValueError, match="no request"):
        profile_of(["", "nonsense"])


def test_requests_that_come_like_a_clock_are_told_from_those_that_come_by_chance() -> None:
    assert profile_of([traefik(n // 5, "GET", "/b/k") for n in range(300)]).arrival == "constant"
    chance = Plan(Profile(rate=5, seed=8), 59.0).requests()
    assert profile_of([traefik(int(one.due), "GET", "/b/k") for one in chance]).arrival == "poisson"
