"""What an artefact was made of, and where each of it is mirrored."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from common.errors import Corrupt
from common.model import Digest
from naust.affected import affected, query
from naust.listing import resolve
from naust.materials import origin
from naust.proof import bundle
from naust.proof.attached import attach
from naust.proof.bundle import Subject
from naust.source import state
from naust.source.holders import digests_in, holders, packages_in
from naust.source.interface import Package
from naust.source.snapshot import name_for
from naust.store.memory import MemoryStore
from naust.transfer.push_blobs import put_bytes, silent
from tests.lab import exports, proofs, snapshots
from tests.lab.exports import DEB, OTHER, SOURCE


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def mirrored(store: MemoryStore, source: str, *packages: Package, views: tuple[str, ...] = ()) -> str:
    """A state with these packages; its tag."""
    name = name_for(source)
    rows = [
        state.File(f"pool/{p.name}-{p.version}", put_bytes(store, name, f"{p}".encode(), "x/y", silent), p)
        for p in packages
    ]
    config = put_bytes(store, name, state.packages_of(rows), state.PACKAGES, silent)
    data = state.part(rows, config, {state.TYPE: "apt"})
    tag = f"2026-11-20-202611{20 + len(list(store.tags(name)))}T100000Z"
    for each in (tag, *views):
        store.put_manifest(name, each, data)
    return tag


def test_an_artefact_names_each_source_with_its_digest_and_where_it_is(store: MemoryStore) -> None:
    made = exports.furnish(store)
    found = origin(store, made.web)
    fetched = {(each.part, each.name, each.digest): each for each in found.materials if each.fetched}
    assert {key[:2] for key in fetched} == {("package", "deb"), ("software", "pypi:program")}
    deb, program = (fetched["package", "deb", Digest.of(DEB)], fetched["software", "pypi:program", Digest.of(SOURCE)])
    assert deb.of == str(made.base.reference), "it says which artefact below brought it"
    assert [each.reference.partition(":")[0] for each in (*deb.states, *program.states)] == ["debian", "programs"]
    assert not found.nowhere
    assert not found.unknown


def test_what_nobody_mirrored_is_said_to_be_nowhere(store: MemoryStore) -> None:
    exports.furnish(store)
    (lost,) = origin(store, exports.newer_web(store)).nowhere
    assert (lost.name, lost.digest) == ("other", Digest.of(OTHER))


def test_a_base_that_is_gone_and_an_artefact_that_says_nothing_are_unknown(store: MemoryStore) -> None:
    gone = exports.built(store, "web", exports.WEB, ("base debian-12", "12.1", exports.BASE))
    assert origin(store, gone).unknown == ("base debian-12 12.1",)
    silent_one = proofs.file(store)
    assert origin(store, silent_one).unknown == (str(silent_one.reference),)


def test_an_artefact_that_stands_on_itself_ends(store: MemoryStore) -> None:
    own = exports.built(store, "web", exports.WEB, ("base web", "1", exports.WEB))
    assert origin(store, own).materials


@pytest.mark.parametrize("is_signed", [True, False])
def test_a_provenance_answers_where_there_are_no_inputs(store: MemoryStore, is_signed: bool) -> None:
    tool = proofs.file(store)
    snapshots.published(store, "binaries", {"tool.tar": b"tool"})
    materials = (
        {"name": "package tool", "uri": "pkg:generic/tool@1", "digest": {"sha256": Digest.of(b"tool").hex}},
        {"uri": "pkg:generic/lost", "digest": {"sha256": Digest.of(b"lost").hex}},
        {"name": "snapshot", "uri": "snapshot/build:x", "digest": {"sha256": "ab" * 32}},
        {"uri": "git+https://example.org/x", "digest": {"gitCommit": "ab" * 20}},
    )
    said = proofs.provenance(*materials)
    if is_signed:
        from naust.attest import attest

        attest(store, tool, proofs.key("release"), said, "slsaprovenance1")
    else:
        statement = bundle.statement(Subject((str(tool.digest),)), bundle.PROVENANCE, json.loads(said))
        attach(store, "file/tool", tool.digest, statement, media_type=bundle.IN_TOTO, artifact_type=bundle.IN_TOTO)
    found = origin(store, tool)
    assert [(each.name, each.fetched, each.is_nowhere) for each in found.materials] == [
        ("tool", True, False), ("pkg:generic/lost", True, True), ("snapshot/build:x", False, False),
    ]  # fmt: skip


def test_states_that_only_a_snapshot_has_are_looked_at_too(store: MemoryStore) -> None:
    made = exports.furnish(store)
    for source in ("debian", "programs"):
        for tag in list(store.tags(name_for(source))):
            store.delete_tag(name_for(source), tag)
    places = [state.reference for each in origin(store, made.web).materials for state in each.states]
    assert sorted(places) == [f"{made.snapshot}/debian", f"{made.snapshot}/programs"]
    assert all(digests_in(store, each, [Digest.of(DEB), Digest.of(SOURCE)]) for each in holders(store))


def test_a_package_is_followed_to_states_snapshots_artefacts_and_channels(store: MemoryStore) -> None:
    tag = mirrored(store, "debian", Package("deb", "openssl", "3.5.4-1"), Package("deb", "zlib1g", "1"))
    snapshots.snapshot(store, "build", ["debian"])
    new = mirrored(store, "debian", Package("deb", "openssl", "3.5.5-1"), views=("stable",))
    exports.built(store, "web", exports.WEB, ("package openssl", "3.5.4-1", b"x"))
    found = affected(store, query("openssl<3.5.5"))
    assert [each.state.reference for each in found.mirrored] == [f"debian:{tag}"]
    assert [each.reference.partition(":")[0] for each in found.mirrored[0].snapshots] == ["build"]
    assert [each.name for each in found.affected] == ["container/web"]
    assert [str(each.state) for each in affected(store, query("openssl"), channel="stable").mirrored] == [
        f"debian:{new} (stable)"
    ]
    assert not affected(store, query("openssl"), prefix="container/").mirrored
    assert affected(store, query("openssl")).looked_at == 1


def test_an_artefact_contains_what_its_base_contains(store: MemoryStore) -> None:
    exports.furnish(store)
    found = affected(store, query("deb"))
    assert {each.name for each in found.affected} == {"container/debian-13", "container/web", "container/note"}
    assert not found.unknown


@pytest.mark.parametrize(
    ("asked", "kind", "name"),
    [
        ("typing-extensions", "pypi", "Typing_Extensions"),
        ("null", "terraform", "hashicorp/null"),
        ("g++", "deb", "g++"),
    ],
)
def test_a_package_is_found_however_it_is_written(store: MemoryStore, asked: str, kind: str, name: str) -> None:
    mirrored(store, "some", Package(kind, name, "1"), Package("deb", "x" + name, "1"))
    assert name in [each.name for each in packages_in(store, holders(store)[0], [asked])]


def test_a_damaged_state_is_named_and_hides_no_other(store: MemoryStore) -> None:
    exports.furnish(store)
    name = name_for("bad")
    config = put_bytes(store, name, b'{"name":"deb"', state.PACKAGES, silent)
    store.put_manifest(name, "2026-11-20-20261120T100000Z", state.part((), config, {state.TYPE: "apt"}))
    mirrored(store, "good", Package("deb", "deb", "1"))
    found = affected(store, query("deb"))
    assert [each.state.reference.partition(":")[0] for each in found.mirrored] == ["good"]
    assert [where.partition(":")[0] for where, _ in found.unreadable] == ["bad"]
    with pytest.raises(Corrupt):
        list(packages_in(store, next(each for each in holders(store) if "bad" in str(each.state)), ["deb"]))


def test_thousands_of_artefacts_are_answered_in_seconds(store: MemoryStore) -> None:
    import time

    exports.furnish(store)
    for count in range(1500):
        inputs = (("base debian-13", "1", exports.BASE), (f"package p{count}", "1", b"x"))
        exports.built(
            store, f"r{count}", Digest.of(str(count).encode()), *inputs, now=exports.START + timedelta(seconds=count)
        )
    began = time.monotonic()
    assert len(affected(store, query("deb<2")).affected) == 1503
    assert time.monotonic() - began < 10
    assert resolve(store, "container/r7")
