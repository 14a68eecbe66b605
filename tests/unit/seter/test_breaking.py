"""What breaks a host on purpose."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
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
