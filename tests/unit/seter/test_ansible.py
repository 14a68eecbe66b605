"""How Ansible is run, without running it; `tests/integration` runs it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seter.ansible import LEASH, PlayFailed, ansible_environment, descendants, end_descendants, failure, sweep


def test_ansible_sees_only_what_is_allowed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    monkeypatch.setenv("ANSIBLE_CALLBACKS_ENABLED", "spy")
    env = ansible_environment(tmp_path / "roles", tmp_path)
    assert "canary" not in env.values()
    assert "spy" not in env.values()
    assert env["ANSIBLE_ROLES_PATH"] == str(tmp_path / "roles")
    assert env["PATH"].startswith(str(Path(sys.executable).parent))


def test_a_failing_task_s_own_words_become_the_error() -> None:
    result = {"msg": "non-zero return code", "stderr": "no such pool"}
    error = failure({"role": "radosgw", "host": "gw1", "task": "Make the pool", "res": result})
    assert isinstance(error, PlayFailed)
    assert error.message == "radosgw on gw1: Make the pool: non-zero return code"
    assert error.details == "no such pool"


def test_what_a_killed_run_left_is_swept_and_what_a_living_one_uses_is_not(tmp_path: Path) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    old, mine, foreign = (tmp_path / name for name in (f"seter-{gone.stdout.strip()}-x", f"seter-{os.getpid()}-x", "s"))
    for folder in (old, mine, foreign):
        folder.mkdir()
    sweep(tmp_path, "seter-")
    assert (old.exists(), mine.exists(), foreign.exists()) == (False, True, True)


def test_everything_below_a_process_is_found_and_ended_sessions_of_its_own_too() -> None:
    child = subprocess.Popen(["setsid", "sh", "-c", "sleep 60 & wait"], start_new_session=True)
    try:
        deadline = time.monotonic() + 5
        while len(descendants(child.pid)) < 1 and time.monotonic() < deadline:
            time.sleep(0.02)
        below = descendants(os.getpid())
        assert child.pid in below
        end_descendants(child.pid)
        child.wait(timeout=5)
        assert not descendants(child.pid)
    finally:
        child.kill()


def test_the_leash_ends_what_it_holds_when_its_parent_is_killed() -> None:
    program = f"import os,subprocess,sys; p=subprocess.Popen([sys.executable,'-c',{LEASH!r},str(os.getpid()),"
    program += "'/bin/sleep','60']); print(p.pid, flush=True); p.wait()"
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    held = int(parent.stdout.readline())
    deadline = time.monotonic() + 5
    while "sleep" not in Path(f"/proc/{held}/comm").read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    parent.kill()
    parent.wait()
    while Path(f"/proc/{held}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{held}").exists()
