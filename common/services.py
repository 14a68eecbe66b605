"""Several services of one system: which there are on a target, what all of them have, and whose checks are whose. Pure.

The first service is what the system's parameters describe, called `main`. Each other one says what differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from common.role import Check, Value
from common.system import Service, System, Target

Pairs = tuple[tuple[str, Value], ...]


def services_of(system: System, target: Target) -> tuple[Service, ...]:
    """All but the first: the system's with what the target says of them, then those that only the target has."""
    found = {service.name: service for service in system.services}
    for service in target.services:
        known = found.get(service.name, service)
        parameters = dict(known.parameters) | dict(service.parameters)
        places = dict(known.places) | dict(service.places)
        found[service.name] = replace(known, parameters=tuple(parameters.items()), places=tuple(places.items()))
    return tuple(found.values())


def of_all(system: System, target: Target) -> tuple[System, Target]:
    """Both with lists that hold what all services have, for whoever does not tell services apart."""
    services = services_of(system, target)
    if not services:
        return system, target
    return (
        replace(system, parameters=tuple(_joined(system.parameters, services))),
        replace(target, parameters=tuple(_joined(target.parameters, services))),
    )


def _joined(parameters: Pairs, services: Iterable[Service]) -> Iterator[tuple[str, Value]]:
    for name, value in parameters:
        if isinstance(value, tuple):
            more = [dict(service.parameters).get(name, ()) for service in services]
            value += tuple(each for values in more if isinstance(values, tuple) for each in values)
        yield name, value


def checks_of(system: System, target: Target) -> tuple[Check, ...]:
    """The system's checks; one that names a parameter is there for each service that says what it is for that one."""
    services = services_of(system, target)
    return tuple(each for check in system.checks for each in (check, *_for_each(check, services)))


def _for_each(check: Check, services: Iterable[Service]) -> Iterator[Check]:
    for service in services:
        if (check.s3 or check.routes) in dict(service.parameters):
            yield replace(check, name=f"{check.name} {service.name}", service=service.name)


def said_of(system: System, target: Target, service: str) -> dict[str, Value]:
    """What is said of one service by itself, as written; of the first one with an empty name."""
    if service:
        return next(dict(each.parameters) for each in services_of(system, target) if each.name == service)
    named = {name for each in services_of(system, target) for name, _ in each.parameters}
    everything = dict(system.parameters) | dict(target.parameters)
    return {name: value for name, value in everything.items() if name in named}
