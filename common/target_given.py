"""A target with the nodes that programs give, as if they were written in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from common.errors import Error, Missing, Problem
from common.hcl import Block
from common.schema import read
from common.system import Source
from common.target_shapes import NODE, NodesDraft, TargetDraft, target_faults

Given = Callable[[Source], Sequence[Block]]  # raises Error


def not_asked(source: Source) -> Sequence[Block]:
    """Where definitions are only read, no program is run."""
    raise Missing(f"nodes_from {source.group} is not asked here", resolution="use seter, which asks")


def with_given(draft: TargetDraft, given: Given, problems: list[Problem]) -> TargetDraft:
    """The target with all its nodes. Appends all problems: of programs that fail at their block, of what these say at
    the number of the node."""
    if not draft.sources:
        return draft
    before = len(problems)
    blocks = [_asked(source, given, problems) for source in draft.sources]
    whole = replace(draft, sources=(), nodes=(*draft.nodes, *blocks))
    for wrong in target_faults(whole) if len(problems) == before else ():
        problems.append(Problem(draft.place.file, draft.place.line, wrong.message, wrong.fix))
    return whole


def _asked(source: Source, given: Given, problems: list[Problem]) -> NodesDraft:
    try:
        found = given(source)
    except Error as error:
        last = error.details.strip().splitlines()[-1:]
        message = ": ".join(dict.fromkeys((error.message, *last)))
        fix = error.resolution[:1].lower() + error.resolution[1:]
        problems.append(Problem(source.place.file, source.place.line, message, fix))
        found = ()
    nodes = [node for block in found if (node := read(NODE, block, problems)) is not None]
    return NodesDraft(source.group, nodes=tuple(nodes), place=source.place)
