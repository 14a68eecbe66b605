"""In which order a plan will be carried out, and how much serves meanwhile: the roll-out itself, with acts that only
note what they are asked. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from common.system import Rollout as Rules
from seter.acts import Acts, Batch, Failures
from seter.plan import Act, Plan, Step
from seter.rollout import Rollout
from seter.state import Observed, Wanted

_NONE: Failures = {}


@dataclass(frozen=True, slots=True)
class Stage:
    """What happens together. `serving` says for each group concerned how many of its nodes serve meanwhile, and of how
    many; `does` what is done, as `restart traefik`."""

    nodes: tuple[str, ...]
    does: tuple[str, ...]
    serving: tuple[tuple[str, int, int], ...]

    def __str__(self) -> str:
        left = ", ".join(f"{serving} of {nodes} {group} serve" for group, serving, nodes in self.serving)
        return f"{', '.join(self.nodes)}: {', '.join(self.does)}{f' ({left})' if left else ''}"


def rehearse(plan: Plan, wanted: Wanted, observed: Observed, rules: Rules) -> tuple[Stage, ...]:
    """The stages of a roll-out in which nothing goes wrong."""
    acts = _Rehearsal(wanted, observed)
    Rollout(plan, wanted, observed, acts, rules=rules).run()
    return tuple(acts.stages)


class _Rehearsal(Acts):
    def __init__(self, wanted: Wanted, observed: Observed) -> None:
        self._groups = wanted.groups
        self._up = {name for name, state in observed.nodes.items() if state.serves}
        self._out: set[str] = set()
        self.stages: list[Stage] = []

    def begin(self, nodes: Sequence[str]) -> None:
        """Changes nothing."""

    def done(self, nodes: Sequence[str]) -> None:
        """Changes nothing."""

    def let_go(self) -> None:
        """Nothing goes back."""

    def make_network(self, network: str) -> None:
        self._note([network], ["make network"], ())

    def prepare(self, nodes: Sequence[str], steps: Sequence[Step], *, keep: bool) -> Failures:
        acts = (Act.RELOAD, Act.WRITE_FILES, Act.KEEP_SLOT)
        self._up -= {step.node for step in steps if step.act not in acts}
        does = dict.fromkeys(f"{step.act} {step.role}".rstrip() for step in steps)
        self._note(nodes, does, [group.name for group in self._groups if set(nodes) & set(group.nodes)])
        return _NONE

    def start(self, batches: Sequence[Batch]) -> Failures:
        for batch in batches:
            if batch.clusters:
                first = next(group.first for group in self._groups if group.name == batch.group)
                self._note([first], [f"cluster {role}" for role in batch.clusters], [batch.group])
        return _NONE

    def check(self, nodes: Sequence[str]) -> Failures:
        self._up |= set(nodes)
        return _NONE

    def withdraw(self, nodes: Sequence[str]) -> Failures:
        self._out |= set(nodes)
        return _NONE

    def admit(self, nodes: Sequence[str]) -> Failures:
        self._out -= set(nodes)
        return _NONE

    def remove_node(self, node: str) -> None:
        self._note([node], ["remove node"], ())

    def remove_network(self, network: str) -> None:
        self._note([network], ["remove network"], ())

    def owe_cluster(self, group: str, role: str) -> None:
        """Changes nothing that serves."""

    def reload(self, steps: Sequence[Step]) -> Failures:
        return _NONE

    def watch(self, nodes: Sequence[str], length: timedelta, without: Collection[str]) -> Failures:
        return _NONE

    def look_before(self) -> None:
        """Changes nothing."""

    def check_system(self, *, all_of_them: bool, without: Collection[str] = ()) -> None:
        """Holds."""

    def go_back(self, nodes: Sequence[str]) -> Failures:
        return _NONE

    def cluster_back(self, group: str, role: str, *, again: bool) -> None:
        """Nothing goes wrong here."""

    def forget(self, nodes: Sequence[str]) -> None:
        """Changes nothing that serves."""

    def _note(self, nodes: Sequence[str], does: Iterable[str], groups: Iterable[str]) -> None:
        serving = self._up - self._out
        of = {group.name: group.nodes for group in self._groups}
        counts = tuple((name, len(serving & set(of[name])), len(of[name])) for name in groups)
        self.stages.append(Stage(tuple(nodes), tuple(does), counts))
