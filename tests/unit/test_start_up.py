"""What starting costs is what is imported; the lists here are the promise. Times are in `make bench`."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from common import entry
from tests.conftest import ROOT

TOOLS = ("smie", "naust", "seter")
HEAVY = (
    "typer",
    "rich",
    "boto3",
    "docker",
    "requests",
    "hcl2",
    "lark",
    "ansible_runner",
    "cryptography",
    "asyncio",
    "ssl",
)


def loaded(*argv: str) -> set[str]:
    """The modules that a command had loaded when it ended."""
    script = (
        "import sys\nfrom common.entry import start\n"
        "try:\n    start(sys.argv[1], sys.argv[2:])\n"
        "finally:\n    print('\\0'.join(sys.modules), file=sys.stderr)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, *argv], cwd=ROOT, capture_output=True, text=True)
    return set(ended.stderr.splitlines()[-1].split("\0"))


@pytest.mark.parametrize("tool", TOOLS)
def test_help_loads_nothing_heavy(tool: str) -> None:
    assert not loaded(tool, "--help").intersection(HEAVY)


@pytest.mark.parametrize("tool", TOOLS)
def test_help_from_the_source_is_help_from_the_loaded_command_line(
    tool: str, capsys: pytest.CaptureFixture[str]
) -> None:
    entry.print_overview(tool)
    command_line = import_module(f"{tool}.cli")
    lines = {verb: entry.first_line(function.__doc__) for verb, function in command_line.VERBS.items()}
    assert capsys.readouterr().out == entry.overview(tool, command_line.SUMMARY, lines) + "\n"
    assert all(lines.values())


@pytest.mark.parametrize("tool", TOOLS)
def test_every_verb_tells_its_exit_codes(tool: str) -> None:
    for verb, function in import_module(f"{tool}.cli").VERBS.items():
        assert "Exit code" in (function.__doc__ or ""), f"{tool} {verb}"


def test_a_list_of_artefacts_draws_nothing_for_a_pipe() -> None:
    assert not loaded("naust", "list").intersection(set(HEAVY) - {"typer"})


def test_a_plan_for_containers_needs_no_ansible_while_nothing_is_to_be_rendered() -> None:
    assert not loaded("seter", "plan", "nothing", "--target", "none").intersection({"ansible_runner", "boto3", "rich"})
