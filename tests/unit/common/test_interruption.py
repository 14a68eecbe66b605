"""Ctrl-C is taken once, however often it is pressed."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from common.interruption import once

ROOT = Path(__file__).parents[3]
PROGRAM = """
import sys, time
from common.cli import main
from common.errors import Interrupted
from common.interruption import once

def build() -> None:
    '''Build.'''
    with once():
        try:
            print("begun", flush=True)
            time.sleep(30)
        except KeyboardInterrupt:
            time.sleep(1)
            print("cleaned up", flush=True)
            raise Interrupted("interrupted; it was cleaned up", resolution="")

sys.exit(main("smie", "", {"build": build}, ["build"]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_interrupts_and_later_ones_do_not_break_the_clean_up(number: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    for _ in range(3):
        process.send_signal(number)
        time.sleep(0.1)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == "cleaned up\n"
    lines = err.split("\n")
    assert lines[-2:] == ["smie: interrupted; it was cleaned up", ""]
    assert set(lines[:-2]) == {"cleaning up; this ends by itself"}


def test_handlers_are_as_before_when_nothing_was_interrupted() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with once():
        assert signal.getsignal(signal.SIGINT) is not before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_who_ignores_interrupts_goes_on_ignoring_them() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with once():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_in_another_thread_nothing_is_changed() -> None:
    seen: list[object] = []

    def act() -> None:
        with once():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=act)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]
