"""What install.yml reaches is found, however it is written."""

from __future__ import annotations

import pytest

from common.errors import BadDefinition
from smie.reach import reached
from tests.unit.smie.conftest import Kitchen

INCLUDES = """
- name: Short
  include_role: {{name: process, tasks_from: install}}
- name: Long
  ansible.builtin.include_role:
    name: "shared"   # by name
    tasks_from: install.yml
  when: x
- ansible.builtin.import_tasks: {tasks}
- name: With arguments
  ansible.builtin.include_tasks:
    file: more.yml
- name: A file from a template
  ansible.builtin.template:
    src: used.j2
    dest: /etc/x
"""


def paths(kitchen: Kitchen) -> list[str]:
    return [file.path for file in reached(kitchen.folder / "roles", "bird")]


def test_tasks_roles_files_and_templates_are_followed(kitchen: Kitchen) -> None:
    kitchen.write("bird/tasks/install.yml", INCLUDES.format(tasks="'extra.yml'"))
    kitchen.write("bird/tasks/extra.yml", "- import_role: {name: other}\n")
    kitchen.write("bird/tasks/more.yml", "- import_tasks: install.yml\n")
    kitchen.write("bird/tasks/service.yml")
    kitchen.write("bird/templates/used.j2")
    kitchen.write("bird/templates/unused.j2")
    kitchen.write("shared/tasks/install.yml")
    kitchen.write("shared/files/program.py")
    kitchen.write("other/tasks/main.yml")
    assert paths(kitchen) == [
        "bird/files/status.py",
        "bird/tasks/extra.yml",
        "bird/tasks/install.yml",
        "bird/tasks/more.yml",
        "bird/templates/used.j2",
        "other/tasks/main.yml",
        "process/tasks/install.yml",
        "shared/files/program.py",
        "shared/tasks/install.yml",
    ]


def test_a_role_that_is_not_there_is_a_problem_with_the_file_that_wants_it(kitchen: Kitchen) -> None:
    kitchen.write("bird/tasks/install.yml", "- include_role: {name: nobody, tasks_from: install}\n")
    with pytest.raises(BadDefinition, match=r"bird/tasks/install.yml: there is no nobody/tasks/install.yml"):
        paths(kitchen)


def test_roles_that_include_each_other_end(kitchen: Kitchen) -> None:
    kitchen.write("process/tasks/install.yml", "- include_role: {name: bird, tasks_from: install}\n")
    assert "process/tasks/install.yml" in paths(kitchen)
