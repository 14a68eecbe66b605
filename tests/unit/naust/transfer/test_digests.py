"""A remembered digest is right, or it is not there."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model import Digest
from naust.transfer import digests

OLD = time.time() - 60


@pytest.fixture(autouse=True)
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "seter" / "digests"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "f"


def settle(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if ten seconds had gone since the file changed: a ctime cannot be set, the clock beside it can."""
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 10 * 10**9)


def remembered(path: Path, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(data)
    with monkeypatch.context() as patch:
        settle(patch)
        assert digests.digest_of(path) == Digest.of(data)
    assert digests.known(path) == Digest.of(data)


def test_an_unchanged_file_is_known(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remembered(path, b"content", monkeypatch)
    moved = path.rename(path.with_name("moved"))  # changes its ctime
    assert digests.known(moved) is None


def test_what_changed_a_moment_ago_is_not_remembered(path: Path, table: Path) -> None:
    path.write_bytes(b"content")
    assert digests.digest_of(path) == Digest.of(b"content")
    assert digests.known(path) is None
    assert not table.exists()


@pytest.mark.parametrize("change", ["content", "times set back", "another file", "mode"])
def test_a_changed_file_is_not_known(path: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    remembered(path, b"content", monkeypatch)
    before = path.stat()
    if change == "another file":
        path.with_name("other").write_bytes(b"CONTENT")
        path.with_name("other").rename(path)
    elif change == "mode":
        path.chmod(0o600)
    else:
        path.write_bytes(b"CONTENT")
    if change != "content":
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert digests.known(path) is None


def test_a_file_that_changes_while_it_is_hashed_is_not_remembered(path: Path, table: Path) -> None:
    path.write_bytes(b"content")
    before = path.stat()
    path.write_bytes(b"longer content")
    digests.remember(before, path.stat(), time.time_ns() + 10 * 10**9, Digest.of(b"content"))
    assert not table.exists()


@given(st.lists(st.tuples(st.binary(min_size=32, max_size=32), st.binary(min_size=72, max_size=72)), max_size=50))
def test_a_value_comes_back_or_nothing(pairs: list[tuple[bytes, bytes]]) -> None:
    for key, value in pairs:
        digests.put(key, value)
        assert digests.get(key) == value


def test_the_oldest_gives_way_and_the_table_does_not_grow(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [b"same" + bytes([number]) * 28 for number in range(10)]
    for second, key in enumerate(keys):
        monkeypatch.setattr(time, "time", lambda second=second: OLD + second)
        digests.put(key, bytes(72))
    assert [digests.get(key) is not None for key in keys] == [False] * 6 + [True] * 4
    assert table.stat().st_size <= 8 << 20
    assert table.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("damage", ["torn", "rubbish", "empty", "folder", "short"])
def test_a_damaged_table_knows_nothing_and_is_used_again(
    table: Path, path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    remembered(path, b"content", monkeypatch)
    data = table.read_bytes()
    if damage == "torn":
        at = next(place for place in range(0, len(data), 128) if any(data[place : place + 128]))
        table.write_bytes(data[: at + 40] + bytes(8) + data[at + 48 :])
    elif damage == "folder":
        table.unlink()
        table.mkdir()
    else:
        table.write_bytes({"rubbish": os.urandom(len(data)), "empty": b"", "short": data[:-1]}[damage])
    assert digests.known(path) is None
    if damage != "folder":
        remembered(path, b"other", monkeypatch)


def test_many_processes_use_one_table(tmp_path: Path) -> None:
    code = (
        "import sys, hashlib; from naust.transfer import digests\n"
        "keys = [hashlib.sha256(str(n % 7).encode()).digest() for n in range(2000)]\n"
        "for key in keys:\n"
        "    digests.put(key, key + bytes(40)); value = digests.get(key)\n"
        "    assert value is None or value == key + bytes(40)\n"
    )
    started = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [each.wait(60) for each in started] == [0, 0, 0]
