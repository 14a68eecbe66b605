"""What a block may hold, said once: read into a noun, with every problem gathered, and printed as the manual.

A `Shape` describes one type of block. `read` goes on after a problem, so one run names all of them; `reference` prints
the manual of the same shapes.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any, Generic, TypeAlias, TypeVar, cast

from common.errors import Problem
from common.hcl import Attribute, Block, Literal
from common.role import Place, Value
from common.values import Wrong, as_label, did_you_mean, shown, text_of_duration, whole

T = TypeVar("T")
Built: TypeAlias = Any  # what a shape makes; its own type is known where the shape is used


@dataclass(frozen=True, slots=True)
class Setting:
    """One attribute. `kind` is what the manual calls its type, `field` the noun's field if it is called otherwise."""

    name: str
    kind: str
    take: Callable[[Literal], object]
    summary: str
    required: bool = False
    field: str = ""


@dataclass(frozen=True, slots=True)
class Inner:
    """Blocks inside a block. `one` allows it once; a `vital` one that cannot be read spoils the block around it."""

    shape: Shape[Any]
    field: str
    one: bool = False
    vital: bool = False
    required: bool = False


@dataclass(frozen=True, slots=True)
class Shape(Generic[T]):
    """One type of block: its label, attributes and inner blocks, and the noun that `make` makes of them.

    `make` gets the values by field name, what was not written is left to its defaults; `place` and `places` too when
    it is a dataclass that has them. It raises Wrong, or `faults` yields it, for what no single attribute shows.
    `open` names the field that takes attributes of any name, as pairs.
    """

    name: str
    summary: str
    make: Callable[..., T]
    label: str = ""
    label_summary: str = ""
    take_label: Callable[[Literal], object] = as_label
    settings: tuple[Setting, ...] = ()
    inner: tuple[Inner, ...] = ()
    open: str = ""
    open_summary: str = ""
    faults: Callable[[T], Iterable[Wrong]] | None = None


def read(shape: Shape[T], block: Block, problems: list[Problem], path: tuple[str, ...] = ()) -> T | None:
    """The noun that the block describes; None when something that it cannot do without is missing or wrong.

    Appends all problems. What is wrong and can be done without is left out of the noun.
    """
    return _Reading(shape, block, problems, path).noun()


def read_only(shape: Shape[T], file: Block, problems: list[Problem]) -> T | None:
    """The one block of a file that has to hold one block of this shape."""
    for attribute in file.attributes:
        message = f"attribute {attribute.name} stands outside of every block"
        problems.append(Problem(file.file, attribute.line, message, f'move it into {shape.name} "…" {{ … }}'))
    fitting = [block for block in file.blocks if block.type == shape.name]
    for block in file.blocks:
        if block.type != shape.name:
            message = f"unknown block {block.type}"
            problems.append(Problem(file.file, block.line, message, f"this file holds one block, {shape.name}"))
    for block in fitting[1:]:
        message = f"a second {shape.name}, the first is in line {fitting[0].line}"
        problems.append(Problem(file.file, block.line, message, "give it a file of its own"))
    if not fitting:
        problems.append(Problem(file.file, 1, f"holds no {shape.name}", f'write {shape.name} "…" {{ … }}'))
        return None
    return read(shape, fitting[0], problems)


