"""`smie build --check`: two builds under other conditions, compared file by file. On the base that the working folder's
store has; roles are small ones of the test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from smie.leftovers import LABEL
from tests.conftest import ROOT, Tools
from tests.integration.test_smie import Bench

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
    - echo {{ lookup('env', 'USER') }} >/srv/bad/user
    - umask {{ lookup('pipe', 'umask') }}; echo >/srv/bad/mode
    - od -An -tx1 -N8 /dev/urandom >/srv/bad/$(tr -d - </proc/sys/kernel/random/uuid)
"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, tools: Tools) -> Iterator[Bench]:
    """Definitions and a store of the test's own, with our base in it; packages come from the working folder's cache."""
    folder = tmp_path_factory.mktemp("again")
    systems = folder / "systems"
    shutil.copytree(ROOT / "systems" / "roles" / "process", systems / "roles" / "process")
    (systems / "bases").mkdir()
    shutil.copy(ROOT / "systems" / "bases" / f"{BASE}.hcl", systems / "bases")
    store = f"file://{folder / 'store'}"
    (uri,) = tools("smie", "build", BASE).out.split()
    tools("naust", "copy", uri, store, "--no-referrers")
    env = {"SETER_SYSTEMS": str(systems), "SMIE_CACHE": str(ROOT / ".smie"), "NAUST_STORE": store}
    yield Bench(folder, Tools(folder, env))


@pytest.fixture(autouse=True)
def nothing_is_left(bench: Bench) -> Iterator[None]:
    """After each test: no container, no folder, no image, and the store as it was."""
    before = stored(bench)
    yield
    client = docker.from_env()
    assert not [
        one for one in client.containers.list(all=True, filters={"label": LABEL}) if ".again-" in one.labels[LABEL]
    ]
    assert not [tag for image in client.images.list() for tag in image.tags if "again-" in tag]
    assert not list((ROOT / ".smie" / "work").glob("*.check.*"))
    assert stored(bench) == before


def stored(bench: Bench) -> set[Path]:
    """Everything in the store but what it knows by looking at itself."""
    store = bench.folder / "store"
    return {path for path in store.rglob("*") if not path.relative_to(store).parts[0].startswith(".")}


def test_what_is_reproducible_is_said_to_be_with_owners_links_and_attributes(bench: Bench) -> None:
    """Bug case SM-02: neither user, nor folder, nor day of the builds is in the artefact."""
    ended = bench.smie("build", bench.role("again-same", SAME, base=BASE), "--check", "--json")
    (row,) = ended.json()
    assert (row["artifact"], row["reproducible"], row["stored"]) == ("container/again-same", True, None)
    assert row["digests"][0] == row["digests"][1] and row["differences"] == []
    assert [each["uid"] for each in row["builds"]] == [1001, 2002]
    assert row["builds"][1]["later"] == 400 * 86400


def test_what_differs_is_shown_file_by_file(bench: Bench) -> None:
    ended = bench.smie("build", bench.role("again-other", DIFFERENT, base=BASE), "--check", "--json", code=1)
    (row,) = ended.json()
    found = {(each["path"].removeprefix("layer 2: "), each["what"]): each for each in row["differences"]}
    assert not row["reproducible"] and row["count"] == len(row["differences"])
    date, user = found["srv/bad/date", "line 1"], found["srv/bad/user", "line 1"]
    assert date["one"] < date["two"]
    assert (user["one"], user["two"]) == ("'alice'", "'bob'")
    assert (found["srv/bad/mode", "mode"]["one"], found["srv/bad/mode", "mode"]["two"]) == ("0644", "0600")
    assert {what for _, what in found if what == "is there"}
    assert "container/again-other came out differently" in ended.err
    assert "srv/bad/user: line 1: 'alice' ≠ 'bob'" in ended.err
    assert "Let the task that writes it write no date" in ended.err


def test_a_check_of_what_fails_ends_as_the_build_does(bench: Bench) -> None:
    tasks = "- name: Do what cannot be done\n  ansible.builtin.command: /bin/false\n"
    name = bench.role("again-fails", tasks, base=BASE)
    ended = bench.smie("build", name, "--check", code=1)
    assert "failed in the task 'again-fails : Do what cannot be done'" in ended.err
    assert f"Repeat it with: smie build {name}" in ended.err


def test_a_check_and_a_channel_do_not_go_together(bench: Bench) -> None:
    assert "Leave out --channel or --check" in bench.smie("build", "debian-13", "--check", "--channel", "x", code=2).err


@pytest.mark.long
def test_base_and_roles_of_every_kind_are_reproducible(tools: Tools, tmp_path: Path) -> None:
    names = ("debian-13", "traefik", "ceph-common")
    rows = tools("smie", "build", *names, "--check", "--json", timeout=1800).json()
    assert {row["artifact"] for row in rows if row["reproducible"]} == {f"container/{name}" for name in names}
    (row,) = tools("smie", "build", "traefik", "--kind", "rootfs", "--check", "--json", timeout=1800).json()
    assert row["reproducible"], row["differences"]
