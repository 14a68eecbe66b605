"""The shapes of `bench.hcl` beside a system: what `seter bench` compares, and under what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from common.hcl import Literal
from common.role import NOWHERE, Place
from common.schema import Inner, Setting, Shape
from common.system_shapes import ROLE_USE, RoleUseDraft
from common.values import Wrong, as_count, as_flag, as_integer, as_label, as_text, shown


@dataclass(frozen=True, slots=True)
class Strategy:
    """Parameters of roles, by which the system is deployed while it is measured."""

    name: str
    summary: str
    roles: tuple[RoleUseDraft, ...] = ()
    place: Place = NOWHERE


@dataclass(frozen=True, slots=True)
class Condition:
    """Under what each strategy is measured. `slow` is a role whose processes on one node stand still for `percent` of
    the time; `cold` one whose processes there are started anew meanwhile; `uneven` sends half of all requests there."""

    name: str
    summary: str
    slow: str = ""
    percent: int = 60
    uneven: bool = False
    cold: str = ""
    place: Place = NOWHERE


@dataclass(frozen=True, slots=True)
class BenchList:
    """All of it. `profile` is a file beside this one, as the client takes it; `rate` requests a second."""

    name: str
    rate: int
    strategies: tuple[Strategy, ...] = ()
    conditions: tuple[Condition, ...] = ()
    profile: str = ""
    place: Place = NOWHERE


def as_percent(literal: Literal) -> int:
    """1 to 99."""
    number = as_integer(literal)
    if not 0 < number < 100:
        raise Wrong(f"{shown(literal)} is no share of the time", "write 1 to 99")
    return number


def _bench_faults(bench: BenchList) -> Iterator[Wrong]:
    for what, names in (
        ("strategy", [each.name for each in bench.strategies]),
        ("condition", [each.name for each in bench.conditions]),
    ):
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield Wrong(f'{what} "{name}" is there twice', "give one of them another name")
    if bench.rate < 1:
        yield Wrong("asks nothing", "let rate be 1 or more", "rate")


STRATEGY = Shape(
    name="strategy",
    summary="One way to deploy the system; what it does not say is as in `system.hcl`",
    make=Strategy,
    label="name",
    label_summary="name of the strategy",
    settings=(Setting("summary", "text", as_text, "What it is", True),),
    inner=(Inner(ROLE_USE, "roles", required=True),),
)

CONDITION = Shape(
    name="condition",
    summary="Under what each strategy is measured",
    make=Condition,
    label="name",
    label_summary="name of the condition",
    settings=(
        Setting("summary", "text", as_text, "What it is", True),
        Setting("slow", "role", as_label, "Its processes on the first node that serves stand still now and then"),
        Setting("percent", "number", as_percent, "For so much of the time"),
        Setting("cold", "role", as_label, "Its processes on that node begin anew, without their caches"),
        Setting("uneven", "flag", as_flag, "Half of all requests go to the first node that serves"),
    ),
)

BENCH = Shape(
    name="bench",
    summary="What `seter bench` compares: each strategy under each condition, with the same requests",
    make=BenchList,
    label="name",
    label_summary="name of the system",
    settings=(
        Setting("rate", "count", as_count, "Requests a second", True),
        Setting("profile", "text", as_text, "File beside this one with the mix of requests; else the client's own mix"),
    ),
    inner=(Inner(STRATEGY, "strategies", required=True), Inner(CONDITION, "conditions", required=True)),
    faults=_bench_faults,
)
