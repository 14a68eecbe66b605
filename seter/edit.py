"""Changes to definitions that a verb makes for the operator: a few lines of one file, the rest stays as it was written.

The file is the truth before and after: what is deployed is what it says, and when nothing came of it, it says again
what it said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from common.errors import BadInput
from common.files import write_atomically
from common.role import Place
from seter.acts import RolledBack

INDENT = "  "
T = TypeVar("T")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_COMMENT = re.compile(r"(#|//).*$")


def pinned(text: str, line: int, artifact: str) -> str:
    """The text of a system's file in which the role block that begins in this line (from 1) names the artefact, or none
    if it is empty."""
    lines = text.splitlines()
    first, last = line - 1, block_end(lines, line - 1)
    if first == last:  # role "x" {} or with one attribute
        head, _, rest = lines[first].partition("{")
        inner = re.sub(r'\bartifact\s*=\s*"[^"]*"', "", rest.rpartition("}")[0]).strip()
        kept = [f"{_indent(lines[first])}{INDENT}{inner}"] if inner else []
        wanted = [f'{_indent(lines[first])}{INDENT}artifact = "{artifact}"'] if artifact else []
        if not kept and not wanted:
            return _joined([*lines[:first], f"{head}{{}}", *lines[last + 1 :]])
        return _joined([*lines[:first], f"{head}{{", *wanted, *kept, f"{_indent(head)}}}", *lines[last + 1 :]])
    body = [each for each in lines[first + 1 : last] if not re.match(r"\s*artifact\s*=", each)]
    wanted = [f'{_indent(lines[first])}{INDENT}artifact = "{artifact}"'] if artifact else []
    return _joined([*lines[: first + 1], *wanted, *body, *lines[last:]])


def with_values(text: str, line: int, values: Mapping[str, str]) -> str:
    """The text of a system's file in which the role block that begins in this line (from 1) has these attributes, which
    are HCL, in place of what it says of them."""
    lines = text.splitlines()
    first, last = line - 1, block_end(lines, line - 1)
    indent = _indent(lines[first])
    added = [f"{indent}{INDENT}{name} = {value}" for name, value in values.items()]
    if first == last:
        head, _, rest = lines[first].partition("{")
        inner = rest.rpartition("}")[0].strip()
        body = [f"{indent}{INDENT}{inner}"] if inner else []
        end = [f"{indent}}}"]
    else:
        head, body, end = lines[first].rpartition("{")[0], lines[first + 1 : last], [lines[last]]
    said = re.compile(rf"\s*({'|'.join(map(re.escape, values)) or '(?!)'})\s*=")
    kept = [each for each in body if not said.match(each)]
    return _joined([*lines[:first], f"{head}{{", *kept, *added, *end, *lines[last + 1 :]])


def with_node(text: str, line: int, name: str, attributes: tuple[tuple[str, str], ...]) -> str:
    """The text of a target's file in which the block `nodes` that begins in this line has one node more, as its last.
    `attributes` are (name, HCL value)."""
    lines = text.splitlines()
    last = block_end(lines, line - 1)
    indent = _indent(lines[line - 1]) + INDENT
    block = [f'{indent}node "{name}" {{', *(f"{indent}{INDENT}{key} = {value}" for key, value in attributes)]
    return _joined([*lines[:last], *block, f"{indent}}}", *lines[last:]])


def without_block(text: str, line: int) -> str:
    """The text without the block that begins in this line, and without the comments right above it."""
    lines = text.splitlines()
    first, last = line - 1, block_end(lines, line - 1)
    while first and re.match(r"\s*(#|//)", lines[first - 1]):
        first -= 1
    return _joined([*lines[:first], *lines[last + 1 :]])


def block_end(lines: list[str], first: int) -> int:
    """Index of the line in which the block that begins at `first` ends. Braces in strings and comments do not count."""
    depth = 0
    for number in range(first, len(lines)):
        bare = _COMMENT.sub("", _STRING.sub('""', lines[number]))
        depth += bare.count("{") - bare.count("}")
        if depth <= 0 and "}" in bare:
            return number
    raise BadInput(f"the block in line {first + 1} does not end", resolution="Mend the file and run the command again.")


def edited(place: Place, change: Callable[[str], str], act: Callable[[], T]) -> T:
    """Change the file, then `act`. What the file said comes back if the definitions are wrong now, if the answer is no
    and if all was rolled back; otherwise the change stays, since the next deploy goes on with it."""
    file = Path(place.file)
    before = file.read_text()
    write_atomically(file, change(before), file.stat().st_mode & 0o7777)
    try:
        return act()
    except (BadInput, RolledBack):
        write_atomically(file, before, file.stat().st_mode & 0o7777)
        raise


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _joined(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"
