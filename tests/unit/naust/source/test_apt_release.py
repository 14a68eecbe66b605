"""Release files: read, and written."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import BadInput, Corrupt
from common.model import Digest
from naust.source.apt_release import Listed, check_date, fields_of, parse, unsigned, written

HEX = "ab" * 32
TEXT = f"""Origin: Debian
Label: Debian
Suite: stable
Version: 13.8
Codename: trixie
Date: Sat, 21 Nov 2026 09:15:44 UTC
Valid-Until: Sat, 28 Nov 2026 09:15:44 UTC
Acquire-By-Hash: yes
No-Support-for-Architecture-all: Packages
Architectures: all amd64
Components: main contrib
Description: Debian 13.8
MD5Sum:
 00 1 main/binary-amd64/Packages
SHA256:
 {HEX} 100 main/binary-amd64/Packages
 {HEX}  20 main/binary-amd64/Packages.xz
 {HEX}  30 main/binary-amd64/Packages.gz
 {HEX}  20 main/binary-all/Packages.xz
""".encode()


def test_a_release_says_what_it_vouches_for() -> None:
    read = parse(TEXT, "trixie")
    assert read.files["main/binary-amd64/Packages"] == Listed("main/binary-amd64/Packages", 100, Digest("sha256", HEX))
    assert read.date == datetime(2026, 11, 21, 9, 15, 44, tzinfo=UTC)
    assert read.by_hash


@pytest.mark.parametrize("suite", ["trixie", "stable"])
def test_a_suite_may_be_asked_for_by_either_name(suite: str) -> None:
    assert parse(TEXT, suite).suite == suite


def test_another_suites_release_is_refused() -> None:
    with pytest.raises(Corrupt, match="bookworm"):
        parse(TEXT, "bookworm")


def test_the_smallest_form_of_an_index_comes_first() -> None:
    ((component, forms),) = parse(TEXT, "trixie").indexes(["main"], "amd64")
    assert component == "main"
    assert [each.path.rpartition("/")[2] for each in forms] == ["Packages.xz", "Packages.gz", "Packages"]


def test_packages_for_all_architectures_come_from_their_own_index_where_others_lack_them() -> None:
    text = TEXT.replace(b"No-Support-for-Architecture-all: Packages\n", b"")
    assert [forms[0].path for _, forms in parse(text, "trixie").indexes(["main"], "amd64")] == [
        "main/binary-amd64/Packages.xz",
        "main/binary-all/Packages.xz",
    ]


@pytest.mark.parametrize(("component", "architecture"), [("mian", "amd64"), ("main", "amd46")])
def test_a_component_or_architecture_that_is_not_there_is_told(component: str, architecture: str) -> None:
    with pytest.raises(BadInput, match="main contrib"):
        parse(TEXT, "trixie").indexes([component], architecture)


def test_an_expired_release_is_refused() -> None:
    read = parse(TEXT, "trixie")
    assert read.until is not None
    check_date(read, read.until - timedelta(seconds=1))
    with pytest.raises(Corrupt, match="expired"):
        check_date(read, read.until + timedelta(seconds=1))


def test_a_release_of_the_future_is_refused() -> None:
    with pytest.raises(Corrupt, match="not yet"):
        check_date(parse(TEXT, "trixie"), datetime(2026, 11, 19, tzinfo=UTC))


@pytest.mark.parametrize("change", [(b"SHA256:", b"SHA1:"), (b"Sat, 21 Nov 2026", b"Some day"), (b"Date:", b"Dote:")])
def test_a_release_without_what_counts_is_refused(change: tuple[bytes, bytes]) -> None:
    with pytest.raises(Corrupt, match="cannot be used"):
        parse(TEXT.replace(*change), "trixie")


def test_what_is_written_is_read_as_it_was_meant() -> None:
    files = [Listed("main/binary-amd64/Packages", 5, Digest("sha256", HEX))]
    again = parse(written(parse(TEXT, "trixie"), ["main"], ["amd64"], files), "trixie")
    assert again.files == {each.path: each for each in files}
    assert again.date == parse(TEXT, "trixie").date
    assert again.until is None
    assert again.fields["origin"] == "Debian"
    assert [each for each, _ in again.indexes(["main"], "amd64")] == ["main"]


def test_upstreams_words_cannot_become_fields_of_ours() -> None:
    text = TEXT.replace(b"Description: Debian 13.8", b"Description: x\n Acquire-By-Hash: no\n Date: never")
    lines = written(parse(text, "trixie"), ["main"], ["amd64"], []).decode().splitlines()
    assert sum(line.startswith(("Acquire-By-Hash:", "Date:")) for line in lines) == 2


def test_the_text_of_a_clear_signed_release_is_found() -> None:
    signed = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n" + TEXT + b"-----BEGIN PGP SIGNATURE-----\n\nxx\n"
    assert parse(unsigned(signed), "trixie") == parse(TEXT, "trixie")
    assert unsigned(TEXT) == TEXT


@given(st.binary(max_size=400))
def test_no_bytes_are_more_than_refused(data: bytes) -> None:
    fields_of(data)
    with suppress(Corrupt):
        parse(data, "trixie")


@given(st.lists(st.sampled_from(TEXT.decode().splitlines()), max_size=30), st.integers(0, 300))
def test_no_release_that_was_cut_or_shuffled_is_more_than_refused(lines: list[str], cut: int) -> None:
    with suppress(Corrupt):
        parse("\n".join(lines).encode()[: -cut or None], "trixie")
