"""With an artefact goes what it was made from, each thing with its digest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from common.model import Artifact, Digest
from naust.manifest import ContainerImage
from naust.proof import bundle, keys
from naust.proof.ancestry import origins
from naust.proof.attached import attached
from naust.push import push_container
from naust.store.memory import MemoryStore
from smie.provenance import predicate, record
from smie.recipe import Recipe
from smie.snapshot import opened
from tests.lab.snapshots import published, snapshot
from tests.unit.smie.conftest import Kitchen

CONFIG = json.dumps({"rootfs": {"type": "layers", "diff_ids": []}}).encode()


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NAUST_KEY", raising=False)


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
        "name": "base debian-13", "uri": str(base.reference), "digest": {"sha256": base.digest.hex},
    }  # fmt: skip
    assert found["package bird2"]["uri"] == "pkg:deb/debian/bird2@2.17.6-1?arch=amd64"
    assert found["software pypi:tool+x"]["uri"] == "pkg:pypi/tool%2Bx@1.0"


def test_the_same_build_says_the_same_and_says_it_once(kitchen: Kitchen, store: MemoryStore) -> None:
    recipe = kitchen.base_recipe()
    artifact = pushed(store, recipe)
    assert record(store, artifact, recipe, None) == record(store, artifact, recipe, None)
    (one,) = attached(store, "container/debian-13", artifact.digest, bundle.IN_TOTO.__eq__)
    said = json.loads(one.data)
    assert said["subject"] == [{"digest": {"sha256": artifact.digest.hex}, "name": str(artifact.reference)}]
    assert said["predicateType"] == bundle.PROVENANCE


def test_out_of_a_snapshot_it_is_the_same_artefact_with_another_provenance(
    kitchen: Kitchen, store: MemoryStore, tmp_path: Path
) -> None:
    published(store, "debian", {"x": b"x"}, "apt")
    tag = snapshot(store, "build", ["debian"])
    origin = opened(store, kitchen.index.workspace, "latest")
    online = kitchen.base_recipe()
    offline = replace(online, index=replace(online.index, origin=origin))
    assert offline.fingerprint == online.fingerprint
    artifact = pushed(store, online)
    assert record(store, artifact, online, None) != record(store, artifact, offline, None)
    more = dependencies(predicate(offline, None)).keys() - dependencies(predicate(online, None)).keys()
    assert more == {"snapshot", "source debian"}
    assert dependencies(predicate(offline, None))["snapshot"]["uri"] == f"snapshot/build:{tag}"


def test_with_a_key_it_is_signed_and_naust_follows_it(
    kitchen: Kitchen, store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "key"
    keys.new(place)
    monkeypatch.setenv("NAUST_KEY", str(place))
    recipe, base = kitchen.recipe(), pushed(store, kitchen.base_recipe())
    artifact = pushed(store, recipe)
    assert isinstance(record(store, artifact, recipe, base), Digest)
    (one,) = attached(store, "container/bird", artifact.digest, bundle.is_bundle)
    assert bundle.read_bundle(one.data, "it").statement.predicate_type == bundle.PROVENANCE
    assert str(base.reference) in {each.title for each in origins(store, artifact)}
