"""Packages out of SBOMs of other makers, and out of rubbish."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Corrupt
from naust.attest import attest
from naust.proof import bundle, sbom
from naust.proof.bundle import Subject
from naust.proof.sbom import Package, packages, read, split_purl
from naust.sign import put
from naust.store.memory import MemoryStore
from naust.untrusted import document
from tests.lab.proofs import bom, file, key


def test_the_same_package_is_read_from_syft_and_from_trivy() -> None:
    """How the two write `libssl3`: the source in the purl, or in properties."""
    syft = {
        "type": "library", "name": "libssl3", "version": "3.0.15-1~deb12u1",
        "purl": "pkg:deb/debian/libssl3@3.0.15-1~deb12u1?arch=amd64&upstream=openssl&distro=debian-12",
    }  # fmt: skip
    trivy = {
        "type": "library", "name": "libssl3", "version": "3.0.15-1~deb12u1",
        "purl": "pkg:deb/debian/libssl3@3.0.15-1~deb12u1?arch=amd64",
        "properties": [
            {"name": "aquasecurity:trivy:SrcName", "value": "openssl"},
            {"name": "aquasecurity:trivy:SrcVersion", "value": "3.0.15-1~deb12u1"},
        ],
    }  # fmt: skip
    for component in (syft, trivy):
        (found,) = read({"bomFormat": "CycloneDX", "components": [component]}, "it")
        assert (found.type, found.name, found.version, found.source) == (
            "deb",
            "libssl3",
            "3.0.15-1~deb12u1",
            "openssl",
        )


@pytest.mark.parametrize(
    ("purl", "expected"),
    [
        ("pkg:deb/debian/curl@7.50.3-1?arch=i386&distro=jessie", ("deb", "curl", "7.50.3-1")),
        ("pkg:deb/debian/g%2B%2B-12@12.2.0-14%2Bdeb12u1", ("deb", "g++-12", "12.2.0-14+deb12u1")),
        ("pkg:deb/debian/vim@9.0?epoch=2", ("deb", "vim", "2:9.0")),
        ("pkg:deb/debian/vim@2:9.0?epoch=2", ("deb", "vim", "2:9.0")),
        ("pkg:deb/debian/vim@2%3A9.0", ("deb", "vim", "2:9.0")),
        ("pkg:pypi/django@1.11.1", ("pypi", "django", "1.11.1")),
        ("pkg:npm/%40angular/animation@12.3.1#a/b", ("npm", "animation", "12.3.1")),
        ("pkg:golang/google.golang.org/genproto#googleapis/api", ("golang", "genproto", "")),
        ("rubbish", ("rubbish", "", "")),
    ],
)
def test_package_urls_are_read_as_their_specification_says(purl: str, expected: tuple[str, str, str]) -> None:
    assert split_purl(purl)[:3] == expected


@given(st.text(max_size=60))
def test_any_text_is_read_as_a_package_url(text: str) -> None:
    split_purl(text)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["components", "purl", "name", "version", "type", "properties", "value", "bomFormat"]),
            inner,
        )
    ),
    max_leaves=12,
)


@given(_JSON)
def test_any_document_is_read_or_refused(said: object) -> None:
    try:
        found = read({"bomFormat": "CycloneDX", "components": said}, "it")
    except Corrupt:
        return
    assert all(isinstance(each, Package) for each in found)


@given(st.binary(max_size=200) | st.text(alphabet='{}[]":,a1 \\un', max_size=60).map(str.encode))
def test_any_bytes_are_a_document_or_refused(data: bytes) -> None:
    try:
        document(data, "it")
    except Corrupt:
        return
    json.loads(data)


def test_components_within_components_count() -> None:
    inner = {"type": "library", "name": "inner", "version": "1", "purl": "pkg:deb/debian/inner@1"}
    outer = {"type": "operating-system", "name": "debian", "components": [inner]}
    assert [each.name for each in read({"bomFormat": "CycloneDX", "components": [outer]}, "it")] == ["inner"]


def test_more_components_than_any_system_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sbom, "MOST", 10)
    with pytest.raises(Corrupt, match="more than 10"):
        read({"bomFormat": "CycloneDX", "components": [{}] * 11}, "it")


def test_packages_of_all_sboms_come_sorted_and_once() -> None:
    store = MemoryStore()
    tool = file(store)
    assert packages(store, tool) == ()
    attest(store, tool, key("release"), bom(("zlib1g", "1"), ("bash", "5")), "cyclonedx")
    attest(store, tool, key("second"), bom(("bash", "5")), "cyclonedx")
    assert [each.name for each in packages(store, tool)] == ["bash", "zlib1g"]


def test_an_sbom_about_another_artefact_is_none_of_this_one() -> None:
    store = MemoryStore()
    tool, other = file(store), file(store, "file/tool", b"other", tag="2.0-20261124T221500Z")
    said = bundle.statement(Subject((str(other.digest),)), bundle.SBOM, json.loads(bom(("bash", "5"))))
    put(store, tool, key("release"), said, bundle.SBOM)
    assert packages(store, tool) == ()


def test_what_was_read_once_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    store = MemoryStore()
    tool = file(store)
    attest(store, tool, key("release"), bom(("bash", "5")), "cyclonedx")
    first = packages(store, tool)
    monkeypatch.setattr(sbom, "content", None)
    assert packages(store, tool) == first
    for each in (tmp_path / "naust").rglob("*.json"):
        each.write_text("rubbish")
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert packages(store, tool) == first
