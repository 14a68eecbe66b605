"""Nodes as JSON, from programs that we do not trust: read as the blocks that a person would have written. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from common.hcl import Attribute, Block, Literal
from common.values import Wrong

LONGEST = 8 << 20  # characters
MOST = 10_000  # nodes
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_FIX = 'write a list of objects such as {"name": "gw1", "address": "198.51.100.11"}'


def blocks_of(text: str, what: str, output: str = "") -> tuple[Block, ...]:
    """`node` blocks, each at a place that reads `WHAT: node NUMBER`; with `output` that one of what `terraform output
    -json` prints. Raises Wrong for what is not of this form; what a node may say is the shape's to judge."""
    found = _of_terraform(_parsed(text), output) if output else _parsed(text)
    if isinstance(found, Mapping):
        listed = [_named(name, each) for name, each in found.items()]
    elif isinstance(found, Sequence) and not isinstance(found, str):
        listed = list(found)
    else:
        raise Wrong(f"it is {_kind(found)}, not a list of nodes", _FIX)
    if len(listed) > MOST:
        raise Wrong(f"it has {len(listed)} nodes, and a group has at most {MOST}", "see what the program counts")
    return tuple(_block(each, f"{what}: node {number}") for number, each in enumerate(listed, 1))


def _parsed(text: str) -> object:
    if len(text) > LONGEST:
        raise Wrong(f"it has more than {LONGEST} characters", "see what the program prints")

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        if len(made := dict(pairs)) != len(pairs):
            twice = next(name for index, (name, _) in enumerate(pairs) if name in dict(pairs[:index]))
            raise Wrong(f"{twice!r} stands twice in one object", "write it once")
        return made

    def refuse(name: str) -> object:
        raise Wrong(f"{name} is no number of JSON", "write a number, or leave it out")

    try:
        return json.loads(text, object_pairs_hook=once, parse_constant=refuse)
    except Wrong:
        raise
    except (ValueError, RecursionError) as error:
        raise Wrong(f"it is no JSON ({error})", _FIX) from error


def _of_terraform(found: object, output: str) -> object:
    """As the manual of `terraform output -json` has it: name → value, type, and whether it is sensitive."""
    if not isinstance(found, Mapping) or output not in found:
        there = ", ".join(map(str, found)) if isinstance(found, Mapping) and found else "none"
        raise Wrong(f"there is no output {output!r}; there are: {there}", f'add output "{output}" to the configuration')
    said = found[output]
    if not isinstance(said, Mapping) or "value" not in said:
        raise Wrong(f"output {output!r} has no value", "run terraform apply")
    return said["value"]


def _named(name: str, said: object) -> object:
    if not isinstance(said, Mapping):
        raise Wrong(f"{name!r} is {_kind(said)}, not an object", _FIX)
    if said.get("name", name) != name:
        raise Wrong(f"{name!r} has another name inside, {said['name']!r}", "leave that out")
    return {**said, "name": name}


def _block(said: object, where: str) -> Block:
    if not isinstance(said, Mapping):
        raise Wrong(f"{where} is {_kind(said)}, not an object", _FIX)
    name = said.get("name")
    if not isinstance(name, str):
        raise Wrong(f"{where} has no name", 'add "name"')
    inner = said.get("parameters")
    if inner is not None and not isinstance(inner, Mapping):
        raise Wrong(f"{where}: parameters are {_kind(inner)}, not an object", 'write {"NAME": VALUE}')
    own = tuple(_attributes({key: each for key, each in said.items() if key not in ("name", "parameters")}, where))
    parameters = Block("parameters", (), tuple(_attributes(inner, where)), (), where, 0) if inner else None
    return Block("node", (name,), own, (parameters,) if parameters is not None else (), where, 0)


def _attributes(said: Mapping[str, object], where: str) -> Iterator[Attribute]:
    """What is null is not said, as Terraform has it."""
    for name, value in said.items():
        if not _NAME.fullmatch(name):
            raise Wrong(f"{where}: {name!r} is no name of an attribute", "write what a node block may say")
        if value is not None:
            yield Attribute(name, _literal(value, f"{where}: {name}"), where, 0)


def _literal(value: object, where: str) -> Literal:
    if isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list):
        return tuple(_literal(each, where) for each in value)
    raise Wrong(f"{where} is {_kind(value)}", "write text, a number, true, false or a list of these")


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "a flag", int: "a number", float: "a number"}
    return kinds.get(type(value), "null")
