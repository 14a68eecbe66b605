"""One deployment of two kinds: a host with systemd, and containers on another engine, on one wire.

The tests run in the order of the file on one deployment; each leaves it as it found it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from seter.provisioner.subnets import address
from tests.conftest import ROOT, Ended, Tools
from tests.lab.engines import Engine, Wire
from tests.lab.hosts import USER, Hosts, hosts
from tests.lab.small_on_hosts import SMALL, definitions, node

pytestmark = pytest.mark.long

HERE, THERE = (f"{name}{os.getpid() % 100000}" for name in ("sma", "smb"))
NUMBERS = {"w2": 60, "x1": 61}  # host parts of the containers' addresses
LOST_WITHIN = 60.0  # seconds


@dataclass(frozen=True)
class Mixed:
    """The small system: w1 is a host, w2 and x1 are containers."""

    tools: Tools
    folder: Path
    lab: Hosts
    far: Engine

    def seter(self, verb: str, *words: str, code: int | None = 0) -> Ended:
        return self.tools("seter", verb, "small", "--target", "mixed", *words, code=code)

    def edit(self, file: str, before: str, after: str) -> None:
        path = self.folder / "definitions" / file
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after, 1))

    def address(self, name: str) -> str:
        return address(self.lab.networks["front"].v4, NUMBERS[name]) if name in NUMBERS else self.lab[name].address

    def page(self, of: str) -> str:
        """What w1, the host, gets from a node."""
        return self.lab["w1"].run("curl", "-s", "--max-time", "5", f"http://{self.address(of)}/index.html")

    def states(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for row in self.seter("status", "--json").json()["roles"]:
            found.setdefault(row["node"], set()).add(row["state"])
        return found

    def write(self) -> None:
        front = self.lab.networks["front"]
        lines = ['target "mixed" {', '  kind = "baremetal"', f'  user = "{USER}"', '  image = "debian-13"']
        lines += [f'  identity_file = "{self.lab.key}"', '  engine "far" {', f'    url = "{self.far.host}"', "  }"]
        lines += ['  network "front" {', f'    prefix = "{front.v4}"', f'    prefix6 = "{front.v6}"']
        lines += [f'    parent = "{THERE}"', "  }", '  nodes "servers" {']
        lines += [f"    {line}" for line in node(self.lab["w1"], pinned=True)]
        for name, group in (("w2", ""), ("x1", "extra")):
            lines += ["  }", f'  nodes "{group}" {{'] if group else []
            lines += [f'    node "{name}" {{', '      kind = "container"', '      engine = "far"']
            lines += ['      networks = ["front"]', f'      address = "{self.address(name)}"']
            lines += [f'      address6 = "{address(front.v6, NUMBERS[name])}"', "    }"]
        (self.folder / "definitions/small/targets/mixed.hcl").write_text("\n".join([*lines, "  }", "}"]) + "\n")


@pytest.fixture(scope="module")
def mixed(built: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mixed]:
    folder = tmp_path_factory.mktemp("mixed")
    systems = definitions(folder)
    shutil.copyfile(SMALL / "small" / "system.hcl", systems / "small" / "system.hcl")  # its artefacts are containers'
    env = {
        "SETER_SYSTEMS": str(systems),
        "SETER_STATE": str(folder / "state"),
        "SETER_IDENTITY": str(folder / "identity"),
    }
    with (
        tempfile.TemporaryDirectory(prefix="e-") as place,
        Engine(Path(place) / "e", wires=(Wire(HERE, THERE),)) as far,
        hosts(folder, {"w1": ("front",)}) as lab,
    ):
        join(lab)
        made = Mixed(Tools(ROOT, env), folder, lab, far)
        made.write()
        try:
            yield made
        finally:
            made.seter("destroy", "--yes", "--forget", code=None)


def join(lab: Hosts) -> None:
    """The wire's end here is a port of the bridge that the host is on."""
    argv = ["docker", "network", "inspect", f"{lab.prefix}.front", "--format", "{{.Id}}"]
    network = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()
    subprocess.run(["ip", "link", "set", HERE, "master", f"br-{network[:12]}"], check=True)


