"""Where everything is on a disk, and what is written there by which words."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import BadInput
from common.model import Digest
from smie.builder.chroot import script as inside
from smie.builder.disk import BOOT, MIB, SMALLEST, Layout, script

IDENTITY = Digest.of(b"a recipe")


@given(st.integers(SMALLEST * MIB, 1 << 44))
def test_partitions_follow_each_other_and_fit(size: int) -> None:
    layout = Layout.of(size, IDENTITY)
    rows = [tuple(map(int, found)) for found in re.findall(r"start=(\d+), size=(\d+)", layout.table())]
    assert rows[0] == (2048, BOOT * 2048)
    for (start, length), (later, _) in itertools.pairwise(rows):
        assert start + length == later
    assert rows[1][1] == rows[2][1]
    # The second copy of the table needs 33 sectors at the end (UEFI specification, 5.3.1).
    assert sum(rows[-1]) + 33 <= layout.size * 2048 <= size // 512


def test_a_disk_that_is_too_small_is_refused() -> None:
    with pytest.raises(BadInput, match="too small"):
        Layout.of(SMALLEST * MIB - 1, IDENTITY)


def test_identifiers_follow_from_the_recipe_and_differ_from_each_other() -> None:
    layout, same, other = (Layout.of(1 << 32, Digest.of(text)) for text in (b"a", b"a", b"b"))
    names = ("disk", "esp", "root-a", "root-b")
    assert [layout.identifier(name) for name in names] == [same.identifier(name) for name in names]
    assert not {layout.identifier(name) for name in names} & {other.identifier(name) for name in names}
    assert len({layout.identifier(name) for name in names}) == len(names)


def test_each_slot_boots_the_partition_of_its_name() -> None:
    layout = Layout.of(1 << 32, IDENTITY)
    assert f"root=PARTUUID={layout.identifier('root-a')} rw" in layout.entry("a")
    assert "/slot-b/vmlinuz" in layout.entry("b") and str(layout.identifier("root-b")) in layout.entry("b")


def test_the_root_is_written_where_the_table_has_it_and_nothing_is_mounted() -> None:
    layout = Layout.of(1 << 32, IDENTITY)
    text = script(layout, 1_700_000_000)
    assert f"offset={layout.starts[0] * MIB}" in text and f"disk.raw {layout.slot}M" in text
    assert "SOURCE_DATE_EPOCH=1700000000" in text
    assert not re.search(r"\b(mount|losetup|kpartx|date)\b", text.replace("--date=@", ""))


def test_folders_are_bound_read_only_unless_they_are_to_be_written() -> None:
    text = inside("tree", {Path("/a b"): "/smie/apt", Path("/w"): "/smie/work"}, ("true",), writable=("/smie/work",))
    assert "mount --bind '/a b' \"$tree\"/smie/apt" in text
    assert 'mount -o remount,bind,ro "$tree"/smie/apt' in text
    assert 'remount,bind,ro "$tree"/smie/work' not in text
