"""Patience with one request. Who asks for something big is patient with the whole of it (naust.store.retrying), but a
piece of work that takes five requests, each turned away one time in five, is seldom done in one go: so each request
has some patience of its own.

Ours, because it is ten lines, and what tenacity would add to them is an import.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from time import sleep
from typing import TypeVar

from common.errors import Unavailable

T = TypeVar("T")
TRIES = 6  # of a request, where nothing else is said
_FIRST_WAIT = 0.1  # seconds; doubles
_LONGEST_WAIT = 5.0


class Busy(Unavailable):
    """The server said that it did nothing, because it has too much to do (429 and 503: RFC 6585, section 4; RFC 9110,
    section 15.6.4)."""


def patiently(
    act: Callable[[], T], tries: int = TRIES, *, longest: float = 60.0, only: type[Unavailable] = Unavailable
) -> T:
    """Do it again while the server is busy, with rising waits, or those that it asks for, if they are up to `longest`
    seconds. Raises Unavailable when that was `tries` times in vain, and at once if it is not one of `only`."""
    for wait in _waits(tries - 1):
        try:
            return act()
        except only as error:
            asked = error.retry_after.total_seconds() if error.retry_after else 0.0
            if asked > longest:
                raise
            sleep(max(wait, asked))
    return act()


def _waits(count: int) -> Iterator[float]:
    for number in range(count):
        # Spread, so that many who were refused at once do not come back at once.
        yield min(_LONGEST_WAIT, _FIRST_WAIT * 2**number) * random.uniform(0.5, 1.0)
