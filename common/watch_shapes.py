"""The shapes of the `watch` block of `system.hcl`: what `seter watch` shows beside what seter knows by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator

from common.hcl import Literal
from common.schema import Inner, Setting, Shape
from common.system import Threshold, WatchList, WatchRow
from common.values import Wrong, as_label, as_text, shown

LONGEST_TITLE = 24  # characters; a row has to fit in 80 columns
_THRESHOLD = re.compile(r"([<>]) ?(-?[0-9]{1,12}(?:\.[0-9]{1,9})?)")
_URL = re.compile(r"https?://[^\s/]+(?:/\S*)?")


def as_threshold(literal: Literal) -> Threshold:
    """`< 3` or `> 0.5`."""
    found = _THRESHOLD.fullmatch(as_text(literal))
    if found is None:
        raise Wrong(f"{shown(literal)} is no threshold", 'write "> 0.5" or "< 3", for what is not to be')
    return Threshold(found[1], float(found[2]))


def as_title(literal: Literal) -> str:
    """A short text of one line."""
    text = as_text(literal)
    if not 0 < len(text) <= LONGEST_TITLE or not text.isprintable():
        raise Wrong(f"{shown(literal)} is no title", f"write one line of 1 to {LONGEST_TITLE} characters")
    return text


def as_url(literal: Literal) -> str:
    """Where something answers HTTP; without the last slash."""
    text = as_text(literal)
    if not _URL.fullmatch(text):
        raise Wrong(f"{shown(literal)} is no URL", 'write one such as "http://127.0.0.1:9090"')
    return text.rstrip("/")


def _row_faults(row: WatchRow) -> Iterator[Wrong]:
    if row.warn and row.bad and row.warn.than != row.bad.than:
        yield Wrong("warns on one side and is bad on the other", "let both begin with the same sign", "bad")
    elif row.warn and row.bad and row.warn.is_met(row.bad.value) is False and row.warn != row.bad:
        yield Wrong("is bad before it warns", "exchange the two numbers", "bad")


ROW = Shape(
    name="row",
    summary="A row of the live view",
    make=WatchRow,
    label="title",
    label_summary=f"what it is called, at most {LONGEST_TITLE} characters",
    take_label=as_title,
    settings=(
        Setting("query", "text", as_text, "PromQL; its values are shown", True),
        Setting("unit", "text", as_text, "Of the values; `s`, `B/s` and `ratio` are shown as times, bytes, per cent"),
        Setting("by", "text", as_text, "Label by which each value is named; else only the worst is shown"),
        Setting("warn", "text", as_threshold, 'A value beyond is to be looked at: `"> 0.5"` or `"< 3"`'),
        Setting("bad", "text", as_threshold, "A value beyond is bad"),
    ),
    faults=_row_faults,
)


WATCH = Shape(
    name="watch",
    summary="What `seter watch` asks a Prometheus of the system, beside what seter knows by itself",
    make=WatchList,
    settings=(
        Setting("on", "group", as_label, "Group with the Prometheus; its last role that runs has curl", True),
        Setting("prometheus", "URL", as_url, "Where it answers on its own node", True),
    ),
    inner=(Inner(ROW, "rows", required=True),),
)
