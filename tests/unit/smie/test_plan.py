"""A plan says because of which input."""

from __future__ import annotations

import json
from dataclasses import replace

from common.model import Artifact, Digest, Kind, Reference
from naust.manifest import INPUTS
from smie.plan import difference, reasons, recorded
from smie.recipe import Recipe
from smie.site import summary
from tests.unit.smie.conftest import DATE, Kitchen, package


def artifact_of(recipe: Recipe) -> Artifact:
    annotations = ((INPUTS, json.dumps(recorded(recipe))),)
    reference = Reference(Kind.CONTAINER, recipe.name, "1-20261124T221500Z")
    return Artifact(reference, "1", Digest.of(b""), 1, "", DATE, recipe.fingerprint, annotations)


def test_each_changed_input_is_named(kitchen: Kitchen) -> None:
    before = artifact_of(kitchen.recipe())
    kitchen.packages = (*kitchen.packages[:2], package("bird2", "2.17.7-1"), package("ucf"))
    kitchen.options["packages"] = ("bird2", "ucf")
    kitchen.write("bird/files/status.py", "print(1)\n", 0o755)
    kitchen.write("bird/files/more.py")
    assert reasons(kitchen.recipe(), before) == (
        "package bird2 2.17.6-1 → 2.17.7-1",
        "package ucf 1.0-1 added",
        "setting packages changed",
        "file roles/bird/files/more.py 644 added",
        "file roles/bird/files/status.py changed",
    )


def test_a_changed_base_is_named_and_not_its_packages(kitchen: Kitchen) -> None:
    before = artifact_of(kitchen.recipe())
    kitchen.packages = (kitchen.packages[0], package("openssl", "3.5.5-1"), kitchen.packages[2])
    assert reasons(kitchen.recipe(), before) == ("base debian-13 changed",)


def test_a_removed_input_is_named(kitchen: Kitchen) -> None:
    before = artifact_of(kitchen.recipe())
    kitchen.options["packages"] = ()
    assert "package bird2 2.17.6-1 removed" in reasons(kitchen.recipe(), before)


def test_a_changed_process_is_named(kitchen: Kitchen) -> None:
    before = artifact_of(kitchen.recipe())
    kitchen.process = replace(kitchen.process, uid=951)
    assert reasons(kitchen.recipe(), before) == ("process changed",)


def test_another_format_of_recipes_is_a_reason_too(kitchen: Kitchen) -> None:
    assert reasons(kitchen.recipe(), artifact_of(kitchen.recipe())) == ("smie makes recipes in another way now",)


def test_a_mode_is_told_from_content() -> None:
    assert difference("file a", ("644", "x"), ("755", "x")) == "file a has mode 755, was 644"
    assert difference("file a", ("644", "x"), ("755", "y")) == "file a changed"
    assert difference("package a", ("1", "x"), ("1", "y")) == "package a changed"


def test_a_summary_names_three_reasons_and_counts_the_others() -> None:
    assert summary(("a", "b")) == "a; b"
    assert summary(("a", "b", "c", "d", "e")) == "a; b; c and 2 more"
