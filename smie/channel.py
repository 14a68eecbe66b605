"""Channels after a build: they move for all artefacts that were asked for, once all of these are there, or for none.

What counts is `naust.promote`; each move is recorded there with who and why, and `naust promote --undo` takes it back.
"""

from __future__ import annotations

from collections.abc import Sequence

from common.console import Report
from common.errors import BadInput
from common.model import Event
from naust.promote import is_channel, promote
from naust.store.interface import Store
from smie.outcome import Outcome


def check(channel: str) -> None:
    """Raise BadInput for a name that no channel may have: before hours are built for it."""
    if not is_channel(channel):
        raise BadInput(
            f"{channel!r} cannot be a channel",
            resolution="A channel is lower case, begins with a letter, at most 64 letters, digits, dots and dashes, "
            "and is not `latest`, such as lab or production.",
        )


def move(store: Store, outcomes: Sequence[Outcome], channel: str, report: Report) -> None:
    """Let the channel stand for each of these artefacts. Raises Conflict if somebody else moves it meanwhile."""
    for outcome in outcomes:
        assert outcome.artifact is not None, "channels move when all is there"
        reason = f"smie build: {outcome.act}"
        moved = promote(store, outcome.artifact.reference, channel, reason=reason)
        if moved.changed:
            report(Event("promoted", outcome.recipe.title, f"{channel} stands for {moved.move.version}"))
