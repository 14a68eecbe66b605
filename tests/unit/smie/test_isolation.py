"""Where a build could not be cut off from the network, it does not begin."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from common.errors import BadInput, Denied, Missing
from common.run import run
from smie.isolation import check, guarded, private
from tests.unit.smie.conftest import Kitchen


def test_a_command_has_no_network_but_a_loopback_that_is_down() -> None:
    links = run(guarded("cat", "/proc/net/dev")).stdout.splitlines()[2:]
    assert [line.split(":")[0].strip() for line in links] == ["lo"]
    assert run(guarded("cat", "/proc/net/route")).stdout.count("\n") <= 1


def test_an_engine_that_is_reached_over_a_network_is_refused(kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://user:geheim@10.0.0.1:2375")
    with pytest.raises(BadInput, match="socket of this machine") as raised:
        check([kitchen.recipe()])
    assert "geheim" not in str(raised.value)
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/docker.sock")
    check([kitchen.recipe()])


def test_who_is_not_root_can_build_roles_and_is_told_that_bases_need_root(
    kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    check([kitchen.recipe()])
    with pytest.raises(Denied, match="only root can make container/debian-13"):
        check([kitchen.recipe(), kitchen.base_recipe()])


def test_the_program_that_cuts_off_has_to_be_there(kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Missing):
        check([kitchen.recipe()])


def test_what_runs_alone_has_processes_and_mounts_of_its_own_and_no_network(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    look = "echo $$; ls -d /proc/[0-9]* | wc -l; grep -c . /proc/net/dev; echo kept >$0/file; grep -c $0 /proc/mounts"
    said = run(private("sh", "-c", look, str(tmp_path / "tree"), memory=tmp_path / "tree")).stdout.split()
    assert said[0] == "1" and int(said[1]) < 6 and said[2:] == ["3", "1"]
    assert not list((tmp_path / "tree").iterdir()) and str(tmp_path) not in Path("/proc/mounts").read_text()


def test_what_runs_alone_ends_with_who_started_it(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = f"import subprocess, sys; subprocess.run({private('sh', '-c', 'echo >$0; sleep 7355', str(pid))!r})"
    starter = subprocess.Popen([sys.executable, "-c", script])
    assert soon(pid.exists)
    starter.kill()
    starter.wait()
    assert soon(lambda: not [one for one in Path("/proc").glob("[0-9]*") if said_by(one) == b"sleep\0007355\0"])


def soon(is_so: Callable[[], object]) -> bool:
    for _ in range(200):
        if is_so():
            return True
        time.sleep(0.05)
    return False


def said_by(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""
