"""The documents that go with an artefact: what they say, that they say it again, and that they are read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from common.errors import NotFound
from common.model import Artifact, Digest, Kind
from naust.content import dpkg
from naust.manifest import INPUTS, Blob, ContainerImage, encode
from naust.proof import keys, sbom
from naust.proof.ancestry import origins
from naust.push import push_container
from naust.store.memory import MemoryStore
from smie import show
from smie.attachments import documents_of
from smie.builder.interface import FileImage
from smie.documents import Making, looked_into, record
from smie.log import plain
from smie.plan import recorded
from smie.recipe import Recipe
from smie.workspace import Workspace
from tests.unit.smie.conftest import Kitchen
from tests.unit.smie.test_layer import tar

KEY = "NAUST_KEY"
STATUS = """\
Package: openssl
Status: install ok installed
Architecture: amd64
Version: 3.5.4-1
Provides: tls

Package: bird2
Status: install ok installed
Architecture: amd64
Version: 2.17.6-1
Depends: tls, missing | openssl, nonsense )(
"""
METADATA = "Name: Some_Thing\nVersion: 1.0+x\nLicense: MIT\n"


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY, raising=False)


class Shop:
    """A store, and what is built into it as smie does."""

    def __init__(self, kitchen: Kitchen, folder: Path) -> None:
        self.kitchen, self.folder, self.store = kitchen, folder, MemoryStore()
        self.workspace = Workspace(folder / "smie")

    def built(self, recipe: Recipe, *layers: bytes, **more: Any) -> Artifact:
        blobs = []
        for data in layers:
            path = self.folder / Digest.of(data).hex
            path.write_bytes(data)
            blobs.append(Blob(Digest.of(data), len(data), path=path))
        rootfs = {"type": "layers", "diff_ids": [str(blob.digest) for blob in blobs]}
        image = ContainerImage(json.dumps({"rootfs": rootfs}).encode(), tuple(blobs))
        parent = self.found(recipe.parent) if recipe.parent else None

        def before(unnamed: Artifact) -> None:
            seen = looked_into(self.store, unnamed, recipe, image, parent)
            record(self.store, self.workspace, unnamed, Making(recipe, parent, seen, **more))

        return push_container(
            self.store, image, name=recipe.name, version=recipe.version, made_from=recipe.fingerprint, before=before,
            annotations={INPUTS: json.dumps(recorded(recipe))},
        )  # fmt: skip

    def found(self, recipe: Recipe) -> Artifact:
        return show.meant(self.store, recipe.name)

    def bird(self, **more: Any) -> Artifact:
        self.kitchen.options = {"software": "pypi:tool+x==1.0", "software_sha256": "ab" * 32}
        base = tar({dpkg.PATH: STATUS, "usr/lib/os-release": "ID=debian\nVERSION_ID=13\n"})
        self.built(self.kitchen.base_recipe(), base)
        role = tar({"opt/x.dist-info/METADATA": METADATA, "usr/local/bin/tool": b"1" * 5000})
        return self.built(self.kitchen.recipe(), base, role, **more)

    def bom(self, artifact: Artifact) -> Mapping[str, Any]:
        found = documents_of(self.store, artifact).first("sbom")
        assert found is not None
        return found.said


@pytest.fixture
def shop(kitchen: Kitchen, tmp_path: Path) -> Shop:
    return Shop(kitchen, tmp_path)


# What is in it


def test_the_sbom_is_what_the_specification_asks_for(shop: Shop) -> None:
    bom = shop.bom(shop.bird())
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bom))
    assert fault is None, fault


def test_the_sbom_has_packages_distributions_and_software_with_digests(shop: Shop) -> None:
    components = {each["name"]: each for each in shop.bom(shop.bird())["components"]}
    assert components.keys() == {"debian", "openssl", "bird2", "Some_Thing", "tool+x"}
    deb = next(each for each in shop.kitchen.packages if each.name == "bird2")
    assert components["bird2"]["hashes"] == [{"alg": "SHA-256", "content": deb.sha256}]
    assert components["bird2"]["purl"] == (
        "pkg:deb/debian/bird2@2.17.6-1?arch=amd64&distro=debian-13&upstream=bird2%402.17.6-1"
    )
    assert components["Some_Thing"]["purl"] == "pkg:pypi/some-thing@1.0%2Bx"
    assert components["Some_Thing"]["licenses"] == [{"license": {"id": "MIT"}}]
    assert components["tool+x"]["hashes"] == [{"alg": "SHA-256", "content": "ab" * 32}]


def test_the_sbom_says_what_needs_what(shop: Shop) -> None:
    needs = {each["ref"]: each["dependsOn"] for each in shop.bom(shop.bird())["dependencies"]}
    assert needs["debian:openssl:amd64@3.5.4-1"] == []
    # A relation that nobody can read counts as none, rather than as half of one.
    assert needs["debian:bird2:amd64@2.17.6-1"] == []
    shop.kitchen.options = {}
    good = tar({dpkg.PATH: STATUS.replace(", nonsense )(", "")})
    base = shop.built(shop.kitchen.base_recipe(), good)
    needs = {each["ref"]: each["dependsOn"] for each in shop.bom(base)["dependencies"]}
    assert needs["debian:bird2:amd64@2.17.6-1"] == ["debian:openssl:amd64@3.5.4-1"]
    assert "debian:openssl:amd64@3.5.4-1" not in needs[str(base.digest)]


def test_naust_reads_the_packages_out_of_it(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = {(each.type, each.name, each.version, each.source) for each in sbom.packages(shop.store, shop.bird())}
    assert found == {
        ("deb", "openssl", "3.5.4-1", "openssl"), ("deb", "bird2", "2.17.6-1", "bird2"),
        ("pypi", "some-thing", "1.0+x", ""), ("pypi", "tool+x", "1.0", ""),
    }  # fmt: skip


def test_a_disk_has_the_contents_of_the_root_file_system_on_it(shop: Shop, tmp_path: Path) -> None:
    rootfs = shop.bird()
    (tmp_path / "disk").write_bytes(b"QFI")
    layers = looked_into(shop.store, rootfs, shop.kitchen.recipe(), FileImage(tmp_path / "disk", None), rootfs)
    assert [layer.name for layer in layers] == ["container/bird", "container/bird"]


# Again


def test_the_same_artefact_gets_the_same_documents_and_one_log(shop: Shop, kitchen: Kitchen, tmp_path: Path) -> None:
    first = shop.bird(log=b"one", checks=("it starts",))
    again = shop.bird(log=b"another", checks=("it starts",))
    assert first == again
    found = documents_of(shop.store, first)
    assert sorted(each.what for each in found.every) == ["checks", "log", "provenance", "sbom", "sizes"]
    (tmp_path / "other").mkdir()
    other = Shop(kitchen, tmp_path / "other")
    there = documents_of(other.store, other.bird(checks=("it starts",)))
    assert {each.digest for each in there.every} == {each.digest for each in found.every if each.what != "log"}


def test_who_is_stopped_while_it_explains_leaves_no_name(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, str(shop.folder / "no key"))
    with pytest.raises(NotFound):
        shop.bird()
    assert not list(shop.store.names())


# Signed


def test_with_a_key_all_that_is_said_is_signed_and_the_rest_is_listed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = shop.folder / "key"
    public = keys.new(place)
    monkeypatch.setenv(KEY, str(place))
    artifact = shop.bird(log=b"said", checks=("it starts",))
    found = documents_of(shop.store, artifact)
    assert sorted(each.what for each in found.every) == ["checks", "list", "log", "provenance", "sbom", "sizes"]
    assert {each.signer for each in found.every} == {str(public.fingerprint)}
    assert str(shop.found(shop.kitchen.base_recipe()).digest) in {each.digest for each in origins(shop.store, artifact)}


def test_a_log_that_is_not_on_the_signed_list_is_nobodys(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    keys.new(shop.folder / "key")
    monkeypatch.setenv(KEY, str(shop.folder / "key"))
    artifact = shop.bird()
    monkeypatch.delenv(KEY)
    shop.bird(log=b"by another")
    log = documents_of(shop.store, artifact).first("log")
    assert log is not None and log.signer == ""


# Shown


def test_an_artefact_explains_itself_to_people(shop: Shop) -> None:
    artifact = shop.bird(log=b"said", checks=("it starts", "it stops"), steps={"install": 2.5}, revision="v1")
    lines = show.rows(show.explain(shop.store, artifact))
    said = dict(lines)
    assert said["took"] == "2.5 s (install 2.5)" and said["checks"] == "2 held" and said["definitions"] == "v1"
    assert said["stands on"].startswith("container/debian-13:13.8-")
    assert said["layer 2"].endswith("bird, 2 files")
    assert ("other file", "   4.9 KiB  /usr/local/bin/tool") in lines
    assert sum(name == "document" for name, _ in lines) == 5


def test_json_has_all_of_it(shop: Shop) -> None:
    explained = show.explain(shop.store, shop.bird(log=b"said", steps={"install": 2.5}))
    found: Any = show.shown(explained)
    assert found["log"] == "said" and found["steps"] == {"install": 2.5}
    assert found["sbom"]["bomFormat"] == "CycloneDX" and "buildDefinition" in found["provenance"]
    assert [layer["made_by"] for layer in found["sizes"]["layers"]] == ["debian-13", "bird"]
    assert json.dumps(found["sizes"])


def test_what_others_attached_is_told_as_a_fault_or_cannot_paint_over_a_terminal(shop: Shop) -> None:
    from naust.proof.attached import attach

    artifact = shop.built(shop.kitchen.base_recipe(), tar({"a": b"1"}))
    bad = {"format": 1, "layers": [{"made_by": "\x1b[2J", "size": "no"}, 3], "packages": {"no": 1}}
    for data, kind in ((encode(bad), "application/vnd.smie.sizes.v1+json"), (b"{", "application/vnd.in-toto+json")):
        attach(shop.store, "container/debian-13", artifact.digest, data, media_type=kind, artifact_type=kind)
    lines = show.rows(show.explain(shop.store, artifact))
    assert all(text.isprintable() for line in lines for text in line)
    assert [name for name, _ in lines].count("FAULT") == 1


def test_a_name_means_the_newest_of_the_first_kind_there_is(shop: Shop) -> None:
    artifact = shop.bird()
    assert show.meant(shop.store, "bird") == show.meant(shop.store, str(artifact.reference)) == artifact
    for name, kinds in (("fish", ()), ("bird", (Kind.VM,))):
        with pytest.raises(NotFound):
            show.meant(shop.store, name, kinds)
    with pytest.raises(NotFound, match="no log"):
        show.document_of(show.explain(shop.store, artifact), "log")


# The log


def test_a_log_has_no_secrets_and_no_places_of_the_machine() -> None:
    container = "ab" * 32
    text = (
        f"Container ID: {container}\nfetch http://me:hidden@mirror/debian of {container}\n"
        "/home/ops/.smie/work/x in /home/ops\ntoken geheim12 \x1b[1m tmp36087345 password abc\n"
    )
    found = plain(
        text,
        {"/home/ops/.smie": ".smie", "/home/ops": "~"},
        {"MY_TOKEN": "geheim12", "PASSWORD": "abc", "HOME": "/home/ops"},
    )
    assert found == (
        "Container ID: CONTAINER\nfetch http://***@mirror/debian of CONTAINER\n"
        ".smie/work/x in ~\ntoken *** [1m tmpN password abc\n"
    )
