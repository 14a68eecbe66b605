"""What hosts are installed from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from common.errors import BadInput, Conflict, Error, Unavailable
from common.model import Digest, Kind
from common.role import Check, Process, Role, RoleType
from common.run import CommandFailed, Result
from common.system import Deployment, Node, System, Target
from seter.blueprint import Blueprint, Seat
from seter.provisioner.hosts import commands
from seter.software import Software, programs_of, resolve_all

PROCESS = Process(("/usr/bin/python3", "/usr/local/lib/seter/web"))
ROLE = Role("web", RoleType.SERVICE, "", Path(), process=PROCESS, checks=(Check("c", command=("/usr/bin/curl", "x")),))
FINGERPRINT = Digest.of(b"recipe")


class Answering(Software):
    """As smie answers, without it."""

    __slots__ = ()

    def fingerprints(self, names: object) -> dict[str, tuple[str, Digest]]:
        assert names == ("web", "small.servers")
        return dict.fromkeys(("web", "small.servers"), ("1.0+ds~1", FINGERPRINT))


def blueprint(artifact: str) -> Blueprint:
    node = Node("n1", "servers", "10.0.0.1")
    target = Target("metal", "baremetal", (node,), Path())
    seat = Seat(node, ROLE, {}, artifact)
    return Blueprint(Deployment("small", "metal"), System("small", "", Path(), ()), target, (seat,), Path())


def test_the_artefact_of_a_role_is_the_fingerprint_of_its_recipe() -> None:
    found = resolve_all(blueprint("rootfs/web"), Answering(Path(), None))["rootfs/web"]
    assert found.artifact.digest == FINGERPRINT and found.manifest is None
    assert str(found.artifact.reference) == f"{Kind.ROOTFS}/web:1.0_ds_1"


def test_an_image_cannot_be_installed_on_a_host() -> None:
    with pytest.raises(BadInput, match="container/web:1 cannot be installed on the host n1"):
        resolve_all(blueprint("container/web:1"), Answering(Path(), None))


def test_an_earlier_run_s_software_is_only_had_while_its_packages_are_the_same() -> None:
    wanted, now = blueprint("rootfs/web"), Answering(Path(), None)
    assert resolve_all(wanted, now, {"rootfs/web": f"rootfs/web@{FINGERPRINT}"}).keys() == {"rootfs/web"}
    with pytest.raises(Conflict, match="cannot be had again: 1 roles") as error:
        resolve_all(wanted, now, {"rootfs/web": f"rootfs/web@{Digest.of(b'older')}"})
    assert "rootfs/web" in error.value.details


def test_programs_of_a_role_are_those_that_its_commands_name() -> None:
    assert programs_of({"web": commands(ROLE)}) == {
        "web": ("/usr/bin/curl", "/usr/bin/python3", "/usr/local/lib/seter/web")
    }


@pytest.mark.parametrize(("code", "kind"), [(2, BadInput), (9, Unavailable), (1, Error)])
def test_what_smie_says_is_said_as_it_says_it(monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Error]) -> None:
    called: list[tuple[str, ...]] = []

    def run(argv: list[str], **more: object) -> Result:
        called.append(tuple(argv))
        raise CommandFailed(argv, Result(code, "", "  1.0s  plans\nerror: no such package\nMend it."))

    monkeypatch.setattr("seter.software.run", run)
    with pytest.raises(kind) as error:
        Software(Path("/s"), "/store", "snap").fingerprints(["web"])
    assert type(error.value) is kind and error.value.message == "smie plan: no such package"
    argv = ("plan", "web", "--kind", "rootfs", "--json", "--systems", "/s", "--store", "/store", "--snapshot", "snap")
    assert called[0][5:] == argv and called[0][4].endswith("/smie")
    assert f"smie {' '.join(argv)}" in error.value.resolution


def test_fingerprints_are_read_from_smie_s_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"artifact": "rootfs/web", "version": "1", "made_from": str(FINGERPRINT)}
    monkeypatch.setattr("seter.software.run", lambda *argv, **more: Result(0, json.dumps([row]), ""))
    assert Software(Path("/s"), None).fingerprints(["web"]) == {"web": ("1", FINGERPRINT)}
