"""Roles of a group in one tree, on the real things: what is installed, what the tasks see, and what is left when
something is killed or fails. The base is the one of this working folder; roles and system are of the test.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from naust.store import open_store
from tests.conftest import ROOT, Tools
from tests.lab.images import listed
from tests.lab.programs import program

GROUP = "smie-test-farm.barns"
ROLE = """\
role "{name}" {{
  type     = "component"
  summary  = "A role of the test"
  packages = [{packages}]
  image "container" {{
    base = "{base}"
  }}
}}
"""
SYSTEM = """\
system "smie-test-farm" {
  summary = "Two roles on a node, the second of which stands on a third"
  group "barns" {
    role "smie-test-gate" {}
    role "smie-test-cow" {}
  }
}
"""
INSTALL = """\
- name: Install packages and make the user
  ansible.builtin.include_role:
    name: process
    tasks_from: install

- name: Say who comes after whom
  ansible.builtin.shell: {{cmd: "echo {name} >>/usr/local/order; env >/usr/local/environment"}}
"""
STAYS = "\n- name: Stay for a while\n  ansible.builtin.command: {cmd: sleep 7354}\n"
FAILS = "\n- name: Milk the cow\n  ansible.builtin.command: {cmd: /bin/false}\n"


@dataclass(frozen=True)
class Farm:
    """Definitions and a store of the test; the working folder's package index and .debs."""

    folder: Path
    tools: Tools

    def role(self, name: str, base: str = "debian-13", packages: str = "", more: str = "") -> None:
        folder = self.folder / "systems" / "roles" / name
        (folder / "tasks").mkdir(parents=True, exist_ok=True)
        (folder / "role.hcl").write_text(ROLE.format(name=name, base=base, packages=packages))
        (folder / "tasks" / "install.yml").write_text(INSTALL.format(name=name) + more)

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """smie in the background."""
        return subprocess.Popen(
            [str(ROOT / ".venv" / "bin" / "smie"), *words],
            cwd=ROOT, env=os.environ | self.tools.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    @property
    def names(self) -> set[str]:
        return set(open_store(self.tools.env["NAUST_STORE"]).names())

    @property
    def folders(self) -> list[Path]:
        return list((ROOT / ".smie" / "work").glob("*smie-test-*"))


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    folder = tmp_path_factory.mktemp("farm")
    systems = folder / "systems"
    shutil.copytree(ROOT / "systems" / "roles" / "process", systems / "roles" / "process")
    shutil.copytree(ROOT / "systems" / "bases", systems / "bases", symlinks=True)
    (systems / "smie-test-farm").mkdir()
    (systems / "smie-test-farm" / "system.hcl").write_text(SYSTEM)
    store = f"file://{folder / 'store'}"
    ours = Tools(ROOT)
    ours("smie", "build", "debian-13", "debian-13-host", timeout=900)
    for base in ("container/debian-13", "rootfs/debian-13-host"):
        ours("naust", "copy", base, "--to", store)
    made = Farm(folder, Tools(ROOT, {"SETER_SYSTEMS": str(systems), "NAUST_STORE": store}))
    made.role("smie-test-ground", packages='"ed"')
    made.role("smie-test-gate")
    made.role("smie-test-cow", base="smie-test-ground")
    try:
        yield made
    finally:
        client = docker.from_env()
        for image in listed(client):
            if any(tag.startswith("naust/smie-test-") for tag in image.tags):
                client.images.remove(str(image.id), force=True)


def wait_for(what: str, is_so: Callable[[], object], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"{what} did not come within {seconds} s"
        time.sleep(0.1)


def processes() -> Iterator[tuple[int, list[str], str]]:
    """Number, words and working folder of all that run."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
            yield int(folder.name), words, str((folder / "cwd").readlink())


def named(*words: str) -> list[int]:
    """Processes of these words, the first of which is the program."""
    return [number for number, said, _ in processes() if said[: len(words)] == list(words)]


def of_build() -> list[int]:
    """Processes that work in the folder of a build of the test."""
    return [
        number
        for number, words, folder in processes()
        if any("/work/" in text and "smie-test-" in text for text in (*words, folder))
    ]


def ancestors(number: int) -> list[int]:
    found = []
    while number > 1:
        number = int(Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[1])
        found.append(number)
    return found


def nothing_is_left() -> None:
    """No process, and no mount that anybody sees; who works on a tree sees mounts that nobody else does."""
    wait_for("the end of all processes", lambda: not named("sleep", "7354") and not of_build(), 20)
    for table in Path("/proc").glob("[0-9]*/mounts"):
        try:
            text = table.read_text()
        except OSError:
            continue
        assert "smie-test-" not in "".join(line for line in text.splitlines() if "/.smie/work/" in line), table


def begun(farm: Farm) -> subprocess.Popen[bytes]:
    """A build whose tasks stay for a while."""
    farm.role("smie-test-cow", base="smie-test-ground", more=STAYS)
    started = farm.start("build", GROUP, "--kind", "rootfs")
    try:
        wait_for("the task", lambda: named("sleep", "7354") or started.poll() is not None)
        assert started.poll() is None, started.communicate()[1].decode()
    except BaseException:
        started.kill()
        raise
    return started


def test_smie_that_is_killed_while_it_installs_leaves_no_mount_and_no_process(farm: Farm) -> None:
    started = begun(farm)
    assert not [line for line in Path("/proc/mounts").read_text().splitlines() if "smie-test-" in line]
    started.send_signal(signal.SIGKILL)
    started.wait()
    nothing_is_left()
    assert f"rootfs/{GROUP}" not in farm.names


def test_packer_that_is_killed_takes_all_with_it_and_smie_says_so(farm: Farm) -> None:
    started = begun(farm)
    (packer,) = [number for number in named("packer", "build") if started.pid in ancestors(number)]
    os.kill(packer, signal.SIGKILL)
    _, said = started.communicate(timeout=60)
    assert started.returncode == 1
    assert f"building rootfs/{GROUP} failed in the task 'smie-test-cow : Stay for a while'" in said.decode()
    assert f"smie build {GROUP} --kind rootfs" in said.decode()
    nothing_is_left()
    assert not farm.folders, "folders of the killed were removed by this build, its own when it ended"


def test_the_roles_of_a_group_are_in_one_tree_each_once_and_in_order(farm: Farm, tmp_path: Path) -> None:
    farm.role("smie-test-cow", base="smie-test-ground")
    env = {"https_proxy": "http://user:ZQ7-canary@127.0.0.1:1/", "PIP_INDEX_URL": "http://ZQ7-canary@127.0.0.1:1/"}
    built = farm.tools("smie", "build", GROUP, "--kind", "rootfs", "--json", **env).json()
    result = built[-1]
    assert result["artifact"] == f"rootfs/{GROUP}" and result["act"] == "built" and result["uri"] and result["size"]
    farm.tools("naust", "pull", f"rootfs/{GROUP}", str(tmp_path / "packed.tar.zst"))
    subprocess.run([program("zstd"), "-dq", "packed.tar.zst"], cwd=tmp_path, check=True)
    plain = hashlib.sha256((tmp_path / "packed.tar").read_bytes()).hexdigest()
    assert f"sha256:{plain}" in farm.tools("naust", "show", f"rootfs/{GROUP}", "--json").out
    with tarfile.open(tmp_path / "packed.tar") as archive:
        read = {name: content.read().decode() for name in ("usr/local/order", "usr/local/environment")
                if (content := archive.extractfile(name))}  # fmt: skip
        assert archive.getmember("usr/bin/ed") and archive.getmember("usr/lib/systemd/systemd")
    assert read["usr/local/order"].split() == ["smie-test-gate", "smie-test-ground", "smie-test-cow"]
    seen = dict(line.split("=", 1) for line in read["usr/local/environment"].splitlines())
    assert seen["HOME"] == "/root" and "ZQ7-canary" not in str(seen)
    assert not [name for name in seen if name.startswith(("PIP_", "NAUST_", "SETER_"))]


def test_a_kind_that_fails_leaves_the_others_stored(farm: Farm) -> None:
    """The image has what the tree has not: a file of containers alone."""
    more = "\n- name: Want a container\n  ansible.builtin.command: {cmd: test -e /.dockerenv}\n"
    farm.role("smie-test-picky", more=more)
    ended = farm.tools("smie", "build", "smie-test-picky", "--kind", "container,rootfs", "--json", code=4)
    acts = {each["artifact"]: (each["act"], bool(each["error"])) for each in json.loads(ended.out)}
    assert acts["container/smie-test-picky"] == ("built", False)
    assert acts["rootfs/smie-test-picky"] == ("failed", True)
    assert "Want a container" in ended.err
    assert "container/smie-test-picky" in farm.names and "rootfs/smie-test-picky" not in farm.names
