"""The first part of a role ends with its packages, and what it changed is kept for builds that would repeat it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from smie.parts import CHANGES, DONE, FIRST, MOST, First, before, first, keep, key, plays, until_packages
from smie.workspace import Workspace
from tests.unit.smie.conftest import Kitchen, package

PROCESS = """\
- name: Install packages
  ansible.builtin.include_role:
    name: process
    tasks_from: install
"""
USER = "---\n# Why.\n- name: Make the group\n  ansible.builtin.group: {name: ceph, gid: 953}\n\n"
REST = "# And then.\n- name: Write\n  ansible.builtin.copy: {src: x, dest: /x}\n"


@pytest.mark.parametrize("before", ["", USER, USER.replace("ansible.builtin.", "")])
def test_the_first_part_goes_up_to_the_packages_and_lines_keep_their_numbers(before: str) -> None:
    text = before + PROCESS + "\n" + REST
    cut = until_packages(text)
    assert cut is not None
    tasks, rest = cut
    assert [task["name"] for task in tasks] == ["Make the group"] * bool(before) + ["Install packages"]
    assert len(rest.splitlines()) == len(text.splitlines())
    assert rest.strip() == REST.partition("\n")[2].strip()


@pytest.mark.parametrize(
    "text",
    [
        PROCESS,  # nothing comes after it
        REST + PROCESS + REST,  # a file of the role is read before
        USER.replace("953}", "953}\n  register: made") + PROCESS + REST,  # the rest may read what was made
        PROCESS.rstrip() + "\n  register: made\n" + REST,
        PROCESS.replace("process", "other") + REST,
        USER + REST,
        USER.replace("name: ceph", "name: '{{ ceph_user }}'")
        + PROCESS
        + REST,  # the role's own variables are not there
        USER.replace("953}", "953}\n  when: big | bool") + PROCESS + REST,
        "name: x\n",
        "- x\n" + PROCESS + REST,
        "- name: !vault x\n" + PROCESS + REST,
        "- [",
        "",
    ],
)
def test_a_role_that_does_not_begin_so_has_one_part(text: str) -> None:
    assert until_packages(text) is None


def prepared(kitchen: Kitchen, name: str) -> tuple[First, Path]:
    """The first part of the role as a build in this folder sees it."""
    work, roles = kitchen.folder / name, kitchen.folder / name / "roles"
    file = roles / "bird" / "tasks" / "install.yml"
    file.parent.mkdir(parents=True)
    file.write_text(PROCESS + REST)
    part = first(kitchen.recipe(), "sha256:12", work, roles, Workspace(kitchen.folder / "cache"))
    assert part is not None and "process" not in file.read_text()
    return part, work


def done(work: Path, content: str = "tar") -> None:
    for name in (FIRST, CHANGES, DONE):
        (work / name).write_text(content)


def test_what_came_to_its_end_is_there_for_the_next(kitchen: Kitchen) -> None:
    part, work = prepared(kitchen, "one")
    first_play, rest = plays("bird", {"packages": ["bird2"]}, part)
    assert not part.is_there and not before(part)
    assert first_play["vars"] == rest["vars"] == {"packages": ["bird2"]}
    assert isinstance(first_play["tasks"], list) and [task["name"] for task in first_play["tasks"]] == [
        *("Install packages", "Keep what this has changed")
    ]
    done(work)
    keep(part, work)
    again, work = prepared(kitchen, "two")
    assert again.is_there and (work / FIRST).read_text() == "tar"
    assert "--extract" in before(again)[1] and len(plays("bird", {}, again)) == 1


def test_what_was_cut_off_is_not_kept(kitchen: Kitchen) -> None:
    part, work = prepared(kitchen, "one")
    (work / FIRST).write_text("half")
    keep(part, work)
    assert not prepared(kitchen, "two")[0].is_there


@pytest.mark.parametrize("name", [FIRST, CHANGES])
def test_what_is_damaged_is_made_anew(kitchen: Kitchen, name: str) -> None:
    part, work = prepared(kitchen, "one")
    done(work)
    keep(part, work)
    (part.folder / name).write_text("other")
    again, work = prepared(kitchen, "two")
    assert not again.is_there and not (work / FIRST).exists()
    done(work, "new")
    keep(again, work)
    assert prepared(kitchen, "three")[0].is_there


def test_what_cannot_be_put_in_is_forgotten(kitchen: Kitchen) -> None:
    part, work = prepared(kitchen, "one")
    done(work)
    keep(part, work)
    again, work = prepared(kitchen, "two")
    keep(again, work)  # the build failed before it had said that it is in
    assert again.is_there and not again.folder.exists()


def test_the_newest_are_kept(kitchen: Kitchen) -> None:
    for number in range(MOST + 2):
        kitchen.packages = (*kitchen.packages[:2], package("bird2", f"2.{number}"))
        part, work = prepared(kitchen, str(number))
        done(work)
        keep(part, work)
    assert len(list((kitchen.folder / "cache" / "parts" / "bird").iterdir())) == MOST
    assert part.folder.exists()


def test_the_rest_of_a_role_is_not_in_the_key_and_all_that_the_first_part_sees_is(kitchen: Kitchen) -> None:
    def now(parent: str = "sha256:12") -> str:
        return key(kitchen.recipe(), parent, ({"name": "x"},)).hex

    keys = [now(), now("sha256:34")]
    kitchen.write("bird/files/status.py", "print(1)\n", 0o755)
    assert now() == keys[0]
    kitchen.write("process/tasks/install.yml", "- ansible.builtin.apt: {name: x}\n")
    keys.append(now())
    kitchen.packages = (*kitchen.packages[:2], package("bird2", "9"))
    keys.append(now())
    kitchen.date += timedelta(days=1)
    keys.append(now())
    kitchen.options = {"process": None}
    keys.append(now())
    assert len(set(keys)) == len(keys)


def test_a_role_that_has_neither_packages_nor_a_user_has_one_part(kitchen: Kitchen, tmp_path: Path) -> None:
    kitchen.options = {"packages": (), "process": None}
    assert first(kitchen.recipe(), "sha256:12", tmp_path, tmp_path, Workspace(tmp_path)) is None
    assert not before(None) and len(plays("bird", {}, None)) == 1
