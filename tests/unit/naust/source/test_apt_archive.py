"""Indexes as they come: unpacked, and no further than they may."""

from __future__ import annotations

import gzip
import lzma
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Corrupt
from common.model import Digest
from naust.source.apt_archive import unpacked
from naust.source.apt_release import Listed

DATA = b"Package: one\n" * 100
PACK = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}


def listed(data: bytes, form: str) -> Listed:
    return Listed(f"main/binary-amd64/Packages{form}", len(data), Digest.of(data))


@pytest.mark.parametrize("form", PACK)
def test_an_index_is_unpacked_whatever_its_form(form: str) -> None:
    packed = PACK[form](DATA)
    assert unpacked(packed, listed(packed, form), len(DATA), "trixie") == DATA


@pytest.mark.parametrize("form", [".gz", ".xz"])
@pytest.mark.parametrize("cut", [1, 10, 40])
def test_an_index_that_is_cut_off_is_refused(form: str, cut: int) -> None:
    packed = PACK[form](DATA)[:-cut]
    with pytest.raises(Corrupt, match="not what its Release says"):
        unpacked(packed, listed(packed, form), len(DATA), "trixie")


@pytest.mark.parametrize("form", [".gz", ".xz"])
def test_an_index_that_becomes_larger_than_its_release_says_is_refused(form: str) -> None:
    packed = PACK[form](bytes(10 << 20))
    with pytest.raises(Corrupt):
        unpacked(packed, listed(packed, form), len(DATA), "trixie")


@given(st.binary(max_size=200), st.sampled_from([".gz", ".xz"]))
def test_no_bytes_are_more_than_refused(data: bytes, form: str) -> None:
    with suppress(Corrupt):
        unpacked(data, listed(data, form), 1000, "trixie")
