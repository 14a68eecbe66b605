"""What seter itself knows: nodes, what runs on them, whether they are as wanted, and routes in kernels. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from seter.plan import Plan
from seter.state import NodeState, Observed, Wanted
from seter.watch.model import Level, Row

ONE_BY_ONE = 12  # nodes; of more only those are named that are not well


@dataclass(frozen=True, slots=True)
class Looked:
    """What one router's kernel has for one address: how many next hops, None if it did not say, and why."""

    router: str
    address: str
    hops: int | None
    why: str = ""


def node_rows(wanted: Wanted, observed: Observed, plan: Plan) -> tuple[Row, ...]:
    """A row for each node in the order of the definitions, or one for each group where they are many."""
    rows = [
        (group.name, _node(group.name, node, wanted, observed, plan)) for group in wanted.groups for node in group.nodes
    ]
    if len(rows) <= ONE_BY_ONE:
        return tuple(row for _, row in rows)
    return tuple(_grouped(rows))


def _grouped(rows: Sequence[tuple[str, Row]]) -> Iterator[Row]:
    for name in dict.fromkeys(group for group, _ in rows):
        own = [row for group, row in rows if group == name]
        unwell = [row for row in own if row.level is not Level.GOOD]
        level = max(row.level for row in own)
        yield Row(name, f"{len(own) - len(unwell)} of {len(own)} up", "and as wanted", level)
        yield from unwell[:ONE_BY_ONE]
        if len(unwell) > ONE_BY_ONE:
            yield Row(name, f"{len(unwell) - ONE_BY_ONE} more", "not up or not as wanted", level)


def _node(group: str, name: str, wanted: Wanted, observed: Observed, plan: Plan) -> Row:
    title = f"{name} {group}"
    if name in observed.unreachable:
        return Row(title, "no answer", observed.unreachable[name], Level.BAD)
    there = observed.nodes.get(name)
    if there is None:
        return Row(title, "not there", "", Level.BAD)
    run, all_of_them = _processes(wanted.nodes[name], there)
    run = run if there.running else 0  # what ended well before counts no more
    numbers = (("running", float(run)), ("processes", float(all_of_them)))
    if not there.running:
        return Row(title, "down", f"0 of {all_of_them} run", Level.BAD, numbers)
    running = f"{run} of {all_of_them} run"
    steps = [f"{step.act.value} {step.role}".rstrip() for step in plan.of_node(name)]
    if not steps and run == all_of_them:
        return Row(title, "up", f"{running}, as wanted", Level.GOOD, numbers)
    due = f"due: {', '.join(dict.fromkeys(steps))}" if steps else "as wanted"
    return Row(title, "up", f"{running}, {due}", Level.BAD if run < all_of_them else Level.WARN, numbers)


def _processes(wanted: NodeState, there: NodeState) -> tuple[int, int]:
    """How many of the processes that are wanted run, and how many are wanted. A oneshot that ended well counts."""
    names = [name for name, state in wanted.roles if state.has_process]
    running = [
        name for name in names if (state := there.role(name)) is not None and state.has_process and state.running
    ]
    return len(running), len(names)


def route_rows(looked: Sequence[Looked], expected: Mapping[str, int]) -> tuple[Row, ...]:
    """A row for each address: how many next hops each router has. `expected` is how many there should be."""
    return tuple(
        _route(address, [each for each in looked if each.address == address], expected[address]) for address in expected
    )


def _route(address: str, looked: Sequence[Looked], expected: int) -> Row:
    known = [each.hops for each in looked if each.hops is not None]
    detail = "  ".join(f"{each.router} {'no answer' if each.hops is None else each.hops}" for each in looked)
    if not known:
        why = next((each.why for each in looked if each.why), "")
        return Row(address, "no answer", why or detail, Level.BAD)
    fewest = min(known)
    level = Level.BAD if fewest == 0 else Level.WARN
    if len(known) == len(looked) and set(known) == {expected}:
        level = Level.GOOD
    numbers = tuple((each.router, float(each.hops)) for each in looked if each.hops is not None)
    return Row(address, f"{fewest} of {expected} hops", detail, level, numbers)
