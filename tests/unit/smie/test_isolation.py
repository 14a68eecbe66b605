"""Where a build could not be cut off from the network, it does not begin."""

from __future__ import annotations

import pytest

from common.errors import BadInput, Denied, Missing
from common.run import run
from smie.isolation import check, guarded
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
