"""The dashboards for Grafana: their files are what the program writes, and valid against Grafana's own schema."""

from __future__ import annotations

import copy
import enum
import json
import subprocess
import sys
import types
import typing
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import dashboard

PLACE = Path(__file__).parents[3] / "systems" / "s3-lb"
FILES = sorted((PLACE / "dashboards").glob("*.json"))
register_default_plugins()


def plain(value: object) -> Any:
    return json.loads(JSONEncoder().encode(value))


def lost(given: object, taken: object, path: str = "") -> list[str]:
    """What is in the file and not in what Grafana's types made of it: fields that they do not know."""
    if isinstance(given, dict) and isinstance(taken, dict):
        unknown = [f"{path}.{name}" for name in given if name not in taken and given[name] is not None]
        return unknown + [
            one for name in given if name in taken for one in lost(given[name], taken[name], f"{path}.{name}")
        ]
    if isinstance(given, list) and isinstance(taken, list) and len(given) == len(taken):
        return [
            one for number, pair in enumerate(zip(given, taken, strict=True)) for one in lost(*pair, f"{path}.{number}")
        ]
    return [] if given == taken else [path]


def wrong(value: object, wanted: Any, path: str = "") -> list[str]:
    """Values that are not of the type that Grafana's schema gives them."""
    origin, inner = typing.get_origin(wanted), typing.get_args(wanted)
    if wanted in (object, Any):
        return _fields(value, path)
    if origin in (typing.Union, types.UnionType):
        return min((wrong(value, one, path) for one in inner), key=len)
    if origin is typing.Literal:
        return [] if value in inner else [path]
    if origin is list:
        if not isinstance(value, list):
            return [path]
        return [fault for number, one in enumerate(value) for fault in wrong(one, inner[0], f"{path}.{number}")]
    if origin is dict:
        return [] if isinstance(value, dict) else [path]
    if isinstance(wanted, type) and issubclass(wanted, enum.Enum):
        return [] if value in [one.value for one in wanted] else [path]
    if wanted is float:
        return [] if isinstance(value, int | float) and not isinstance(value, bool) else [path]
    if wanted is int:
        return [] if isinstance(value, int) and not isinstance(value, bool) else [path]
    if not isinstance(value, wanted):
        return [path]
    return _fields(value, path)


def _fields(value: object, path: str) -> list[str]:
    """Of a value of one of Grafana's classes, by what it is, which may know more than what was asked for."""
    kind = type(value)
    if not kind.__module__.startswith("grafana_foundation_sdk.models"):
        return []
    hints = typing.get_type_hints(kind)
    return [fault for name, hint in hints.items() for fault in wrong(getattr(value, name), hint, f"{path}.{name}")]


def faults(given: dict[str, Any]) -> list[str]:
    taken = dashboard.Dashboard.from_json(copy.deepcopy(given))
    return lost(given, plain(taken)) + wrong(taken, dashboard.Dashboard)


def test_the_files_are_what_the_program_writes() -> None:
    ended = subprocess.run(
        [sys.executable, str(PLACE / "dashboards.py"), "--check"], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
    assert [path.stem for path in FILES] == ["etcd", "gateway", "overview", "storage"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_dashboard_is_valid_against_grafana_s_schema(path: Path) -> None:
    given = json.loads(path.read_text())
    assert faults(given) == []
    assert len({panel["id"] for panel in given["panels"]}) == len(given["panels"]) > 10
    assert 8 <= len(given["uid"]) <= 40


@pytest.mark.parametrize(("where", "value"), [
    (("panels", 0, "gridPos", "h"), "high"), (("panels", 0, "nonsense"), 1), (("title",), 5), (("graphTooltip",), 7),
    (("panels", 0, "targets", 0, "expression"), "up"), (("panels", 0, "targets", 0, "expr"), 1),
    (("panels", 8, "fieldConfig", "defaults", "custom", "lineWidth"), "thick"),
    (("panels", 0, "options", "reduceOptions", "calcs"), "last"),
    (("panels", 0, "fieldConfig", "defaults", "thresholds", "mode"), "relative"),
    (("templating", "list", 0, "type"), "source"),
])  # fmt: skip
def test_what_grafana_would_not_take_is_found(where: tuple[str | int, ...], value: object) -> None:
    given = json.loads((PLACE / "dashboards" / "overview.json").read_text())
    place: Any = given
    for word in where[:-1]:
        place = place[word]
    place[where[-1]] = value
    assert refused(given)


def refused(given: dict[str, Any]) -> bool:
    """Found, or it cannot even be read."""
    try:
        return bool(faults(given))
    except (TypeError, AttributeError, ValueError, KeyError):
        return True


def test_panels_lie_beside_each_other_and_fill_the_rows() -> None:
    for path in FILES:
        taken: dict[tuple[int, int], str] = {}
        for panel in json.loads(path.read_text())["panels"]:
            at = panel["gridPos"]
            for x in range(at["x"], at["x"] + at["w"]):
                for y in range(at["y"], at["y"] + at["h"]):
                    assert taken.setdefault((x, y), panel["title"]) == panel["title"]
        assert {x for x, _ in taken} == set(range(24))
        assert len(taken) == 24 * (max(y for _, y in taken) + 1)
