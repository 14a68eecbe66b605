"""common.files and common.lock."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from common.errors import Conflict, Error
from common.files import file_digest, tree_digest, write_atomically
from common.lock import holder, lease, take
from common.model import Digest


def test_a_file_is_whole_with_its_mode_and_nothing_is_left_beside(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file"
    write_atomically(target, "text", mode=0o600)
    assert (target.read_text(), target.stat().st_mode & 0o777) == ("text", 0o600)
    assert [path.name for path in target.parent.iterdir()] == ["file"]


def test_a_folder_in_the_way_is_one_clear_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    (tmp_path / "file" / "x").touch()
    with pytest.raises(Error, match="could not be written"):
        write_atomically(tmp_path / "file", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_tree_is_the_same_wherever_it_lies_and_differs_by_mode(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_atomically(tmp_path / name / "a" / "b", "content")
    assert tree_digest(tmp_path / "one") == tree_digest(tmp_path / "two")
    (tmp_path / "two" / "a" / "b").chmod(0o600)
    assert tree_digest(tmp_path / "one") != tree_digest(tmp_path / "two")


def test_a_file_has_the_digest_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert file_digest(tmp_path / "x") == Digest.of(b"abc")


HOLD = """
import sys, time
from pathlib import Path
from common.lock import lease
with lease(Path(sys.argv[1]), "deploy of s3-lb"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_held_lease_names_its_holder_and_goes_with_it(tmp_path: Path) -> None:
    path = tmp_path / "lease"
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(Conflict) as failure, lease(path, "mine"):
            pass
        assert f"process {other.pid}" in failure.value.message
        assert "deploy of s3-lb" in failure.value.message
        other.send_signal(signal.SIGKILL)
        other.wait()
        with lease(path, "mine", wait=timedelta(seconds=2)):
            assert f"process {os.getpid()}" in holder(path)
        assert holder(path) == ""
    finally:
        other.kill()
        other.wait()


def test_a_lease_whose_folder_was_removed_by_its_holder_holds_nobody_up_and_locks_anew(tmp_path: Path) -> None:
    """`seter destroy --forget` removes the folder while it holds the lease; who waited must not get the dead file."""
    path, got = tmp_path / "folder" / "lease", threading.Event()

    def wait_for_it() -> None:
        with lease(path, "second", wait=timedelta(seconds=10)):
            got.set()
            with pytest.raises(Conflict, match="second"), lease(path, "third"):
                pass

    with ThreadPoolExecutor(1) as threads:
        with lease(path, "first"):
            waiting = threads.submit(wait_for_it)
            time.sleep(0.3)
            shutil.rmtree(path.parent)
        waiting.result(timeout=10)
    assert got.is_set()


HOLDER = """
import fcntl, os, signal, sys, time
fcntl.flock(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT), fcntl.LOCK_EX)
print("held", flush=True)
if sys.argv[2] == "stops":
    os.kill(os.getpid(), signal.SIGSTOP)
time.sleep(0.6)
"""


@pytest.mark.parametrize("shared", [False, True])
def test_a_lock_whose_holder_works_is_waited_for_and_one_that_is_stopped_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    """A run that was stopped as it swapped a cell (Ctrl-Z) held up everybody else without a word."""
    monkeypatch.setattr("common.lock.STOPPED_FOR", timedelta(seconds=0.3))
    path = tmp_path / "lock"
    with path.open("wb") as file:
        for way in ("works", "stops"):
            argv = [sys.executable, "-c", HOLDER, str(path), way]
            with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
                assert process.stdout is not None and process.stdout.readline() == "held\n"
                if way == "stops":
                    with pytest.raises(Conflict, match=rf"lock is locked by process {process.pid}, which is stopped"):
                        take(file.fileno(), path, shared=shared)
                    process.send_signal(signal.SIGCONT)
                begun = time.monotonic()
                take(file.fileno(), path, shared=shared)
                assert time.monotonic() - begun > 0.1, "it was held until then"
                fcntl.flock(file, fcntl.LOCK_UN)
