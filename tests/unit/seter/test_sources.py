"""Programs that give nodes are asked each time; what they gave last is for looking alone."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path

import pytest

from common.errors import BadInput, Error
from common.model import Event
from common.run import CommandFailed, TimedOut
from common.system import Source
from seter.sources import FILE, Sources

TWO = '[{"name": "a"}, {"name": "b"}]'


def sources(folder: Path, *, lenient: bool = False, heard: list[Event] | None = None) -> Sources:
    told = heard if heard is not None else []
    return Sources(folder / "own", folder, told.append, lenient)


def prints(text: str) -> Source:
    return Source("edge", ("printf", "%s", text))


def names(found: object) -> list[str]:
    assert isinstance(found, tuple)
    return [block.labels[0] for block in found]


def test_a_command_gets_its_words_and_no_shell(tmp_path: Path) -> None:
    word = json.dumps([{"name": "a$(touch x); `id`"}])
    assert names(sources(tmp_path)(prints(word))) == ["a$(touch x); `id`"]
    assert not (tmp_path / "x").exists()


def test_a_command_runs_where_the_target_is_and_without_our_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SETER_SECRET_OF_A_TEST", "canary")
    code = "import json, os; print(json.dumps([{'name': 'a', 'interface': os.getcwd() + ' '.join(os.environ)}]))"
    (block,) = sources(tmp_path)(Source("edge", ("python3", "-c", code)))
    said = str(block.attributes[0].value)
    assert said.startswith(str(tmp_path)) and "SETER_SECRET_OF_A_TEST" not in said
    assert "canary" not in (tmp_path / "own" / FILE).read_text()


def test_a_file_is_found_from_the_target_s_folder(tmp_path: Path) -> None:
    (tmp_path / "nodes.json").write_text(TWO)
    assert names(sources(tmp_path)(Source("edge", file="nodes.json"))) == ["a", "b"]
    with pytest.raises(Error, match=r"none\.json cannot be read"):
        sources(tmp_path)(Source("edge", file="none.json"))


def test_terraform_is_asked_for_its_outputs_in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of that name that prints as the manual of `terraform output` says, and fails for any other call."""
    bin = tmp_path / "bin"
    bin.mkdir()
    said = json.dumps({"gateways": {"sensitive": False, "type": "string", "value": json.loads(TWO)}})
    script = f"#!/bin/sh\n[ \"$*\" = \"-chdir={tmp_path}/infra output -json -no-color\" ] && printf '%s' '{said}'\n"
    (bin / "terraform").write_text(script)
    (bin / "terraform").chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin}:{os.environ['PATH']}")
    source = Source("edge", terraform="infra", output="gateways")
    assert names(sources(tmp_path)(source)) == ["a", "b"]


def test_where_a_command_fails_only_looking_goes_on_with_what_it_said_last(tmp_path: Path) -> None:
    sources(tmp_path)(prints(TWO))
    failing = Source("edge", ("false",))
    with pytest.raises(CommandFailed):
        sources(tmp_path)(failing)
    heard: list[Event] = []
    assert names(sources(tmp_path, lenient=True, heard=heard)(failing)) == ["a", "b"]
    assert len(heard) == 1 and "false ended with status 1" in heard[0].message
    with pytest.raises(CommandFailed):
        sources(tmp_path, lenient=True)(Source("other", ("false",)))


def test_nodes_that_are_suddenly_none_are_refused_unless_that_is_meant(tmp_path: Path) -> None:
    assert sources(tmp_path)(prints("[]")) == ()
    sources(tmp_path)(prints(TWO))
    with pytest.raises(BadInput, match="gives no nodes, and gave some on") as error:
        sources(tmp_path)(prints("[]"))
    assert "may_be_empty = true" in error.value.resolution
    assert names(sources(tmp_path, lenient=True)(prints("[]"))) == ["a", "b"]
    assert sources(tmp_path)(Source("edge", ("printf", "[]"), may_be_empty=True)) == ()
    assert sources(tmp_path)(prints("[]")) == ()


def test_a_command_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(TimedOut):
        sources(tmp_path)(Source("edge", ("sleep", "30"), within=timedelta(seconds=0.2)))


def test_what_is_remembered_and_damaged_counts_as_nothing(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / FILE).write_text("{")
    assert names(sources(tmp_path)(prints(TWO))) == ["a", "b"]
    assert oct((tmp_path / "own" / FILE).stat().st_mode & 0o777) == "0o600"
