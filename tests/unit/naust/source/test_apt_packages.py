"""Package indexes: paragraphs and relations."""

from __future__ import annotations

import subprocess
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import BadInput, Corrupt
from naust.proof.debian import compare
from naust.source.apt_packages import Relation, index, read, relations
from tests.lab.programs import program

WHERE = ("trixie", "main")
ONE = f"""Package: one
Version: 1:2.0-3
Architecture: amd64
Pre-Depends: dpkg (>= 1.15)
Depends: two (>= 1) | three, four:any
Provides: virtual (= 3)
Priority: required
Filename: pool/main/o/one/one_2.0-3_amd64.deb
Size: 1234
SHA256: {"ab" * 32}
Description: several
 lines of
 words""".encode()

names = st.from_regex(r"\A[a-z0-9][a-z0-9+.-]{1,12}\Z")
versions = st.from_regex(r"\A([0-9]:)?[0-9][0-9a-z.+~]{0,8}(-[0-9a-z.+~]{1,4})?\Z")
SIGNS = st.sampled_from(["<<", "<=", "=", ">=", ">>"])
texts = st.text(st.characters(codec="ascii", min_codepoint=32, max_codepoint=126), max_size=60).map(str.strip)


def test_a_paragraph_is_read() -> None:
    deb = read(ONE, WHERE)
    assert (deb.name, deb.version, deb.architecture, deb.size) == ("one", "1:2.0-3", "amd64", 1234)
    assert deb.path == "pool/main/o/one/one_2.0-3_amd64.deb"
    assert deb.digest.hex == "ab" * 32
    assert deb.depends == "dpkg (>= 1.15), two (>= 1) | three, four:any"
    assert deb.text == ONE


def test_fields_are_found_in_any_case_and_order() -> None:
    lines = ONE.replace(b"Description: several\n lines of\n words", b"Description: none").split(b"\n")
    text = b"\n".join(line.replace(b"Package:", b"PACKAGE:").replace(b"Size:", b"size:") for line in reversed(lines))
    found = index(text + b"\n\n", WHERE)
    assert [deb.size for deb in found.packages("one")] == [1234]


@pytest.mark.parametrize("field", ["Package", "Version", "Architecture", "Filename", "Size", "SHA256"])
def test_a_paragraph_without_what_counts_is_refused(field: str) -> None:
    lines = [line for line in ONE.split(b"\n") if not line.startswith(field.encode() + b":")]
    with pytest.raises(Corrupt):
        read(b"\n".join(lines), WHERE)


@pytest.mark.parametrize(
    "line",
    ["Package: two", "Size: 5", "Package: ../x", "Version: x y", "Size: -1", "Size: 1e9", "SHA256: 00", "Version: 1"],
)
def test_a_field_that_is_there_twice_or_wrong_is_refused(line: str) -> None:
    with pytest.raises(Corrupt):
        read(ONE + b"\n" + line.encode(), WHERE)
    name = line.partition(":")[0].encode()
    if line not in ("Package: two", "Size: 5", "Version: 1"):
        with pytest.raises(Corrupt):
            read(
                b"\n".join(line.encode() if each.startswith(name + b":") else each for each in ONE.split(b"\n")), WHERE
            )


def test_an_index_knows_names_priorities_and_providers() -> None:
    two = ONE.replace(b"Package: one", b"Package: two").replace(b"Provides: virtual (= 3)\n", b"")
    found = index(ONE + b"\n\n" + two.replace(b"required", b"optional") + b"\n\n\n", WHERE)
    assert [deb.name for deb in found.every()] == ["one", "two"]
    assert list(found.of_priority("required")) == ["one"]
    assert len(found.providers) == 1


@given(st.lists(st.tuples(names, versions, texts, texts), max_size=8))
def test_what_is_written_as_paragraphs_is_read_as_it_was(packages: list[tuple[str, str, str, str]]) -> None:
    paragraphs = [
        f"Package: {name}\nVersion: {version}\nArchitecture: all\nTag: {tag}\nFilename: pool/{name}\nSize: 1\n"
        f"SHA256: {'0' * 64}\nDescription: {words}\n {words}.\n"
        for name, version, tag, words in packages
    ]
    found = index("\n".join(paragraphs).encode(), WHERE)
    read_back = [(deb.name, deb.version) for deb in found.every()]
    assert sorted(read_back) == sorted((name, version) for name, version, _, _ in packages)


@given(st.binary(max_size=300))
def test_no_bytes_are_more_than_refused(data: bytes) -> None:
    with suppress(Corrupt):
        list(index(data, WHERE).every())


@given(st.integers(0, len(ONE)), st.binary(max_size=4))
def test_no_change_of_a_paragraph_is_more_than_refused(at: int, put: bytes) -> None:
    try:
        for deb in index(ONE[:at] + put + ONE[at + len(put) :], WHERE).every():
            relations(deb.depends)
    except (Corrupt, ValueError, BadInput):
        pass


def test_relations_are_read_with_all_that_policy_allows() -> None:
    text = "a, b:any (>= 1:2~rc1-3), c (<<2)|d (= 1) , e [amd64 !i386] <!nocheck>,\n f,"
    assert relations(text) == (
        (Relation("a"),),
        (Relation("b", ">=", "1:2~rc1-3"),),
        (Relation("c", "<<", "2"), Relation("d", "=", "1")),
        (Relation("e"),),
        (Relation("f"),),
    )


@pytest.mark.parametrize("text", ["A", "a b", "a (1)", "a (>= )", "a | ", "(>= 1)", "a (>= x y)", "${misc:Depends}"])
def test_what_is_no_relation_is_refused(text: str) -> None:
    with pytest.raises((ValueError, BadInput)):
        relations(text)


@given(st.lists(st.lists(st.tuples(names, SIGNS, versions), min_size=1, max_size=3), max_size=4))
def test_relations_survive_being_written_and_read(groups: list[list[tuple[str, str, str]]]) -> None:
    meant = tuple(tuple(Relation(*each) for each in group) for group in groups)
    assert relations(", ".join(" | ".join(map(str, group)) for group in meant)) == meant


@given(versions, SIGNS, versions)
def test_a_relation_holds_as_the_order_of_versions_has_it(one: str, sign: str, other: str) -> None:
    order = compare(one, other)
    wanted = {"<<": order < 0, "<=": order <= 0, "=": order == 0, ">=": order >= 0, ">>": order > 0}[sign]
    assert Relation("x", sign, other).holds(one) is wanted


@settings(max_examples=30, deadline=None)
@given(versions, SIGNS, versions)
def test_a_relation_holds_where_dpkg_says_so(one: str, sign: str, other: str) -> None:
    ended = subprocess.run([program("dpkg"), "--compare-versions", one, sign, other], capture_output=True)
    assert Relation("x", sign, other).holds(one) is (ended.returncode == 0)
