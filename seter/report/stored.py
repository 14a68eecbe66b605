"""Runs as JSON (RFC 8259) and back. What is read was written by somebody: all of it is checked, nothing is believed.

One run is `{"format": "seter-run/1", "run": {…}}`, several are `{"format": "seter-runs/1", "runs": […]}`; the names in
it are those of the fields in `seter.report.model`, and a field that has a default may be left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import datetime
from functools import cache
from types import UnionType
from typing import TYPE_CHECKING, NoReturn, get_args, get_origin, get_type_hints

from common.console import plain
from common.errors import BadInput
from seter.report.model import Run

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

ONE, SEVERAL = "seter-run/1", "seter-runs/1"
LONGEST = 64 << 20  # characters; an hour is about 0.5 MiB
GREATEST = 1e15  # no time and no count is greater


def to_json(run: Run) -> str:
    """One run as text that `from_json` reads."""
    return json.dumps({"format": ONE, "run": plain(run)}, allow_nan=False) + "\n"


def many_to_json(runs: Sequence[Run]) -> str:
    """Several runs in one file."""
    return json.dumps({"format": SEVERAL, "runs": [plain(run) for run in runs]}, allow_nan=False) + "\n"


def from_json(text: str, name: str = "the run") -> Run:
    """The only run of a file, which errors call `name`. Raises BadInput."""
    found = runs_of(text, name)
    if len(found) != 1:
        raise BadInput(f"{name} holds {len(found)} runs, not one", resolution="Give a file with a single run.")
    return found[0]


def runs_of(text: str, name: str) -> tuple[Run, ...]:
    """All runs of a file, which errors call `name`. Raises BadInput."""
    if len(text) > LONGEST:
        raise BadInput(f"{name} is longer than a run can be", resolution="Give what seter has written, as it is.")
    try:
        read: object = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{name} is no JSON: {error}", resolution="Give what seter has written, as it is.") from error
    try:
        if isinstance(read, dict) and read.get("format") == ONE:
            return (_made(Run, read.get("run"), "run"),)
        if isinstance(read, dict) and read.get("format") == SEVERAL and isinstance(read.get("runs"), list):
            return tuple(_made(Run, each, f"runs[{at}]") for at, each in enumerate(read["runs"]))
    except _Wrong as wrong:
        raise BadInput(f"{name}: {wrong}", resolution="Give what seter has written, as it is.") from wrong
    raise BadInput(f"{name} is no saved run", resolution=f"Its format has to be {ONE} or {SEVERAL}.")


def merged(runs: Iterable[Run]) -> tuple[Run, ...]:
    """In order of time, the same one only once."""
    return tuple(sorted(dict.fromkeys(runs), key=lambda run: run.began))


class _Wrong(ValueError):
    """What is wrong, and where."""


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


@cache
def _shape(kind: type[DataclassInstance]) -> tuple[tuple[Field[object], object], ...]:
    hints = get_type_hints(kind)
    return tuple((each, hints[each.name]) for each in fields(kind))


def _made(kind: type[Run], value: object, path: str) -> Run:
    made = _dataclass(kind, value, path)
    assert isinstance(made, kind)
    return made


def _dataclass(kind: type[DataclassInstance], value: object, path: str) -> DataclassInstance:
    if not isinstance(value, dict):
        raise _Wrong(f"{path} is no object")
    shape = _shape(kind)
    if unknown := value.keys() - {each.name for each, _ in shape}:
        raise _Wrong(f"{path} has an unknown field {min(unknown)!r}")
    given = {}
    for each, hint in shape:
        if each.name in value:
            given[each.name] = _read(hint, value[each.name], f"{path}.{each.name}")
        elif each.default is MISSING:
            raise _Wrong(f"{path} has no {each.name}")
    return kind(**given)


def _read(hint: object, value: object, path: str) -> object:
    """The value as this type. Only types that the model uses are known."""
    if isinstance(hint, UnionType):
        return None if value is None else _read(get_args(hint)[0], value, path)
    if get_origin(hint) is tuple:
        return _tuple(get_args(hint), value, path)
    if isinstance(hint, type) and is_dataclass(hint):
        return _dataclass(hint, value, path)
    if hint is datetime:
        return _moment(value, path)
    if hint is float and type(value) is int:
        value = float(value) if abs(value) < GREATEST else GREATEST
    if type(value) is not hint:
        raise _Wrong(f"{path} is of another type than {getattr(hint, '__name__', hint)}")
    if isinstance(value, int | float) and abs(value) >= GREATEST:
        raise _Wrong(f"{path} is too large")
    return value


def _tuple(inner: tuple[object, ...], value: object, path: str) -> tuple[object, ...]:
    if not isinstance(value, list):
        raise _Wrong(f"{path} is no list")
    if inner[-1] is Ellipsis:
        inner = inner[:1] * len(value)
    if len(inner) != len(value):
        raise _Wrong(f"{path} has {len(value)} parts, not {len(inner)}")
    return tuple(_read(hint, each, f"{path}[{at}]") for at, (hint, each) in enumerate(zip(inner, value, strict=True)))


def _moment(value: object, path: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise _Wrong(f"{path} is no date and time (ISO 8601)") from None
    if moment.tzinfo is None:
        raise _Wrong(f"{path} has no zone")
    return moment
