"""smie builds from a snapshot alone: the real tools, and no network but the Unix socket of the Docker engine.

The snapshot has the least of Debian that a base needs, from this machine's mirror, and a package of our own that tries
to connect out while it is installed. Whoever might be reached listens on an address of this machine.
"""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import socket
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import docker
import pytest

from common.model import Digest
from naust import manifest as oci
from naust.listing import resolve
from naust.proof import bundle
from naust.proof.attached import attached
from naust.source import snapshot as snapshots
from naust.store import open_store
from naust.store.interface import Store
from naust.transfer.verified import content
from tests.conftest import ROOT, Ended, Tools
from tests.lab.images import listed
from tests.lab.programs import program
from tests.lab.snapshots import published, snapshot

BASE = "smie-off-base"
DIALER = "smie-off-dialer"
SOURCES = """\
apt "debian" {{
  suites   = ["trixie", "trixie-updates", "trixie-security"]
  packages = ["priority:required", "apt", "python3", "python3-apt", "ed"]
  key      = "file:{folder}/archive.key"
}}
apt "ours" {{
  mode   = "local"
  folder = "{folder}/ours"
  suites = ["trixie"]
  key    = "file:{folder}/archive.key"
}}
set "build" {{ sources = ["debian", "ours"] }}
"""
BASE_HCL = f"""\
base "{BASE}" {{
  summary  = "The least that a test needs"
  suite    = "trixie"
  packages = ["python3", "python3-apt", "{DIALER}"]
}}
"""
ROLE_HCL = """\
role "{name}" {{
  type     = "component"
  summary  = "A role of the test"
  packages = [{packages}]
  image "container" {{ base = "{base}" }}
}}
"""
INSTALL = "- ansible.builtin.include_role: {name: process, tasks_from: install}\n"


@dataclass(frozen=True)
class Listener:
    """Who would be reached, from anywhere but a network namespace of its own."""

    server: socket.socket

    @property
    def dial(self) -> str:
        """A line of bash that fails if nobody is reached."""
        host, port = self.server.getsockname()
        return f"exec 3<>/dev/tcp/{host}/{port}"

    def was_reached(self) -> bool:
        try:
            self.server.accept()[0].close()
        except BlockingIOError:
            return False
        return True


@dataclass(frozen=True)
class Lab:
    """Definitions, a store with a snapshot, and smie's workspace."""

    folder: Path
    tools: Tools
    listener: Listener

    @property
    def store(self) -> Store:
        return open_store(self.tools.env["NAUST_STORE"])

    def role(self, name: str, tasks: str = "", packages: str = "") -> str:
        folder = self.folder / "systems" / "roles" / name
        (folder / "tasks").mkdir(parents=True, exist_ok=True)
        (folder / "role.hcl").write_text(ROLE_HCL.format(name=name, packages=packages, base=BASE))
        (folder / "tasks" / "install.yml").write_text(INSTALL + tasks)
        return name

    def smie(self, *words: str, code: int = 0, **env: str) -> Ended:
        """smie, where no network is: only files and the engine's socket."""
        return cut_off(self.tools.env | env, *words, code=code)

    def publish(self, version: str) -> None:
        """The package of our own in this version, and a snapshot with it."""
        package(self.folder, version, self.listener.dial)
        options = ("--sources", str(self.folder / "sources.hcl"))
        self.tools("naust", "mirror", "ours", *options)
        self.tools("naust", "snapshot", "build", *options)

    def newest(self, name: str) -> str:
        return str(resolve(self.store, name).reference)


def cut_off(env: dict[str, str], *words: str, code: int = 0, timeout: float = 300) -> Ended:
    argv = [program("unshare"), "--net", str(ROOT / ".venv" / "bin" / "smie"), *words]
    done = subprocess.run(
        argv, env=os.environ | env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == code, f"{words} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return Ended(done.returncode, done.stdout, done.stderr)


def package(folder: Path, version: str, dial: str) -> None:
    """A package whose script connects out when it is installed, and notes how that went."""
    tree = folder / "tree" / version
    (tree / "DEBIAN").mkdir(parents=True)
    control = f"Package: {DIALER}\nVersion: {version}\nArchitecture: all\nMaintainer: A Test <test@example.org>\n"
    (tree / "DEBIAN" / "control").write_text(f"{control}Description: connects out\n")
    script = tree / "DEBIAN" / "postinst"
    script.write_text(f"#!/bin/bash\nif ({dial}); then echo reached; else echo cut off; fi >/etc/{DIALER} 2>&1\n")
    script.chmod(0o755)
    target = folder / "ours" / f"{DIALER}_{version}_all.deb"
    target.parent.mkdir(exist_ok=True)
    argv = [program("dpkg-deb"), "--build", "--root-owner-group", str(tree), str(target)]
    subprocess.run(argv, check=True, capture_output=True)


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    """On the address that containers reach this machine by."""
    bridge: dict[str, Any] = docker.from_env().networks.get("bridge").attrs
    # An engine that found its bridge made already does not say the gateway; it is the subnet's first address then.
    pool: dict[str, str] = bridge["IPAM"]["Config"][0]
    address = pool.get("Gateway") or str(next(ipaddress.ip_network(pool["Subnet"]).hosts()))
    with closing(socket.create_server((address, 0))) as server:
        server.setblocking(False)
        yield Listener(server)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, listener: Listener) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("off")
    systems = folder / "systems"
    shutil.copytree(ROOT / "systems" / "roles" / "process", systems / "roles" / "process")
    (systems / "bases").mkdir()
    (systems / "bases" / f"{BASE}.hcl").write_text(BASE_HCL)
    (folder / "sources.hcl").write_text(SOURCES.format(folder=folder))
    env = {
        "SETER_SYSTEMS": str(systems),
        "SMIE_CACHE": str(folder / "cache"),
        "SMIE_SNAPSHOT": "latest",
        "NAUST_STORE": f"file://{folder / 'store'}",
    }
    made = Lab(folder, Tools(folder, env), listener)
    try:
        made.tools("naust", "mirror", "debian", "--sources", str(folder / "sources.hcl"))
        made.publish("1.0")
        yield made
    finally:
        remove_images("naust/smie-off-")


