"""What goes wrong while smie builds, on the real things: Packer, Ansible, Docker, QEMU, full file systems, kills.

Each fault ends in one error with the task, the end of its log and the way to repeat it, and in the exit code of the
manual; nothing half-built is stored, no channel moves, and nothing is left on the machine. Roles are small ones of the
test, on Debian 13 as we ship it; all that smie may write lies in folders of the test.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from common.catalog import Catalog
from common.model import Kind
from naust.listing import resolve
from naust.promote import stands_for
from naust.store import open_store
from smie.builder.interface import Work
from smie.builder.trial import TrialFailed, tried
from smie.leftovers import LABEL, identity
from smie.packer import Log
from smie.wanted import recipes_of
from smie.workspace import Workspace
from tests.conftest import ROOT, Tools, printed_by
from tests.integration.test_secrets_stay_secret import forms, leaks
from tests.integration.test_smie import Bench, wait_for
from tests.lab import traces
from tests.lab.engines import Engine
from tests.lab.images import listed
from tests.lab.processes import sampled
from tests.lab.programs import program

BASE = "debian-13"
MARK = "smie-fault-"  # begins the names of all roles here
FAILS = "- name: Do what cannot be done\n  ansible.builtin.command: /bin/false\n"
STAYS = "- name: Stay for a while\n  ansible.builtin.command: sleep 7356\n"
GROWS = "- name: Grow\n  ansible.builtin.command: dd if=/dev/urandom of=/usr/local/big bs=1M count=40\n"
CANARY = "ZQ7-canary-secret-41"


@dataclass(frozen=True)
class Faults(Bench):
    """The bench of test_smie.py, whose smie has a home and a place for temporary files that are empty before."""

    temporary: Path
    home: Path

    def role(self, name: str, tasks: str = "", packages: str = "", base: str = BASE, image: str = "") -> str:
        return super().role(MARK + name, tasks, packages, base, image)

    def log(self, name: str, kind: str = "container") -> str:
        path = self.folder / "cache" / "logs" / kind / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def begun(self, *words: str, task: str = "Stay for a while", **env: str) -> subprocess.Popen[str]:
        """A build in the background whose task has begun."""
        (self.folder / "cache" / "logs" / "container" / f"{words[1]}.log").unlink(missing_ok=True)
        started = self.start(*words, **env)
        try:
            wait_for("the task", lambda: f": {task}]" in self.log(words[1]) or started.poll() is not None)
            assert started.poll() is None, started.communicate()[1]
        except BaseException:
            started.kill()
            raise
        return started

    def left(self) -> list[str]:
        """What is on the machine that was not there before."""
        marks = (str(self.folder), str(self.temporary), MARK)
        found = [*traces.processes(*marks), *traces.mounts(*marks), *traces.loops(*marks), *traces.of_builds(MARK)]
        folders = [*self.temporary.iterdir(), *(self.folder / "cache" / "work").iterdir()]
        kept = {(".cache",), (".cache", "seter")}  # parsed definitions, which are no part of a build
        written = [path for path in self.home.rglob("*") if path.relative_to(self.home).parts[:2] not in kept]
        return [*found, *map(str, folders), *map(str, written)]


def cache_at(folder: Path) -> Path:
    """A workspace that has the working folder's indexes of packages and nothing else."""
    folder.mkdir(exist_ok=True)
    for name in ("index", "resolutions"):
        (folder / name).symlink_to(ROOT / ".smie" / name)
    (folder / "work").mkdir()
    return folder


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory, tools: Tools) -> Iterator[Faults]:
    folder, temporary = tmp_path_factory.mktemp("faults"), Path(tempfile.mkdtemp(prefix="sf-", dir="/tmp"))
    tools("smie", "build", BASE)
    for part in ("bases", "roles/process"):
        shutil.copytree(ROOT / "systems" / part, folder / "systems" / part, symlinks=True)
    (home := folder / "home").mkdir()
    store = f"file://{folder / 'store'}"
    tools("naust", "copy", f"container/{BASE}", "--from", str(ROOT / ".naust"), "--to", store)
    env = {
        "SETER_SYSTEMS": str(folder / "systems"), "NAUST_STORE": store, "SMIE_CACHE": str(cache_at(folder / "cache")),
        "TMPDIR": str(temporary), "HOME": str(home), "XDG_CACHE_HOME": "",
    }  # fmt: skip
    try:
        yield Faults(folder, Tools(folder, env), temporary, home)
    finally:
        client = docker.from_env()
        for container in client.containers.list(all=True, filters={"label": LABEL}, ignore_removed=True):
            if MARK in container.labels[LABEL]:
                container.remove(force=True)
        for image in listed(client):
            if any(f"/{MARK}" in tag for tag in image.tags):
                client.images.remove(str(image.id), force=True)
        shutil.rmtree(temporary)


