"""Hosts whose root file system is written to a slot of their disk: one emulated machine with UEFI firmware, whose disk
and firmware variables last. The tests run in the order of the file; each leaves the machine as a deploy left it.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.lab.programs import free_port
from tests.lab.slots import Slotted, slotted

pytestmark = pytest.mark.long
BACK_WITHIN = 600.0  # seconds, for a slot that has to be waited for and a boot under emulation


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slotted]:
    with slotted(tmp_path_factory.mktemp("slots"), free_port()) as made:
        yield made


def acts(place: Slotted) -> list[str]:
    """But for the cluster step, which each new life of a node is owed."""
    return [step["act"] for step in place.seter("plan", "--json").json()["steps"] if step["act"] != "cluster"]


def serves_again(place: Slotted) -> bool:
    """All that ran before its power was cut starts by itself."""
    end = time.monotonic() + 60
    while found := acts(place):
        if time.monotonic() > end:
            raise AssertionError(found)
        time.sleep(2)
    return True


def await_slot(place: Slotted, slot: str) -> None:
    """By itself, past seter."""
    end = time.monotonic() + BACK_WITHIN
    while True:
        try:
            if place.slot()[0] == slot:
                return
        except (AssertionError, subprocess.TimeoutExpired):  # it is between two boots
            assert time.monotonic() < end, f"slot {slot} does not come back"
        assert time.monotonic() < end, f"slot {slot} does not come back"
        time.sleep(2)


def until(process: subprocess.Popen[str], text: str) -> None:
    """A line of what it says on the way has this."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if text in line:
            return
    raise AssertionError("".join(said))


def same(place: Slotted) -> str:
    """What outlives a change of slots."""
    return place.run("cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub; cat /var/lib/seter/web/mine; id -un")


def test_a_machine_that_was_written_by_hand_becomes_a_node(place: Slotted) -> None:
    place.seter("trust", "--yes")
    place.seter("deploy", "--yes")
    assert place.slot() == ("b", "1")
    assert "no change" in place.seter("deploy", "--yes").out
    assert "hello" in place.run("curl -s http://127.0.0.1/index.html")
    place.run("mkdir -p /var/lib/seter/web; echo kept >/var/lib/seter/web/mine")


def test_another_artefact_is_written_to_the_other_slot_booted_once_and_kept(place: Slotted) -> None:
    before = same(place)
    place.build("good", 2)
    plan = place.seter("plan", "--json").json()
    assert "will be written to slot a and rebooted" in plan["steps"][0]["reason"]
    place.seter("deploy", "--yes")
    assert place.slot() == ("a", "2") and same(place) == before
    assert "no change" in place.seter("deploy", "--yes").out
    assert "a.conf" in place.run("bootctl list --json=short | tr '{' '\\n' | grep '\"isDefault\":true'")
    place.off()
    place.on()
    assert place.slot() == ("a", "2") and serves_again(place)


def test_a_slot_whose_root_does_not_start_is_left_by_the_kernel_and_all_is_as_before(place: Slotted) -> None:
    place.build("dead", 3)
    ended = place.seter("deploy", "--yes", code=6)
    assert "did not come up in the slot that was written" in ended.err, ended.err
    assert place.slot() == ("a", "2")
    assert "hello" in place.run("curl -s http://127.0.0.1/index.html")
    assert acts(place)[0] == "write slot"


def test_a_slot_that_nobody_can_reach_is_left_by_its_timer(place: Slotted) -> None:
    place.build("deaf", 4)
    ended = place.seter("deploy", "--yes", code=6)
    assert "did not come up in the slot that was written" in ended.err, ended.err
    assert place.slot() == ("a", "2")


def test_a_healthy_slot_that_nobody_confirms_is_left_and_the_next_deploy_finishes(place: Slotted) -> None:
    place.build("good", 5)
    with place.deploying() as process:
        until(process, "boots its other slot if it hears nothing")
        process.kill()
    assert place.slot() == ("b", "5")
    await_slot(place, "a")
    assert "write slot" in acts(place)
    place.seter("deploy", "--yes")
    assert place.slot() == ("b", "5") and acts(place) == []


def test_power_that_is_cut_while_a_slot_is_written_costs_nothing_but_the_time(place: Slotted) -> None:
    place.build("good", 6)
    with place.deploying() as process:
        until(process, "writing rootfs/")
        time.sleep(8)
        place.off()
        process.wait(300)
    place.on()
    assert place.slot() == ("b", "5")
    assert "hello" in place.run("curl -s http://127.0.0.1/index.html")
    place.seter("deploy", "--yes")
    assert place.slot() == ("a", "6") and acts(place) == []


def test_power_that_is_cut_before_a_slot_is_confirmed_boots_the_one_of_before(place: Slotted) -> None:
    place.build("good", 7)
    with place.deploying() as process:
        until(process, "boots its other slot if it hears nothing")
        place.off()
        process.wait(900)
    place.on()
    assert place.slot() == ("a", "6")
    place.seter("deploy", "--yes")
    assert place.slot() == ("b", "7") and acts(place) == []


def test_an_earlier_run_is_gone_back_to_by_its_own_artefact(place: Slotted) -> None:
    runs = [run["number"] for run in place.seter("history", "--json").json() if run["result"] == "done"]
    place.seter("rollback", str(sorted(runs)[-2]), "--yes")
    assert place.slot() == ("a", "6")
