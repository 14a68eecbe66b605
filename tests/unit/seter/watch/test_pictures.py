"""How a view is shown, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Generator
from datetime import UTC, datetime, timedelta

import pytest
import typer

from seter.cli.pictures import show_pictures
from seter.watch.model import Level, Picture, Row, Section

AT = datetime(2026, 11, 30, 2, tzinfo=UTC)


class Views:
    """Pictures without end, until `interrupted_at` of them were asked for; `closed` when nobody wants more."""

    def __init__(self, level: Level = Level.GOOD, *, interrupted_at: int = 0) -> None:
        self.level, self.interrupted_at, self.made, self.closed = level, interrupted_at, 0, False

    def all(self) -> Generator[Picture, None, None]:
        try:
            while True:
                self.made += 1
                if self.made == self.interrupted_at:
                    raise KeyboardInterrupt
                row = Row("requests", f"{self.made} /s", level=self.level, numbers=(("", self.made),))
                yield Picture("lab/x/main", AT, (Section("metrics", (row,), 0.1),))
        finally:
            self.closed = True


def test_ctrl_c_ends_a_view_that_was_seen(capsys: pytest.CaptureFixture[str]) -> None:
    show_pictures((views := Views(interrupted_at=4)).all(), json=True, once=False, length=None)
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["sections"][0]["rows"][0]["value"] for each in said] == ["1 /s", "2 /s", "3 /s"] and views.closed


def test_ctrl_c_before_anything_was_seen_is_an_interruption() -> None:
    with pytest.raises(KeyboardInterrupt):
        show_pictures((views := Views(interrupted_at=1)).all(), json=True, once=False, length=None)
    assert views.closed


def test_a_view_of_some_length_ends_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    show_pictures((views := Views()).all(), json=False, once=False, length=timedelta(milliseconds=20))
    said = capsys.readouterr().out.splitlines()
    assert len(said) == views.made > 1 and said[0] == "2026-11-30T02:00:00+00:00 good requests 1 /s" and views.closed


def test_one_look_is_one_picture(capsys: pytest.CaptureFixture[str]) -> None:
    show_pictures((views := Views()).all(), json=False, once=True, length=None)
    assert len(capsys.readouterr().out.splitlines()) == 1 and views.closed


@pytest.mark.parametrize(("level", "code"), [(Level.GOOD, 0), (Level.UNKNOWN, 0), (Level.WARN, 0), (Level.BAD, 1)])
def test_one_look_that_is_bad_ends_with_1(level: Level, code: int) -> None:
    views = Views(level)
    if not code:
        show_pictures(views.all(), json=True, once=True, length=None)
    else:
        with pytest.raises(typer.Exit) as ended:
            show_pictures(views.all(), json=True, once=True, length=None)
        assert ended.value.exit_code == code
    assert views.closed
