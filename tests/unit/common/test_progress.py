"""Progress: what is shown, and how long the rest is said to take."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.console import live
from common.model import Event, Stage
from common.progress import Board, Job, duration

ROOT = Path(__file__).parents[3]
BASE, TRAEFIK, ETCD = "container/debian-13", "container/traefik", "container/etcd"


def begins(subject: str) -> Event:
    return Event("builds", subject, "never built", stage=Stage.BEGINS)


def ends(subject: str) -> Event:
    return Event("built", subject, stage=Stage.ENDS)


def board() -> Board:
    return Board((Job(BASE, 20.0), Job(TRAEFIK, 16.0, (BASE,)), Job(ETCD, None, (BASE,))), 2)


def test_rows_say_step_time_and_share_within_the_width() -> None:
    seen = board()
    seen.take(begins(BASE), 100.0)
    seen.take(ends(BASE), 118.0)
    seen.take(begins(TRAEFIK), 118.0)
    seen.take(begins(ETCD), 118.0)
    seen.take(Event("task", TRAEFIK, "process : Make the user of the process"), 120.0)
    assert seen.lines(126.0, 79) == [
        "container/traefik        process : Make the u…    8 s of   16 s █████░░░░░  50%",
        "container/etcd                                                              8 s",
        "1 of 3 done, about 10 s left",
    ]
    for line in seen.lines(126.0, 79):
        assert len(line) <= 79


def test_a_row_does_not_say_twice_whose_task_it_is() -> None:
    seen = board()
    seen.take(begins(TRAEFIK), 0.0)
    seen.take(Event("task", TRAEFIK, "traefik : Take a moment"), 1.0)
    assert seen.lines(2.0, 79)[0].startswith("container/traefik        Take a moment   ")


def test_what_nobody_has_built_yet_has_no_bar_and_no_estimate() -> None:
    seen = Board((Job(BASE),), 1)
    seen.take(begins(BASE), 0.0)
    row, all_ = seen.lines(75.0, 60)
    assert row.endswith("1 m 15 s") and row.startswith(BASE)
    assert all_ == "0 of 1 done"


def test_events_of_rows_are_told_in_the_row_and_all_others_in_lines() -> None:
    seen = board()
    assert seen.take(Event("swept", "container old", "was left"), 0.0)
    assert not seen.take(begins(BASE), 0.0)
    assert not seen.take(Event("task", BASE, "x"), 1.0)
    assert seen.take(ends(BASE), 2.0)
    assert seen.take(Event("waiting", "of another tool"), 3.0)
    assert seen.take(begins("container/unknown"), 3.0)


def test_the_rest_is_played_through_with_needs_and_places() -> None:
    jobs = (Job("a", 10.0), Job("b", 8.0, ("a",)), Job("c", 6.0, ("a",)), Job("d", 4.0, ("a",)))
    assert Board(jobs, 2).left(0.0) == 10 + 6 + 4
    assert Board(jobs, 1).left(0.0) == 28
    assert Board(jobs, 9).left(0.0) == 18
    seen = Board(jobs, 2)
    seen.take(begins("a"), 0.0)
    assert seen.left(4.0) == 16
    assert seen.left(40.0) == 11  # over its time: a tenth more
    seen.take(ends("a"), 41.0)
    assert seen.left(41.0) == 10


@given(st.lists(st.one_of(st.none(), st.floats(0.1, 99)), max_size=8), st.integers(1, 4), st.integers(1, 200))
def test_no_line_is_longer_than_the_terminal(lengths: list[float | None], at_once: int, width: int) -> None:
    jobs = tuple(
        Job(f"container/{number}-{'x' * number * 6}", seconds, ("nobody",) if number % 3 else ())
        for number, seconds in enumerate(lengths)
    )
    seen = Board(jobs, at_once)
    for job in jobs[:5]:
        seen.take(begins(job.subject), 0.0)
        seen.take(Event("task", job.subject, "tab\tand ünicode " * 9), 1.0)
    for line in seen.lines(17.0, width):
        assert len(line) <= max(width, 1) and line.isprintable()


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (60, "1 m 00 s"), (3725, "62 m 05 s")])
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_without_a_terminal_events_are_told_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Event] = []
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with live(told.append, board()) as report:
        report(begins(BASE))
        report(Event("task", BASE, "x"))
    assert [event.kind for event in told] == ["builds", "task"]


PROGRAM = """
import time
from common.console import live, note, reporter
from common.model import Event, Stage
from common.progress import Board, Job
with live(reporter(), Board((Job("container/traefik", 4.0), Job("container/etcd", 4.0)), 2)) as report:
    report(Event("builds", "container/traefik", "never built", stage=Stage.BEGINS))
    report(Event("task", "container/traefik", "Install [bold]wheels"))
    time.sleep(0.7)
    report(Event("built", "container/traefik", "in 0.7 s", stage=Stage.ENDS))
    note("said beside")
    time.sleep(0.3)
print("the result")
"""


def drawn(**env: str) -> str:
    """What a terminal of 80 columns gets."""
    ours, theirs = pty.openpty()
    known = {"PATH": os.environ["PATH"], "TERM": "xterm", "COLUMNS": "80", "LANG": "C.UTF-8"}
    argv = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT, env=known | env) as process:
        os.close(theirs)
        text = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # EIO: nobody has the other end any more (pty(7))
                break
            if not part:
                break
            text += part
        os.close(ours)
        assert process.wait() == 0
    return text.decode()


def test_a_terminal_sees_rows_that_move_and_lines_above_them() -> None:
    text = drawn()
    assert "Install [bold]wheels" in text and "of    4 s" in text and "0 of 2 done, about" in text
    assert "1 of 2 done" in text
    assert "\x1b[1A" in text or "\x1b[2K" in text  # rows are drawn over
    assert text.index("container/traefik: in 0.7 s") < text.index("said beside") < text.index("the result")
    assert "task      container/traefik" not in text


def test_a_terminal_without_colour_gets_none() -> None:
    text = drawn(NO_COLOR="1")
    assert "0 of 2 done" in text
    assert not [code for code in ("\x1b[31m", "\x1b[2m", "\x1b[1m", "\x1b[0;3", "\x1b[38") if code in text]


def test_a_terminal_that_cannot_draw_gets_lines() -> None:
    text = drawn(TERM="dumb")
    assert "task      container/traefik: Install [bold]wheels" in text
    assert "of 2 done" not in text


def test_what_nobody_knew_takes_as_long_as_others_did() -> None:
    board = Board([Job("a"), Job("b"), Job("c")], 1)
    assert board.left(0.0) is None
    board.take(Event("begins", "a", stage=Stage.BEGINS), 0.0)
    board.take(Event("done", "a", stage=Stage.ENDS), 8.0)
    assert board.left(8.0) == 16.0
