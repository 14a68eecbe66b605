"""Writes what is derived from the definitions: `python -m common.specs [--check] [--systems DIR]`.

For each role `defaults/main.yml` and `meta/argument_specs.yml`, from its parameters; for all `REFERENCE.md`, from the
schema. Ansible validates the arguments where a role is included by `tasks_from: configure`; with `configure.yml`, or by
`import_tasks`, it skips the validation in silence.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from common import console
from common.catalog import Catalog
from common.errors import Error
from common.files import write_atomically
from common.manual import manual
from common.role import Parameter, ParameterType, Role, Value

HEADER = "---\n# Generated from role.hcl by `python -m common.specs`; do not edit.\n"
STALE = 1

_ANSIBLE_TYPES = {
    ParameterType.PORT: "int",
    ParameterType.ASN: "int",
    ParameterType.COUNT: "int",
    ParameterType.SIZE: "int",  # bytes
    ParameterType.DURATION: "float",  # seconds
    ParameterType.FLAG: "bool",
    ParameterType.NODES: "dict",  # of each node
}


def variable(value: Value) -> object:
    """The value as Ansible and templates get it: durations are seconds, lists are lists."""
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
        return int(seconds) if seconds.is_integer() else seconds
    return [variable(each) for each in value] if isinstance(value, tuple) else value


def defaults(role: Role) -> Mapping[str, object]:
    """Ansible's default variables of a role: its parameters that have a default."""
    found = {
        role.variable_prefix + parameter.name: _default(parameter)
        for parameter in role.parameters
        if parameter.default is not None
    }
    return found | ({role.variable_prefix + "services": []} if role.per_service else {})


def argument_specs(role: Role) -> Mapping[str, object]:
    """Ansible's argument specification of the entry point `configure`."""
    options = {role.variable_prefix + parameter.name: _option(parameter) for parameter in role.parameters}
    if role.per_service:
        summary = f"Services beside the first, each with its name and {', '.join(role.per_service)}"
        options[role.variable_prefix + "services"] = {
            "type": "list", "elements": "dict", "description": summary, "default": [],
        }  # fmt: skip
    return {"argument_specs": {"configure": {"short_description": role.summary, "options": options}}}


def _default(parameter: Parameter) -> object:
    if parameter.type is ParameterType.NODES:
        return []  # the only default of a group is none
    return variable(parameter.default) if parameter.default is not None else None


def _option(parameter: Parameter) -> Mapping[str, object]:
    kind = _ANSIBLE_TYPES.get(parameter.type, "str")
    is_list = parameter.many or parameter.type is ParameterType.NODES
    option: dict[str, object] = {"type": "list", "elements": kind} if is_list else {"type": kind}
    option["description"] = parameter.summary
    if parameter.choices:
        option["choices"] = list(parameter.choices)
    if parameter.default is None:
        option["required"] = True
    else:
        option["default"] = _default(parameter)
    return option


def generated(catalog: Catalog) -> Mapping[Path, str]:
    """Every generated file with its content."""
    files = {catalog.folder / "REFERENCE.md": manual()}
    for role in catalog.roles():
        files |= generated_for(role)
    return files


def generated_for(role: Role) -> Mapping[Path, str]:
    """Every generated file of one role with its content."""
    if not role.parameters:
        return {}
    return {
        role.folder / "defaults" / "main.yml": _yaml(defaults(role)),
        role.folder / "meta" / "argument_specs.yml": _yaml(argument_specs(role)),
    }


def left_over(catalog: Catalog, files: Mapping[Path, str]) -> list[Path]:
    """Files that were generated and are no more."""
    paths = (*catalog.folder.glob("roles/*/defaults/main.yml"), *catalog.folder.glob("roles/*/meta/argument_specs.yml"))
    return sorted(path for path in paths if path not in files and path.read_text().startswith(HEADER))


def _yaml(content: Mapping[str, object]) -> str:
    import yaml

    return HEADER + yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True, width=120)


def main(argv: Sequence[str] | None = None) -> int:
    """Write what is stale, or say it with `--check`. Exit code 0, 1 (stale) or 2 (bad definitions)."""
    parser = argparse.ArgumentParser(prog="python -m common.specs", description="Write files derived from definitions.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when a file is stale")
    parser.add_argument("--systems", type=Path, help="folder with roles, bases and systems")
    options = parser.parse_args(argv)
    try:
        return _update(Catalog.open(options.systems), options.check)
    except Error as error:
        console.show_error(error)
        return error.exit_code


def _update(catalog: Catalog, check: bool) -> int:
    files = generated(catalog)
    stale = [path for path, text in files.items() if not path.exists() or path.read_text() != text]
    old = left_over(catalog, files)
    for path in (*stale, *old):
        console.note(f"{catalog.shown(path)} {'is stale' if check else 'written' if path in files else 'removed'}")
    if check:
        if stale or old:
            console.note("Run python -m common.specs.")
        return STALE if stale or old else 0
    for path in stale:
        write_atomically(path, files[path])
    for path in old:
        path.unlink()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
