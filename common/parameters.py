"""What a role is told on a node: role's default < system < group's use of the role < target < node.

Values are kept as written; here they get the type that the role declares. A text that names a parameter of the system
stands for that parameter's value, unless the role's parameter is a text itself (text, choice, name, nodes).

A role that takes a parameter for each service (`per_service`) has that of the first one here, and those of the others
from `resolve_services`; every other role has the lists of all services as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from common.errors import BadDefinition, Problem
from common.hcl import Literal
from common.role import NOWHERE, Parameter, ParameterType, Place, Places, Role, Value
from common.services import of_all, services_of
from common.system import MAIN, Group, Node, RoleUse, Service, System, Target
from common.values import Wrong, did_you_mean, shown, typed

_NEVER_LOOKED_UP = {ParameterType.TEXT, ParameterType.CHOICE, ParameterType.NAME, ParameterType.NODES}
_OF_ONE_SERVICE = {ParameterType.NAME, ParameterType.ADDRESS}


@dataclass(frozen=True, slots=True)
class _Layer:
    """Parameters given in one block; `title` is what messages call the block."""

    title: str
    values: Mapping[str, Value]
    places: Mapping[str, Place]

    def problem(self, name: str, message: str, fix: str) -> Problem:
        place = self.places.get(name, NOWHERE)
        return Problem(place.file, place.line, f"{self.title}: {name}: {message}", fix)


@dataclass(frozen=True, slots=True)
class _Told:
    """Everything that is said to a role on a node, the last layer first."""

    system: System
    layers: tuple[_Layer, ...]

    def layer(self, name: str) -> _Layer | None:
        """The one that counts."""
        return next((layer for layer in self.layers if name in layer.values), None)


def _told(system: System, group: Group, use: RoleUse, target: Target, node: Node) -> Iterator[tuple[Parameter, _Told]]:
    """Each parameter of the role with what is said, of the first service or of all."""
    first = _told_in(system, target, group, use, node)
    every = _told_in(*of_all(system, target), group, use, node)
    for parameter in use.role.parameters:
        yield parameter, first if parameter.name in use.role.per_service else every


def _told_in(system: System, target: Target, group: Group, use: RoleUse, node: Node) -> _Told:
    return _Told(
        system, (_node_layer(group, node), _target_layer(target), _use_layer(group, use), _system_layer(system))
    )


def resolve(system: System, group: Group, role_use: RoleUse, target: Target, node: Node) -> Mapping[str, Value]:
    """Every parameter of the role with its value on this node, typed. Raises BadDefinition with all problems."""
    values: dict[str, Value] = {}
    problems: list[Problem] = []
    for parameter, told in _told(system, group, role_use, target, node):
        layer = told.layer(parameter.name)
        if layer is not None:
            try:
                values[parameter.name] = _typed(told.system, parameter, layer.values[parameter.name])
            except Wrong as wrong:
                problems.append(layer.problem(parameter.name, wrong.message, wrong.fix))
        elif parameter.default is not None:
            values[parameter.name] = parameter.default
        else:
            problems.append(_missing(role_use, group, parameter))
    if problems:
        raise BadDefinition(problems)
    return values


def given(
    system: System, group: Group, role_use: RoleUse, target: Target, node: Node, name: str
) -> tuple[Value, Place] | None:
    """The parameter's value on this node and where it is written; None when the role has no such parameter.

    None too when the value is wrong or missing: `problems_of_system` and `problems_of_target` say so.
    """
    parameter = next((each for each in role_use.role.parameters if each.name == name), None)
    if parameter is None:
        return None
    whole = (system, target) if name in role_use.role.per_service else of_all(system, target)
    told = _told_in(*whole, group, role_use, node)
    layer = told.layer(name)
    if layer is None:
        return None if parameter.default is None else (parameter.default, parameter.place)
    try:
        return _typed(told.system, parameter, layer.values[name]), layer.places.get(name, NOWHERE)
    except Wrong:
        return None


def resolve_services(
    system: System, group: Group, role_use: RoleUse, target: Target, node: Node
) -> Mapping[str, Mapping[str, Value]]:
    """For each service but the first the parameters that the role takes for each: its own, else those of the first.

    Raises BadDefinition, as `resolve` does."""
    if not role_use.role.per_service or not services_of(system, target):
        return {}
    first = resolve(system, group, role_use, target, node)
    each = [parameter for parameter in role_use.role.parameters if parameter.name in role_use.role.per_service]
    return {
        service.name: {
            parameter.name: _typed(system, parameter, dict(service.parameters)[parameter.name])
            if parameter.name in dict(service.parameters)
            else first[parameter.name]
            for parameter in each
        }
        for service in services_of(system, target)
    }


def problems_of_system(system: System) -> Iterator[Problem]:
    """What is wrong with the parameters that the system and its groups give."""
    yield from problems_of_services(system, system.services, dict(system.parameters))
    everywhere = [(group, use) for group in system.groups for use in group.roles]
    yield from _type_problems(system, _system_layer(system), [use.role for _, use in everywhere])
    for group, use in everywhere:
        layer = _use_layer(group, use)
        yield from _type_problems(system, layer, [use.role])
        declared = [parameter.name for parameter in use.role.parameters]
        for name in layer.values:
            if name not in declared:
                message = f"unknown parameter of role {use.role.name}"
                yield layer.problem(name, message, did_you_mean(name, declared, "parameters of the role"))


def problems_of_services(system: System, services: Sequence[Service], first: Mapping[str, Value]) -> Iterator[Problem]:
    """What is wrong with what is said of services; `first` is what the first one has, as written."""
    roles = [use.role for group in system.groups for use in group.roles]
    takes = {each.name: each for role in roles for each in role.parameters if each.name in role.per_service}
    for service in services:
        layer = _service_layer(service)
        for name in layer.values:
            if name not in takes:
                fix = did_you_mean(name, takes, "what can differ between services")
                yield layer.problem(name, "no role of the system takes it for each service", fix)
        yield from _type_problems(system, layer, roles)
    for parameter in takes.values():
        if parameter.type in _OF_ONE_SERVICE:
            yield from _shared_problems(parameter, services, first)


def _shared_problems(
    parameter: Parameter, services: Sequence[Service], first: Mapping[str, Value]
) -> Iterator[Problem]:
    """Names and addresses tell services apart."""
    owners = dict.fromkeys(_each(parameter, first.get(parameter.name)), MAIN)
    for service in services:
        layer = _service_layer(service)
        if parameter.name not in layer.values:
            message = f"{layer.title} has no {parameter.name} of its own"
            yield Problem(service.place.file, service.place.line, message, f"add {parameter.name} = …")
        for value in _each(parameter, layer.values.get(parameter.name)):
            if owners.setdefault(value, service.name) != service.name:
                message = f"{shown(cast('Literal', value))} is that of service {owners[value]}"
                yield layer.problem(parameter.name, message, "give each service its own")


def _each(parameter: Parameter, written: Value | None) -> tuple[Value, ...]:
    """In one form, so that equal ones are; nothing of what is wrong, which is told elsewhere."""
    try:
        value = typed(cast("Literal", written), parameter.type, parameter.many, parameter.choices)
    except Wrong:
        return ()
    return value if isinstance(value, tuple) else (value,)


def unused_parameters(system: System) -> Iterator[Problem]:
    """Parameters of the system that no role declares and nothing names: most likely misspelt."""
    uses = [use for group in system.groups for use in group.roles]
    declared = {parameter.name for use in uses for parameter in use.role.parameters}
    named = {value for use in uses for _, value in use.parameters if isinstance(value, str)}
    checked = {name for check in system.checks for name in (check.s3, check.routes)}
    layer = _system_layer(system)
    for name in layer.values:
        if name not in declared | named | checked:
            fix = did_you_mean(name, declared, "parameters of its roles")
            yield layer.problem(name, "no role of the system declares it and nothing names it", fix)


def problems_of_target(system: System, target: Target) -> Iterator[Problem]:
    """What is wrong with the parameters that a target gives, and which values are given nowhere."""
    roles = [use.role for group in system.groups for use in group.roles]
    yield from _layer_problems(system, _target_layer(target), roles, "the system")
    for node in target.nodes:
        for group in system.groups:
            if group.name == node.group:
                own = [use.role for use in group.roles]
                yield from _layer_problems(system, _node_layer(group, node), own, f"group {group.name}")
    yield from problems_of_services(
        system, services_of(system, target), {**dict(system.parameters), **dict(target.parameters)}
    )
    for group in system.groups:
        nodes = [node for node in target.nodes if node.group == group.name]
        for use in group.roles:
            yield from _missing_problems(system, group, use, target, nodes)


def _layer_problems(system: System, layer: _Layer, roles: list[Role], where: str) -> Iterator[Problem]:
    yield from _type_problems(system, layer, roles)
    declared = {parameter.name for role in roles for parameter in role.parameters}
    for name in layer.values:
        if name not in declared:
            fix = did_you_mean(name, declared, f"parameters of roles of {where}")
            yield layer.problem(name, f"no role of {where} declares it", fix)


def _type_problems(system: System, layer: _Layer, roles: Iterable[Role]) -> Iterator[Problem]:
    told = set()
    for role in roles:
        for parameter in role.parameters:
            if parameter.name not in layer.values:
                continue
            try:
                _typed(system, parameter, layer.values[parameter.name])
            except Wrong as wrong:
                # The same value reaches several roles; that it is wrong is said once.
                if (parameter.name, wrong.message) not in told:
                    told.add((parameter.name, wrong.message))
                    yield layer.problem(parameter.name, wrong.message, wrong.fix)


def _missing_problems(
    system: System, group: Group, use: RoleUse, target: Target, nodes: list[Node]
) -> Iterator[Problem]:
    # Places know what the parser refused too; that it has no value is not said as well.
    shared = {name for name, _ in (*system.places, *use.places, *target.places)}
    shared |= {name for name, _ in (*system.parameters, *use.parameters, *target.parameters)}
    for parameter in use.role.parameters:
        if not parameter.required or parameter.name in shared:
            continue
        if any(parameter.name not in {**dict(node.parameters), **dict(node.places)} for node in nodes):
            yield _missing(use, group, parameter)


def _missing(use: RoleUse, group: Group, parameter: Parameter) -> Problem:
    kind = f"list({parameter.type})" if parameter.many else str(parameter.type)
    message = f'group "{group.name}": role "{use.role.name}" has no value for {parameter.name} ({kind})'
    fix = f"add {parameter.name} = … to this block, or to parameters {{ … }} of the system or the target"
    return Problem(use.place.file, use.place.line, message, fix)


def _typed(system: System, parameter: Parameter, value: Value) -> Value:
    """The value in the parameter's type. Raises Wrong."""
    written = cast("Literal", value)  # as written, so it holds no duration yet
    if parameter.type is ParameterType.NODES:
        return _group(system, written)
    known = {name: cast("Literal", value) for name, value in system.parameters}
    if parameter.type in _NEVER_LOOKED_UP or not isinstance(written, str):
        return typed(written, parameter.type, parameter.many, parameter.choices)
    if written not in known:
        return _typed_or_misspelt(parameter, written, known)
    try:
        return typed(known[written], parameter.type, parameter.many, parameter.choices)
    except Wrong as wrong:
        raise Wrong(f"{shown(written)} stands for {shown(known[written])}: {wrong.message}", wrong.fix) from None


