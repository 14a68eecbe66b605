"""The live view as it is shown: drawn over on a terminal, a line or an object of JSON a second anywhere else."""

from __future__ import annotations

import json as encoding
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import typer

from common import console

if TYPE_CHECKING:
    from collections.abc import Generator

    from seter.watch.model import Picture

STYLES = {"good": "", "unknown": "dim", "warn": "yellow", "bad": "bold red"}


def show_pictures(
    pictures: Generator[Picture, None, None], *, json: bool, once: bool, length: timedelta | None
) -> None:
    """Show each picture, for `length` or until Ctrl-C, which is how a view ends and no fault. With `once` only the
    first, and exit code 1 if something in it is bad."""
    from seter.watch.model import Level

    with closing(pictures):
        first = next(pictures)
        with _shown(json) as show:
            _show_all(first, pictures, show, timedelta(0) if once else length)
    if once and first.level is Level.BAD:
        raise typer.Exit(1)


def _show_all(
    first: Picture, pictures: Iterator[Picture], show: Callable[[Picture], None], length: timedelta | None
) -> None:
    end = None if length is None else time.monotonic() + length.total_seconds()
    try:
        show(first)
        while end is None or time.monotonic() < end:
            show(next(pictures))
    except KeyboardInterrupt:
        return


@contextmanager
def _shown(json: bool) -> Iterator[Callable[[Picture], None]]:
    """How a picture is shown."""
    from seter.watch import screen

    if json:
        yield lambda picture: console.result(encoding.dumps(screen.as_json(picture), ensure_ascii=False))
    elif not console.is_screen():
        yield lambda picture: console.result(screen.plain(picture))
    else:
        with console.screen() as draw:
            yield lambda picture: draw(
                lambda width, height: [
                    (line.text, STYLES[line.level.word] if line.level is not None else "bold")
                    for line in screen.lines(picture, width, height)
                ]
            )