@pytest.fixture(autouse=True)
def nothing_is_left(faults: Faults) -> Iterator[None]:
    """After each test: no container, process, mount, loop device, namespace, temporary folder; an untouched home."""
    before = traces.namespaces()
    yield
    end = time.monotonic() + 20
    while (left := faults.left()) and time.monotonic() < end:
        time.sleep(0.2)  # what was killed takes a moment to end
    assert left == []
    assert not [name for name in traces.namespaces() - before if MARK in name]


def refused(faults: Faults, err: str, name: str, *said: str, kind: str = "container", again: str = "") -> None:
    """One error, which says all this and how to repeat it; the store has no such name, and no channel has moved."""
    shown = err[err.index("error: ") :]
    assert "Traceback" not in err and "Exception" not in err and err.count("\nerror: ") <= 1, err
    for text in (*said, again or f"smie build {name}"):
        assert text in shown, f"{text!r} is not in:\n{err}"
    store = open_store(faults.tools.env["NAUST_STORE"])
    assert f"{kind}/{name}" not in set(store.names())
    assert stands_for(store, f"container/{BASE}", "lab") is None


# Tasks and packages


def test_a_failing_task_leaves_nothing_and_says_how_to_go_on(faults: Faults) -> None:
    name = faults.role("task", FAILS)
    ended = faults.smie("build", name, BASE, "--channel", "lab", code=1)
    task = f"{name} : Do what cannot be done"
    refused(faults, ended.err, name, f"building container/{name} failed in the task '{task}'", "non-zero return code")
    assert f"TASK [{task}]" in faults.log(name)


def test_a_package_that_is_not_there_is_bad_input_before_anything_is_begun(faults: Faults) -> None:
    good, name = faults.role("beside"), faults.role("package", packages='"smie-no-such-package"')
    ended = faults.smie("build", good, name, BASE, "--channel", "lab", code=2)
    refused(faults, ended.err, name, "trixie has no package smie-no-such-package", again=f"role {name}")
    assert "builds" not in ended.err and not faults.is_stored(good)


def test_a_package_that_a_task_alone_wants_is_told_as_that_task(faults: Faults) -> None:
    name = faults.role("alone", "- name: Install by itself\n  ansible.builtin.apt: {name: smie-no-such-package}\n")
    ended = faults.smie("build", name, BASE, "--channel", "lab", code=1)
    refused(faults, ended.err, name, "Install by itself", "No package matching 'smie-no-such-package'")


def test_a_hanging_task_is_ended_and_named_with_the_end_of_its_log(faults: Faults) -> None:
    name = faults.role("hangs", "- name: Say a word\n  ansible.builtin.debug: {msg: a last word}\n" + STAYS)
    began = time.monotonic()
    ended = faults.smie("build", name, BASE, "--channel", "lab", "--time-limit", "8s", code=1)
    assert time.monotonic() - began < 40
    said = (f"building container/{name} did not end within 8 s", f"The task '{name} : Stay for a while' had been")
    refused(faults, ended.err, name, *said, "a last word", "--time-limit")


# Full disks