def remove_images(prefix: str) -> None:
    client = docker.from_env()
    for image in listed(client):
        if any(tag.startswith(prefix) for tag in image.tags):
            client.images.remove(str(image.id), force=True)


@pytest.fixture(scope="module")
def twice(lab: Lab) -> tuple[Lab, Lab]:
    """A role and its base, built of one snapshot in two workspaces at the same time, for two stores: once where no
    network is, and once on this machine as it is."""
    lab.role("smie-off-ed", packages='"ed"')
    shutil.copytree(lab.folder / "store", lab.folder / "store2")
    more = {"NAUST_STORE": f"file://{lab.folder / 'store2'}", "SMIE_CACHE": str(lab.folder / "elsewhere")}
    other = replace(lab, tools=Tools(lab.folder, lab.tools.env | more))
    with ThreadPoolExecutor(2) as threads:
        both = [threads.submit(run, "build", "smie-off-ed") for run in (lab.smie, partial(other.tools, "smie"))]
        for each in both:
            each.result()
    return lab, other


def file_in(lab: Lab, name: str, path: str) -> bytes:
    """A file of the topmost layer of an artefact."""
    artifact = resolve(lab.store, name)
    layer = oci.parse(lab.store.manifest(name, artifact.reference.tag), name).layers[-1]
    with lab.store.read(name, layer.digest) as source, tarfile.open(fileobj=source) as archive:
        file = archive.extractfile(path)
        assert file is not None
        return file.read()


def test_two_workspaces_make_the_same_of_one_snapshot_without_any_network(twice: tuple[Lab, Lab]) -> None:
    for name in (f"container/{BASE}", "container/smie-off-ed"):
        one, other = (resolve(lab.store, name) for lab in twice)
        assert one.digest == other.digest
        assert one.annotation(oci.IMAGE_ID) == other.annotation(oci.IMAGE_ID)


def test_the_listener_of_this_test_is_reached_from_this_machine(listener: Listener) -> None:
    """Else the tests that somebody is not reached would prove nothing."""
    subprocess.run(["bash", "-c", listener.dial], check=True, timeout=10)
    assert listener.was_reached()


def test_what_packages_run_while_a_base_is_made_sees_no_network(twice: tuple[Lab, Lab]) -> None:
    for lab in twice:
        said = file_in(lab, f"container/{BASE}", f"etc/{DIALER}").decode()
        assert said.endswith("cut off\n") and "reached" not in said
        assert not lab.listener.was_reached()


@pytest.mark.parametrize("where", ["", "  delegate_to: localhost\n  connection: local\n"])
def test_an_install_task_that_connects_out_fails(twice: tuple[Lab, Lab], where: str) -> None:
    """In the build's container, and beside Ansible on this machine, which has a network itself."""
    lab, _ = twice
    task = f"- name: Connect out\n  ansible.builtin.command: {{argv: [bash, -c, {lab.listener.dial}]}}\n{where}"
    name = lab.role(f"smie-off-dials-{'here' if where else 'inside'}", task)
    ended = lab.tools("smie", "build", name, code=1)
    assert f"failed in the task '{name} : Connect out'" in ended.err
    assert "Network is unreachable" in ended.err
    assert not lab.listener.was_reached()
    assert f"container/{name}" not in set(lab.store.names())


def test_a_package_that_is_damaged_in_the_store_is_named_and_nothing_is_built_of_it(twice: tuple[Lab, Lab]) -> None:
    lab, other = twice
    broken = open_store(f"file://{shutil.copytree(lab.folder / 'store', lab.folder / 'store3')}")
    found = snapshots.named(broken, "build:latest")
    blob = next(file.blob for _, file in snapshots.files(broken, found) if file.package and file.package.name == "ed")
    (path,) = (lab.folder / "store3").rglob(blob.digest.hex)
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    path.write_bytes(data)
    env = {"NAUST_STORE": broken.url, "SMIE_CACHE": str(lab.folder / "third")}
    name = lab.role("smie-off-damaged", packages='"ed"')
    ended = lab.smie("build", name, code=8, **env)
    assert "ed_1." in ended.err and "is damaged" in ended.err
    assert f"container/{name}" not in set(broken.names())
    assert not list((lab.folder / "third" / "index").glob("*/pool/ed_*"))
    shutil.rmtree(lab.folder / "store3")
    assert other.newest("container/smie-off-ed")  # the others are as they were


