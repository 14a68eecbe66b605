"""The pipelines that systems/README.md shows: what their makers' schemas take, and verbs and options that we have."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.lab.pipelines import GITHUB, GITLAB, STAGES, github, gitlab, is_chaos
from tests.unit.test_manuals import EVERYWHERE, OPTION, TOOLS, options, verbs

VARIABLE = re.compile(r"\$(\w+)")


@pytest.mark.parametrize(
    ("file", "schema"),
    [(GITHUB, ("vendor.github-workflows",)), (GITLAB, ("vendor.gitlab-ci", "--data-transform", "gitlab-ci"))],
    ids=lambda value: value.stem if isinstance(value, Path) else "",
)
def test_the_schema_of_its_maker_takes_it_and_refuses_a_slip(
    file: Path, schema: tuple[str, ...], tmp_path: Path
) -> None:
    """The schemas that the package check-jsonschema carries, from SchemaStore and GitLab."""

    def checked(path: Path) -> int:
        program = Path(sys.executable).with_name("check-jsonschema")
        return subprocess.run([program, "--builtin-schema", *schema, path], capture_output=True).returncode

    assert checked(file) == 0
    wrong = tmp_path / file.name
    wrong.write_text(
        file.read_text().replace("    timeout", "    timeuot").replace("  timeout:", "  timeout: [1]\n  x:", 1)
    )
    assert checked(wrong) == 1


def test_both_do_the_same_in_the_same_order() -> None:
    assert github() == gitlab()
    assert tuple(stage.name for stage in github()) == STAGES


def test_a_lab_is_taken_away_whatever_became_of_it() -> None:
    lab = next(stage for stage in github() if stage.name == "lab")
    assert [shlex.split(command)[:2] for command in lab.lasting] == [["seter", "destroy"]]


def test_every_verb_and_option_in_them_is_there() -> None:
    wrong = []
    for stage in github():
        for command in (*stage.commands, *stage.lasting):
            words = shlex.split(command, comments=True)
            tool = next(at for at, word in enumerate(words) if word in TOOLS)
            name, verb = words[tool], words[tool + 1]
            assert verb in verbs(name)
            used = {option for word in words[tool:] for option in OPTION.findall(word)}
            wrong += [f"{name} {verb} {option}" for option in used - options(name, verb) - EVERYWHERE]
    assert not wrong


def test_the_lab_is_broken_after_it_was_found_well() -> None:
    lab = next(stage for stage in github() if stage.name == "lab")
    assert [shlex.split(command)[1] for command in lab.commands] == ["deploy", "verify", "chaos"]
    assert is_chaos(lab.commands[-1])


def test_the_manual_names_every_variable_that_has_to_be_set() -> None:
    page = (ROOT / "systems" / "README.md").read_text()
    part = page[page.index("## In CI") :]
    used = {
        name
        for stage in github()
        for command in (*stage.commands, *stage.lasting)
        for name in VARIABLE.findall(command)
    }
    used |= {"NAUST_STORE", "SETER_STATE"}
    assert not [name for name in sorted(used - {"INSTANCE", "REASON"}) if f"`{name}`" not in part]


def test_no_secret_stands_in_a_command_or_file() -> None:
    for file in (GITHUB, GITLAB):
        assert "secrets." not in file.read_text() and "PASSWORD" not in file.read_text()