@contextmanager
def small(faults: Faults, name: str, mebibytes: int) -> Iterator[Path]:
    """A file system of its own with so much room."""
    folder = faults.folder.parent / f"small-{name}"
    folder.mkdir()
    subprocess.run([program("mount"), "-t", "tmpfs", "-o", f"size={mebibytes}m", "none", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run([program("umount"), str(folder)], check=True)
        folder.rmdir()


def test_a_full_disk_under_the_workspace_says_what_to_do_and_leaves_nothing(faults: Faults) -> None:
    name = faults.role("full", GROWS)
    with small(faults, "cache", 24) as folder:
        cache = cache_at(folder / "cache")
        ended = faults.smie("build", name, BASE, "--channel", "lab", code=1, SMIE_CACHE=str(cache))
        refused(faults, ended.err, name, "stopped because a disk is full", str(cache), "Grow")
        assert not any((cache / "work").iterdir())


def test_a_full_disk_under_the_store_is_named_and_what_came_half_is_gone(faults: Faults) -> None:
    name = faults.role("big", GROWS)
    with small(faults, "store", 1) as folder:
        size = sum(path.stat().st_size for path in (faults.folder / "store").rglob("*") if path.is_file())
        subprocess.run([program("mount"), "-o", f"remount,size={(size >> 20) + 16}m", str(folder)], check=True)
        store = folder / "store"
        shutil.copytree(faults.folder / "store", store, symlinks=True)
        before = files(store)
        ended = faults.smie("build", name, BASE, "--channel", "lab", code=1, NAUST_STORE=f"file://{store}")
        refused(faults, ended.err, name, "stopped because a disk is full", str(store))
        assert f"container/{name}" not in set(open_store(f"file://{store}").names())
        assert stands_for(open_store(f"file://{store}"), f"container/{BASE}", "lab") is None
        assert files(store) == before
    assert faults.smie("build", name, "--json").json()[1]["act"] == "built"


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


# Kills


def test_a_killed_packer_takes_all_with_it_and_smie_says_so(faults: Faults) -> None:
    name = faults.role("packer", STAYS)
    started = faults.begun("build", name, BASE, "--channel", "lab")
    (packer,) = traces.numbers("packer", "build", marks=(name,))
    os.kill(packer, signal.SIGKILL)
    _, err = started.communicate(timeout=60)
    assert started.returncode == 1
    assert not traces.processes(name), "smie ends what Packer had begun before it ends itself"
    task = f"{name} : Stay for a while"
    refused(faults, err, name, f"building container/{name} failed in the task '{task}'", "was killed")


def test_what_a_killed_smie_left_is_cleared_away_by_the_next(faults: Faults) -> None:
    name = faults.role("killed", STAYS)
    started = faults.begun("build", name, BASE, "--channel", "lab")
    started.kill()
    started.communicate()
    wait_for("the end of what it had begun", lambda: not traces.processes(name), 30)
    assert not faults.is_stored(name)
    faults.role("killed")
    ended = faults.smie("build", name, "--json")
    assert "was left by a build that was killed" in ended.err
    assert ended.json()[1]["act"] == "built"


def test_a_lost_engine_is_named_and_what_it_still_has_goes_with_the_next_build(faults: Faults) -> None:
    name, folder = faults.role("engine", STAYS), Path(tempfile.mkdtemp(prefix="se-", dir="/tmp"))
    with Engine(folder / "e") as engine:
        started = faults.begun("build", name, BASE, "--channel", "lab", DOCKER_HOST=engine.host)
        engine.lose()
        _, err = started.communicate(timeout=90)
        assert started.returncode == 9, err
        task = f"in the task '{name} : Stay for a while'"
        refused(faults, err, name, "the Docker engine was lost", task, "docker info")
        engine.start()
        faults.role("engine")
        faults.smie("build", name, DOCKER_HOST=engine.host)
        # Either of them takes it away: the engine what it knows to be --rm, as it starts, and smie what is left then.
        assert not engine.client().containers.list(all=True)
    folder.rmdir()


# Machines


def machine_of(faults: Faults, name: str) -> list[int]:
    return traces.numbers("qemu-system-x86_64", marks=(name, str(faults.folder)))


def kill_soon(is_there: Callable[[], Sequence[int]], ended: Callable[[], object] = lambda: None) -> threading.Thread:
    """Kill what comes, as soon as it is there; nothing once all has `ended`."""

    def kill() -> None:
        while ended() is None and not is_there():
            time.sleep(0.2)
        time.sleep(1)
        for number in is_there():
            os.kill(number, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


def test_a_machine_that_dies_while_it_boots_is_told_with_the_end_of_its_console(faults: Faults) -> None:
    """The trial of a disk alone; the whole build is in the long run."""
    name = faults.role("trial", image='  }\n  image "vm" {\n    base = "debian-13-host"')
    folder = faults.folder / "cache" / "work" / identity(name)
    folder.mkdir()
    disk = folder / "disk.raw"
    disk.touch()
    os.truncate(disk, 1 << 20)
    store, workspace = open_store(faults.tools.env["NAUST_STORE"]), Workspace(faults.folder / "cache")
    recipes = recipes_of((name,), Catalog.open(faults.folder / "systems"), store, workspace, kinds=(Kind.VM,))
    work = Work(folder, identity(name), (0, 0), Log(folder / "log", print), threading.Event())
    killer = kill_soon(lambda: machine_of(faults, name))
    with pytest.raises(TrialFailed, match="the emulated machine has died") as caught, tried(disk, recipes[-1], work):
        pass
    killer.join()
    assert f"smie build {name} --kind vm" in caught.value.resolution and "SIGKILL" in caught.value.details
    shutil.rmtree(folder)


@pytest.mark.long
@pytest.mark.parametrize("when", ["boots", "is looked at"])
@pytest.mark.timeout(1800)
def test_a_machine_that_dies_is_told_and_its_disk_is_not_stored(faults: Faults, tools: Tools, when: str) -> None:
    name = faults.role(f"machine-{when.split()[-1]}", image='  }\n  image "vm" {\n    base = "debian-13-host"')
    tools("smie", "build", "debian-13-host", "disk-tools", timeout=900)
    for base in ("debian-13-host", "disk-tools"):
        tools("naust", "copy", f"rootfs/{base}", "--to", faults.tools.env["NAUST_STORE"])
    started = faults.start("build", name, "--kind", "rootfs,vm", "--channel", "lab")

    def due() -> list[int]:
        is_due = when == "boots" or any("--hosts=ssh://" in line for line in traces.processes(name))
        return machine_of(faults, name) if is_due else []

    killer = kill_soon(due, started.poll)
    _, err = started.communicate(timeout=600)
    killer.join()
    assert started.returncode == 4, err  # the root file system was built
    again = f"smie build {name} --kind vm"
    refused(faults, err, name, f"vm/{name}: the emulated machine has died", kind="vm", again=again)
    assert stands_for(open_store(faults.tools.env["NAUST_STORE"]), f"rootfs/{name}", "lab") is None


# Others at the same time


def test_two_who_build_the_same_build_it_once_and_both_have_it(faults: Faults) -> None:
    name = faults.role("twins", "- name: Take a moment\n  ansible.builtin.command: sleep 2\n")
    both = [faults.start("build", name, "--json") for _ in range(2)]
    ended = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    results = [json.loads(out)[1] for out, _ in ended]
    assert sorted(result["act"] for result in results) == ["built", "taken"]
    assert results[0]["digest"] == results[1]["digest"] and results[0]["uri"] == results[1]["uri"]


SAYS = """\
- name: Stay for a moment
  ansible.builtin.command: sleep 4
- name: Copy the file
  ansible.builtin.copy: {src: said, dest: /usr/local/said, mode: "0644"}
"""


def test_a_role_that_changes_while_it_is_built_is_built_as_it_was(faults: Faults) -> None:
    name = faults.role("edited", SAYS)
    said = faults.folder / "systems" / "roles" / name / "files" / "said"
    said.parent.mkdir()
    said.write_text("before")
    wanted = faults.smie("plan", name, "--json").json()[1]["made_from"]
    started = faults.begun("build", name, "--json", task="Stay for a moment")
    said.write_text("after")
    faults.role("edited", FAILS)
    out, err = started.communicate(timeout=60)
    assert started.returncode == 0, err
    assert json.loads(out)[1]["made_from"] == wanted
    assert printed_by(faults.image(name), "cat", "/usr/local/said") == "before"
    reasons = faults.smie("plan", name, "--json").json()[1]["reasons"]
    assert reasons == [f"file roles/{name}/files/said changed", f"file roles/{name}/tasks/install.yml changed"]


def test_a_role_that_changes_all_the_time_is_built_as_one_of_its_states_or_refused(faults: Faults) -> None:
    name = faults.role("restless", SAYS.replace("sleep 4", "/bin/true"))
    said = faults.folder / "systems" / "roles" / name / "files" / "said"
    said.parent.mkdir()
    states = {}
    for state in ("one", "two"):
        said.write_text(state)
        states[faults.smie("plan", name, "--json").json()[1]["made_from"]] = state
    done = threading.Event()

    def change() -> None:
        while not done.is_set():
            for state in states.values():
                (said.parent.parent / "new").write_text(state)
                (said.parent.parent / "new").rename(said)
                time.sleep(0.002)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        ended = [faults.smie("build", name, "--json", code=None) for _ in range(3)]
    finally:
        done.set()
        thread.join()
    for one in ended:
        if one.code == 0:
            made = resolve(open_store(faults.tools.env["NAUST_STORE"]), f"container/{name}")
            assert printed_by(faults.image(name), "cat", "/usr/local/said") == states[str(made.made_from)]
        else:
            assert one.code == 1 and f"what container/{name} is made of changed while it was being read" in one.err
            assert f"smie build {name}" in one.err and "Traceback" not in one.err


# Secrets


SECRET = """\
- name: Use it
  ansible.builtin.command: {{cmd: sha256sum, stdin: "{{{{ smie_fault_word }}}} {{{{ smie_fault_pem }}}}"}}
  no_log: true
{failing}- name: Print
  ansible.builtin.command: env
- name: Print here
  ansible.builtin.command: env
  delegate_to: localhost
  connection: local
"""
PEM = f"-----BEGIN KEY-----\n{CANARY}\n{CANARY[::-1]}\n-----END KEY-----\n"


@pytest.mark.parametrize("failing", ["", "  failed_when: true\n"], ids=["built", "failed"])
def test_a_secret_is_nowhere_afterwards_however_much_is_told(faults: Faults, failing: str) -> None:
    """Bug case SM-03: in a variable of the role, in the environment, in a proxy's address; with --debug."""
    name = faults.role("secret-" + ("failed" if failing else "built"), SECRET.format(failing=failing))
    variables = faults.folder / "systems" / "roles" / name / "vars"
    variables.mkdir()
    (variables / "main.yml").write_text(json.dumps({"smie_fault_word": CANARY, "smie_fault_pem": PEM}))
    proxy = f"http://somebody:{CANARY}@127.0.0.1:9"
    env = {"AWS_SECRET_ACCESS_KEY": CANARY, "NAUST_TOKEN": CANARY, "https_proxy": proxy, "PIP_INDEX_URL": proxy}
    with sampled() as seen:
        ended = faults.smie("build", name, "--debug", code=1 if failing else 0, **env)
    canaries = {form: "the secret" for word in (CANARY, CANARY[::-1]) for form in forms(word.encode())}
    # The environment of those that have the network is the caller's own.
    places = [(one.words.decode(), one.words + one.environment * one.alone) for one in seen]
    places += [("output", (ended.out + ended.err).encode())]
    places += [(str(path), path.read_bytes()) for path in told(faults)]
    if failing:
        assert not faults.is_stored(name)
        remove = next(line for line in ended.err.splitlines() if line.startswith("Remove it:")).partition(":")[2]
        subprocess.run(["sh", "-c", remove], check=True, capture_output=True, timeout=60)
    assert "task path:" in faults.log(name) and any(b"ansible-playbook" in one.words and one.alone for one in seen)
    assert leaks(canaries, places) == []


def told(faults: Faults) -> list[Path]:
    """All files of the test but the definitions themselves, and their copy in what --debug left open."""
    roots = (faults.folder, faults.temporary)
    every = [path for root in roots for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    return [path for path in every if path.parts[-4::2] != ("roles", "vars")]