def test_an_index_that_is_not_what_was_signed_is_refused(lab: Lab) -> None:
    whole = snapshots.find(lab.store, "debian")
    files = {
        file.path: content(lab.store, "snapshot/debian", file.blob, "it")
        for _, file in snapshots.files(lab.store, whole)
        if file.path.startswith("dists/trixie/") or file.path == "key.asc"
    }
    index = "dists/trixie/main/binary-amd64/Packages.xz"
    other_key = (lab.folder / "archive.key").with_name("other.key")
    lab.tools("naust", "key", "new", str(other_key))
    forged = {
        "changed": files | {index: files[index][:-1] + bytes([files[index][-1] ^ 1])},
        "unsigned": files | {"dists/trixie/InRelease": files["dists/trixie/Release"]},
        "resigned": files | {"dists/trixie/InRelease": files["dists/trixie/InRelease"].replace(b"trixie", b"trixiE")},
    }
    for how, one in forged.items():
        published(lab.store, how, one, "apt")
        snapshot(lab.store, f"of-{how}", [how])
        ended = lab.smie("plan", BASE, "--snapshot", f"of-{how}:latest", code=8)
        assert f"apt does not accept the index of snapshot/of-{how}:" in ended.err, how


def test_an_artefact_says_which_snapshot_and_which_packages_it_is_made_of(twice: tuple[Lab, Lab]) -> None:
    lab, _ = twice
    artifact = resolve(lab.store, "container/smie-off-ed")
    every = attached(lab.store, "container/smie-off-ed", artifact.digest, bundle.IN_TOTO.__eq__)
    (one,) = [said for said in (json.loads(each.data) for each in every) if said["predicateType"] == bundle.PROVENANCE]
    listed = one["predicate"]["buildDefinition"]["resolvedDependencies"]
    digests = {each["name"]: f"sha256:{each['digest']['sha256']}" for each in listed}
    first = snapshots.dated(lab.store, "build")[-1]
    assert digests["snapshot"] == str(first.digest)
    assert digests[f"base {BASE}"] == str(resolve(lab.store, f"container/{BASE}").digest)
    states = {each.source: str(each.manifest.digest) for each in snapshots.named(lab.store, "build").states}
    assert digests["source debian"] == states["debian"]
    packages = {Digest.parse(digest) for name, digest in digests.items() if name.startswith("package ")}
    mirrored = {file.blob.digest for _, file in snapshots.files(lab.store, snapshots.find(lab.store, "debian"))}
    assert packages and packages <= mirrored


def test_the_past_is_built_and_planned_from_its_snapshot_and_what_did_not_change_is_not_built_again(
    twice: tuple[Lab, Lab],
) -> None:
    lab, _ = twice
    first = snapshots.dated(lab.store, "build")[0].reference.tag
    lab.publish("2.0")
    plan: Sequence[Any] = lab.smie("plan", "smie-off-ed", "--json", "--exit-code", code=3).json()
    assert plan[0]["reasons"] == [f"package {DIALER} 1.0 → 2.0"]
    for when in (first, f"build:{first}"):
        lab.smie("plan", "smie-off-ed", "--exit-code", "--snapshot", when)
    acts = [each["act"] for each in lab.smie("build", "smie-off-ed", "--snapshot", first, "--json").json()]
    assert acts == ["present", "present"]
    lab.tools("naust", "snapshot", "build", "--sources", str(lab.folder / "sources.hcl"), "--as", "production")
    assert lab.smie("plan", "smie-off-ed", "--json", "--snapshot", "production").json() == plan


@pytest.mark.long
def test_every_role_of_s3_lb_is_the_same_from_the_snapshot_without_network_twice_and_online(tmp_path: Path) -> None:
    sources = str(ROOT / "systems" / "sources.hcl")
    store = tmp_path / "store"
    tools = Tools(tmp_path, {"SETER_SYSTEMS": str(ROOT / "systems"), "NAUST_STORE": f"file://{store}"})
    tools("naust", "mirror", "--sources", sources)
    tools("naust", "snapshot", "build", "--sources", sources)
    found: list[dict[str, str]] = []
    for name in ("one", "two", "online"):
        own = {"NAUST_STORE": f"file://{tmp_path / name}", "SMIE_CACHE": str(tmp_path / f"cache-{name}")}
        shutil.copytree(store, tmp_path / name)
        words = ("build", "s3-lb", "--json")
        if name == "online":
            ended = tools("smie", *words, timeout=1200, **own)
        else:
            ended = cut_off(tools.env | own, *words, "--snapshot", "latest", timeout=1200)
        assert {each["act"] for each in ended.json()} == {"built"}
        found.append({each["artifact"]: each["digest"] for each in ended.json()})
        shutil.rmtree(tmp_path / f"cache-{name}")
    assert found[0] == found[1] == found[2]
