"""The texts of a new system: one group of one node with the roles that were named, and a target of containers. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from common.role import Parameter, ParameterType
from common.values import shown

# A value of each type for parameters that have to be given; documentation's addresses (RFC 5737) and names (RFC 2606).
_SAMPLES: Mapping[ParameterType, str | int] = {
    ParameterType.NAME: "example.org",
    ParameterType.ADDRESS: "192.0.2.10",
    ParameterType.PREFIX: "192.0.2.0/24",
    ParameterType.PORT: 8080,
    ParameterType.ASN: 64512,
    ParameterType.DURATION: "10s",
    ParameterType.SIZE: "1GiB",
    ParameterType.COUNT: 1,
    ParameterType.FLAG: False,
    ParameterType.NODES: "nodes",
    ParameterType.TEXT: "change this",
}


def system(name: str, roles: Sequence[tuple[str, Sequence[Parameter]]]) -> Mapping[str, str]:
    """The files of a system with one group of one node, by path. Roles in order of start, with what must be said."""
    lines = [f'system "{name}" {{', '  summary = "Says in one line what it is for"  # change this', '  group "nodes" {']
    for role_name, parameters in roles:
        if parameters:
            width = max(len(each.name) for each in parameters)
            said = [f"      {each.name:<{width}} = {shown(_sample(each))}  # change this" for each in parameters]
            lines += [f'    role "{role_name}" {{', *said, "    }"]
        else:
            lines.append(f'    role "{role_name}" {{}}')
    return {"system.hcl": "\n".join((*lines, "  }", "}")) + "\n", "targets/container.hcl": _TARGET}


def _sample(parameter: Parameter) -> str | int | tuple[str | int, ...]:
    one = parameter.choices[0] if parameter.choices else _SAMPLES[parameter.type]
    return (one,) if parameter.many else one


_TARGET = """\
target "container" {
  kind  = "container"
  image = "debian-13"
  network "front" {}
  nodes "nodes" {
    node "n1" {
      networks = ["front"]
    }
  }
}
"""
