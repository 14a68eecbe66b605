"""`seter document`: what others have to set up around a deployment, such as the routers in front of it, from the same
definitions. A role brings such texts as templates in its folder `documents/`; they see what its own see."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from common.console import Report
from common.errors import BadInput
from seter.survey import Request, survey
from seter.variables import Variables

FOLDER, SUFFIX = "documents", ".j2"


@dataclass(frozen=True, slots=True)
class Document:
    """One text: the role that brings it, its name, its content."""

    role: str
    name: str
    text: str


def documents(request: Request, report: Report, name: str = "") -> tuple[Document, ...]:
    """All documents of a deployment, or the one of a name, as its nodes are or would be. Raises BadInput for a name
    that there is not, or a template that does not fit its role."""
    seen = survey(request, report)
    blueprint, found = seen.blueprint, []
    first = {seat.role.name: seat.node.name for seat in reversed(blueprint.seats)}
    for role, node in sorted(first.items()):
        folder = blueprint.roles_folder / role / FOLDER
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            if name in ("", path.stem):
                found.append(Document(role, path.stem, rendered(path, seen.variables[node])))
    if name and not found:
        raise _unknown(name, blueprint.roles_folder, list(first))
    return tuple(found)


def rendered(path: Path, variables: Mapping[str, object] | Variables) -> str:
    """The text of a template. Raises BadInput for one that asks for what there is not."""
    import re

    from jinja2 import Environment, StrictUndefined, TemplateError

    # Plain text for people; nothing of it is run.
    jinja = Environment(undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True, autoescape=False)
    jinja.tests["search"] = lambda text, pattern: re.search(pattern, text) is not None  # as Ansible has it
    try:
        return jinja.from_string(path.read_text(encoding="utf-8")).render(variables)
    except TemplateError as error:
        raise BadInput(
            f"{path} cannot be written out: {error}", resolution="Mend the template; it sees the role's parameters."
        ) from error


def _unknown(name: str, folder: Path, roles: list[str]) -> BadInput:
    names = sorted({path.stem for role in roles for path in (folder / role / FOLDER).glob(f"*{SUFFIX}")})
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"Did you mean {close[0]}?" if close else f"There are: {', '.join(names) or 'none'}."
    return BadInput(f"there is no document {name!r}", resolution=hint)
