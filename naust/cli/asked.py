"""A yes from the person at the terminal, for what cannot be taken back; and durations as they are typed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from common.errors import BadInput

if TYPE_CHECKING:
    from datetime import timedelta


def ask(question: str, *, yes: bool) -> None:
    """Go on only with a yes. Raises BadInput without a terminal, so that nothing waits for an answer unheard."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise BadInput(
            "this needs a yes, and there is no terminal to ask at", resolution="Give --yes; nothing was changed."
        )
    if input(f"{question} [yes/no] ").strip().lower() not in ("y", "yes"):
        raise BadInput("not confirmed", resolution="Nothing was changed.")


def duration(text: str) -> timedelta:
    """`500ms`, `30m`, `24h`, `7d`, or `0`. Raises BadInput."""
    from common.values import Wrong, as_duration

    try:
        return as_duration("0s" if text == "0" else text)
    except Wrong as error:
        raise BadInput(str(error), resolution="Write a number and s, m, h or d, such as 24h.") from error
