"""One role, installed in a container image and straight on a host over SSH, by smie and by ansible-runner: the same
files, with the same content, mode and owner.

The host is a container of the base with an SSH server; the role has what is easily lost: a user, a mode, a link, a
capability, a package, and a service that must not start.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import ansible_runner
import docker
import pytest

from common.catalog import Catalog
from common.model import Kind
from naust import manifest as oci
from naust.listing import resolve
from naust.store import open_store
from smie.apply import NO, Host, plays
from smie.brought import bring
from smie.packer import variables
from smie.wanted import recipes_of
from smie.workspace import Workspace
from tests.conftest import ROOT, Ended, Tools
from tests.lab.images import listed
from tests.lab.programs import program

ROLE = "smie-apply-role"
HOST = "smie-apply-host"
ROLES = {
    ROLE: """\
role "smie-apply-role" {
  type     = "service"
  summary  = "A role of the test"
  packages = ["ed", "libcap2-bin"]
  image "container" {
    base = "debian-13"
  }
  process {
    command = ["/usr/bin/ed"]
    user    = "applied"
    uid     = 977
  }
}
""",
    HOST: """\
role "smie-apply-host" {
  type     = "component"
  summary  = "A host of the test"
  packages = ["openssh-server"]
  setuid   = ["/usr/bin/ssh-agent", "/usr/lib/openssh/ssh-keysign"]
  image "container" {
    base = "debian-13"
  }
}
""",
}
PROCESS = """\
- name: Install packages and make the user
  ansible.builtin.include_role:
    name: process
    tasks_from: install
"""
TASKS = {
    ROLE: PROCESS
    + """
- name: Make a folder
  ansible.builtin.file: {path: /var/lib/applied, state: directory, owner: applied, group: root, mode: "0750"}

- name: Install a file
  ansible.builtin.copy: {src: file, dest: /var/lib/applied/file, owner: applied, group: applied, mode: "0640"}

- name: Link to it
  ansible.builtin.file: {src: /var/lib/applied/file, dest: /usr/local/link, state: link}

- name: Install a program
  ansible.builtin.copy: {content: "#!/bin/sh\\n", dest: /usr/local/bin/applied, mode: "0755"}

- name: Give it a capability
  community.general.capabilities: {path: /usr/local/bin/applied, capability: cap_net_raw=ep}
""",
    HOST: PROCESS,
}
# What says of the whole system what is in it; the host has an SSH server, too.
WHOLE = ("etc/group", "etc/gshadow", "etc/passwd", "etc/shadow", "etc/subgid", "etc/subuid", "etc/ld.so.cache",
         "var/lib/dpkg/status", "var/lib/dpkg/triggers", "var/lib/apt", "var/lib/systemd", "var/cache")  # fmt: skip
LOOK = "import hashlib, json, os, stat, sys\nfound = {}\nfor name in json.load(sys.stdin):\n" + (
    "    path = '/' + name\n"
    "    try:\n        it = os.lstat(path)\n    except FileNotFoundError:\n        continue\n"
    "    kind = stat.S_IFMT(it.st_mode)\n"
    "    text = os.readlink(path) if kind == stat.S_IFLNK else ''\n"
    "    text = hashlib.sha256(open(path, 'rb').read()).hexdigest() if kind == stat.S_IFREG else text\n"
    "    name_of = 'security.capability'\n"
    "    sealed = name_of in os.listxattr(path, follow_symlinks=False) and os.getxattr(path, name_of).hex()\n"
    "    found[name] = [oct(it.st_mode & 0o7777), it.st_uid, it.st_gid, text, sealed or '']\n"
    "json.dump(found, sys.stdout)\n"
)


@dataclass(frozen=True)
class Field:
    """Definitions, a store, and how to reach hosts."""

    folder: Path
    tools: Tools
    image: str  # of hosts

    def smie(self, *words: str, code: int | None = 0) -> Ended:
        return replace(self.tools)("smie", *words, code=code)


@dataclass(frozen=True)
class Machine:
    """A host that runs; `config` is ssh's way to it."""

    container: str
    config: Path

    def run(self, *argv: str, given: str = "") -> str:
        command = [program("docker"), "exec", "--interactive", self.container, *argv]
        ended = subprocess.run(command, input=given, capture_output=True, text=True, timeout=60)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tools: Tools) -> Iterator[Field]:
    folder = tmp_path_factory.mktemp("apply")
    tools("smie", "build", "debian-13")
    for part in ("bases", "roles/process"):
        shutil.copytree(ROOT / "systems" / part, folder / "systems" / part, symlinks=True)
    for name, text in ROLES.items():
        role = folder / "systems" / "roles" / name
        (role / "tasks").mkdir(parents=True)
        (role / "role.hcl").write_text(text)
        (role / "tasks" / "install.yml").write_text(TASKS[name])
    (folder / "systems" / "roles" / ROLE / "files").mkdir()
    (folder / "systems" / "roles" / ROLE / "files" / "file").write_text("applied\n")
    store = f"file://{folder / 'store'}"
    tools("naust", "copy", "container/debian-13", "--from", str(ROOT / ".naust"), "--to", store)
    env = {"SETER_SYSTEMS": str(folder / "systems"), "NAUST_STORE": store, "SMIE_CACHE": str(ROOT / ".smie")}
    made = Tools(folder, env)
    made("smie", "build", ROLE, HOST)
    image = resolve(open_store(store), f"container/{HOST}").annotation(oci.IMAGE_ID)
    try:
        yield Field(folder, made, image)
    finally:
        client = docker.from_env()
        for one in listed(client):
            if any("naust/smie-apply-" in tag for tag in one.tags):
                client.images.remove(str(one.id), force=True)


