"""What is asked of a host whose root file system is written, in which order, and what is made of its answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from common.errors import BadInput, Error, Unavailable
from common.run import Result
from common.system import Deployment, Node, Rollout, Target
from seter import written
from seter.plan import Act
from seter.provisioner import baremetal
from seter.provisioner.slots import SlotProvisioner
from seter.provisioner.ssh import Ssh
from seter.state import Written
from seter.written import Slots

SYSTEM = Written("sha256:new", "b10b")
ORDER = (("setup", 1), ("web", 2))


@dataclass
class Host(Ssh):
    """Answers as a host does whose slot a was booted first; `answers` has what some verbs say instead."""

    asked: list[tuple[str, ...]] = field(default_factory=list)
    answers: dict[str, Result] = field(default_factory=dict)
    slots: dict[str, str] = field(default_factory=lambda: {"booted": "a", "default": "a", "artifact": "", "before": ""})
    life: int = 1
    away: int = 0  # so many looks after a reboot get no answer
    boots: str = "b"  # what the next boot is of

    def call(self, node: str, program: str, words: Sequence[str], data: bytes = b"", within: Any = None) -> Result:
        verb = words[0]
        if verb == "look":
            if self.away:
                self.away -= 1
                raise Unavailable("no answer", resolution="")
            return Result(0, json.dumps({"identity": f"life {self.life}", "slots": self.slots}), "")
        self.asked.append(tuple(words))
        if verb == "reboot":
            artifact = "sha256:new" if self.boots == "b" else ""
            self.slots = self.slots | {"booted": self.boots, "artifact": artifact}
            self.life, self.away = self.life + 1, 2
            raise Unavailable("the line broke", resolution="")
        return self.answers.get(verb, Result(0, "", ""))

    def send(self, node: str, program: str, words: Sequence[str], data: Iterable[bytes], within: Any = None) -> Result:
        self.asked.append((*words, b"".join(data).decode()))
        return self.answers.get(words[0], Result(0, "", ""))

    def forget(self, node: str) -> None:
        """Nothing is open."""

    @property
    def verbs(self) -> list[str]:
        return [words[0] for words in self.asked]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path, {"m1": "root", "m2": "root"})


@pytest.fixture
def provisioner(host: Host, monkeypatch: pytest.MonkeyPatch) -> SlotProvisioner:
    monkeypatch.setattr(baremetal, "PAUSE", 0.0)
    nodes = (Node("m1", "servers", "10.0.0.1", written=True), Node("m2", "others", "10.0.0.2"))
    target = Target("metal", "baremetal", nodes, Path("metal.hcl"))
    return SlotProvisioner(Deployment("small", "metal"), host, target)


def test_a_slot_is_written_with_what_it_is_and_how_long_it_waits(provisioner: SlotProvisioner, host: Host) -> None:
    provisioner.ready_slot("m1")
    provisioner.write_slot("m1", SYSTEM, iter([b"he", b"llo"]), timedelta(seconds=60))
    assert host.asked == [("slot-ready",), ("slot-write", "sha256:new", "b10b", "120", "60", "hello")]


def test_a_host_that_cannot_be_written_is_told_with_its_reason(provisioner: SlotProvisioner, host: Host) -> None:
    host.answers["slot-ready"] = Result(1, "", "its disk has no partition that is called state\n")
    with pytest.raises(BadInput, match="m1 cannot be written: its disk has no partition"):
        provisioner.ready_slot("m1")


def test_a_slot_on_trial_is_left_before_the_other_one_is_written(provisioner: SlotProvisioner, host: Host) -> None:
    said = iter([Result(0, "trial", ""), Result(0, "", "")])
    host.answers = Answers({"slot-ready": said})
    provisioner.ready_slot("m1")
    assert host.verbs == ["slot-ready", "reboot", "slot-ready"] and host.life == 2


def test_a_host_that_boots_another_slot_than_its_loader_names_is_not_written(
    provisioner: SlotProvisioner, host: Host
) -> None:
    host.answers["slot-ready"] = Result(0, "trial", "")
    with pytest.raises(Error, match="not the one that its boot loader names"):
        provisioner.ready_slot("m1")
    assert host.verbs == ["slot-ready", "reboot", "slot-ready"]


class Answers(dict[str, Result]):
    """Another answer each time."""

    def __init__(self, said: dict[str, Iterator[Result]]) -> None:
        super().__init__()
        self.said = said

    def get(self, verb: str, default: Any = None) -> Any:
        return next(self.said[verb]) if verb in self.said else default


def test_a_host_that_boots_what_was_written_is_told_from_one_that_went_back(
    provisioner: SlotProvisioner, host: Host
) -> None:
    provisioner.boot_slot("m1", SYSTEM, ORDER, keep=True)
    assert host.asked == [("slot-boot", "keep", "setup", "web"), ("reboot",)]
    host.boots = "a"
    with pytest.raises(Error, match="by itself it went back to slot a"):
        provisioner.boot_slot("m1", SYSTEM, ORDER, keep=False)
    assert host.asked[2] == ("slot-boot", "", "setup", "web")


@pytest.mark.parametrize(("said", "reboots"), [("reboots", True), ("here", False), ("", False)])
def test_going_back_boots_the_slot_of_before_where_it_does_not_run(
    provisioner: SlotProvisioner, host: Host, said: str, reboots: bool
) -> None:
    host.answers["slot-back"] = Result(0, said, "")
    assert provisioner.go_back("m1", ORDER) == ()
    middle = ["reboot"] if reboots else []
    assert host.verbs == ["slot-back", *middle, "back"]


def test_of_hosts_that_are_installed_nothing_about_slots_is_asked(provisioner: SlotProvisioner, host: Host) -> None:
    provisioner.go_back("m2", ORDER)
    provisioner.forget("m2")
    assert not provisioner.heard("m2")
    assert host.verbs == ["back", "forget"]
    host.answers["packages"] = Result(0, "curl\t1\tcurl\t1\n", "")
    packages = provisioner.packages("m2")
    assert packages is not None and [each.name for each in packages] == ["curl"]
    assert provisioner.packages("m1") is None


def test_what_can_be_gone_back_to_is_forgotten_in_both_ways(provisioner: SlotProvisioner, host: Host) -> None:
    assert not provisioner.forget("m1")
    host.answers["slot-forget"] = Result(0, "yes", "")
    assert provisioner.forget("m1") and host.verbs == ["slot-forget", "forget"] * 2


def test_software_of_a_written_host_is_looked_at_and_not_installed(provisioner: SlotProvisioner, host: Host) -> None:
    host.slots["artifact"] = "sha256:new"
    provisioner.install("m1", [], lambda event: None)
    assert host.verbs == ["installed"]
    role: Any = SimpleNamespace(name="web")
    with pytest.raises(Error, match="not that which is wanted"):
        provisioner.install("m1", [(role, "sha256:newer")], lambda event: None)


class Asked:
    """Writes down what a roll-out asks of nodes."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        def called(node: Any, *rest: Any, **more: Any) -> None:
            self.calls.append(name)

        return called


