"""`smie build --check`: two builds under other conditions, compared file by file. On the base that the working folder's
store has; roles are small ones of the test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from smie.leftovers import LABEL, MEMORY
from tests.conftest import ROOT, Tools
from tests.integration.test_smie import Bench
from tests.lab.images import listed

BASE = "debian-13"
SAME = """\
- name: Make a user, whose password is of a day
  ansible.builtin.user: {name: smie-again, uid: 990, system: true, password: "!"}
- name: Write what has attributes, links and an owner
  ansible.builtin.shell: |
    mkdir /srv/kept && cd /srv/kept
    echo z >z && ln z a && chown 953:954 z && chmod 4750 z && cp /bin/true true && setcap cap_net_raw+ep true
    touch "$(printf 'odd \\\\377')" && mkfifo pipe && : >/var/log/again.log && : >/root/.bash_history
"""
DIFFERENT = """\
- name: Write what no artefact may have
  ansible.builtin.shell: "{{ item }}"
  loop:
    - mkdir /srv/bad; date +%F >/srv/bad/date
    - echo {{ lookup('env', 'HOME') }} >/srv/bad/home
    - uname -a >/srv/bad/uname
    - echo {{ lookup('pipe', 'ls -U ' + role_path + '/files | tr "\\n" " "') }} >/srv/bad/order
    - umask {{ lookup('pipe', 'umask') }}; echo >/srv/bad/mode
    - od -An -tx1 -N8 /dev/urandom >/srv/bad/$(tr -d - </proc/sys/kernel/random/uuid)
- name: Write what only a file's description shows
  ansible.builtin.shell: |
    cp /bin/true /srv/bad/described; touch -d @$(date +%N) /srv/bad/described
    setcap cap_{{ {'0022': 'kill', '0077': 'chown'}[lookup('pipe', 'umask')] }}+ep /srv/bad/described
"""


CHANGES = """\
- name: Change, link and delete what the first part brought
  ansible.builtin.shell: |
    test ! -e /usr/share/doc/iputils-ping/changelog.gz && dpkg --verify iputils-ping
    rm /usr/share/doc/iputils-ping/copyright && ln /usr/bin/ping /usr/bin/ping-again && echo x >>/etc/environment
  changed_when: true
"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, tools: Tools) -> Iterator[Bench]:
    """Definitions and a store of the test's own, with our base in it; packages come from the working folder's cache."""
    folder = tmp_path_factory.mktemp("again")
    systems = folder / "systems"
    shutil.copytree(ROOT / "systems" / "roles" / "process", systems / "roles" / "process")
    shutil.copytree(ROOT / "systems" / "bases", systems / "bases")
    store = f"file://{folder / 'store'}"
    (uri,) = tools("smie", "build", BASE).out.split()
    tools("naust", "copy", uri, store, "--no-referrers")
    env = {"SETER_SYSTEMS": str(systems), "SMIE_CACHE": str(ROOT / ".smie"), "NAUST_STORE": store}
    yield Bench(folder, Tools(folder, env))


@pytest.fixture
def nothing_is_left(bench: Bench) -> Iterator[None]:
    """After a check: no container, no folder, no image, and the store as it was."""
    before = stored(bench)
    yield
    client = docker.from_env()
    assert not [
        one for one in client.containers.list(all=True, filters={"label": LABEL}) if ".again-" in one.labels[LABEL]
    ]
    assert not [tag for image in listed(client) for tag in image.tags if "again-" in tag]
    assert not list((ROOT / ".smie" / "work").glob("*.check.*"))
    assert not list(MEMORY.glob("*smie-*"))
    assert stored(bench) == before


@pytest.fixture
def step(bench: Bench) -> Iterator[str]:
    """A role of which nothing is kept, before and afterwards."""
    name = "again-step"
    shutil.rmtree(ROOT / ".smie" / "parts" / name, ignore_errors=True)
    yield name
    shutil.rmtree(ROOT / ".smie" / "parts" / name, ignore_errors=True)
    client = docker.from_env()
    for image in listed(client, f"naust/{name}"):
        client.images.remove(image.id, force=True, noprune=True)


def stored(bench: Bench) -> set[Path]:
    """Everything in the store but what it knows by looking at itself."""
    store = bench.folder / "store"
    return {path for path in store.rglob("*") if not path.relative_to(store).parts[0].startswith(".")}


