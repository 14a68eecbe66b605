"""What breaks a host on purpose."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from seter.provisioner import onhost_break


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 4 MiB."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(tmp_path)], check=True)
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_full_disk_takes_nothing_more_until_it_is_emptied(disk: Path) -> None:
    (disk / "mine").write_bytes(b"x" * 5000)
    for _ in range(2):
        onhost_break.main(["fill", str(disk)])
        assert os.statvfs(disk).f_bavail == 0
    with pytest.raises(OSError, match="No space left"):
        (disk / "more").write_bytes(b"x" * 5000)
    for _ in range(2):
        onhost_break.main(["empty", str(disk)])
        assert sorted(path.name for path in disk.iterdir()) == ["mine", "more"]
    assert (disk / "mine").read_bytes() == b"x" * 5000


def test_a_file_system_that_needs_some_room_for_itself_is_full_too(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ext4 cannot give away in one piece all that it says is free: it has to note where that is."""
    allocate = os.posix_fallocate

    def some(file: int, offset: int, length: int) -> None:
        if length > 1 << 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        allocate(file, offset, length)

    monkeypatch.setattr(os, "posix_fallocate", some)
    onhost_break.main(["fill", str(disk)])
    assert os.statvfs(disk).f_bavail == 0


@pytest.mark.parametrize(("number", "told"), [(errno.ENOSPC, False), (errno.EIO, True)])
def test_what_nobody_gives_away_ends_the_filling_and_another_fault_is_told(
    disk: Path, monkeypatch: pytest.MonkeyPatch, number: int, told: bool
) -> None:
    def none(file: int, offset: int, length: int) -> None:
        raise OSError(number, "not this time")

    monkeypatch.setattr(os, "posix_fallocate", none)
    with pytest.raises(OSError, match="not this time") if told else nullcontext():
        onhost_break.main(["fill", str(disk)])
