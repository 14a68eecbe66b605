"""Versions become tags by Debian's rules, and no text becomes anything else than a tag."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import BadInput
from common.model import Kind, Reference
from naust.version import LONGEST_VERSION, is_dated, legal, split, tag

NOW = datetime(2026, 11, 24, 22, 15, tzinfo=UTC)
TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")  # OCI distribution specification 1.1
# deb-version(7): [epoch:]upstream[-revision]
DEBIAN = st.from_regex(r"([0-9]{1,3}:)?[0-9][A-Za-z0-9.+~-]{0,20}", fullmatch=True)


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("3.7.15", "3.7.15"),
        ("1:9.20.15-1~deb13u1", "9.20.15-1-pre.deb13u1"),
        ("18.2.7+ds-1", "18.2.7_ds-1"),
        ("2.53.3+ds1-1+b2", "2.53.3_ds1-1_b2"),
        ("1.0~rc1", "1.0-pre.rc1"),
        ("v1", "v1"),
    ],
)
def test_a_debian_version_becomes_a_legal_tag(version: str, expected: str) -> None:
    assert legal(version) == expected


@pytest.mark.parametrize(
    "version", ["", "~1", "1:", ":1", "../1", "1/2", "1 2", "1\n", "ä", "-1", ".1", "1" * 112, "1:2:3"]
)
def test_what_is_no_version_is_refused(version: str) -> None:
    with pytest.raises(BadInput):
        legal(version)


@given(version=DEBIAN)
def test_every_debian_version_gets_a_tag_that_a_reference_can_hold(version: str) -> None:
    dated = tag(version, NOW)
    assert TAG.fullmatch(dated)
    assert Reference.parse(f"container/x:{dated}") == Reference(Kind.CONTAINER, "x", dated)
    assert split(dated) == (legal(version), NOW)


@given(version=st.text(max_size=130))
def test_any_text_is_refused_or_becomes_a_tag(version: str) -> None:
    try:
        dated = tag(version, NOW)
    except BadInput:
        return
    assert TAG.fullmatch(dated)
    assert is_dated(dated)
    assert legal(legal(version)) == legal(version)


@given(moment=st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9998, 1, 1), timezones=st.just(UTC)))
def test_tags_of_one_version_sort_by_date(moment: datetime) -> None:
    assert tag("1.0", moment) < tag("1.0", moment + timedelta(seconds=1))


def test_the_date_is_in_utc_wherever_it_was_made() -> None:
    assert tag("1", NOW.astimezone(timezone(timedelta(hours=5)))) == "1-20261124T221500Z"


def test_the_longest_version_just_fits() -> None:
    assert len(tag("1" * LONGEST_VERSION, NOW)) == 128


@pytest.mark.parametrize(
    "text", ["production", "1.0", "1.0-2026", "1.0-20261399T000000Z", "-20261124T221500Z", "3-20261124T221500"]
)
def test_other_tags_are_not_taken_for_versions(text: str) -> None:
    assert split(text) is None
    assert not is_dated(text)