@pytest.mark.usefixtures("nothing_is_left")
def test_what_is_the_same_is_said_in_one_line_and_what_differs_file_by_file(bench: Bench) -> None:
    """Bug case SM-02: neither user, nor folder, nor day of the builds is in the artefact."""
    names = bench.role("again-same", SAME, base=BASE), bench.role("again-other", DIFFERENT, base=BASE)
    (bench.folder / "systems" / "roles" / "again-other" / "files").mkdir()
    for name in "abcde":
        (bench.folder / "systems" / "roles" / "again-other" / "files" / name).write_text(name)
    ended = bench.smie("build", *names, "--check", "--json", code=1)
    same, other = sorted(ended.json(), key=lambda row: not row["reproducible"])
    assert (same["artifact"], same["reproducible"], same["stored"]) == ("container/again-same", True, None)
    assert same["digests"][0] == same["digests"][1] and same["differences"] == []
    assert [each["uid"] for each in same["builds"]] == [1001, 2002]
    assert same["builds"][1]["later"] == 400 * 86400

    found = {(each["path"].removeprefix("layer 2: srv/bad/"), each["what"]): each for each in other["differences"]}
    assert not other["reproducible"] and other["count"] == len(other["differences"])
    assert found["date", "line 1"]["one"] < found["date", "line 1"]["two"]
    pairs = {(path, what): (each["one"], each["two"]) for (path, what), each in found.items()}
    assert pairs["mode", "mode"] == ("0644", "0600")
    assert sorted(pairs["order", "line 1"]) == ["'a b c d e'", "'e d c b a'"]
    assert ("uname", "line 1") in pairs and ("home", "line 1") in pairs and ("described", "mtime") in pairs
    assert ("described", "attribute SCHILY.xattr.security.capability") in pairs
    assert "is there" in {what for _, what in pairs}
    assert "container/again-other came out differently" in ended.err
    assert "srv/bad/mode: mode: 0644 ≠ 0600" in ended.err
    assert "Let the task that writes it write no date" in ended.err


@pytest.mark.usefixtures("nothing_is_left")
def test_a_check_of_what_fails_ends_as_the_build_does_and_its_log_stays(bench: Bench) -> None:
    tasks = "- name: Do what cannot be done\n  ansible.builtin.command: /bin/false\n"
    name = bench.role("again-fails", tasks, base=BASE)
    ended = bench.smie("build", name, "--check", code=1)
    assert "failed in the task 'again-fails : Do what cannot be done'" in ended.err
    assert f"Repeat it with: smie build {name}" in ended.err
    log = ROOT / ".smie" / "logs" / "check" / "container" / f"{name}.log"
    assert str(log) in ended.err and "Do what cannot be done" in log.read_text()


@pytest.mark.parametrize("other", [("--channel", "x"), ("--debug",)])
@pytest.mark.usefixtures("nothing_is_left")
def test_a_check_keeps_nothing_that_others_could_use(bench: Bench, other: tuple[str, ...]) -> None:
    assert f"Leave out {other[0]} or --check" in bench.smie("build", BASE, "--check", *other, code=2).err


@pytest.mark.long
def test_base_and_roles_of_every_kind_are_reproducible(tools: Tools, tmp_path: Path) -> None:
    names = ("debian-13", "traefik", "ceph-common")
    rows = tools("smie", "build", *names, "--check", "--json", timeout=1800).json()
    assert {row["artifact"] for row in rows if row["reproducible"]} == {f"container/{name}" for name in names}
    rows = tools("smie", "build", "traefik", "--kind", "rootfs,vm", "--check", "--json", timeout=1800).json()
    assert {row["artifact"] for row in rows if row["reproducible"]} == {"rootfs/traefik", "vm/traefik"}


def test_a_changed_task_does_not_repeat_the_first_part_and_the_same_comes_out(bench: Bench, step: str) -> None:
    name, kept = step, ROOT / ".smie" / "parts" / step
    tasks = "- name: Write {text}\n  ansible.builtin.copy: {{content: '{text}', dest: /srv/text, mode: '0644'}}\n"

    def built(text: str) -> str:
        bench.role(name, tasks.format(text=text) + CHANGES, packages='"iputils-ping"', base=BASE)
        return bench.smie("build", name).err

    assert "process : Install packages" in built("one") and len(list(kept.iterdir())) == 1
    bench.role(name, tasks.format(text="two") + CHANGES, packages='"iputils-ping"', base=BASE)
    assert f"file roles/{name}/tasks/install.yml changed" in bench.smie("plan", name).out
    again = built("two")
    assert "Install packages" not in again and f"{name} : Write two" in again
    (row,) = bench.smie("build", name, "--check", "--json").json()  # of its two builds one makes the first part anew
    assert (row["reproducible"], row["stored_is_same"]) == (True, True)

    (tar,) = kept.glob("*/first.tar")
    tar.write_bytes(tar.read_bytes()[:-1] + b"x")
    assert "process : Install packages" in built("three")
    assert len(list(kept.iterdir())) == 1
