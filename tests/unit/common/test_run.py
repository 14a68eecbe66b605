"""common.run: the one door to other programs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path

import pytest

from common.errors import Missing
from common.run import CommandFailed, environment, find, run, stream

PYTHON = sys.executable


def test_both_pipes_are_drained_so_that_a_talkative_program_never_stops() -> None:
    script = "import sys\nfor n in range(20000): print('o' * 50); print('e' * 50, file=sys.stderr)"
    result = run([PYTHON, "-c", script], timeout=timedelta(seconds=60))
    assert (len(result.stdout), len(result.stderr)) == (51 * 20000, 51 * 20000)


def test_lines_are_given_on_as_they_come() -> None:
    seen: list[tuple[str, str]] = []
    run(
        [PYTHON, "-c", "import sys; print('one'); print('two', file=sys.stderr)"],
        on_line=lambda s, t: seen.append((s, t)),
    )
    assert sorted(seen) == [("stderr", "two"), ("stdout", "one")]


def test_a_program_cannot_ask_questions() -> None:
    assert run([PYTHON, "-c", "import sys; print(repr(sys.stdin.read()))"]).stdout == "''\n"


def test_input_is_fed_on_stdin() -> None:
    assert run([PYTHON, "-c", "import sys; print(sys.stdin.read()[::-1])"], input=b"abc").stdout == "cba\n"


def test_a_credential_in_the_environment_is_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "ZQ7-canary-secret-41")
    assert "ZQ7-canary-secret-41" not in environment().values()
    assert "ZQ7" not in run([PYTHON, "-c", "import os; print(dict(os.environ))"]).stdout


def test_a_failure_says_what_was_run_and_its_last_lines() -> None:
    with pytest.raises(CommandFailed) as failure:
        run([PYTHON, "-c", "import sys; print('no such thing', file=sys.stderr); sys.exit(7)"])
    assert failure.value.result.code == 7
    assert "ended with status 7" in failure.value.message
    assert failure.value.details == "no such thing"
    assert "sys.exit(7)" in failure.value.resolution


def test_a_missing_program_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(Missing) as failure:
        run(["packer", "build"])
    assert failure.value.message == "packer is not installed"
    assert "apt-get install packer" in failure.value.resolution


def test_what_was_installed_with_us_is_found_without_being_in_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert find("ansible-playbook") == str(Path(sys.executable).parent / "ansible-playbook")


def test_time_runs_out_and_the_whole_group_is_ended(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    script = f"sleep 60 & echo $! > {mark}; wait"
    with pytest.raises(CommandFailed, match="did not end within"):
        run(["sh", "-c", script], timeout=timedelta(seconds=0.5), grace=timedelta(seconds=1))
    deadline = time.monotonic() + 5
    while _alive(int(mark.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_ctrl_c_interrupts_the_program_once_and_waits_for_its_clean_up(tmp_path: Path) -> None:
    mark = tmp_path / "cleaned"
    child = (
        "import signal, time, pathlib, sys\n"
        "def tidy(*_):\n"
        "    time.sleep(0.5)\n"
        f"    pathlib.Path({str(mark)!r}).write_text('x')\n"
        "    sys.exit(1)\n"
        "signal.signal(signal.SIGINT, tidy)\n"
        "print('up', flush=True)\n"
        "time.sleep(30)\n"
    )
    parent = (
        "from common.run import run\nimport sys\n"
        f"run([sys.executable, '-c', {child!r}], on_line=lambda s, t: print(t, flush=True))"
    )
    process = subprocess.Popen([PYTHON, "-c", parent], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(10) != 0
    assert mark.read_text() == "x"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


def test_what_a_program_prints_comes_while_it_runs_and_who_stops_reading_ends_it() -> None:
    pieces = stream(["sh", "-c", "read word; echo $word; exec sleep 600"], b"first\n")
    started = time.monotonic()
    assert next(pieces) == b"first\n"
    assert isinstance(pieces, Generator)
    pieces.close()
    assert time.monotonic() - started < 60


def test_a_stream_that_ends_badly_says_how() -> None:
    pieces = stream(["sh", "-c", "echo said; echo wrong >&2; exit 3"], b"")
    assert next(pieces) == b"said\n"
    with pytest.raises(CommandFailed, match="status 3") as failed:
        next(pieces)
    assert failed.value.result.stderr.strip() == "wrong"
