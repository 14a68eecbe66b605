"""Work side by side: errors stop it, and so does Ctrl-C, at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from common.errors import NotFound
from naust.transfer.parallel import each
from tests.conftest import ROOT


@pytest.mark.parametrize("at_once", [1, 2, 8])
def test_all_is_done_once(at_once: int) -> None:
    done: list[int] = []
    each(done.append, range(50), at_once)
    assert sorted(done) == list(range(50))


def test_the_first_error_stops_what_has_not_begun_and_waits_for_what_has() -> None:
    done: list[int] = []
    before = threading.active_count()

    def work(number: int) -> None:
        if number == 0:
            raise NotFound("gone", resolution="None.")
        time.sleep(0.1)
        done.append(number)

    with pytest.raises(NotFound):
        each(work, range(100), 2)
    assert 1 <= len(done) < 10
    assert threading.active_count() <= before


_ENDLESS = """
import os, sys, time
from naust.transfer.parallel import each

def endless(name):
    try:
        os.write(1, b"begun\\n")
        while True:
            time.sleep(0.01)
    finally:
        os.write(1, b"cleaned up\\n")

def crew(number):
    each(endless, [f"{number}.{inner}" for inner in range(3)], 2)

try:
    each(crew, range(4), 2)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_an_interruption_reaches_all_that_work_and_they_clean_up() -> None:
    """Two crews of two each, one inside the other."""
    process = subprocess.Popen([sys.executable, "-c", _ENDLESS], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        assert [process.stdout.readline() for _ in range(4)] == ["begun\n"] * 4
        os.kill(process.pid, signal.SIGINT)
        out, _ = process.communicate(timeout=10)
    finally:
        process.kill()
    assert out.split("\n") == ["cleaned up"] * 4 + ["interrupted", ""]
    assert process.returncode == 0
