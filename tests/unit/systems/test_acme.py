"""When certificates are renewed, what may be served, who leads, and who answers challenges.

How the agent speaks to an ACME server is tested with a real one (tests/integration/test_roles_acme.py): Debian's
library for it is in the role's image alone.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import acme_policy
import acme_solver
import acme_store
import pytest
import traefik_schema
from acme_policy import Certificate, Window, faults, pause, renew_at
from acme_report import Known
from acme_solver import Answers
from acme_store import LEADER, Account, Order, State, plain, record
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from etcd_lead import Lead, Lost
from hypothesis import given
from hypothesis import strategies as st
from traefik_etcd import OVER, Failed, b64, text_of

from seter.certificates import CERTIFICATE_LIFE, CLOCK_SKEW, Pair, make_authority, make_certificate
from tests.unit.systems.traefik_trees import good_tree

NAMES = ("s3.example.test", "*.s3.example.test")
MOMENTS = st.floats(0, 4e9)
DAY = 86400.0


@pytest.fixture(scope="module")
def authority() -> Pair:
    return make_authority("test")


@pytest.fixture(scope="module")
def pair(authority: Pair) -> Pair:
    return make_certificate(authority, "s3", NAMES)


# When


def of(start: float, end: float, chance: float = 0.5, id: str = "a.b") -> Certificate:
    return Certificate(frozenset(NAMES), start, end, id, chance)


@given(start=MOMENTS, life=st.floats(1, 1e9), fraction=st.floats(0.1, 0.85), chance=st.floats(0, 1))
def test_a_renewal_comes_after_its_fraction_of_life_and_well_before_the_end(
    start: float, life: float, fraction: float, chance: float
) -> None:
    found = of(start, start + life, chance)
    at = renew_at(found, fraction)
    assert start + fraction * found.life - 1e-3 <= at <= start + 0.9 * found.life + 1e-3


@given(start=st.floats(-1e9, 1e9), width=st.floats(0, 1e9), chance=st.floats(0, 1))
def test_the_server_s_window_decides_but_never_lets_a_certificate_end(
    start: float, width: float, chance: float
) -> None:
    found = of(0, 90 * DAY, chance)
    at = renew_at(found, 0.67, Window("a.b", start, start + width, 0))
    assert at <= 0.9 * found.life
    assert at == 0.9 * found.life or start <= at <= start + width + 1


@pytest.mark.parametrize("window", [Window("other.one", 0, 1, 0), Window("a.b", 2, 1, 0), None])
def test_a_window_of_another_certificate_or_of_nobody_decides_nothing(window: Window | None) -> None:
    assert renew_at(of(0, 100, chance=0), 0.67, window) == pytest.approx(67)


@given(failures=st.integers(-5, 10**6), chance=st.floats(0, 1), asked=st.floats(0, 1e6))
def test_waits_double_up_to_a_limit_and_the_server_s_wish_is_kept(failures: int, chance: float, asked: float) -> None:
    wait = pause(failures, 600, 43200, chance, asked)
    assert max(asked, 450) <= wait <= max(asked, 1.25 * 43200)


def test_waits_grow() -> None:
    assert [pause(count, 600, 43200, 0.5) for count in (1, 2, 3, 9)] == [600, 1200, 2400, 43200]


# What


def test_the_names_and_times_of_a_certificate_are_read(pair: Pair) -> None:
    found = acme_policy.certificate(pair.certificate)
    assert found.names == set(NAMES)
    assert found.life == (CERTIFICATE_LIFE + CLOCK_SKEW).total_seconds()
    assert found.left(found.start) == 1 and found.left(found.end + 1) == 0
    assert 0 <= found.chance <= 1 and found == acme_policy.certificate(pair.certificate)


def test_a_certificate_has_the_name_that_rfc_9773_gives_it() -> None:
    """The example of its section 4.1: key identifier and serial number, as DER writes them."""

    class Leaf:
        serial_number = 0x87654321
        identifier = x509.AuthorityKeyIdentifier(bytes.fromhex("69885B6B87466401E1B37B847BA0AE2CDE01C8D4"), None, None)
        extensions = x509.Extensions([x509.Extension(x509.AuthorityKeyIdentifier.oid, False, identifier)])

    leaf: Any = Leaf()
    assert acme_policy.ari_id(leaf) == "aYhba4dGZAHhs3uEe6CuLN4ByNQ.AIdlQyE"


def test_what_was_ordered_is_served(authority: Pair, pair: Pair) -> None:
    assert faults(pair.certificate + authority.certificate, pair.key, NAMES, time.time()) == []


def test_what_is_not_what_was_ordered_is_refused(authority: Pair, pair: Pair) -> None:
    now, other = time.time(), make_authority("other")
    assert faults(pair.certificate, other.key, NAMES, now) == ["it is for another key"]
    assert faults(pair.certificate, pair.key, [*NAMES, "x.test"], now) == ["it is not for x.test"]
    assert faults(pair.certificate, pair.key, NAMES, now + 400 * DAY) == ["its time is over"]
    assert faults(pair.certificate, pair.key, NAMES, now - 2 * DAY) == ["it is not valid yet"]
    assert "not signed by the next" in faults(pair.certificate + other.certificate, pair.key, NAMES, now)[0]
    assert "cannot be read" in faults("nonsense", pair.key, NAMES, now)[0]


@given(text=st.text(), key=st.text())
def test_no_answer_breaks_the_judgement(text: str, key: str) -> None:
    assert faults(text, key, NAMES, 0.0)


def test_a_request_is_for_the_names_and_the_key() -> None:
    key = acme_policy.make_key()
    request = x509.load_pem_x509_csr(acme_policy.request_for(NAMES, key))
    found = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert found.get_values_for_type(x509.DNSName) == list(NAMES) and request.is_signature_valid
    assert isinstance(request.signature_hash_algorithm, hashes.SHA256)


# What all share


class Store:
    """etcd as far as leases, comparisons of revisions and single keys go."""

    def __init__(self) -> None:
        self.keys: dict[str, dict[str, str]] = {}
        self.leases: set[str] = set()
        self.revision, self.granted, self.away = 1, 99, False

    def call(self, request: Mapping[str, Any], path: str = "/v3/kv/txn") -> dict[str, Any]:
        if self.away:
            raise Failed("etcd does not answer", 3)
        acts = {"grant": self.grant, "keepalive": self.keep, "revoke": self.revoke, "txn": self.transaction}
        return acts[path.rpartition("/")[2]](request)

    def keep(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return {"result": {"TTL": "10"} if request["ID"] in self.leases else {}}

    def grant(self, request: Mapping[str, Any]) -> dict[str, Any]:
        self.granted += 1
        name = str(self.granted)
        self.leases.add(name)
        return {"ID": name, "TTL": str(request["TTL"])}

    def revoke(self, request: Mapping[str, Any]) -> dict[str, Any]:
        self.leases.discard(request["ID"])
        for key in [key for key, pair in self.keys.items() if pair.get("lease") == request["ID"]]:
            del self.keys[key]
        return {}

    def transaction(self, request: Mapping[str, Any]) -> dict[str, Any]:
        holds = all(
            self.keys.get(text_of(one["key"]), {"create_revision": "0"})["create_revision"] == one["create_revision"]
            for one in request.get("compare", [])
        )
        answers = [self.one(act) for act in request.get("success" if holds else "failure", [])]
        return {"succeeded": holds, "responses": answers, "header": {"revision": str(self.revision)}}

    def one(self, act: Mapping[str, Any]) -> dict[str, Any]:
        ((kind, what),) = act.items()
        key, end = text_of(what["key"]), text_of(what.get("range_end", b64(text_of(what["key"]) + "\0")))
        found = [pair for name, pair in sorted(self.keys.items()) if key <= name < end]
        if kind == "request_put":
            self.revision += 1
            made = self.keys.get(key, {}).get("create_revision", str(self.revision))
            self.keys[key] = {**what, "create_revision": made}
            return {"response_put": {}}
        if kind == "request_delete_range":
            for pair in found:
                del self.keys[text_of(pair["key"])]
            return {"response_delete_range": {"deleted": str(len(found))}}
        return {"response_range": {"kvs": found}}


@pytest.fixture
def store() -> Store:
    return Store()


def test_one_leads_and_when_it_ends_another_does(store: Store) -> None:
    one, other = Lead(store, "gw1", 10, LEADER), Lead(store, "gw2", 10, LEADER)
    one.hold()
    other.hold()
    assert (one.mine, other.mine) == (True, False)
    one.write({acme_store.TOKENS + "t": "x"}, bound=True)
    assert acme_store.tokens(store) == {"t": "x"}
    one.end()
    assert acme_store.tokens(store) == {}
    other.hold()
    assert (one.mine, other.mine) == (False, True)


def test_each_agent_shows_what_it_was_told_while_it_is_there_and_writes_that_once(store: Store) -> None:
    told = {"gw1": "a", "gw2": "b"}
    one, other = (Lead(store, node, 10, LEADER, {acme_store.AGENTS + node: told[node]}) for node in told)
    for _ in range(3):
        one.hold()
        other.hold()
    assert acme_store.seen_in(store.call(acme_store.READ)).agents == told
    revision = store.revision
    other.hold()
    assert store.revision == revision
    other.end()
    assert acme_store.seen_in(store.call(acme_store.READ)).agents == {"gw1": "a"}


def test_who_was_cut_off_and_believes_that_it_leads_changes_nothing(store: Store) -> None:
    one, other = Lead(store, "gw1", 10, LEADER), Lead(store, "gw2", 10, LEADER)
    one.hold()
    store.revoke({"ID": "100"})  # its time ran out in etcd
    other.hold()
    assert one.mine
    with pytest.raises(Lost):
        one.write({"seter/acme/state": "wrong"})
    assert "seter/acme/state" not in store.keys and not one.mine


def test_a_leader_that_cannot_reach_etcd_soon_leads_no_more(store: Store) -> None:
    lead, said = Lead(store, "gw1", 0, LEADER), list[str]()
    lead.hold()
    store.away = True
    ending = threading.Event()
    thread = threading.Thread(target=lead.stay, args=(ending, lambda text: (said.append(text), ending.set())))
    thread.start()
    thread.join(10)
    assert said == ["etcd does not answer"] and not lead.mine
    with pytest.raises(Lost):
        lead.must()


def test_records_come_back_as_they_were_written(store: Store, pair: Pair) -> None:
    lead = Lead(store, "gw1", 10, LEADER)
    lead.hold()
    account, state = Account("https://ca/dir", '{"d": "secret"}', "https://ca/1"), State(orders=3, last_error="x")
    order = Order("https://ca/dir", "https://ca/order", NAMES, pair.key)
    lead.write({"seter/acme/account": plain(account), "seter/acme/order": plain(order)})
    lead.write({"seter/acme/state": plain(state)})
    lead.write(acme_store.over(pair.certificate, pair.key))
    seen = acme_store.seen_in(store.call(acme_store.READ))
    assert (seen.leader, seen.account, seen.order, seen.state) == ("gw1", account, order, state)
    assert seen.over["tls/certificates/00/certFile"] == pair.certificate
    assert "secret" not in repr(seen) and pair.key not in repr(seen)
    assert acme_store.clear(store) and not acme_store.clear(store)


@given(text=st.one_of(st.text(), st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps)))
def test_a_record_that_is_none_is_nothing(text: str) -> None:
    assert record(Order, text) is None and record(Account, None) is None


def test_what_lies_over_a_tree_fits_it(pair: Pair) -> None:
    over = {key.removeprefix(OVER): text for key, text in acme_store.route(9561, ["10.0.0.1", "10.0.0.2"]).items()}
    over |= {key.removeprefix(OVER): text for key, text in acme_store.over(pair.certificate, pair.key).items()}
    rendered = {key.replace("certificates/0/", "certificates/00/"): text for key, text in good_tree().items()}
    assert traefik_schema.problems(rendered | over) == []
    # The certificate for clients that name none is the guard's, and nobody can put another in its place.
    for key in ("certFile", "keyFile"):
        assert traefik_schema.problems(rendered | {f"tls/stores/default/defaultCertificate/{key}": pair.certificate})


# What is said


def test_status_and_metrics_say_whose_certificate_it_is_and_what_went_wrong(store: Store, pair: Pair) -> None:
    lead, known = Lead(store, "gw1", 10, LEADER), Known(enabled=True)
    assert not known.report()["ok"]
    lead.hold()
    state = State(orders=2, failures=3, last_error="rateLimited: too many", last_error_at=time.time())
    lead.write({**acme_store.over(pair.certificate, pair.key), "seter/acme/state": plain(state)})
    known.learn(acme_store.seen_in(store.call(acme_store.READ)), leads=True)
    report = known.report()
    assert report["ok"] and report["issuer"] == "acme" and "failed 3x: rateLimited" in report["summary"]
    assert {"acme_leader 1", "acme_failures 3", "acme_orders_total 2"} <= set(known.metrics().splitlines())
    assert 'acme_certificate_life_left_ratio{issuer="acme"}' in known.metrics()
    known.away("etcd does not answer")
    assert not known.report()["ok"] and "acme_leader 0" in known.metrics()


def test_without_a_server_the_deployment_s_certificate_is_told_of(store: Store, pair: Pair) -> None:
    store.keys["traefik/tls/certificates/00/certFile"] = {
        "key": b64("traefik/tls/certificates/00/certFile"), "value": b64(pair.certificate), "create_revision": "1",
    }  # fmt: skip
    known = Known(enabled=False)
    known.learn(acme_store.seen_in(store.call(acme_store.READ)), leads=False)
    assert known.report()["ok"] and known.report()["issuer"] == "deployment"
    assert "acme_orders_total" not in known.metrics()
    late = datetime.now(UTC) - CERTIFICATE_LIFE + timedelta(days=30)
    old = make_certificate(make_authority("old", late), "s3", NAMES, late)
    assert known.seen is not None
    known.learn(replace(known.seen, plain=old.certificate), leads=False)
    assert not known.report()["ok"]


# Challenges


def test_any_node_answers_a_challenge_and_nothing_else() -> None:
    asked: list[float] = []

    def read() -> Mapping[str, str]:
        asked.append(time.monotonic())
        return {"to-ken_1": "to-ken_1.thumb"}

    server = acme_solver.serve(0, Answers(read))
    address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        with urllib.request.urlopen(f"{address}/.well-known/acme-challenge/to-ken_1", timeout=5) as answer:
            assert answer.read() == b"to-ken_1.thumb"
        for path in ("/.well-known/acme-challenge/other", "/.well-known/acme-challenge/a/../to-ken_1", "/metrics", "/"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(f"{address}{path}", timeout=5)
    finally:
        server.shutdown()
        server.server_close()


def test_strangers_who_guess_do_not_have_etcd_asked_for_each_guess() -> None:
    asked: list[float] = []

    def read() -> Mapping[str, str]:
        asked.append(time.monotonic())
        return {}

    answers = Answers(read)
    for guess in range(100):
        assert answers.of(str(guess)) == ""
    assert len(asked) <= 3
