"""smie on the real things: Debian's mirror, mmdebstrap, Packer, Ansible, Docker.

Roles are small ones of the test; the base is Debian 13 as we ship it. Everything lies in a folder of the test, and
what is put into the engine goes at the end.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import docker
import pytest

from common.model import Reference
from naust import manifest as oci
from naust.listing import find, resolve
from naust.promote import stands_for
from naust.push import push_container
from naust.store import open_store
from smie.builder.container import gone
from smie.leftovers import LABEL
from tests.conftest import ROOT, Ended, Tools, printed_by
from tests.lab.images import listed
from tests.lab.waiting import soon

BASE = "smie-test-base"
ROLE = """\
role "{name}" {{
  type     = "component"
  summary  = "A role of the test"
  packages = [{packages}]
  image "container" {{
    base = "{base}"
{image}
  }}
}}
"""
INSTALL = """\
- name: Install packages and make the user
  ansible.builtin.include_role:
    name: process
    tasks_from: install
"""


@dataclass(frozen=True)
class Bench:
    """A folder with definitions, a store and smie's workspace."""

    folder: Path
    tools: Tools

    def role(self, name: str, tasks: str = "", packages: str = "", base: str = BASE, image: str = "") -> str:
        folder = self.folder / "systems" / "roles" / name
        (folder / "tasks").mkdir(parents=True, exist_ok=True)
        (folder / "role.hcl").write_text(ROLE.format(name=name, packages=packages, base=base, image=image))
        (folder / "tasks" / "install.yml").write_text(INSTALL + tasks)
        return name

    def smie(self, *words: str, code: int | None = 0, **env: str) -> Ended:
        return replace(self.tools, env=self.tools.env | env)("smie", *words, code=code)

    def start(self, *words: str, **env: str) -> subprocess.Popen[str]:
        """The same in the background, as the leader of a process group, as a shell starts it."""
        return subprocess.Popen(
            [str(ROOT / ".venv" / "bin" / "smie"), *words],
            cwd=self.folder,
            env=os.environ | self.tools.env | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def config(self, name: str) -> dict[str, Any]:
        """The newest artefact's configuration."""
        store = open_store(self.tools.env["NAUST_STORE"])
        artifact = resolve(store, Reference.parse(f"container/{name}"))
        digest = oci.parse(store.manifest(f"container/{name}", artifact.reference.tag), name).config
        assert digest is not None
        with store.read(f"container/{name}", digest.digest) as file:
            config: dict[str, Any] = json.load(file)
        return config

    def layer(self, name: str) -> dict[str, tarfile.TarInfo]:
        """The entries of the newest artefact's topmost layer."""
        store = open_store(self.tools.env["NAUST_STORE"])
        artifact = resolve(store, Reference.parse(f"container/{name}"))
        layers = oci.parse(store.manifest(f"container/{name}", artifact.reference.tag), name).layers
        with store.read(f"container/{name}", layers[-1].digest) as file, tarfile.open(fileobj=file) as archive:
            return {member.name: member for member in archive}

    def image(self, name: str) -> str:
        """The engine's id of the newest artefact's image."""
        store = open_store(self.tools.env["NAUST_STORE"])
        return resolve(store, Reference.parse(f"container/{name}")).annotation(oci.IMAGE_ID)

    def is_stored(self, name: str) -> bool:
        return f"container/{name}" in set(open_store(self.tools.env["NAUST_STORE"]).names())


def build_containers(role: str) -> list[str]:
    """Build containers of a role, by the identity that they carry."""
    found = docker.from_env().containers.list(all=True, filters={"label": LABEL}, ignore_removed=True)
    return [one.labels[LABEL] for one in found if f".{role}." in one.labels[LABEL]]


def wait_for(what: str, is_so: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"{what} did not come within {seconds} s"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Our roles beside those of the test, and a base of the test's own name, built."""
    folder = tmp_path_factory.mktemp("smie")
    systems = folder / "systems"
    shutil.copytree(ROOT / "systems" / "roles" / "process", systems / "roles" / "process")
    (systems / "bases").mkdir()
    text = (ROOT / "systems" / "bases" / "debian-13.hcl").read_text().replace('  host    = "debian-13-host"\n', "")
    (systems / "bases" / f"{BASE}.hcl").write_text(text.replace('base "debian-13"', f'base "{BASE}"'))
    env = {
        "SETER_SYSTEMS": str(systems),
        "SMIE_CACHE": str(folder / "cache"),
        "NAUST_STORE": f"file://{folder / 'store'}",
    }
    made = Bench(folder, Tools(folder, env))
    try:
        made.smie("build", BASE)
        yield made
    finally:
        client = docker.from_env()
        for image in listed(client):
            if any(tag.startswith("naust/smie-test-") for tag in image.tags):
                client.images.remove(str(image.id), force=True)


@pytest.fixture(autouse=True)
def nothing_is_left(bench: Bench) -> Iterator[None]:
    """After each test no container of a build runs, and no folder of one is there."""
    yield
    assert build_containers("smie-test-") == []
    assert not any((bench.folder / "cache" / "work").iterdir())


def test_a_base_is_small_clean_and_says_nothing_of_the_machine(bench: Bench) -> None:
    entries = bench.layer(BASE)
    assert entries["usr/sbin/policy-rc.d"].mode == 0o755
    assert entries["etc/machine-id"].size == 0
    assert "etc/hostname" not in entries and "etc/resolv.conf" not in entries
    assert not [
        name for name in entries if name.startswith(("var/lib/apt/lists/", "etc/ssh/ssh_host_", "var/cache/apt/"))
    ]
    uris = [line.split()[1] for line in sources(bench)]
    text = printed_by(bench.image(BASE), "cat", "/etc/apt/sources.list")
    assert uris and not any(uri in text for uri in uris)
    assert bench.config(BASE)["rootfs"]["diff_ids"] and len(bench.config(BASE)["rootfs"]["diff_ids"]) == 1


def sources(bench: Bench) -> list[str]:
    found = next((bench.folder / "cache" / "index").glob("*/etc/sources.list")).read_text()
    return [line.replace(line[4 : line.index("]") + 2], "") for line in found.splitlines()]


def test_a_role_is_installed_stored_loaded_and_then_up_to_date(bench: Bench) -> None:
    tasks = """\
- name: Write a file
  ansible.builtin.copy: {content: "x", dest: /srv/x, mode: "0640", owner: "953"}
- name: Take a file of the base away
  ansible.builtin.file: {path: /etc/issue, state: absent}
- name: Use Python, which would leave compiled modules
  ansible.builtin.command: python3 -c 'import tomllib'
"""
    name = bench.role("smie-test-tiny", tasks, packages='"ed"')
    first = bench.smie("build", name, "--json").json()
    assert [(entry["artifact"], entry["act"]) for entry in first] == [
        (f"container/{BASE}", "present"),
        (f"container/{name}", "built"),
    ]
    assert first[1]["uri"].startswith(bench.tools.env["NAUST_STORE"] + f"/container/{name}/")
    entries = bench.layer(name)
    assert (entries["srv/x"].mode, entries["srv/x"].uid) == (0o640, 953)
    assert "etc/.wh.issue" in entries and "usr/bin/ed" in entries
    left = ("smie", "packer-files", "root/.ansible", "var/lib/apt/lists/", "var/log/dpkg.log", "tmp/")
    assert not [entry for entry in entries if entry.startswith(left) or "tomllib/__pycache__" in entry]
    said = printed_by(bench.image(name), "sh", "-c", "cat /srv/x; test ! -e /etc/issue")
    assert said == "x"
    again = bench.smie("build", name, "--json").json()
    assert [entry["act"] for entry in again] == ["present", "present"]
    assert again[1]["digest"] == first[1]["digest"]


def test_half_a_package_that_a_killed_fetch_left_stays_out_of_the_pool(bench: Bench) -> None:
    index = next((bench.folder / "cache" / "index").glob("*/index.json")).parent
    (index / "incoming" / "half_1_all.deb").write_bytes(b"half")
    bench.smie("build", bench.role("smie-test-whole", packages='"hello"'))
    assert list((index / "pool").glob("hello_*.deb"))
    assert not list((index / "pool").glob("half_*"))


def test_two_builds_from_the_same_inputs_give_the_same_image(bench: Bench) -> None:
    tasks = '- ansible.builtin.user: {name: smie-test, uid: 990, system: true, password: "!"}\n'
    name = bench.role("smie-test-same", tasks, packages='"ed"')
    bench.smie("build", name)
    other = f"file://{bench.folder / 'other'}"
    bench.tools("naust", "copy", f"container/{BASE}", "--to", other)  # test_offline_builds makes one twice
    env = {"NAUST_STORE": other, "SMIE_CACHE": str(bench.folder / "elsewhere" / "cache"), "USER": "alice"}
    bench.smie("build", name, code=0, **env)
    one, two = (resolve(open_store(url), f"container/{name}") for url in (bench.tools.env["NAUST_STORE"], other))
    assert one.annotation(oci.IMAGE_ID) == two.annotation(oci.IMAGE_ID)
    assert one.digest == two.digest
    shutil.rmtree(bench.folder / "elsewhere")


def test_a_plan_says_because_of_what(bench: Bench) -> None:
    name = bench.role("smie-test-plan")
    assert bench.smie("plan", name, "--json").json()[1]["reasons"] == ["never built"]
    bench.smie("build", name)
    assert bench.smie("plan", name, "--json", "--exit-code").json()[1]["build"] is False
    bench.role("smie-test-plan", "- ansible.builtin.debug: {}\n", packages='"ed"')
    entry = bench.smie("plan", name, "--json", "--exit-code", code=3).json()[1]
    assert entry["reasons"][0].startswith("package ed ") and entry["reasons"][0].endswith(" added")
    assert entry["reasons"][2] == f"file roles/{name}/tasks/install.yml changed"


def test_an_image_starts_as_its_base_says_or_as_the_role_says(bench: Bench) -> None:
    """Bug case SM-01."""
    base = bench.role(
        "smie-test-init",
        image='entrypoint = ["/bin/echo", "started"]\ncommand = ["--log-level=info"]\n'
        'environment = ["A=b"]\nlabels = ["c=d"]',
    )
    bench.smie("build", base)
    full = {
        "User": "nobody", "WorkingDir": "/srv", "StopSignal": "SIGINT", "ExposedPorts": {"80/tcp": {}},
        "Healthcheck": {"Test": ["CMD", "true"]}, "Volumes": {"/data": {}},
    }  # fmt: skip
    expected = replace_config(bench, base, full)
    silent = bench.role("smie-test-silent", base=base)
    emptied = bench.role("smie-test-emptied", base=base, image="entrypoint = []")
    before = nameless_volumes()
    bench.smie("build", silent, emptied)
    soon(lambda: nameless_volumes() <= before, 10, "no volume of a build's container is left")
    assert without_own_labels(bench.config(silent)["config"]) == expected
    assert without_own_labels(bench.config(emptied)["config"]) == expected | {"Entrypoint": None}
    client = docker.from_env()
    assert printed_by(bench.image(silent)) == "started --log-level=info\n"
    attributes = without_own_labels(client.images.get(bench.image(silent)).attrs["Config"])
    assert {key: attributes[key] for key in expected} == expected
    assert not client.images.get(bench.image(emptied)).attrs["Config"]["Entrypoint"]


def test_a_container_that_the_engine_is_just_removing_is_gone(bench: Bench) -> None:
    name = bench.role("smie-test-gone")
    bench.smie("build", name)
    client, image = docker.from_env(), bench.image(name)
    for number in range(6):
        container = client.containers.run(image, ["60"], entrypoint="/bin/sleep", detach=True, auto_remove=True)
        container.kill()
        time.sleep(0.02 * number)
        gone(container)
        gone(container)
        assert not client.containers.list(all=True, filters={"id": container.id}, ignore_removed=True)


def nameless_volumes() -> set[str]:
    """Those that an engine makes for what an image declares."""
    return {each.name for each in docker.from_env().volumes.list() if re.fullmatch("[0-9a-f]{64}", each.name)}


def without_own_labels(config: dict[str, Any]) -> dict[str, Any]:
    """What an image hands on to those that stand on it: all but the labels that say which image it is."""
    labels = {name: value for name, value in config["Labels"].items() if not name.startswith("org.opencontainers.")}
    return {"Entrypoint": None} | config | {"Labels": labels}


def replace_config(bench: Bench, name: str, more: dict[str, Any]) -> dict[str, Any]:
    """Publish the newest image of a name anew, with more in its configuration; what that is now."""
    store = open_store(bench.tools.env["NAUST_STORE"])
    artifact = resolve(store, f"container/{name}")
    assert artifact.made_from is not None
    config = bench.config(name)
    config["config"] |= more
    layers = oci.parse(store.manifest(f"container/{name}", artifact.reference.tag), name).layers
    time.sleep(1)  # a tag has a resolution of a second, and the newest of the same recipe counts
    push_container(
        store, oci.ContainerImage(json.dumps(config).encode(), layers), name=name, version=artifact.version,
        made_from=artifact.made_from,
    )  # fmt: skip
    newest = find(store, artifact.made_from)
    assert newest is not None and newest.digest != artifact.digest
    return without_own_labels(config["config"])


def test_one_failure_beside_a_success_is_told_apart(bench: Bench) -> None:
    bad = bench.role("smie-test-bad", "- ansible.builtin.command: /bin/false\n")
    on_bad = bench.role("smie-test-on-bad", base=bad)
    good = bench.role("smie-test-good")
    ended = bench.smie("build", on_bad, good, "--json", code=4)
    acts = {entry["artifact"].removeprefix("container/"): entry["act"] for entry in ended.json()}
    assert acts == {BASE: "present", bad: "failed", on_bad: "skipped", good: "built"}
    assert bench.is_stored(good) and not bench.is_stored(bad)


def test_a_channel_moves_for_all_that_was_asked_for_or_for_nothing(bench: Bench) -> None:
    """Bug case SM-05."""
    good = bench.role("smie-test-moves")
    bad = bench.role("smie-test-later", "- ansible.builtin.command: /bin/false\n")
    store = open_store(bench.tools.env["NAUST_STORE"])
    names = (f"container/{BASE}", f"container/{good}")
    bench.smie("build", good, bad, "--channel", "lab", code=4)
    assert [stands_for(store, name, "lab") for name in names] == [None, None]
    bench.role("smie-test-later")
    built = bench.smie("build", good, bad, "--channel", "lab", "--json").json()
    assert [str(stands_for(store, entry["artifact"], "lab")) for entry in built] == [entry["digest"] for entry in built]
    assert "promoted" not in bench.smie("build", good, bad, "--channel", "lab").err
    assert "cannot be a channel" in bench.smie("build", good, "--channel", "latest", code=2).err


def test_a_package_that_is_not_in_the_recipe_is_not_let_in(bench: Bench) -> None:
    tasks = "- name: Install by itself\n  ansible.builtin.apt: {name: ed}\n"
    name = bench.role("smie-test-sneaky", tasks)
    ended = bench.smie("build", name, code=1)
    assert "Install by itself" in ended.err
    assert not bench.is_stored(name)


def test_a_build_has_no_network(bench: Bench) -> None:
    tasks = """\
- ansible.builtin.command: ip -o route show
  register: routes
- ansible.builtin.fail:
  when: routes.stdout | length > 0
"""
    bench.smie("build", bench.role("smie-test-offline", tasks))


def test_an_unknown_role_gets_a_suggestion(bench: Bench) -> None:
    bench.role("smie-test-known")
    ended = bench.smie("build", "smie-test-knwon", code=2)
    assert 'Did you mean "smie-test-known"?' in ended.err


@pytest.mark.parametrize("program", ["docker", "packer", "mmdebstrap"])
def test_a_missing_program_is_said_with_how_to_get_it(bench: Bench, program: str) -> None:
    folder = bench.folder / "bin" / program
    folder.mkdir(parents=True)
    for place in os.environ["PATH"].split(":"):
        for path in Path(place).iterdir() if Path(place).is_dir() else ():
            if path.name != program and not (folder / path.name).is_symlink():
                (folder / path.name).symlink_to(path)
    name = bench.role(f"smie-test-missing-{program}")
    env = {"PATH": str(folder)} | ({"NAUST_STORE": f"file://{folder}.store"} if program == "mmdebstrap" else {})
    ended = bench.smie("build", name, code=2, **env)
    assert f"{program} is not installed" in ended.err
    assert "nstall it with" in ended.err


def test_ctrl_c_ends_a_build_and_clears_it_away(bench: Bench) -> None:
    name = bench.role("smie-test-slow", "- ansible.builtin.command: sleep 300\n")
    process = bench.start("build", name)
    wait_for("the build's container", lambda: build_containers(name))
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted" in err
    assert build_containers(name) == []
    assert not bench.is_stored(name)


def test_software_of_a_wheel_is_there_while_installing(bench: Bench) -> None:
    text = (ROOT / "systems" / "roles" / "traefik" / "role.hcl").read_text()
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith(("software", "sha256"))]
    name = bench.role("smie-test-wheel", "- ansible.builtin.command: '{{ software }}/traefik version'\n")
    hcl = bench.folder / "systems" / "roles" / name / "role.hcl"
    hcl.write_text(hcl.read_text().replace("  packages", "\n".join(lines) + "\n  packages"))
    built = bench.smie("build", name, "--json").json()[1]
    assert built["version"] == "3.7.15"
    wrong = hcl.read_text().replace(lines[1].split('"')[1], "0" * 64)
    hcl.write_text(wrong)
    assert "is not what the role says" in bench.smie("build", name, code=8).err
