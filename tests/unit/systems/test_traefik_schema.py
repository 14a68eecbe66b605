"""What is refused before it can take Traefik down."""

from __future__ import annotations

import re

import pytest
import traefik_schema
from hypothesis import given
from hypothesis import strategies as st
from traefik_schema import problems

from tests.unit.systems.traefik_trees import CERTIFICATE, POOL, good_tree


def test_a_good_tree_has_no_problems() -> None:
    assert problems(good_tree()) == []


@given(servers=st.integers(1, 120))
def test_lists_of_any_length_are_good_when_padded(servers: int) -> None:
    assert problems(good_tree(servers)) == []


@given(data=st.data())
def test_a_missing_place_in_a_list_is_found(data: st.DataObject) -> None:
    servers = data.draw(st.integers(3, 30))
    gone = data.draw(st.integers(0, servers - 2))
    start = f"{POOL}/servers/{gone:0{len(str(servers - 1))}}/"
    tree = {key: value for key, value in good_tree(servers).items() if not key.startswith(start)}
    assert any("count from 0 without a hole" in problem for problem in problems(tree))


def test_places_of_unequal_width_are_found() -> None:
    tree = good_tree(10) | {f"{POOL}/servers/10/url": "http://10.0.0.10:7480"}
    (problem,) = problems(tree)
    assert problem.startswith(f"{POOL}/servers: pad the places of the list to one width, 0, 1, 10, 2, ")


def test_a_tree_without_routers_is_refused() -> None:
    assert problems({}) == ["the tree has no router: Traefik would answer 404 to everybody"]
    assert problems({f"{POOL}/strategy": "wrr"}) == problems({})


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        (f"{POOL}/stratgy", "wrr", "knows no such key"),
        (f"{POOL}/strategy/", "wrr", "knows no such key"),
        (f"{POOL}/strategy", "nope", "must be one of wrr, p2c, hrw, leasttime"),
        (f"{POOL}/servers/0/weight", "abc", "whole number"),
        (f"{POOL}/servers/0/weight", "-1", "whole number"),
        (f"{POOL}/servers/0/url", "10.0.0.1:7480", "it must read http://HOST:PORT"),
        (f"{POOL}/servers/0/url", "http://10.0.0.1:99999", "it is no URL"),
        (f"{POOL}/servers/0/url", "http://10.0.0.1:7480/", "it must end after the port"),
        (f"{POOL}/servers/0/url", "http://me:word@10.0.0.1", "it must end after the port"),
        (f"{POOL}/healthCheck/interval", "abc", "must be a duration"),
        ("http/middlewares/whole/buffering/maxRequestBodyBytes", "0", "at least 1"),
        (f"{POOL}/healthCheck/interval", "250", "must be a duration"),
        (f"{POOL}/healthCheck/interval", "0s", "longer than nothing"),
        (f"{POOL}/healthCheck/path", "swift", "must start with /"),
        (f"{POOL}/healthCheck/status", "99", "HTTP status"),
        (f"{POOL}/passHostHeader", "yes", "true or false"),
        (f"{POOL}/serversTransport", "nobody", "there is no http/serversTransports/nobody"),
        (f"{POOL}/passiveHealthCheck/maxFailedAttempts", "-3", "whole number"),
        ("http/routers/s3/service", "rados", "there is no http/services/rados"),
        ("http/routers/s3/middlewares/0", "agian", "there is no http/middlewares/agian"),
        ("http/routers/s3/priority", "x", "whole number"),
        ("http/routers/s3/tls/options", "strict", "there is no tls/options/strict"),
        ("http/middlewares/again/retry/attempts", "0", "at least 1"),
        ("http/middlewares/again/retry/status/0", "99", "HTTP status"),
        ("http/middlewares/again/retry/status/0", "502-", "HTTP status"),
        ("http/middlewares/again/retry/disableRetryOnNetworkError", "1", "true or false"),
        ("http/middlewares/again/retri/attempts", "1", "knows no such key"),
        ("http/serversTransports/radosgw/maxIdleConnsPerHost", "-2", "whole number"),
        ("http/serversTransports/radosgw/maxIdleConnsPerHost", "0", "at least 1"),
        ("tls/certificates/0/certFile", "junk", "no certificate in PEM"),
        ("tls/certificates/0/keyFile", CERTIFICATE, "no private key in PEM"),
        ("tls/options/default/minVersion", "TLS12", "must be one of VersionTLS10"),
        ("udp/routers/x/service", "y", "knows no such key"),
    ],
)
def test_a_wrong_key_or_value_is_named(key: str, value: str, fault: str) -> None:
    found = problems(good_tree() | {key: value})
    assert len(found) == 1
    assert found[0].startswith(f"{key}: ")
    assert fault in found[0]


