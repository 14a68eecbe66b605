"""With an artefact goes what it was made from, each thing with its digest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from common.model import Artifact
from naust.manifest import ContainerImage
from naust.push import push_container
from naust.store.memory import MemoryStore
from smie.provenance import predicate
from smie.recipe import Recipe
from smie.snapshot import opened
from tests.lab.snapshots import published, snapshot
from tests.unit.smie.conftest import Kitchen

CONFIG = json.dumps({"rootfs": {"type": "layers", "diff_ids": []}}).encode()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def pushed(store: MemoryStore, recipe: Recipe) -> Artifact:
    image = ContainerImage(CONFIG, ())
    return push_container(store, image, name=recipe.name, version=recipe.version, made_from=recipe.fingerprint)


def dependencies(said: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {each["name"]: each for each in said["buildDefinition"]["resolvedDependencies"]}


def test_every_input_is_named_with_its_digest(kitchen: Kitchen, store: MemoryStore) -> None:
    kitchen.options = {"software": "pypi:tool+x==1.0", "software_sha256": "ab" * 32}
    recipe = kitchen.recipe()
    base = pushed(store, kitchen.base_recipe())
    found = dependencies(predicate(recipe, base))
    for each in recipe.inputs:
        if each.part != "base":
            assert found[each.title]["digest"] == {"sha256": each.digest.hex}
    assert found["base debian-13"] == {
        "name": "base debian-13", "uri": "container/debian-13:13.8", "digest": {"sha256": base.digest.hex},
    }  # fmt: skip
    assert found["package bird2"]["uri"] == "pkg:deb/debian/bird2@2.17.6-1?arch=amd64"
    assert found["software pypi:tool+x"]["uri"] == "pkg:pypi/tool%2Bx@1.0"


def test_it_says_what_git_calls_the_definitions(kitchen: Kitchen) -> None:
    definition: Any = predicate(kitchen.base_recipe(), None, revision="v1.0-dirty")["buildDefinition"]
    assert definition["internalParameters"]["revision"] == "v1.0-dirty"


def test_out_of_a_snapshot_it_is_the_same_artefact_with_another_provenance(
    kitchen: Kitchen, store: MemoryStore, tmp_path: Path
) -> None:
    published(store, "debian", {"x": b"x"}, "apt")
    tag = snapshot(store, "build", ["debian"])
    origin = opened(store, kitchen.index.workspace, "latest")
    online = kitchen.base_recipe()
    offline = replace(online, index=replace(online.index, origin=origin))
    assert offline.fingerprint == online.fingerprint
    assert predicate(online, None) != predicate(offline, None)
    more = dependencies(predicate(offline, None)).keys() - dependencies(predicate(online, None)).keys()
    assert more == {"snapshot", "source debian"}
    assert dependencies(predicate(offline, None))["snapshot"]["uri"] == f"snapshot/build:{tag}"
