"""Finds roles, bases, systems and targets by name, and reads them with everything that they reach.

Every problem of every file that was reached is raised at once, as BadDefinition. What was asked for by a name that is
not there is BadInput with the nearest name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

from common import conflicts, parameters, standing
from common.errors import BadDefinition, BadInput, Problem
from common.hcl import read as read_hcl
from common.places import place_faults
from common.role import Base, Image, Place, Role
from common.role_shapes import BASE, ROLE
from common.schema import Shape, read_only
from common.system import Group, RoleUse, System, Target
from common.system_shapes import SYSTEM, GroupDraft, RoleUseDraft, SystemDraft
from common.target_given import Given, not_asked, with_given
from common.target_shapes import TARGET, TargetDraft
from common.values import did_you_mean

T = TypeVar("T")


class Catalog:
    """The definitions below one folder: `roles/*/role.hcl`, `bases/*.hcl`, `*/system.hcl`, `*/targets/*.hcl`."""

    def __init__(self, folder: Path, given: Given = not_asked) -> None:
        self.folder, self.given = folder.resolve(), given

    @classmethod
    def open(cls, systems: Path | None = None, given: Given = not_asked) -> Catalog:
        """The folder that is given, else `$SETER_SYSTEMS`, else `./systems`, else what is installed with the tools.
        `given` is asked for nodes that no definition names."""
        variable = os.environ.get("SETER_SYSTEMS")
        installed = Path(__file__).resolve().parent.parent / "systems"
        choice = systems or (Path(variable) if variable else None)
        if choice is None:
            choice = Path("systems") if Path("systems", "roles").is_dir() else installed
        if not (choice / "roles").is_dir():
            raise BadInput(
                f"{choice} holds no roles",
                resolution="Give the folder that has roles/, bases/ and the systems in it with --systems.",
            )
        return cls(choice, given)

    def role(self, name: str) -> Role:
        """The role and, checked, what it needs and builds on."""
        _known("role", name, self.role_names())
        loading = _Loading(self)
        role = loading.role(name)
        return loading.result(role)

    def roles(self) -> tuple[Role, ...]:
        """All roles, by name."""
        loading = _Loading(self)
        roles = [loading.role(name) for name in self.role_names()]
        loading.result(None if None in roles else roles)
        return tuple(role for role in roles if role is not None)

    def base(self, name: str) -> Base:
        """A base image."""
        _known("base", name, self.base_names())
        loading = _Loading(self)
        return loading.result(loading.base(name))

    def system(self, name: str) -> System:
        """The system with its roles."""
        _known("system", name, self.systems())
        loading = _Loading(self)
        return loading.result(loading.system(name))

    def target(self, system: System | str, name: str) -> Target:
        """A target of the system, checked against it."""
        return self.definition(system if isinstance(system, str) else system.name, name)[1]

    def definition(self, system: str, target: str) -> tuple[System, Target]:
        """System and target together, so that the problems of both are raised at once."""
        _known("system", system, self.systems())
        _known(f"target of {system}", target, self.targets(system))
        loading = _Loading(self)
        found = loading.system(system)
        placed = loading.target(system, found, target)
        return loading.result(None if found is None or placed is None else (found, placed))

    def systems(self) -> tuple[str, ...]:
        """Names of all systems."""
        return tuple(sorted(path.parent.name for path in self.folder.glob("*/system.hcl")))

    def targets(self, system: str) -> tuple[str, ...]:
        """Names of all targets of a system."""
        return tuple(sorted(path.stem for path in (self.folder / system / "targets").glob("*.hcl")))

    def role_names(self) -> tuple[str, ...]:
        """Names of all roles; folders without a role.hcl are Ansible roles that others include."""
        return tuple(sorted(path.parent.name for path in self.folder.glob("roles/*/role.hcl")))

    def base_names(self) -> tuple[str, ...]:
        """Names of all bases."""
        return tuple(sorted(path.stem for path in self.folder.glob("bases/*.hcl")))

    def shown(self, path: Path) -> str:
        """The path as messages call it: below the working directory relative to it."""
        try:
            return str(path.relative_to(Path.cwd()))
        except ValueError:
            return str(path)


def _known(what: str, name: str, names: tuple[str, ...]) -> None:
    if name not in names:
        hint = did_you_mean(name, names, f"{what.partition(' ')[0]}s")
        raise BadInput(f"there is no {what} {name!r}", resolution=f"{hint[0].upper()}{hint[1:]}")


class _Loading:
    """One reading of definitions: what was found so far and what is wrong with it."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.problems: list[Problem] = []
        self.roles: dict[str, Role | None] = {}
        self.bases: dict[str, Base | None] = {}
        self.cycles: set[frozenset[str]] = set()
        self.role_names = catalog.role_names()
        self.base_names = catalog.base_names()

    def result(self, found: T | None) -> T:
        if self.problems or found is None:
            unique = dict.fromkeys(self.problems)
            raise BadDefinition(sorted(unique, key=lambda problem: (problem.file, problem.line)))
        return found

    def problem(self, place: Place, message: str, fix: str) -> None:
        self.problems.append(Problem(place.file, place.line, message, fix))

    def read(self, path: Path, shape: Shape[T], name: Callable[[T], str]) -> T | None:
        """The one block of the file, which is called as the file or its folder is."""
        file = self.catalog.shown(path)
        block = read_hcl(path, file, self.problems)
        noun = None if block is None else read_only(shape, block, self.problems)
        expected = path.parent.name if path.stem in ("role", "system") else path.stem
        if block is not None and noun is not None and name(noun) != expected:
            line = next(each.line for each in block.blocks if each.type == shape.name)
            message = f'{shape.name} "{name(noun)}" lies where {shape.name} "{expected}" is looked for'
            self.problems.append(Problem(file, line, message, f'write {shape.name} "{expected}", or move it'))
        return noun

    # Roles and bases

    def base(self, name: str) -> Base | None:
        if name not in self.bases:
            path = self.catalog.folder / "bases" / f"{name}.hcl"
            found = self.read(path, BASE, lambda base: base.name)
            self.bases[name] = None if found is None else replace(found, file=path)
            if found is not None and found.host:
                self.host(found)
        return self.bases[name]

    def host(self, base: Base) -> None:
        if base.host not in self.base_names:
            hint = did_you_mean(base.host, self.base_names, "bases")
            self.problem(base.place, f'host: unknown base "{base.host}"', hint)
        elif (host := self.base(base.host)) is not None:
            self.problems.extend(standing.problems_of_host(base, host))

    def role(self, name: str) -> Role | None:
        """The role after everything that it reaches; cycles are told where they are entered."""
        if name not in self.roles:
            self.read_role(name)
            self.tell_cycles(name, "needs itself", _needs)
            self.tell_cycles(name, "builds on itself", _bases)
        return self.roles[name]

    def read_role(self, name: str) -> None:
        folder = self.catalog.folder / "roles" / name
        found = self.read(folder / "role.hcl", ROLE, lambda role: role.name)
        role = self.roles[name] = None if found is None else replace(found, folder=folder)
        if role is None:
            return
        for need, place in _needs(role):
            self.reach(need, place, f'needs: unknown role "{need}"', self.role_names)
        for image in role.images:
            self.image(image, "")
        self.problems.extend(standing.problems_of_tree(role.images, ""))

    def image(self, image: Image, outer: str) -> None:
        """What the image builds on: a base, or another role."""
        if image.base in self.base_names:
            if (base := self.base(image.base)) is not None:
                self.problems.extend(standing.problems_of_kind(image, base, outer))
            return
        names = (*self.base_names, *self.role_names)
        message = f'{outer}image "{image.kind}": unknown base "{image.base}"'
        self.reach(image.base, image.place, message, names)
        role = self.roles.get(image.base)
        # For machines a role is put on another whatever images that one has.
        if role is not None and image.kind == "container" and "container" not in [each.kind for each in role.images]:
            message = f'{outer}image "{image.kind}": role {role.name} has no image of this kind'
            self.problem(image.place, message, f'add image "{image.kind}" {{ … }} to it, or name another base')

    def reach(self, name: str, place: Place, message: str, names: Iterable[str]) -> None:
        if name not in self.role_names:
            self.problem(place, message, did_you_mean(name, names, "these"))
        elif name not in self.roles:
            self.read_role(name)

    def tell_cycles(self, name: str, what: str, edges: Callable[[Role], list[tuple[str, Place]]]) -> None:
        """Depth first; each cycle is told once, at the line that closes it."""
        done: set[str] = set()

        def visit(name: str, chain: tuple[str, ...]) -> None:
            role = self.roles.get(name)
            for after, place in edges(role) if role is not None and name not in done else ():
                if after in chain:
                    self.tell_cycle((*chain[chain.index(after) :], after), place, what)
                else:
                    visit(after, (*chain, after))
            done.add(name)

        visit(name, (name,))

    def tell_cycle(self, circle: tuple[str, ...], place: Place, what: str) -> None:
        if frozenset(circle) not in self.cycles:
            self.cycles.add(frozenset(circle))
            self.problem(place, f"role {circle[0]} {what}: {' → '.join(circle)}", "take one of these out")

    # Systems

    def system(self, name: str) -> System | None:
        folder = self.catalog.folder / name
        draft = self.read(folder / "system.hcl", SYSTEM, lambda system: system.name)
        if draft is None:
            return None
        before = len(self.problems)
        groups = tuple(self.group(group) for group in draft.groups)
        system = System(
            name=draft.name,
            summary=draft.summary,
            folder=folder,
            groups=groups,
            parameters=draft.parameters.values,
            services=draft.services,
            checks=draft.checks,
            rollout=draft.rollout,
            watch=draft.watch,
            place=draft.place,
            places=draft.parameters.places,
        )
        self.problems.extend(parameters.problems_of_system(system))
        self.references(draft)
        if len(self.problems) == before:  # else a role that could not be read may be the one that declares it
            self.problems.extend(parameters.unused_parameters(system))
        return system

    def group(self, draft: GroupDraft) -> Group:
        for image in draft.images:
            self.image(image, f'group "{draft.name}": ')
        self.problems.extend(standing.problems_of_tree(draft.images, f'group "{draft.name}": '))
        uses = [self.use(draft, use) for use in draft.roles]
        self.order(draft)
        return Group(
            name=draft.name,
            roles=tuple(use for use in uses if use is not None),
            at_least=draft.at_least,
            summary=draft.summary,
            images=draft.images,
            withdraw=draft.withdraw,
            idle_ports=draft.idle_ports,
            place=draft.place,
        )

    def use(self, group: GroupDraft, draft: RoleUseDraft) -> RoleUse | None:
        if draft.name not in self.role_names:
            message = f'group "{group.name}": unknown role "{draft.name}"'
            self.problem(draft.place, message, did_you_mean(draft.name, self.role_names, "roles"))
            return None
        role = self.role(draft.name)
        return None if role is None else RoleUse(role, draft.parameters, draft.artifact, draft.place, draft.places)

    def order(self, group: GroupDraft) -> None:
        """What a role needs is on the same node and stands before it."""
        names = [use.name for use in group.roles]
        for index, use in enumerate(group.roles):
            role = self.roles.get(use.name)
            for need in role.needs if role is not None else ():
                if need in names[:index] or need == use.name or need not in self.role_names:
                    continue
                message = f'group "{group.name}": role "{use.name}" needs role "{need}" on the same node, started first'
                fix = "move it before this line" if need in names else f'add role "{need}" {{}} before this line'
                self.problem(use.place, message, fix)

    def references(self, system: SystemDraft) -> None:
        """Checks name groups and parameters of the system."""
        groups = [group.name for group in system.groups]
        known = [name for name, _ in system.parameters.values]
        for check in system.checks:
            where = f'check "{check.name}"'
            for attribute, name in (("s3", check.s3), ("routes", check.routes)):
                if name and name not in known:
                    hint = did_you_mean(name, known, "parameters of the system")
                    self.problem(check.place, f'{where}: {attribute}: unknown parameter "{name}"', hint)
            expected = check.expect if check.routes else ""
            for attribute, name in (("on", check.on), ("expect", expected), ("through", check.through)):
                if name and name not in groups:
                    hint = did_you_mean(name, groups, "groups")
                    self.problem(check.place, f'{where}: {attribute}: unknown group "{name}"', hint)

    # Targets

    def target(self, system_name: str, system: System | None, name: str) -> Target | None:
        path = self.catalog.folder / system_name / "targets" / f"{name}.hcl"
        before = len(self.problems)
        draft = self.read(path, TARGET, lambda target: target.name)
        if draft is None:
            return None
        draft = with_given(draft, self.catalog.given, self.problems)
        if len(self.problems) == before:  # else what is missing may have been there, misspelt
            self.unreachable_nodes(draft)
        target = Target(
            name=draft.name,
            kind=draft.kind,
            nodes=draft.members,
            file=path,
            user=draft.user,
            jump=draft.jump,
            identity_file=draft.identity_file,
            snapshot=draft.snapshot,
            power=draft.power,
            machine=draft.machine,
            image=draft.image,
            networks=draft.networks,
            engines=draft.engines,
            parameters=draft.parameters.values,
            services=draft.services,
            experiments=draft.experiments,
            outage=draft.outage,
            place=draft.place,
            places=draft.parameters.places,
        )
        self.node_problems(target)
        if target.image and target.image not in self.base_names:
            hint = did_you_mean(target.image, self.base_names, "bases")
            self.problem(dict(draft.places)["image"], f'image: unknown base "{target.image}"', hint)
        if system is not None:
            self.group_problems(system, target, draft)
            self.problems.extend(parameters.problems_of_target(system, target))
            self.problems.extend(conflicts.conflicts(system, target))
        return target

    def group_problems(self, system: System, target: Target, draft: TargetDraft) -> None:
        """Every group of the system has nodes, and enough of them; no other group has."""
        groups = {group.name: group for group in system.groups}
        blocks = {each.group: each.place for each in draft.blocks}
        for name, place in blocks.items():
            if name not in groups:
                self.problem(place, f'unknown group "{name}"', did_you_mean(name, groups, "groups of the system"))
        misspelt = {close for name in blocks.keys() - groups.keys() for close in get_close_matches(name, groups, n=1)}
        for name, group in groups.items():
            number = sum(node.group == name for node in target.nodes)
            if name not in blocks and name not in misspelt:
                message = f'group "{name}" has no nodes'
                self.problem(target.place, message, f'add nodes "{name}" {{ node "…" {{ … }} }}')
            elif name in blocks and number < group.at_least:
                message = f'group "{name}" has {_nodes(number)} and needs {group.at_least}'
                self.problem(blocks[name], message, f"add nodes, or lower at_least in {group.place}")

    def node_problems(self, target: Target) -> None:
        """A node is on networks of the target."""
        networks = [network.name for network in target.networks]
        for node in target.nodes:
            where = f'nodes "{node.group}": node "{node.name}"'
            for name in (each for each in node.networks if each not in networks):
                hint = did_you_mean(name, networks, "networks of the target")
                self.problem(node.place, f'{where}: unknown network "{name}"', hint)

    def unreachable_nodes(self, target: TargetDraft) -> None:
        for node in target.members:
            for wrong in place_faults(node, target.networks):
                self.problem(node.place, f'nodes "{node.group}": node "{node.name}" {wrong.message}', wrong.fix)


def _nodes(number: int) -> str:
    return f"{number} node{'' if number == 1 else 's'}"


def _needs(role: Role) -> list[tuple[str, Place]]:
    place = dict(role.places).get("needs", role.place)
    return [(need, place) for need in role.needs]


def _bases(role: Role) -> list[tuple[str, Place]]:
    return [(image.base, image.place) for image in role.images]