@pytest.fixture
def machine(place: Field, tmp_path: Path) -> Iterator[Machine]:
    """A host, whose key is known."""
    key = tmp_path / "key"
    subprocess.run([program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    begin = "ssh-keygen -A >/dev/null; mkdir -p /run/sshd /root/.ssh; touch /root/begun; exec sleep infinity"
    client = docker.from_env()
    container = client.containers.run(place.image, ["-c", begin], entrypoint="/bin/sh", detach=True, init=True)
    try:
        container.reload()
        address = container.attrs["NetworkSettings"]["IPAddress"]
        config = tmp_path / "ssh.config"
        known = tmp_path / "known_hosts"
        lines = (f"HostName {address}", f"IdentityFile {key}", "IdentitiesOnly yes", f"UserKnownHostsFile {known}")
        config.write_text("\n  ".join(("Host node", *lines)) + "\n")
        made = Machine(str(container.id), config)
        end = time.monotonic() + 30
        while "begun" not in made.run("ls", "/root") and time.monotonic() < end:
            time.sleep(0.2)
        made.run("sh", "-c", "cat >/root/.ssh/authorized_keys", given=key.with_suffix(".pub").read_text())
        made.run("/usr/sbin/sshd")
        known.write_text(f"{address} {made.run('cat', '/etc/ssh/ssh_host_ed25519_key.pub')}")
        yield made
    finally:
        container.remove(force=True, v=True)


def of_image(place: Field) -> dict[str, list[object]]:
    """What the role put into its image, by path."""
    store = open_store(place.tools.env["NAUST_STORE"])
    there = resolve(store, f"container/{ROLE}")
    layers = oci.parse(store.manifest(f"container/{ROLE}", there.reference.tag), ROLE).layers
    found: dict[str, list[object]] = {}
    with store.read(f"container/{ROLE}", layers[-1].digest) as source:
        archive = tarfile.open(fileobj=source, mode="r|")  # noqa: SIM115 (it ends with its source)
        for entry in archive:
            data = archive.extractfile(entry) if entry.isreg() else None
            text = hashlib.sha256(data.read()).hexdigest() if data else entry.linkname
            sealed = entry.pax_headers.get("SCHILY.xattr.security.capability", "")
            if not entry.name.startswith(WHOLE):
                found[entry.name] = [
                    oct(entry.mode) if not entry.issym() else oct(0o777), entry.uid, entry.gid, text,
                    sealed.encode("utf-8", "surrogateescape").hex(),
                ]  # fmt: skip
    return found


def by_smie(place: Field, machine: Machine) -> None:
    done = place.smie("apply", ROLE, "--host", "root@node", "--ssh-config", str(machine.config), "--json").json()
    assert f"{ROLE} : Install a file" in done["changed"] and not done["check"]


def by_ansible_runner(place: Field, machine: Machine) -> None:
    """The same play, run by ansible-runner as seter would."""
    catalog, workspace = Catalog.open(place.folder / "systems"), Workspace(ROOT / ".smie")
    store = open_store(place.tools.env["NAUST_STORE"])
    recipe = recipes_of((ROLE,), catalog, store, workspace, kinds=(Kind.ROOTFS,))[-1]
    folder, remote = machine.config.parent / "runner", "/tmp/.smie-runner"
    folder.mkdir()
    recipe.index.fetch(recipe.packages)
    bring(recipe, {}, folder / "brought")
    with tarfile.open(folder / "brought.tar", "w") as archive:
        archive.add(folder / "brought", ".")
    host = Host.parse("node", machine.config)
    made = plays([(ROLE, variables(catalog.role(ROLE), ""))], host, str(folder / "brought.tar"), remote)
    env = {
        "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}", "ANSIBLE_CONFIG": str(folder / "none.cfg"),
        "ANSIBLE_ROLES_PATH": str(place.folder / "systems" / "roles"), "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_REMOTE_TEMP": remote,
    }  # fmt: skip
    ended = ansible_runner.run(private_data_dir=str(folder), playbook=made, inventory="node\n", quiet=True, envvars=env)
    assert ended.status == "successful", ended.stdout.read()


@pytest.mark.parametrize("way", [by_smie, by_ansible_runner])
def test_a_role_is_the_same_on_a_host_as_in_its_image(place: Field, machine: Machine, way: object) -> None:
    assert callable(way)
    image = of_image(place)
    assert {"var/lib/applied/file", "usr/local/link", "usr/local/bin/applied", "usr/bin/ed"} <= set(image)
    way(place, machine)
    there = json.loads(machine.run("python3", "-c", LOOK, given=json.dumps(list(image))))
    assert {name: there.get(name) for name in image} == image
    assert "applied:x:977:" in machine.run("cat", "/etc/passwd")
    assert machine.run("sh", "-c", "ls -d /smie /tmp/.smie-* /root/.ansible 2>/dev/null || true") == ""


def test_a_check_changes_nothing_and_says_what_would_and_a_second_time_nothing_does(
    place: Field, machine: Machine
) -> None:
    words = ("apply", ROLE, "--host", "node", "--ssh-config", str(machine.config))
    look = ("find", "/etc", "/usr", "/var", "/root", "/tmp", "-newer", "/root/begun", "-type", "f")
    before = machine.run(*look)
    said = place.smie(*words, "--check").out
    assert f"would change\t{ROLE} : Make a folder" in said
    assert f"cannot be told beforehand\t{ROLE} : Link to it" in said
    assert machine.run(*look) == before
    machine.run("sh", "-c", "mkdir /smie; cat >/usr/sbin/policy-rc.d", given=NO)  # as one that was cut off leaves it
    place.smie(*words)
    assert machine.run("sh", "-c", "ls -d /smie /usr/sbin/policy-rc.d 2>/dev/null || true") == ""
    assert place.smie(*words).out == "nothing changed\n"
    assert place.smie(*words, "--check").out == "nothing would change\n"


def test_a_host_that_is_not_known_or_not_there_or_refuses_is_told(place: Field, machine: Machine) -> None:
    words = ("apply", ROLE, "--host", "node", "--ssh-config", str(machine.config))
    known = machine.config.parent / "known_hosts"
    text = known.read_text()
    known.write_text("")
    ended = place.smie(*words, code=1)
    assert "shows a key that is not among the known hosts" in ended.err and known.read_text() == ""
    known.write_text(text)
    machine.run("sh", "-c", "kill $(cat /run/sshd.pid)")
    ended = place.smie(*words, code=9)
    assert "root@node cannot be reached by SSH" in ended.err and f"smie apply {ROLE} --host root@node" in ended.err
    assert "is no host" in place.smie("apply", ROLE, "--host=-oProxyCommand=true", code=2).err
    assert "is no role" in place.smie("apply", "debian-13-host", "--host", "node", code=2).err


def test_a_failing_task_is_named_and_nothing_that_was_brought_stays(place: Field, machine: Machine) -> None:
    install = place.folder / "systems" / "roles" / ROLE / "tasks" / "install.yml"
    text = install.read_text()
    install.write_text(text + "\n- name: Do what cannot be done\n  ansible.builtin.command: /bin/false\n")
    try:
        ended = place.smie("apply", ROLE, "--host", "node", "--ssh-config", str(machine.config), code=1)
    finally:
        install.write_text(text)
    assert f"failed in the task '{ROLE} : Do what cannot be done'" in ended.err and "non-zero return code" in ended.err
    assert "error: " in ended.err and f"Repeat it with: {shlex.join(['smie', 'apply', ROLE])}" in ended.err
    assert machine.run("sh", "-c", "ls -d /smie /tmp/.smie-* 2>/dev/null || true") == ""
