"""The shape of `nodes_from` blocks of `targets/*.hcl`: nodes that a command, a file or Terraform's output gives."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from common.names import as_command
from common.role import NOWHERE, Place
from common.schema import Setting, Shape
from common.system import Source
from common.values import Wrong, as_duration, as_flag, as_label, as_text


def _source(
    group: str,
    place: Place = NOWHERE,
    command: tuple[str, ...] = (),
    file: str = "",
    terraform: str = "",
    output: str = "",
    within: timedelta = timedelta(seconds=30),
    may_be_empty: bool = False,
) -> Source:
    return Source(group, command, file, terraform, output, within, may_be_empty, place)


def _faults(source: Source) -> Iterator[Wrong]:
    ways = [name for name in ("command", "file", "terraform") if getattr(source, name)]
    if len(ways) != 1:
        said = f"{' and '.join(ways)} both say" if ways else "nothing says"
        yield Wrong(f"{said} where nodes come from", "write one of command, file and terraform")
    if bool(source.terraform) is not bool(source.output):
        yield Wrong(
            "output and terraform belong together", "name Terraform's folder, and its output that has the nodes"
        )


SOURCE = Shape(
    name="nodes_from",
    summary="Nodes of one group that a command prints, a file holds or Terraform made, as JSON: a list of objects with "
    "what a `node` block may say, `name` and `parameters` among it; or an object of these by name",
    make=_source,
    label="group",
    label_summary="name of a group of the system",
    settings=(
        Setting("command", "list of text", as_command, "Prints the nodes; run here, without a shell"),
        Setting("file", "path", as_text, "Holds the nodes"),
        Setting("terraform", "path", as_text, "Folder in which `terraform output -json` says them"),
        Setting("output", "name", as_label, "Terraform's output that has the nodes"),
        Setting("within", "duration", as_duration, "How long that may take"),
        Setting("may_be_empty", "flag", as_flag, "That there is none any more is meant"),
    ),
    faults=_faults,
)