def _typed_or_misspelt(parameter: Parameter, written: str, known: Mapping[str, Literal]) -> Value:
    try:
        return typed(written, parameter.type, parameter.many, parameter.choices)
    except Wrong as wrong:
        if parameter.many or written.isidentifier():
            close = did_you_mean(written, known, "parameters of the system")
            if close.startswith("did you mean"):
                message = f"{wrong.message}, and no parameter of the system has the name"
                raise Wrong(message, close) from None
        raise


def _group(system: System, written: Literal) -> str:
    groups = [group.name for group in system.groups]
    if not isinstance(written, str):
        raise Wrong(f"{shown(written)} is no group", f"write the name of one: {', '.join(groups)}")
    if written and written not in groups:
        raise Wrong(f"unknown group {shown(written)}", did_you_mean(written, groups, "groups"))
    return written


def _layer(title: str, pairs: Iterable[tuple[str, Value]], places: Places) -> _Layer:
    return _Layer(title, dict(pairs), dict(places))


def _system_layer(system: System) -> _Layer:
    return _layer("parameters", system.parameters, system.places)


def _service_layer(service: Service) -> _Layer:
    return _layer(f'service "{service.name}"', service.parameters, service.places)


def _use_layer(group: Group, use: RoleUse) -> _Layer:
    return _layer(f'group "{group.name}": role "{use.role.name}"', use.parameters, use.places)


def _target_layer(target: Target) -> _Layer:
    return _layer("parameters", target.parameters, target.places)


def _node_layer(group: Group, node: Node) -> _Layer:
    return _layer(f'nodes "{group.name}": node "{node.name}": parameters', node.parameters, node.places)
