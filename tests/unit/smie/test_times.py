"""How long a build will take is said from how long the last one took."""

from __future__ import annotations

from dataclasses import replace

from smie import times
from smie.workspace import Workspace
from tests.unit.smie.conftest import Kitchen, package


def test_the_last_good_build_counts(kitchen: Kitchen) -> None:
    workspace, recipe = Workspace(kitchen.folder), kitchen.recipe()
    assert times.expected(workspace, recipe) is None
    times.keep(workspace, recipe, 12.345)
    times.keep(workspace, recipe, 20)
    assert times.expected(workspace, recipe) == 20


def test_what_was_never_built_takes_as_long_as_what_is_most_like_it(kitchen: Kitchen) -> None:
    workspace, recipe, base = Workspace(kitchen.folder), kitchen.recipe(), kitchen.base_recipe()
    times.keep(workspace, base, 60)
    assert times.expected(workspace, recipe) is None  # a base is made in another way
    few, many = (package("few"),), tuple(package(str(number)) for number in range(50))
    times.keep(workspace, replace(recipe, name="small", packages=few), 5)
    times.keep(workspace, replace(recipe, name="large", packages=many), 50)
    assert times.expected(workspace, replace(recipe, packages=few * 2)) == 5
    assert times.expected(workspace, replace(recipe, packages=many[:40])) == 50


def test_what_is_damaged_or_of_another_format_is_as_good_as_nothing(kitchen: Kitchen) -> None:
    workspace, recipe = Workspace(kitchen.folder), kitchen.recipe()
    times.keep(workspace, recipe, 5)
    path = workspace.root / "times" / "container" / "bird.json"
    for text in ("", "[]", '{"format": 99, "seconds": 5, "weight": 1, "is_base": false}', '{"format": 1}'):
        path.write_text(text)
        assert times.expected(workspace, recipe) is None


def test_what_cannot_be_kept_is_no_reason_to_fail(kitchen: Kitchen) -> None:
    (kitchen.folder / "times").write_text("in the way")
    times.keep(Workspace(kitchen.folder), kitchen.recipe(), 5)
