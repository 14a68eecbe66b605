"""Plays and inventory for Ansible, as data. Pure; `seter.ansible` runs them.

Every play names the nodes that it concerns and nothing else decides: there is no `when`, no tag and no limit. The
variables of a node are in the inventory; a play adds only what belongs to its role.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Play = dict[str, Any]
Inventory = dict[str, Any]


def inventory(nodes: Mapping[str, Mapping[str, Any]]) -> Inventory:
    """All nodes with their variables; everything runs here unless a play says otherwise."""
    shared = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    return {"all": {"hosts": {name: dict(variables) for name, variables in nodes.items()}, "vars": shared}}


def render_play(nodes: Sequence[str]) -> Play:
    """Write files for these nodes; each node's variable `roots` says of which roles, and where to.

    Nodes do not wait for each other, so that all processors are used to the end. A template would start a Python on
    this machine three times; so one of Mitogen's does it all.
    """
    task = _include("{{ seter_role }}", "configure")
    task |= {"loop": "{{ roots | list }}", "loop_control": {"loop_var": "seter_role"}}
    task |= {"vars": {"root": "{{ roots[seter_role] }}"}}
    play = _play("Render", nodes, [task], vars={})
    del play["any_errors_fatal"]  # the strategy does not know it; a node that fails makes the whole run fail
    return {**play, "strategy": "mitogen_host_pinned"}


def is_here(means: Iterable[Mapping[str, object]]) -> bool:
    """These variables of nodes lead nowhere else; see `inventory`."""
    return all("ansible_connection" not in each for each in means)


def service_play(role: str, nodes: Sequence[str], *, here: bool) -> Play:
    """Start a role's process on these nodes; each node's variable `processes` says what. `here` says that its modules
    run on this machine, in one Python for all."""
    play = _play(
        f"Start {role}",
        nodes,
        [_include(role, "service")],
        vars={"process": f"{{{{ processes['{role}'] }}}}", "root": "/etc/seter/now"},
    )
    return {**play, "strategy": "mitogen_linear"} if here else play


def cluster_play(role: str, node: str, inside: Mapping[str, object]) -> Play:
    """What happens once for a group, on its first node; `inside` are the variables that lead to the role's process."""
    return _play(
        f"Set up the cluster of {role}",
        [node],
        [_include(role, "cluster")],
        vars={**inside, "root": "/etc/seter/now"},
    )


def _play(name: str, nodes: Sequence[str], tasks: list[dict[str, Any]], *, vars: Mapping[str, Any]) -> Play:
    return {
        "name": name,
        "hosts": ",".join(nodes),
        "gather_facts": False,
        # A node that fails ends the run: the rest of the roll-out is ours to decide, not Ansible's.
        "any_errors_fatal": True,
        "vars": dict(vars),
        "tasks": tasks,
    }


def _include(role: str, phase: str) -> dict[str, Any]:
    # Without ".yml": with it Ansible skips the validation of arguments without a word.
    return {
        "name": f"{phase.capitalize()} {role}".replace("{{ seter_role }}", "roles"),
        "ansible.builtin.include_role": {"name": role, "tasks_from": phase},
    }
