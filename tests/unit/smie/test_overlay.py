"""The files of a base: what of them counts, and how they get into its root."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from common.errors import BadInput
from common.role import Base
from smie.overlay import described, write


@pytest.fixture
def base(tmp_path: Path) -> Base:
    folder = tmp_path / "bases" / "small" / "etc" / "a"
    folder.mkdir(parents=True)
    (folder / "plain").write_text("x")
    (folder / "program").write_text("#!/bin/sh\n")
    (folder / "program").chmod(0o700)
    (folder / "masked").symlink_to("/dev/null")
    return Base("small", "", "trixie", (), file=tmp_path / "bases" / "small.hcl")


def test_files_become_roots_with_plain_modes_and_folders_above_them(base: Base, tmp_path: Path) -> None:
    assert write(base, tmp_path / "o.tar", 1000)
    with tarfile.open(tmp_path / "o.tar") as archive:
        found = {entry.name: entry for entry in archive}
    assert list(found) == ["etc", "etc/a", "etc/a/masked", "etc/a/plain", "etc/a/program"]
    assert {entry.mtime for entry in found.values()} == {1000}
    assert {(entry.uid, entry.gid, entry.uname) for entry in found.values()} == {(0, 0, "")}
    assert (found["etc/a/plain"].mode, found["etc/a/program"].mode) == (0o644, 0o755)
    assert found["etc/a/masked"].linkname == "/dev/null"


def test_content_right_to_execute_and_target_count_and_nothing_else(base: Base) -> None:
    folder, before = base.file.parent / "small" / "etc" / "a", list(described(base))
    os.utime(folder / "plain", (1, 1))
    (folder / "plain").chmod(0o600)
    assert list(described(base)) == before
    for change in (
        lambda: (folder / "plain").chmod(0o755),
        lambda: (folder / "program").write_text("other"),
        lambda: ((folder / "masked").unlink(), (folder / "masked").symlink_to("/dev/zero")),
    ):
        change()
        assert list(described(base)) != before
        before = list(described(base))


def test_a_base_without_a_folder_has_no_files(tmp_path: Path) -> None:
    bare = Base("bare", "", "trixie", (), file=tmp_path / "bare.hcl")
    assert not list(described(bare)) and not write(bare, tmp_path / "o.tar", 0)
    assert not list(described(Base("nowhere", "", "trixie", ())))


def test_a_socket_among_them_is_refused(base: Base) -> None:
    os.mkfifo(base.file.parent / "small" / "pipe")
    with pytest.raises(BadInput, match="neither file nor link"):
        list(described(base))
