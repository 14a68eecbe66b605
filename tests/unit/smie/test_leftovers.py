"""Leftovers are known by their identity; what is another's, or alive, is not touched."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from smie.leftovers import identity, is_dead, is_ours, is_replaced, scratch, sweep_folders
from smie.workspace import Workspace


def identity_of_a_dead_process(name: str = "bird-gateway", kept: str = "") -> str:
    program = f"from smie.leftovers import identity; print(identity({name!r}, kept={kept!r}))"
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3]
    ).stdout.strip()


def test_a_build_of_a_living_process_is_alive() -> None:
    assert not is_dead(identity("traefik"))


def test_a_build_of_an_ended_process_is_dead() -> None:
    assert is_dead(identity_of_a_dead_process())


def test_a_process_that_got_the_number_of_a_dead_one_does_not_keep_its_builds() -> None:
    machine, boot, process, _, *rest = identity("traefik").split(".")
    assert is_dead(".".join((machine, boot, process, "1", *rest)))


def test_builds_before_a_restart_of_the_machine_are_dead() -> None:
    machine, _, *rest = identity("traefik").split(".")
    assert is_dead(".".join((machine, "00000000", *rest)))


def test_builds_of_other_machines_and_foreign_names_are_not_ours() -> None:
    _, boot, *rest = identity_of_a_dead_process().split(".")
    assert not is_dead(".".join(("00000000", boot, *rest)))
    assert not is_dead("something")
    assert not is_dead("")


def test_only_folders_of_dead_builds_are_removed(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    dead, alive = identity_of_a_dead_process(), identity("traefik")
    for name in (dead, alive, "other"):
        (workspace.work / name / "tmp").mkdir(parents=True)
    assert sweep_folders(workspace) == (f"folder {dead}",)
    assert {path.name for path in workspace.work.iterdir()} == {alive, "other"}


def test_a_scratch_folder_leaves_room_for_a_socket_and_goes() -> None:
    with scratch(identity("a-role-with-a-name-that-nobody-would-want-to-type-twice")) as folder:
        assert len(str(folder / "packer-plugin1234567890")) < 108
        assert folder.is_dir()
    assert not folder.exists()


def test_a_scratch_folder_is_known_as_its_builds() -> None:
    with scratch(identity("traefik")) as folder:
        name = folder.name.removeprefix("smie-")
        assert name.split(".")[:4] == identity("traefik").split(".")[:4]
        assert not is_dead(name)


def test_what_was_left_open_goes_when_the_same_is_built_and_not_before() -> None:
    left = identity_of_a_dead_process("s3-lb.gateways", kept="rootfs")
    assert not is_dead(left)
    assert is_replaced(left, {"rootfs/s3-lb.gateways", "container/traefik"})
    assert not is_replaced(left, {"vm/s3-lb.gateways", "rootfs/gateways", "container/s3-lb.gateways"})


def test_what_another_smie_may_still_leave_open_is_not_touched() -> None:
    assert not is_replaced(identity("traefik", kept="container"), {"container/traefik"})
    assert not is_replaced(identity_of_a_dead_process("traefik"), {"container/traefik"})
    assert not is_replaced("kept-container", {"container/traefik"}) and not is_replaced("", {"container/"})


def test_our_own_builds_are_known_as_ours() -> None:
    assert is_ours(identity("traefik")) and is_ours(identity("traefik", kept="vm"))
    assert not is_ours(identity_of_a_dead_process())


def test_a_scratch_folder_of_what_may_be_left_open_goes_too() -> None:
    with scratch(identity("traefik", kept="container")) as folder:
        assert "kept" not in folder.name and len(folder.name) < 60
    assert not folder.exists()
