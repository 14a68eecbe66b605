from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import traefik_etcd
import traefik_guard
import traefik_schema
from traefik_etcd import Etcd, Failed, Seen, digest_of
from traefik_guard import Config, Guard, State, merged

from seter.certificates import CERTIFICATE_LIFE, make_authority, make_certificate
from tests.unit.systems.traefik_trees import POOL, good_tree

ALWAYS = {"tls": {"stores": {"default": {"defaultCertificate": {"certFile": "/a", "keyFile": "/b"}}}}}


# Values of the kinds that Traefik's file provider takes


def test_a_tree_becomes_nested_values_of_the_right_kinds() -> None:
    found: Any = traefik_schema.document(good_tree(12) | {"http/routers/s3/tls/options": "default"})
    router = found["http"]["routers"]["s3"]
    assert router["tls"] == {"options": "default"} and router["middlewares"] == ["again"]
    pool = found["http"]["services"]["radosgw"]["loadBalancer"]
    assert [server["url"] for server in pool["servers"]] == [f"http://10.0.0.{place}:7480" for place in range(12)]
    assert pool["servers"][0]["weight"] == 1 and pool["healthCheck"]["interval"] == "250ms"
    assert found["http"]["middlewares"]["again"]["retry"]["attempts"] == 3
    assert found["tls"]["certificates"][0]["certFile"].startswith("-----BEGIN CERTIFICATE-----")


@pytest.mark.parametrize(("value", "tls"), [("true", {"tls": {}}), ("false", {})])
def test_a_router_without_tls_has_none(value: str, tls: dict[str, object]) -> None:
    tree = good_tree() | {"http/routers/s3/tls": value}
    found: Any = traefik_schema.document(tree)
    assert {key: part for key, part in found["http"]["routers"]["s3"].items() if key == "tls"} == tls


def test_flags_are_flags(value: str = "true") -> None:
    found: Any = traefik_schema.document(good_tree() | {f"{POOL}/passHostHeader": value})
    assert found["http"]["services"]["radosgw"]["loadBalancer"]["passHostHeader"] is True


def test_what_always_holds_stays_beside_what_etcd_has() -> None:
    one = {"tls": {"certificates": [1], "stores": {"default": {"x": 1}}}, "http": {}}
    both = merged(one, {"tls": {"stores": {"default": {"x": 2, "y": 3}}}})
    assert both == {"tls": {"certificates": [1], "stores": {"default": {"x": 1, "y": 3}}}, "http": {}}


# The guard


class Store:
    """What etcd has, at a revision; or that it is away."""

    def __init__(self) -> None:
        self.tree: dict[str, str] = {}
        self.revision = 5
        self.away = False

    def read(self, _config: Config) -> tuple[Seen, int]:
        if self.away:
            raise Failed("etcd does not answer", 3)
        return Seen(self.revision + 100, self.tree), self.revision if self.tree else 0


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    found = Store()
    monkeypatch.setattr(traefik_guard, "read", found.read)
    monkeypatch.setattr(traefik_guard, "pair_problems", lambda tree, folder: [])
    monkeypatch.setattr(traefik_guard, "ended", lambda tree, before, folder: [])
    return found


def guard(folder: Path, always: Mapping[str, Any] = ALWAYS) -> Guard:
    made = Guard(Config(Etcd("127.0.0.1", 1, folder), folder, 9554, "127.0.0.1", always), State())
    made.begin()
    return made


def given(folder: Path) -> Any:
    return json.loads((folder / "tree.yml").read_text())


def test_a_good_tree_is_given_to_traefik_once(tmp_path: Path, store: Store) -> None:
    one = guard(tmp_path)
    assert given(tmp_path) == ALWAYS
    store.tree = good_tree()
    assert one.look() == 105 and one.look() == 105
    assert one.state.changes == 1 and one.state.in_step and one.state.applied == 5
    assert given(tmp_path)["tls"]["stores"] == ALWAYS["tls"]["stores"] and given(tmp_path)["http"]["routers"]
    assert (tmp_path / "tree.yml").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["applied.json", "tree.yml"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda tree: tree.clear(),
        lambda tree: tree.update({"http/routers/s3/rule": "Host("}),
        lambda tree: tree.update({f"{POOL}/strategy": "best"}),
        lambda tree: tree.update({"http/nothing": "x"}),
        lambda tree: tree.pop("http/routers/s3/rule"),
    ],
    ids=["empty", "rule", "strategy", "key", "missing"],
)
def test_an_empty_or_wrong_tree_never_reaches_traefik(tmp_path: Path, store: Store, damage: Any) -> None:
    store.tree = good_tree()
    one = guard(tmp_path)
    one.look()
    before = given(tmp_path)
    damage(store.tree)
    store.revision += 1
    one.look()
    assert given(tmp_path) == before and not one.state.in_step
    assert one.state.applied == 5 and one.state.refused and "traefik_guard_refused 1" in one.state.metrics()
    store.tree = good_tree(3)
    store.revision += 1
    one.look()
    assert one.state.in_step and len(given(tmp_path)["http"]["services"]["radosgw"]["loadBalancer"]["servers"]) == 3