class _Reading(Generic[T]):
    """One block being read."""

    def __init__(self, shape: Shape[T], block: Block, problems: list[Problem], path: tuple[str, ...]) -> None:
        self.shape = shape
        self.block = block
        self.problems = problems
        self.path = path
        self.values: dict[str, object] = {}
        self.spoiled = False

    def noun(self) -> T | None:
        before = len(self.problems)
        self.read_label()
        self.read_settings()
        self.read_inner()
        if self.spoiled:
            return None
        made = self.make()
        if made is not None and self.shape.faults is not None and len(self.problems) == before:
            for wrong in self.shape.faults(made):
                self.wrong(wrong, wrong.attribute)
        return made

    def make(self) -> T | None:
        fields = _takes(self.shape.make)
        if "place" in fields:
            self.values["place"] = Place(self.block.file, self.block.line)
        if "places" in fields:
            self.values["places"] = tuple((each.name, Place(each.file, each.line)) for each in self.block.attributes)
        try:
            return self.shape.make(**self.values)
        except Wrong as wrong:
            self.wrong(wrong, wrong.attribute)
            return cast("T | None", wrong.instead)

    # Labels and attributes

    def read_label(self) -> None:
        wanted = 1 if self.shape.label else 0
        name = self.shape.name
        if len(self.block.labels) != wanted:
            form = f'{name} "{self.shape.label.upper()}" {{ … }}' if wanted else f"{name} {{ … }}"
            number = len(self.block.labels)
            self.problem(self.block.line, f"{name} has {number} label{'' if number == 1 else 's'}", f"write {form}")
            self.spoiled = True
        elif wanted:
            self.take(self.shape.label, self.shape.take_label, self.block.labels[0], self.block.line, "label", True)

    def read_settings(self) -> None:
        written = {each.name: each for each in self.block.attributes}
        for setting in self.shape.settings:
            attribute = written.pop(setting.name, None)
            if attribute is None and setting.required:
                self.problem(self.block.line, f"{setting.name} is missing", f"add {setting.name} = {setting.kind}")
                self.spoiled = True
            elif attribute is not None:
                self.read_setting(setting, attribute)
        if self.shape.open:
            self.values[self.shape.open] = tuple(self.open_pairs(written.values()))
            return
        for attribute in written.values():
            self.unknown("attribute", attribute.name, attribute.line)

    def read_setting(self, setting: Setting, attribute: Attribute) -> None:
        if attribute.value is None:  # refused by the parser, which has said so
            self.spoiled = self.spoiled or setting.required
            return
        field = setting.field or setting.name
        self.take(field, setting.take, attribute.value, attribute.line, setting.name, setting.required)

    def open_pairs(self, attributes: Iterable[Attribute]) -> Iterator[tuple[str, Value]]:
        for attribute in attributes:
            if attribute.value is None:  # refused by the parser, which has said so
                continue
            try:
                yield attribute.name, whole(attribute.value)
            except Wrong as wrong:
                self.problem(attribute.line, f"{attribute.name}: {wrong.message}", wrong.fix)

    def take(
        self, field: str, take: Callable[[Literal], object], value: Literal, line: int, name: str, required: bool
    ) -> None:
        try:
            self.values[field] = take(value)
        except Wrong as wrong:
            self.problem(line, f"{name}: {wrong.message}", wrong.fix)
            self.spoiled = self.spoiled or required

    # Inner blocks

    def read_inner(self) -> None:
        known = {inner.shape.name: inner for inner in self.shape.inner}
        for block in self.block.blocks:
            if block.type not in known:
                self.unknown("block", block.type, block.line)
        for inner in self.shape.inner:
            self.read_blocks(inner, [block for block in self.block.blocks if block.type == inner.shape.name])

    def read_blocks(self, inner: Inner, blocks: list[Block]) -> None:
        if inner.required and not blocks:
            form = f'{inner.shape.name} "…"' if inner.shape.label else inner.shape.name
            self.problem(self.block.line, f"holds no {inner.shape.name}", f"add {form} {{ … }}")
        seen: dict[tuple[str, ...], Block] = {}
        made: list[Built] = []
        for block in blocks:
            first = seen.setdefault(() if inner.one else block.labels, block)
            if first is not block:
                message = f"a second {_title(block)}, the first is in line {first.line}"
                self.problem(block.line, message, "keep one of the two")
                continue
            noun = read(inner.shape, block, self.problems, (*self.path, _title(block)))
            if noun is None:
                self.spoiled = self.spoiled or inner.vital
            else:
                made.append(noun)
        if made:
            self.values[inner.field] = made[0] if inner.one else tuple(made)

    # Problems

    def unknown(self, what: str, name: str, line: int) -> None:
        settings = [each.name for each in self.shape.settings]
        blocks = [each.shape.name for each in self.shape.inner]
        if what == "attribute" and name in blocks:
            self.problem(line, f"{name} is a block, not an attribute", f"write {name} {{ … }}, without =")
        elif what == "block" and name in settings:
            self.problem(line, f"{name} is an attribute, not a block", f"write {name} = …")
        else:
            known = settings if what == "attribute" else blocks
            self.problem(line, f"unknown {what} {name}", did_you_mean(name, known, f"{what}s here"))

    def wrong(self, wrong: Wrong, attribute: str) -> None:
        lines = {each.name: each.line for each in self.block.attributes}
        message = f"{attribute}: {wrong.message}" if attribute else wrong.message
        self.problem(lines.get(attribute, self.block.line), message, wrong.fix)

    def problem(self, line: int, message: str, fix: str) -> None:
        self.problems.append(Problem(self.block.file, line, ": ".join((*self.path, message)), fix))


