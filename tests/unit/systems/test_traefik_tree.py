"""The program that writes Traefik's tree to etcd: what it reads, what it sends, what it shows."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import traefik_etcd
import traefik_tree
from hypothesis import given
from hypothesis import strategies as st
from traefik_etcd import Change, Failed, Seen, difference, digest_of, transaction

from seter.certificates import Pair, make_authority, make_certificate
from tests.unit.systems.traefik_trees import good_tree

KEYS = st.text("abc/0", min_size=1, max_size=8)
TREES = st.dictionaries(KEYS, st.text(max_size=8), max_size=8)


def text(value: str) -> str:
    return base64.b64decode(value).decode()


def after(request: Mapping[str, Any], tree: Mapping[str, str]) -> dict[str, str]:
    """What etcd has below the root after a transaction."""
    held = {"traefik/" + key: value for key, value in tree.items()}
    for operation in request["success"]:
        if "request_put" in operation:
            held[text(operation["request_put"]["key"])] = text(operation["request_put"]["value"])
        else:
            del held[text(operation["request_delete_range"]["key"])]
    return {key.removeprefix("traefik/"): value for key, value in held.items() if key.startswith("traefik/")}


@given(wanted=TREES, there=TREES)
def test_one_transaction_makes_any_tree_the_wanted_one(wanted: dict[str, str], there: dict[str, str]) -> None:
    seen = Seen(7, there)
    assert after(transaction(seen, difference(wanted, seen)), there) == wanted


@given(wanted=TREES, there=TREES)
def test_only_what_differs_is_written(wanted: dict[str, str], there: dict[str, str]) -> None:
    change = difference(wanted, Seen(7, there))
    assert set(change.write) == {key for key in wanted if there.get(key) != wanted[key]}
    assert set(change.delete) == set(there) - set(wanted)


@given(tree=TREES)
def test_a_tree_that_is_there_needs_nothing(tree: dict[str, str]) -> None:
    change = difference(tree, Seen(7, tree))
    assert (change.write, change.delete) == ({}, ())


def test_a_transaction_fails_when_somebody_wrote_meanwhile() -> None:
    request = transaction(Seen(41, {}, "sha256:old", 17), Change({}, (), "sha256:new"))
    below, noted = request["compare"]
    assert (text(below["key"]), text(below["range_end"])) == ("traefik/", "traefik0")
    assert (below["target"], below["result"], below["mod_revision"]) == ("MOD", "LESS", "42")
    assert text(noted["key"]) == "seter/traefik/digest"
    assert (noted["target"], noted["result"], noted["mod_revision"]) == ("MOD", "EQUAL", "17")


def test_what_etcd_answers_is_read() -> None:
    def pair(key: str, value: str, revision: int) -> dict[str, str]:
        return {"key": traefik_etcd.b64(key), "value": traefik_etcd.b64(value), "mod_revision": str(revision)}

    answer = {
        "header": {"revision": "9"},
        "responses": [
            {"response_range": {"kvs": [pair("traefik/a/b", "ü", 5), {"key": traefik_etcd.b64("traefik/c")}]}},
            {"response_range": {"kvs": [pair("seter/traefik/digest", "sha256:x", 8)]}},
            {"response_range": {"kvs": [pair("seter/traefik/over/a/b", "o", 7), pair("seter/traefik/over/d", "o", 7)]}},
        ],
    }
    seen = traefik_etcd.seen_in(answer)
    assert seen == Seen(9, {"a/b": "ü", "c": ""}, "sha256:x", 8, {"a/b": "o", "d": "o"})
    assert seen.whole == {"a/b": "o", "c": "", "d": "o"}
    empty = {"header": {"revision": "1"}, "responses": [{"response_range": {}}] * 3}
    assert traefik_etcd.seen_in(empty) == Seen(1, {})


def test_a_tree_that_is_gone_is_gone_whatever_lies_over_it() -> None:
    assert Seen(1, {}, over={"tls/certificates/00/certFile": "x"}).whole == {}


def test_what_lies_over_the_tree_is_no_business_of_who_writes_it() -> None:
    over = {"tls/certificates/00/certFile": "x", "http/routers/acme/rule": "y"}
    change = difference({"a": "b"}, Seen(7, {"a": "b"}, over=over))
    assert (change.write, change.delete) == ({}, ())


def test_the_digest_covers_everything_but_private_keys() -> None:
    tree = good_tree()
    assert digest_of(tree) == digest_of(tree | {"tls/certificates/0/keyFile": "another"})
    assert digest_of(tree) != digest_of(tree | {"http/routers/s3/service": "another"})


@pytest.fixture(scope="module")
def pair() -> Pair:
    return make_certificate(make_authority("test"), "s3", ["s3.example.test"])


def write_tree(folder: Path, certificate: str, key: str, **more: object) -> Path:
    (folder / "s3.crt").write_text(certificate)
    (folder / "s3.key").write_text(key)
    tree: dict[str, object] = dict(good_tree())
    tree["tls/certificates/0/certFile"] = {"file": str(folder / "s3.crt")}
    tree["tls/certificates/0/keyFile"] = {"file": str(folder / "s3.key")}
    file = folder / "tree.json"
    file.write_text(json.dumps(tree | more))
    return file


def test_certificates_come_from_files(tmp_path: Path, pair: Pair) -> None:
    tree = traefik_tree.checked_tree(write_tree(tmp_path, pair.certificate, pair.key))
    assert tree["tls/certificates/0/certFile"] == pair.certificate


def test_a_key_that_does_not_fit_its_certificate_is_refused_and_not_shown(tmp_path: Path, pair: Pair) -> None:
    other = make_certificate(make_authority("other"), "s3", ["s3.example.test"])
    with pytest.raises(Failed, match="no pair") as caught:
        traefik_tree.checked_tree(write_tree(tmp_path, pair.certificate, other.key))
    assert caught.value.code == 2
    assert "PRIVATE" not in str(caught.value)


def test_all_faults_of_a_tree_are_told_at_once(tmp_path: Path, pair: Pair) -> None:
    faults = {"http/routers/s3/priority": "x", "http/nonsense": "y"}
    with pytest.raises(Failed) as caught:
        traefik_tree.checked_tree(write_tree(tmp_path, pair.certificate, pair.key, **faults))
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', '{"a": {"fiel": "x"}}', '{"a": "1", "a": "2"}'])
def test_a_file_that_is_no_tree_is_bad_input(tmp_path: Path, content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traefik_tree, "become", lambda user: None)
    file = tmp_path / "tree.json"
    file.write_text(content)
    assert traefik_tree.main(["check", str(file)]) == 2


def test_a_missing_certificate_is_bad_input(tmp_path: Path, pair: Pair) -> None:
    file = write_tree(tmp_path, pair.certificate, pair.key)
    (tmp_path / "s3.key").unlink()
    with pytest.raises(Failed, match=r"s3\.key"):
        traefik_tree.read_tree(file)


def test_private_keys_are_not_shown(pair: Pair) -> None:
    tree = good_tree() | {"tls/certificates/0/certFile": pair.certificate, "tls/certificates/0/keyFile": pair.key}
    shown = traefik_tree.hidden(tree)
    assert shown["tls/certificates/0/keyFile"] == "***"
    assert shown["tls/certificates/0/certFile"].startswith("sha256:")
    assert shown["http/routers/s3/service"] == "radosgw"


def test_nobody_answering_is_told_apart_from_being_wrong(tmp_path: Path, pair: Pair) -> None:
    for name in ("ca.crt", "etcd-client.crt"):
        (tmp_path / name).write_text(pair.certificate)
    (tmp_path / "etcd-client.key").write_text(pair.key)
    etcd = traefik_etcd.Etcd("127.0.0.1", 1, tmp_path)  # nothing listens on port 1
    with pytest.raises(Failed, match="does not answer") as caught:
        etcd.call(traefik_etcd.READ)
    assert caught.value.code == 3


def overview(errors: int) -> dict[str, Any]:
    return {"http": {kind: {"errors": errors} for kind in ("routers", "services", "middlewares")}}


@pytest.mark.parametrize(
    ("errors", "states", "ok", "summary"),
    [
        (0, {"http://a": "UP", "http://b": "DOWN"}, True, "1 of 2 servers up"),
        (0, {"http://a": "DOWN"}, False, "0 of 1 servers up"),
        (1, {"http://a": "UP"}, False, "1 of 1 servers up"),
    ],
)
def test_status_says_whether_traefik_can_serve(errors: int, states: dict[str, str], ok: bool, summary: str) -> None:
    told = traefik_tree.status_summary(overview(errors), [{"name": "radosgw@file", "serverStatus": states}])
    assert (told["ok"], told["summary"]) == (ok, summary)


def test_a_traefik_that_knows_nothing_from_etcd_is_not_well() -> None:
    told = traefik_tree.status_summary(overview(0), [{"name": "ping@internal"}])
    assert told["ok"] is False
