"""What starts a service anew that answers nobody."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import watched
from watched import Keeper, Patience

from tests.conftest import ROOT
from tests.lab.programs import free_port

PROGRAM = ROOT / "systems" / "roles" / "watched" / "files" / "watched.py"
# Serves until SIGUSR2, after which it takes connections and answers nothing.
SERVICE = """
import http.server, os, signal, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *words): pass
signal.signal(signal.SIGUSR2, lambda *_: time.sleep(600))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
open(sys.argv[2], "a").write(f"{os.getpid()}\\n")
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_what_has_not_answered_yet_is_starting() -> None:
    patience = Patience(10)
    assert not patience.is_over(1_000)
    patience.hear(1_000)
    assert not patience.is_over(1_009) and patience.is_over(1_010)


def test_patience_doubles_with_each_restart_and_is_as_at_first_after_an_hour_of_health() -> None:
    patience, now, found = Patience(10), 0.0, []
    for _ in range(8):
        patience.restart(now)
        found.append(patience.current)
        now += patience.current + 5
    assert found == [20, 40, 80, 160, 320, 600, 600, 600]
    patience.restart(now + watched.HEALTH)
    assert patience.current == 20


@pytest.fixture
def pids(tmp_path: Path) -> Path:
    return tmp_path / "pids"


@pytest.fixture
def running(pids: Path) -> Iterator[subprocess.Popen[str]]:
    port = free_port()
    service = [sys.executable, "-c", SERVICE, str(port), str(pids)]
    argv = [sys.executable, str(PROGRAM), f"--url=http://127.0.0.1:{port}/ping", "--patience=1.5", "--", *service]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as process:
        yield process
        process.terminate()


def started(pids: Path, count: int) -> list[int]:
    end = time.monotonic() + 30
    while not pids.exists() or len(pids.read_text().split()) < count:
        assert time.monotonic() < end, "it was not started"
        time.sleep(0.05)
    return [int(pid) for pid in pids.read_text().split()]


def test_a_service_that_hangs_is_started_anew_and_one_that_answers_503_is_not(
    running: subprocess.Popen[str], pids: Path
) -> None:
    (first,) = started(pids, 1)
    time.sleep(3)
    assert started(pids, 1) == [first]
    os.kill(first, signal.SIGUSR2)
    second = started(pids, 2)[1]
    assert not Path(f"/proc/{first}").exists() and second != first


def test_the_end_is_passed_on_and_its_exit_code_passed_back(running: subprocess.Popen[str], pids: Path) -> None:
    started(pids, 1)
    running.send_signal(signal.SIGTERM)
    assert running.wait(20) == 7


def test_a_service_that_ends_by_itself_is_for_others_to_start() -> None:
    argv = [sys.executable, str(PROGRAM), "--url=http://127.0.0.1:1/", "--"]
    assert subprocess.run([*argv, "sh", "-c", "exit 3"], timeout=60).returncode == 3
    assert subprocess.run([*argv, "sh", "-c", "kill -9 $$"], timeout=60).returncode == 137
    assert subprocess.run([*argv, "/nonexistent"], capture_output=True, timeout=60).returncode == 1


def test_nothing_is_started_once_the_end_was_asked_for() -> None:
    answers = itertools.chain([True], itertools.repeat(False))
    keeper = Keeper(["sleep", "600"], Patience(1), lambda: next(answers))
    threading.Timer(0.5, lambda: keeper.end(signal.SIGTERM, None)).start()
    assert keeper.run() == 128 + signal.SIGTERM


def test_who_is_told_to_end_wants_no_more_requests_for_a_while_first(tmp_path: Path) -> None:
    file = tmp_path / "drained"
    file.touch()  # as a crash leaves it
    service = ["sh", "-c", f"trap 'exit 5' TERM; test ! -e {file} && echo up; while :; do sleep 0.05; done"]
    argv = [sys.executable, str(PROGRAM), "--url=http://127.0.0.1:1/", "--drain", str(file), "1.5", "--", *service]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"up\n"
        time.sleep(0.5)  # who is told in the moment of the start has nobody to wait for, and ends at once
        process.send_signal(signal.SIGTERM)
        told = time.monotonic()
        while not file.exists():
            assert time.monotonic() - told < 20
            time.sleep(0.01)
        assert process.wait(20) == 5 and time.monotonic() - told >= 1.4


@pytest.mark.parametrize(("grace", "ends", "least"), [("20", True, 2.0), ("0.5", False, 1.0), ("0", False, 0.4)])
def test_what_is_under_way_may_end_first_but_has_not_all_time(
    tmp_path: Path, grace: str, ends: bool, least: float
) -> None:
    under_way = tmp_path / "under way"
    under_way.touch()
    service = ["sh", "-c", "trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done"]
    drain = ["--drain", str(tmp_path / "drained"), "0.5", "--busy", f"test -e '{under_way}'", grace]
    argv = [sys.executable, str(PROGRAM), "--url=http://127.0.0.1:1/", *drain, "--", *service]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"up\n"
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        told = time.monotonic()
        if ends:
            threading.Timer(2.0, under_way.unlink).start()
        assert process.wait(18) == 5 and time.monotonic() - told >= least


def test_who_cannot_say_whether_it_is_busy_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    watched.Drain(tmp_path / "drained", 0.0, (str(tmp_path / "nothing"),), 20.0).wait()
    assert time.monotonic() - began < 5 and "nobody knows whether it is busy" in capsys.readouterr().err