def test_a_certificate_without_its_key_is_refused(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traefik_guard, "pair_problems", lambda tree, folder: ["no pair"])
    store.tree = good_tree()
    one = guard(tmp_path)
    one.look()
    assert one.state.refused == "no pair" and given(tmp_path) == ALWAYS


def certificate(days: int) -> tuple[str, str]:
    """One that was made so many days from now, and its key."""
    made = make_certificate(make_authority("test"), "s3", ["s3.example.test"], datetime.now(UTC) + timedelta(days=days))
    return made.certificate, made.key


def with_certificate(pair: tuple[str, str]) -> dict[str, str]:
    place = "tls/certificates/00"
    rest = {key: value for key, value in good_tree().items() if not key.startswith("tls/certificates/")}
    return rest | {f"{place}/certFile": pair[0], f"{place}/keyFile": pair[1]}


@pytest.mark.parametrize(
    ("days", "why"), [(-CERTIFICATE_LIFE.days - 1, "certificate has expired"), (2, "certificate is not yet valid")]
)
def test_a_new_certificate_that_no_client_would_take_is_refused(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch, days: int, why: str
) -> None:
    monkeypatch.setattr(traefik_guard, "ended", traefik_etcd.ended)
    store.tree = with_certificate(certificate(0))
    one = guard(tmp_path)
    one.look()
    before = given(tmp_path)
    assert one.state.in_step, one.state.refused
    store.tree, store.revision = with_certificate(certificate(days)), 6
    one.look()
    assert given(tmp_path) == before and one.state.refused.endswith(why)
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("applied.json", "tree.yml")] == []
    store.tree, store.revision = with_certificate(certificate(-1)), 7
    one.look()
    assert one.state.in_step and given(tmp_path) != before


def test_a_certificate_that_ends_while_it_is_served_holds_up_no_other_change(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = certificate(-CERTIFICATE_LIFE.days - 1)
    store.tree = with_certificate(served)
    one = guard(tmp_path)
    one.look()
    monkeypatch.setattr(traefik_guard, "ended", traefik_etcd.ended)
    store.tree, store.revision = with_certificate(served) | {f"{POOL}/passHostHeader": "false"}, 6
    one.look()
    assert one.state.in_step and one.state.applied == 6


def test_a_guard_that_starts_without_etcd_leaves_the_last_good_tree(
    tmp_path: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    store.tree = good_tree()
    guard(tmp_path).look()
    before = given(tmp_path)
    store.away = True
    later = guard(tmp_path)
    with pytest.raises(Failed):
        later.look()
    later.lost("etcd does not answer")
    later.lost("etcd does not answer")
    assert capsys.readouterr().err.count("etcd does not answer") == 1
    assert given(tmp_path) == before and later.state.applied == 5
    assert later.state.report()["summary"] == "etcd is away" and "traefik_guard_etcd_up 0" in later.state.metrics()
    store.away = False
    later.look()
    assert later.state.in_step and later.state.changes == 0


def test_what_always_holds_now_is_taken_up_with_the_same_tree(tmp_path: Path, store: Store) -> None:
    store.tree = good_tree()
    guard(tmp_path).look()
    before = given(tmp_path)
    other = guard(tmp_path, {"tls": {"stores": {"default": {"defaultCertificate": {"certFile": "/c"}}}}})
    assert given(tmp_path) == before  # etcd may be away
    other.look()
    assert given(tmp_path)["tls"]["stores"]["default"]["defaultCertificate"] == {"certFile": "/c"}
    assert given(tmp_path)["http"] == before["http"] and other.state.in_step


def test_a_note_without_its_tree_or_a_broken_one_counts_for_nothing(tmp_path: Path, store: Store) -> None:
    store.tree = good_tree()
    guard(tmp_path).look()
    (tmp_path / "tree.yml").unlink()
    again = guard(tmp_path)
    again.look()
    assert again.state.changes == 1 and given(tmp_path)["http"]
    (tmp_path / "applied.json").write_text("{")
    assert guard(tmp_path).state.applied == 0


def test_a_tree_that_was_changed_behind_seter_s_back_is_seen_by_its_content(tmp_path: Path, store: Store) -> None:
    store.tree = good_tree(3)
    one = guard(tmp_path)
    one.look()
    store.tree = good_tree(2)  # keys deleted by hand: the newest revision of what is left is the same
    one.look()
    assert one.state.changes == 2 and one.state.digest == digest_of(store.tree)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"etcd": "x:y", "secrets": "/", "folder": "/", "metrics_port": 1, "metrics_address": "::1", "always": {}}',
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "c").write_text(text)
    assert traefik_guard.main(["--config", str(tmp_path / "c"), "check-config"]) == 2