class Heard:
    """Who is expected to be told that it is heard."""

    def __init__(self) -> None:
        self.there: set[str] = set()

    def expect(self, node: str) -> None:
        self.there.add(node)

    def expects(self, node: str) -> bool:
        return node in self.there

    def release(self, node: str) -> None:
        self.there.discard(node)


@pytest.mark.parametrize("acts", [{Act.WRITE_SLOT}, {Act.MAKE_NODE, Act.WRITE_SLOT}])
def test_a_node_is_confirmed_only_after_it_was_tried(acts: set[Act], monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def opened(survey: Any, image: Any) -> Iterator[tuple[Written, Iterator[bytes]]]:
        yield SYSTEM, iter([b""])

    monkeypatch.setattr(written, "_opened", opened)
    asked, heard = Asked(), Heard()
    image = SimpleNamespace(artifact=SimpleNamespace(reference="rootfs/small.servers:1"))
    survey: Any = SimpleNamespace(
        provisioner=asked,
        blueprint=SimpleNamespace(seats_of=lambda node: [None], system=SimpleNamespace(rollout=Rollout())),
        image_of=lambda seat: image,
        shapes={"m1": None},
        trees={"m1": None},
    )
    slots = Slots(survey, heard, lambda event: None)
    slots.confirm("m1")
    assert asked.calls == []
    slots.write("m1", acts, ORDER, keep=True)
    first = ["ensure"] if Act.MAKE_NODE in acts else []
    assert asked.calls == ["ready_slot", *first, "write_slot", "boot_slot", "ensure"] and heard.expects("m1")
    slots.confirm("m1")
    slots.confirm("m1")
    assert asked.calls[-2:] == ["ensure", "confirm_slot"] and not heard.expects("m1")
