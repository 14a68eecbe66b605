"""Who contains a package: by its own name or its source's, in the order of its kind of version."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import BadInput
from naust.affected import Affected, Answer, Hit, Wanted, affected, match, query
from naust.attest import attest
from naust.proof.attached import attach
from naust.proof.sbom import PLAIN, Package
from naust.store.memory import MemoryStore
from tests.lab.images import index
from tests.lab.proofs import TAG, bom, container, file, key, with_bom

OPENSSL = Package("deb", "libssl3", "3.0.15-1~deb12u1", "openssl", "3.0.15-1~deb12u1")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def names(answer: Answer) -> list[str]:
    return [each.name for each in answer.affected]


def test_a_question_is_read_as_it_is_meant() -> None:
    assert query("openssl") == (Wanted("", "openssl"),)
    assert query("openssl<3.5.5") == (Wanted("", "openssl", (("<", "3.5.5"),)),)
    assert query("openssl >= 3.0, <3.5.5") == (Wanted("", "openssl", ((">=", "3.0"), ("<", "3.5.5"))),)
    assert query("openssl<3.5.5,zlib1g=1:1.2") == (
        Wanted("", "openssl", (("<", "3.5.5"),)), Wanted("", "zlib1g", (("=", "1:1.2"),)),
    )  # fmt: skip
    assert query("pypi:requests<2.32,>1") == (Wanted("pypi", "requests", (("<", "2.32"), (">", "1"))),)
    assert query("g++-12<=12.2.0-14") == (Wanted("", "g++-12", (("<=", "12.2.0-14"),)),)


@pytest.mark.parametrize(
    "text", ["", ",", "<1", "a,,b", "a<", "a<b c", "a<1 2", "a!=1", "a<1<2", "pypi:<1", "a<ü", "=", "a b"]
)
def test_a_question_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        query(text)


@given(st.text(alphabet="ab1.<>=,: ~+-", max_size=20))
def test_any_question_is_read_or_refused(text: str) -> None:
    try:
        found = query(text)
    except BadInput:
        return
    assert all(each.name for each in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("libssl3", True), ("openssl", True), ("libssl", False), ("deb:openssl", True), ("pypi:openssl", False),
        ("openssl<3.5.5", True), ("openssl<3.0.15", False), ("openssl<3.0.15-1", True), ("openssl>=3.0.15", True),
        ("openssl=3.0.15-1~deb12u1", True), ("openssl>3,<3.1", True), ("openssl>3,<3.0.2", False),
        ("openssl<=3.0.15-1~deb12u1", True), ("openssl<1:1", True), ("zlib,openssl<4", True),
    ],
)  # fmt: skip
def test_a_debian_package_is_found_by_both_names_in_debian_s_order(text: str, expected: bool) -> None:
    assert any(match(OPENSSL, each) is not None for each in query(text)) is expected


def test_a_source_s_version_is_the_one_that_is_compared() -> None:
    binary = Package("deb", "libgcc-s1", "12.2.0-14", "gcc-12", "12.3.0-1")
    assert match(binary, *query("gcc-12>=12.3")) == Hit("libgcc-s1", "12.2.0-14", "deb", True)
    assert match(binary, *query("libgcc-s1>=12.3")) is None


def test_a_python_package_has_python_s_order_and_names() -> None:
    package = Package("pypi", "Typing_Extensions", "4.0rc1")
    assert match(package, *query("typing-extensions<4.0")) == Hit("Typing_Extensions", "4.0rc1", "pypi", True)
    assert match(package, *query("pypi:typing.extensions>=4.0")) is None
    assert match(Package("pypi", "a", "1.10"), *query("a>1.9"))


def test_what_cannot_be_compared_is_named_and_marked() -> None:
    for package in (
        Package("golang", "x/net", "v0.1"),
        Package("pypi", "x/net", "not a version"),
        Package("deb", "x/net", "a b"),
    ):
        found = match(package, *query("x/net<1"))
        assert found is not None
        assert not found.certain
    assert match(Package("golang", "x/net", "v0.1"), *query("x/net=v0.1,y")[:1]) is not None


def test_artefacts_come_with_their_channels_newest_first(store: MemoryStore) -> None:
    for version in ("1.0-20261124T221500Z", "2.0-20261125T221500Z"):
        with_bom(store, file(store, "file/tool", version.encode(), tag=version), ("zlib1g", version[:3]))
    store.put_manifest("file/tool", "production", store.manifest("file/tool", "1.0-20261124T221500Z"))
    answer = affected(store, query("zlib1g"))
    assert [(each.tag[:3], each.channels) for each in answer.affected] == [("2.0", ()), ("1.0", ("production",))]
    assert [each.tag[:3] for each in affected(store, query("zlib1g"), channel="production").affected] == ["1.0"]
    assert not affected(store, query("zlib1g>1.0"), channel="production").affected
    assert affected(store, query("zlib1g"), prefix="vm/").looked_at == 0


def test_without_an_sbom_the_list_of_inputs_answers_and_is_marked(store: MemoryStore) -> None:
    file(store, "vm/smie", b"1", inputs=[("package openssl", "3.0.15-1", ""), ("setting x", "1", "")])
    file(store, "vm/bare", b"2", inputs=[("openssl", "3.0.15-1", "")])
    file(store, "vm/newer", b"3", inputs=[("package openssl", "3.6", "")])
    file(store, "vm/nothing", b"4")
    answer = affected(store, query("openssl<3.5.5"))
    assert sorted((each.name, each.by) for each in answer.affected) == [("vm/bare", "inputs"), ("vm/smie", "inputs")]
    assert answer.unknown == (f"vm/nothing:{TAG}",)
    assert answer.looked_at == 4


def test_an_sbom_is_believed_before_the_inputs(store: MemoryStore) -> None:
    with_bom(store, file(store, "vm/a", b"1", inputs=[("package openssl", "1", "")]), ("openssl", "4"))
    assert not affected(store, query("openssl<3.5.5")).affected


def test_the_platforms_of_an_index_are_looked_at(store: MemoryStore) -> None:
    from naust import manifest as oci

    child = container(store, "container/web", b"amd", tag="amd64")
    data = store.manifest("container/web", str(child.digest))
    index(store, "container/web", {"linux/amd64": oci.Blob(child.digest, len(data), oci.MANIFEST)}, TAG)
    with_bom(store, child, ("openssl", "3"))
    assert {each.tag for each in affected(store, query("openssl")).affected} == {"amd64", TAG}


def test_a_damaged_sbom_is_named_and_hides_no_other(store: MemoryStore) -> None:
    bad = file(store, "file/bad", b"bad")
    attach(store, "file/bad", bad.digest, b"{", media_type=PLAIN, artifact_type=PLAIN)
    with_bom(store, file(store, "file/good", b"good"), ("openssl", "3"))
    answer = affected(store, query("openssl"))
    assert names(answer) == ["file/good"]
    assert [where for where, _ in answer.unreadable] == [f"file/bad:{TAG}"]


def test_an_sbom_that_nobody_signed_answers_too(store: MemoryStore) -> None:
    tool = file(store)
    attach(store, "file/tool", tool.digest, bom(("openssl", "3")), media_type=PLAIN, artifact_type=PLAIN)
    assert names(affected(store, query("openssl"))) == ["file/tool"]


def test_naust_s_own_records_are_not_asked_for_packages(store: MemoryStore) -> None:
    from naust import revoke

    tool = file(store)
    revoke.revoke(store, tool, "bad", by="alice")
    file(store, "deployment/x", b"record")
    assert affected(store, query("a")).unknown == (f"file/tool:{TAG}",)


def test_what_an_sbom_says_cannot_paint_over_a_terminal(store: MemoryStore) -> None:
    said = json.loads(bom(("openssl", "1")))
    said["components"][0] |= {"purl": "pkg:generic/openssl@%1b[2J", "version": "\x1b[2J"}
    attest(store, file(store), key("release"), json.dumps(said).encode(), "cyclonedx")
    (found,) = affected(store, query("openssl")).affected
    assert isinstance(found, Affected)
    assert all(hit.version.isprintable() for hit in found.hits)
