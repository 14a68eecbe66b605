"""Versions have dpkg's order; dpkg itself says what that is."""

from __future__ import annotations

import random
import subprocess
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import BadInput
from naust.proof.debian import compare

# Written down by hand from deb-version(7), Debian Policy 5.6.12 and real packages, oldest first.
ASCENDING = [
    "0~~", "0~~a", "0~", "0", "0a", "0+", "1.0~rc1-1", "1.0-1~bpo12+1", "1.0-1", "1.0-1+b1", "1.0-1+deb12u1",
    "1.0-10", "1.0+dfsg-1", "1.2", "1.10", "3.0.15-1~deb12u1", "3.5.5-1", "10", "1:0.1", "2:0",
]  # fmt: skip


def test_known_versions_ascend() -> None:
    for index, (older, newer) in enumerate(pairwise(ASCENDING)):
        assert compare(older, newer) < 0, (index, older, newer)
        assert compare(newer, older) > 0


def test_leading_zeros_and_a_missing_revision_change_nothing() -> None:
    for one, other in (("1.0", "1.00"), ("1.0", "1.0-0"), ("0:1", "1"), ("1.a01", "1.a1")):
        assert compare(one, other) == 0


def dpkg(pairs: list[tuple[str, str]]) -> list[str]:
    """What dpkg says of many pairs, in one process of the shell: lt, eq, gt or no."""
    script = (
        "while read -r a b; do "
        'for o in lt eq gt; do if dpkg --compare-versions "$a" $o "$b" 2>/dev/null; then echo $o; continue 2; fi; done;'
        " echo no; done"
    )
    lines = "".join(f"{a} {b}\n" for a, b in pairs)
    done = subprocess.run(["sh", "-c", script], input=lines, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout.split()


def made(chance: random.Random) -> str:
    """Versions near the edges: short, of few characters, so that many are nearly equal."""
    epoch = chance.choice(["", "", "", "0:", "1:", "01:"])
    rest = "".join(chance.choice("0019aZ.+~-") for _ in range(chance.randint(0, 6)))
    return f"{epoch}{chance.choice('0129')}{rest}"


def agrees(pairs: list[tuple[str, str]]) -> None:
    wrong = [
        (a, b, ours(a, b), theirs) for (a, b), theirs in zip(pairs, dpkg(pairs), strict=True) if ours(a, b) != theirs
    ]
    assert not wrong


def ours(a: str, b: str) -> str:
    try:
        order = compare(a, b)
    except BadInput:
        return "no"
    return "lt" if order < 0 else "gt" if order > 0 else "eq"


def test_made_up_versions_have_the_order_that_dpkg_gives_them() -> None:
    chance = random.Random(20261124)
    agrees([(made(chance), made(chance)) for _ in range(300)])


@pytest.mark.long
def test_many_made_up_versions_have_the_order_that_dpkg_gives_them() -> None:
    chance = random.Random()
    agrees([(made(chance), made(chance)) for _ in range(10_000)])


def test_the_order_is_that_of_dpkg_where_every_pair_of_the_list_meets() -> None:
    agrees([(a, b) for a in ASCENDING for b in ASCENDING[::3]])


@given(st.text(alphabet="0129aZ.+~-:", max_size=12), st.text(alphabet="0129aZ.+~-:", max_size=12))
def test_the_order_is_one(one: str, other: str) -> None:
    try:
        there, back = compare(one, other), compare(other, one)
    except BadInput:
        return
    assert (there > 0) == (back < 0)
    assert compare(one, one) == 0


@given(st.text(max_size=30))
def test_anything_else_is_refused_and_never_raises_what_it_should_not(text: str) -> None:
    try:
        compare(text, "1")
    except BadInput:
        return


def test_what_is_no_version_is_refused() -> None:
    for text in ("", "1-", "1:", "a:1", "1_2", "1 2", "1:2 ", "½", "1" * 2000, "²:1", "1:-1"):
        with pytest.raises(BadInput):
            compare(text, "1")