@pytest.mark.parametrize("needed", ["http/routers/s3/rule", "http/routers/s3/service", "tls/certificates/0/keyFile"])
def test_what_a_thing_needs_must_be_there(needed: str) -> None:
    tree = good_tree()
    del tree[needed]
    folder, _, name = needed.rpartition("/")
    assert f"{folder}: {name} is missing" in problems(tree)


def test_a_service_cannot_be_two_things() -> None:
    tree = good_tree() | {
        "http/services/radosgw/failover/service": "radosgw",
        "http/services/radosgw/failover/fallback": "radosgw",
    }
    assert problems(tree) == ["http/services/radosgw: it cannot be failover and loadBalancer at once"]


def test_weights_that_are_all_zero_are_found() -> None:
    tree = {key: "0" if key.endswith("/weight") else value for key, value in good_tree().items()}
    assert problems(tree) == [f"{POOL}/servers: all weights are 0, so nothing is sent anywhere"]


def test_what_another_provider_has_is_believed() -> None:
    assert problems(good_tree() | {"http/routers/s3/middlewares/0": "again@file"}) == []
    assert problems(good_tree() | {"http/routers/s3/middlewares/0": "again@"}) != []


@pytest.mark.parametrize(
    "rule",
    [
        "Host(`a.example`)",
        'Host("a.example")',
        "Host(`a.example`) && PathPrefix(`/x`) || !(Method(`PUT`) && ClientIP(`10.0.0.0/8`))",
        "!!Host(`a`)",
        "Header(`X-A`, `b`) && Query(`a`)",
        "HostRegexp(`^\\[?2001:db8::10\\]?$`)",
    ],
)
def test_rules_that_traefik_takes_are_taken(rule: str) -> None:
    assert traefik_schema.rule(rule) == ""


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ("", "a matcher is missing after 0 parts of the rule"),
        ("Hots(`a`)", "there is no matcher Hots"),
        ("Host(`a`", "')' is missing after 3 parts of the rule"),
        ("Host(a)", "an argument in quotes is missing after 2 parts of the rule"),
        ("Host(`a`, `b`)", "Host takes 1 arguments, not 2"),
        ("Host(`a`) Host(`b`)", "'Host' does not belong where it stands"),
        ("Host(`a`) &&", "a matcher is missing after 5 parts of the rule"),
        ("Host(`a`) & Host(`b`)", "'& Host(`b`)' is not understood"),
        ("Host(`*.a`)", "'*.a' is no host name"),
        ("HostRegexp(`(`)", "is no regular expression"),
        ("PathPrefix(`x`)", "the path 'x' does not start with /"),
        ("ClientIP(`10.0.0.0/33`)", "is neither an address nor a prefix"),
    ],
)
def test_rules_that_traefik_would_drop_are_named(rule: str, fault: str) -> None:
    assert fault in traefik_schema.rule(rule)


def nested(leaves: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    joined = st.tuples(leaves, st.sampled_from(["&&", "||"]), leaves).map(" ".join)
    return joined.map(lambda text: f"({text})") | joined | leaves.map(lambda text: f"!({text})")


RULES = st.recursive(st.from_regex(r"Host\(`[a-z0-9.-]{1,20}`\)", fullmatch=True), nested)


@given(rule=RULES)
def test_every_rule_of_the_grammar_is_taken(rule: str) -> None:
    assert traefik_schema.rule(rule) == ""


@given(rule=st.text(max_size=80))
def test_no_text_breaks_the_parser(rule: str) -> None:
    assert isinstance(traefik_schema.rule(rule), str)


@given(key=st.sampled_from(sorted(good_tree())), junk=st.text(max_size=40))
def test_no_value_breaks_the_validator(key: str, junk: str) -> None:
    assert all(isinstance(problem, str) for problem in problems(good_tree() | {key: junk}))


@given(number=st.integers(1, 10**6), unit=st.sampled_from(["ns", "us", "ms", "s", "m", "h"]))
def test_durations_need_their_unit(number: int, unit: str) -> None:
    assert traefik_schema.duration(f"{number}{unit}") == ""
    assert traefik_schema.duration(str(number)) != ""


def test_every_reference_and_need_is_about_known_keys() -> None:
    known = set(traefik_schema.KEYS)
    assert set(traefik_schema.REFERENCES) <= known
    for folder, names in traefik_schema.NEEDED.items():
        for name in names:
            assert re.sub(r"/0/", "/#/", f"{folder}/{name}") in known
