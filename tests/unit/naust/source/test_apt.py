"""What is made of the packages that are kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import Corrupt
from common.model import Digest
from naust.source.apt import AptUpstream
from naust.source.apt_packages import index
from naust.source.apt_release import parse, unsigned
from naust.source.definition import Apt
from naust.source.interface import Item, Kept, Package, Survey

DATE = datetime(2026, 11, 20, tzinfo=UTC)
RELEASE = f"""Origin: Debian
Suite: stable
Codename: trixie
Date: Fri, 20 Nov 2026 00:00:00 UTC
SHA256:
 {"0" * 64} 1 main/binary-amd64/Packages
""".encode()


@pytest.fixture
def upstream(tmp_path: Path) -> AptUpstream:
    return AptUpstream.of(Apt("debian", suites=("trixie",), key=f"file:{tmp_path}/a.key"))


def kept(name: str, version: str = "1", filename: str = "") -> Kept:
    path = f"pool/main/{name}_{version}.deb"
    text = f"Package: {name}\nVersion: {version}\nArchitecture: all\nFilename: {filename or path}\nSize: 1\n"
    digest = Digest.of(path.encode())
    facts = (("trixie main amd64", f"{text}SHA256: {digest.hex}"),)
    return Kept(
        Item(path, "", 1, digest, package=Package("deb", name, version, "all", "trixie"), facts=facts), digest, 1
    )


def survey(found: list[Kept]) -> Survey:
    return Survey(tuple(each.item for each in found), "mark", DATE, {"upstream/trixie/InRelease": RELEASE})


def test_each_index_is_there_by_name_and_by_hash_as_the_release_says(upstream: AptUpstream) -> None:
    found = [kept("b"), kept("a")]
    files = upstream.index(found, survey(found))
    release = parse(unsigned(files["dists/trixie/InRelease"]), "trixie")
    assert release.date == DATE
    assert set(release.files) == {"main/binary-amd64/Packages", "main/binary-amd64/Packages.xz"}
    for path, listed in release.files.items():
        assert Digest.of(files[f"dists/trixie/{path}"]) == listed.digest
        assert (
            files[f"dists/trixie/main/binary-amd64/by-hash/SHA256/{listed.digest.hex}"] == files[f"dists/trixie/{path}"]
        )


def test_only_what_is_kept_is_in_the_index(upstream: AptUpstream) -> None:
    files = upstream.index([kept("a")], survey([kept("a"), kept("b")]))
    assert [deb.name for deb in index(files["dists/trixie/main/binary-amd64/Packages"], ("", "")).every()] == ["a"]


def test_a_package_is_listed_where_it_is_in_our_tree(upstream: AptUpstream) -> None:
    files = upstream.index([kept("a", filename="./a.deb")], survey([]))
    (deb,) = index(files["dists/trixie/main/binary-amd64/Packages"], ("", "")).every()
    assert deb.path == "pool/main/a_1.deb"


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("123")), unique=True), st.randoms())
def test_the_order_in_which_things_come_does_not_matter(
    upstream: AptUpstream, names: list[tuple[str, str]], dice: object
) -> None:
    found = [kept(*each) for each in names]
    shuffled = sorted(found, key=lambda _: dice.random())  # type: ignore[attr-defined]
    assert upstream.index(found, survey(found)) == upstream.index(shuffled, survey(shuffled))


def test_an_empty_suite_is_a_valid_one(upstream: AptUpstream) -> None:
    files = upstream.index([], survey([]))
    assert files["dists/trixie/main/binary-amd64/Packages"] == b""


@pytest.mark.parametrize("suite", ["../x", "/etc", "a//b", ""])
def test_a_suite_that_climbs_out_is_refused(upstream: AptUpstream, suite: str) -> None:
    with pytest.raises(Corrupt):
        AptUpstream.of(replace(upstream.block, suites=(suite,)))