@functools.cache
def _takes(make: Callable[..., object]) -> frozenset[str]:
    """Names of what `make` can be called with."""
    return frozenset(inspect.signature(make).parameters)


def _title(block: Block) -> str:
    return " ".join((block.type, *(f'"{label}"' for label in block.labels)))


def _fields(make: Callable[..., object]) -> Mapping[str, dataclasses.Field[Any]]:
    if not dataclasses.is_dataclass(make):
        return {}
    return {field.name: field for field in dataclasses.fields(make)}


# The manual -----------------------------------------------------------------------------------------------------------


def reference(title: str, introduction: str, shapes: Iterable[tuple[str, Shape[Any]]]) -> str:
    """The reference manual of these shapes in Markdown; each comes with the name of the file that it is found in."""
    parts = [f"# {title}", introduction]
    for file, shape in shapes:
        parts.append(f"## `{file}`")
        parts.extend(_manual(shape, ()))
    return "\n\n".join(parts) + "\n"


def _manual(shape: Shape[Any], outer: tuple[str, ...]) -> Iterator[str]:
    title = f'{shape.name} "{shape.label.upper()}"' if shape.label else shape.name
    path = (*outer, title)
    yield f"{'#' * min(len(path) + 2, 6)} `{' > '.join(path)}`"
    label = f" {shape.label.upper()}: {shape.label_summary}." if shape.label else ""
    yield f"{shape.summary}.{label}"
    rows = [*(_row(shape, setting) for setting in shape.settings)]
    if shape.open:
        rows.append(f"| *any name* | literal | | {shape.open_summary} |")
    if rows:
        yield "\n".join(("| attribute | value | default | meaning |", "|---|---|---|---|", *rows))
    if shape.inner:
        yield "Blocks inside: " + ", ".join(_mention(inner) for inner in shape.inner) + "."
    for inner in shape.inner:
        yield from _manual(inner.shape, path)


def _mention(inner: Inner) -> str:
    number = "once" if inner.one else "any number"
    return f"`{inner.shape.name}` ({'at least one' if inner.required and not inner.one else number})"


def _row(shape: Shape[Any], setting: Setting) -> str:
    cells = (f"`{setting.name}`", setting.kind, _default(shape, setting), setting.summary)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _default(shape: Shape[Any], setting: Setting) -> str:
    if setting.required:
        return "**required**"
    field = _fields(shape.make).get(setting.field or setting.name)
    default = None if field is None or field.default is dataclasses.MISSING else field.default
    if default is None or default in ("", ()):
        return ""
    return f"`{_written(default)}`"


def _written(value: Any) -> str:  # noqa: ANN401 (the default of any field)
    if isinstance(value, timedelta):
        return shown(text_of_duration(value))
    if isinstance(value, Enum):
        return shown(str(value.value))
    return shown(value)
