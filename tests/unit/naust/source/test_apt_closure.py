"""Which packages are wanted."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import BadInput, Corrupt
from naust.source.apt_closure import Lost, Universe, choose
from naust.source.apt_packages import index


def package(name: str, version: str = "1", **fields: str) -> str:
    lines = {"Package": name, "Version": version, "Architecture": "all", "Filename": f"pool/{name}_{version}.deb"}
    lines |= {"Size": "1", "SHA256": "0" * 64} | {key.replace("_", "-"): value for key, value in fields.items()}
    return "".join(f"{key}: {value}\n" for key, value in lines.items())


def universe(*packages: str, **others: Iterable[str]) -> Universe:
    """Packages of `stable`, and by suite those of others."""
    suites = {"stable": packages, **others}
    return Universe([index("\n".join(found).encode(), (suite, "main")) for suite, found in suites.items()])


def chosen(known: Universe, *words: str, recommends: bool = False) -> list[str]:
    return [deb.name for deb in choose(known, words, recommends=recommends).debs]


def test_without_words_everything_is_wanted() -> None:
    assert chosen(universe(package("a"), package("b"), package("b", "2"))) == ["a", "b", "b"]


def test_a_package_brings_all_that_it_depends_on() -> None:
    known = universe(package("a", Depends="b"), package("b", Pre_Depends="c"), package("c", Depends="a"), package("d"))
    assert chosen(known, "a") == ["a", "b", "c"]


def test_recommended_packages_come_only_when_asked_for() -> None:
    known = universe(package("a", Recommends="b, gone"), package("b"))
    assert chosen(known, "a") == ["a"]
    assert chosen(known, "a", recommends=True) == ["a", "b"]
    assert not choose(known, ["a"], recommends=True).lost


def test_of_alternatives_the_first_that_exists_comes() -> None:
    known = universe(package("a", Depends="gone | b | c"), package("b"), package("c"))
    assert chosen(known, "a") == ["a", "b"]


def test_an_alternative_in_a_version_that_is_not_there_does_not_count() -> None:
    known = universe(package("a", Depends="b (>= 2) | c"), package("b"), package("c"))
    assert chosen(known, "a") == ["a", "c"]


def test_a_virtual_package_is_met_by_what_is_wanted_anyway() -> None:
    known = universe(package("a", Depends="v, z"), package("b", Provides="v"), package("z", Provides="v"))
    assert chosen(known, "a") == ["a", "z"]


def test_a_virtual_package_is_met_by_the_most_important_then_by_name() -> None:
    known = universe(
        package("a", Depends="v"), package("b", Provides="v"), package("c", Provides="v", Priority="important")
    )
    assert chosen(known, "a") == ["a", "c"]
    assert chosen(universe(package("c", Provides="v"), package("b", Provides="v")), "v") == ["b"]


def test_a_virtual_package_with_a_version_needs_one_that_provides_that() -> None:
    known = universe(
        package("a", Depends="v (>= 2)"), package("b", Provides="v"), package("c", Provides="v (= 1), v (= 3)")
    )
    assert chosen(known, "a") == ["a", "c"]


def test_every_suites_newest_version_comes_with_what_each_needs() -> None:
    known = universe(
        package("a", "1"), package("a", "2", Depends="b"), package("b"), package("c"),
        security=[package("a", "2+deb1", Depends="c"), package("a", "1+deb1")],
    )  # fmt: skip
    found = choose(known, ["a"])
    assert [(deb.name, deb.version, deb.where[0]) for deb in found.debs if deb.name == "a"] == [
        ("a", "2", "stable"),
        ("a", "2+deb1", "security"),
    ]
    assert {deb.name for deb in found.debs} == {"a", "b", "c"}


def test_a_priority_is_a_word() -> None:
    known = universe(package("a", Priority="required", Depends="b"), package("b"), package("c", Priority="important"))
    assert chosen(known, "priority:required") == ["a", "b"]
    assert chosen(known, "priority:required", "priority:important") == ["a", "b", "c"]


def test_what_is_not_there_is_told_apart() -> None:
    found = choose(universe(package("a", Depends="gone (>= 2) | lost")), ["a", "typo"])
    assert found.unknown == ("typo",)
    assert found.lost == (Lost("a", "gone (>= 2) | lost"),)


@pytest.mark.parametrize("word", ["priority:high", "A B", "a (>= 1)", "a | b", "a, b", ""])
def test_a_word_that_stands_for_nothing_is_refused(word: str) -> None:
    with pytest.raises(BadInput, match="stands for no packages"):
        choose(universe(package("a")), [word])


def test_a_dependency_that_makes_no_sense_is_refused_for_wanted_packages_alone() -> None:
    known = universe(package("a"), package("b", Depends="${x}"))
    assert chosen(known, "a") == ["a"]
    with pytest.raises(Corrupt, match="no relation"):
        choose(known, ["b"])


NAMES = ["aa", "bb", "cc", "dd", "ee"]
groups = st.lists(st.lists(st.sampled_from([*NAMES, "virt"]), min_size=1, max_size=3).map(" | ".join), max_size=3)
packages = st.lists(st.tuples(st.sampled_from(NAMES), groups, st.booleans()), max_size=6)


def made(found: list[tuple[str, list[str], bool]]) -> list[str]:
    return [
        package(
            name,
            f"{number}",
            **({"Depends": ", ".join(needs)} if needs else {}) | ({"Provides": "virt"} if gives else {}),
        )
        for number, (name, needs, gives) in enumerate(found)
    ]


@given(packages, st.sampled_from(NAMES))
def test_whatever_is_chosen_is_whole(found: list[tuple[str, list[str], bool]], wanted: str) -> None:
    known = universe(*made(found))
    result = choose(known, [wanted])
    names = {deb.name for deb in result.debs}
    provided = {"virt" for deb in result.debs if deb.provides}
    lost = {(each.package, each.needs) for each in result.lost}
    for deb in result.debs:
        for group in filter(None, deb.depends.split(", ")):
            met = (names | provided) & set(group.split(" | "))
            assert met or (deb.name, group) in lost


@given(packages, st.sampled_from(NAMES), st.randoms(use_true_random=False))
def test_the_order_of_the_index_does_not_matter(
    found: list[tuple[str, list[str], bool]], wanted: str, dice: object
) -> None:
    listed = made(found)
    shuffled = sorted(listed, key=lambda _: dice.random())  # type: ignore[attr-defined]
    assert choose(universe(*listed), [wanted]) == choose(universe(*shuffled), [wanted])
