"""Verbs about one node or one artefact, on the small system: each touches what its name says."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT, Tools
from tests.lab.small import TARGET, Small, deployment, docker


@pytest.fixture(scope="module")
def made(built: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    with deployment(built, tmp_path_factory.mktemp("operations"), f"o{os.getpid()}") as made:
        made.seter("deploy", "--yes")
        yield made


@pytest.fixture
def small(made: Small) -> Iterator[Small]:
    yield made
    made.put_definitions_back()


def touched(small: Small, before: dict[str, str]) -> set[str]:
    after = small.containers()
    return {name for name in before | after if before.get(name) != after.get(name)}


@pytest.mark.long
def test_a_node_is_added_and_one_from_the_middle_removed_and_the_file_says_so(small: Small) -> None:
    """SE-06."""
    before, file = small.containers(), small.folder / "systems" / TARGET
    small.seter("add", "w3", "--group", "servers", "--yes")
    assert 'node "w3" {\n      networks = ["front"]\n    }' in file.read_text()
    assert {name for name in touched(small, before) if "." not in name} == {"w3"}
    grown = small.containers()
    small.seter("remove", "w2", "--yes")
    assert '"w2"' not in file.read_text()
    assert {name for name in touched(small, grown) if "." not in name} == {"w2"}
    small.seter("verify")
    ended = small.seter("remove", "w3", "--yes", code=2)
    assert "needs 2" in ended.err
    assert '"w3"' in file.read_text()
    small.put_definitions_back()
    small.seter("deploy", "--yes")


def test_a_node_is_replaced_with_nothing_of_what_it_held_and_no_other_touched(small: Small) -> None:
    before = small.containers()
    docker("exec", f"{small.prefix}.w1", "touch", "/var/lib/seter/held")
    small.seter("replace", "w1", "--yes")
    assert {name.partition(".")[0] for name in touched(small, before)} == {"w1"}
    assert "held" not in docker("exec", f"{small.prefix}.w1", "ls", "/var/lib/seter")
    assert "no change" in small.seter("deploy", "--yes").out


def test_nodes_are_rebooted_one_after_the_other_and_hold_what_they_held(small: Small) -> None:
    before = small.containers()
    docker("exec", f"{small.prefix}.w1", "touch", "/var/lib/seter/held")
    said = small.seter("reboot", "--only", "servers", "--yes").err
    assert said.index("w1: rebooting it") < said.index("check     web on w1") < said.index("w2: rebooting it")
    assert {name.partition(".")[0] for name in touched(small, before)} == {"w1", "w2"}
    assert "held" in docker("exec", f"{small.prefix}.w1", "ls", "/var/lib/seter")
    assert "no change" in small.seter("deploy", "--yes").out
    assert "which nodes?" in small.seter("reboot", "--yes", code=2).err
    assert "Did you mean w1?" in small.seter("reboot", "w11", "--yes", code=2).err


def test_another_version_is_written_into_the_file_and_rolled_out(small: Small) -> None:
    file = small.folder / "systems" / "small" / "system.hcl"
    listed = small.tools("naust", "list", "container/debian-13", "--json").json()
    version = listed[0]["version"]
    small.seter("update", f"web={version}", "--yes")
    assert file.read_text().count(f'"container/debian-13:{version}-') == 2
    text = file.read_text()
    ended = small.seter("update", "web=0.0", "--yes", code=2)
    assert "0.0" in ended.err
    assert "Did you mean web?" in small.seter("update", "wep=1", "--yes", code=2).err
    assert file.read_text() == text


def test_logs_are_those_of_a_role_or_of_all_and_go_on(small: Small) -> None:
    small.seter("exec", "w1", "web", "--", "curl", "-s", "http://127.0.0.1/one")
    assert "/one" in small.seter("logs", "w1", "web").out
    assert "web   | " in small.seter("logs", "w1").out
    assert small.seter("logs", "w1", "web", "--since", "1ms").out == ""
    assert "no duration" in small.seter("logs", "w1", "web", "--since", "soon", code=2).err
    argv = [str(ROOT / ".venv" / "bin" / "seter"), *small.argv("logs", "w1", "web", "--follow", "--since", "1s")[1:]]
    with subprocess.Popen(
        argv, cwd=small.tools.cwd, env=os.environ | small.environment, stdout=subprocess.PIPE, text=True
    ) as following:
        assert following.stdout is not None
        small.seter("exec", "w1", "web", "--", "curl", "-s", "http://127.0.0.1/two")
        assert any("/two" in line for line in following.stdout)
        following.terminate()
        assert following.wait(timeout=20) == 130