def test_a_host_and_containers_are_one_deployment(mixed: Mixed) -> None:
    mixed.seter("deploy", "--yes")
    assert "no change" in mixed.seter("deploy", "--yes").out
    assert mixed.states() == {name: {"done", "running"} for name in ("w1", "w2", "x1")}
    assert "w1 says hello" in mixed.page("w1") and "w2 says hello" in mixed.page("w2")
    artifacts = {row["node"]: row["artifact"] for row in mixed.seter("status", "--json").json()["roles"]}
    assert artifacts["w1"].startswith("rootfs/") and artifacts["w2"].startswith("container/")
    mixed.seter("verify")


def test_a_change_is_rolled_out_over_both_and_one_that_fails_goes_back_on_both(mixed: Mixed) -> None:
    mixed.edit("small/system.hcl", 'greeting = "hello"', 'greeting = "both"')
    mixed.seter("deploy", "--yes")
    assert "w1 says both" in mixed.page("w1") and "w2 says both" in mixed.page("w2")
    mixed.edit("small/system.hcl", 'greeting = "both"', 'greeting = "bad"')
    mixed.edit("roles/web/role.hcl", '"grep", "-q", "says"', '"grep", "-q", "w1 says"')  # holds on the canary alone
    assert "put back" in mixed.seter("deploy", "--yes", "--only", "servers", code=6).err
    assert "w1 says both" in mixed.page("w1") and "w2 says both" in mixed.page("w2")
    mixed.edit("roles/web/role.hcl", '"grep", "-q", "w1 says"', '"grep", "-q", "says"')
    mixed.edit("small/system.hcl", 'greeting = "bad"', 'greeting = "hello"')
    mixed.seter("deploy", "--yes")
    assert "w1 says hello" in mixed.page("w1") and "w2 says hello" in mixed.page("w2")


def test_an_earlier_run_is_gone_back_to_on_both(mixed: Mixed) -> None:
    runs = [run["number"] for run in mixed.seter("history", "--json").json() if run["result"] == "done"]
    mixed.edit("small/system.hcl", 'greeting = "hello"', 'greeting = "later"')
    mixed.seter("deploy", "--yes")
    mixed.seter("rollback", str(max(runs)), "--yes")
    mixed.edit("small/system.hcl", 'greeting = "later"', 'greeting = "hello"')
    assert "w1 says hello" in mixed.page("w1") and "w2 says hello" in mixed.page("w2")
    assert "no change" in mixed.seter("deploy", "--yes").out


def test_one_kind_s_nodes_that_cannot_be_reached_hide_no_other(mixed: Mixed) -> None:
    host = mixed.lab["w1"]
    host.power("pause")
    try:
        begun = time.monotonic()
        assert mixed.states() == {"w1": {"unknown"}, "w2": {"done", "running"}, "x1": {"done", "running"}}
        assert time.monotonic() - begun < 2 * LOST_WITHIN  # ssh tries again what was dropped
    finally:
        host.power("unpause")
    socket = mixed.far.folder / "docker.sock"
    away = socket.rename(socket.with_suffix(".away"))
    try:
        begun = time.monotonic()
        assert mixed.states() == {"w1": {"done", "running"}, "w2": {"unknown"}, "x1": {"unknown"}}
        assert time.monotonic() - begun < LOST_WITHIN
        assert "w2, x1 cannot be looked at" in mixed.seter("deploy", "--yes", code=5).err
    finally:
        away.rename(socket)
    assert "no change" in mixed.seter("deploy", "--yes").out
    assert "w2 says hello" in mixed.page("w2")


def test_doctor_sees_both(mixed: Mixed) -> None:
    found = mixed.seter("doctor", "--json", code=None).json()["findings"]
    assert {each["subject"] for each in found} >= {"w1", "far"}
    assert [each for each in found if each["state"] == "fail"] == []


def test_both_are_taken_down(mixed: Mixed) -> None:
    mixed.seter("destroy", "--yes")
    assert mixed.lab["w1"].run("sh", "-c", "ls -d /etc/seter 2>/dev/null || true") == ""
    argv = ["docker", "--host", mixed.far.host, "ps", "--all", "--quiet"]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout == ""
