"""One deployment on two Docker engines: the machine's, and one in a network of its own that a wire leads to.

The tests run in the order of the file on one deployment, whose second engine is reached in three ways.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from seter.certificates import Pair, make_authority, make_certificate
from tests.conftest import Tools
from tests.lab.engines import Engine, Wire
from tests.lab.hosts import hosts
from tests.lab.small import Small, deployment

HERE, THERE, DOOR, INNER = (f"{name}{os.getpid() % 100000}" for name in ("swa", "swb", "sda", "sdb"))
NODES = {"servers": {"w1": "", "w2": "far"}, "extra": {"x1": "far"}}
LOST_WITHIN = 60.0  # seconds that an engine which is gone may hold a look up


@dataclass(frozen=True)
class Two:
    """The small system on two engines. `address` is the second one's."""

    small: Small
    far: Engine
    pairs: Path
    address: str

    def point(self, url: str, *more: str, known: bool = True) -> None:
        """Write the target."""
        pair = [f'    {name} = "{self.pairs / name}.pem"' for name in ("ca", "cert", "key")]
        lines = ['target "container" {', '  kind = "container"', '  image = "debian-13"', "  experiments = true"]
        lines += ['  engine "far" {', f'    url = "{url}"', *(pair if url.startswith("tcp:") else []), *more]
        lines += ['    parent "front" {', f'      interface = "{THERE}"', "    }", "  }"]
        lines += ['  network "front" {', f'    parent = "{HERE}"', "  }"]
        for group, nodes in NODES.items():
            lines.append(f'  nodes "{group}" {{')
            for node, engine in nodes.items():
                on = [f'      engine = "{engine}"'] if engine else []
                lines += [f'    node "{node}" {{', '      networks = ["front"]', *on, "    }"]
            lines.append("  }")
        (self.small.folder / "systems/small/targets/container.hcl").write_text("\n".join([*lines, "}"]) + "\n")

    @property
    def tcp(self) -> str:
        return f"tcp://{self.address}:2376"

    def running(self, engine: str = "") -> set[str]:
        """Names of the deployment's containers on an engine, without prefix."""
        where = ["--host", engine] if engine else []
        label = f"label=seter.deployment=small/container/{self.small.instance}"
        argv = ["docker", *where, "ps", "--filter", label, "--format", "{{.Names}}"]
        names = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout.split()
        return {name.removeprefix(f"{self.small.prefix}.") for name in names}

    def page(self, node: str, of: str) -> str:
        """What one node gets from another one."""
        code = f"import urllib.request as u; print(u.urlopen('http://{self.addresses()[of]}/index.html').read())"
        return self.small.seter("exec", node, "web", "--", "python3", "-c", code).out

    def addresses(self) -> dict[str, str]:
        found = {}
        for node in ("w1", "w2", "x1"):
            shown = self.small.seter("exec", node, "web", "--", "ip", "-4", "-brief", "address", "show", "eth0").out
            found[node] = shown.split()[2].partition("/")[0]
        return found

    def states(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for row in self.small.seter("status", "--json").json()["roles"]:
            found.setdefault(row["node"], set()).add(row["state"])
        return found


@pytest.fixture(scope="module")
def two(built: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    pairs = tmp_path_factory.mktemp("pairs")
    number = os.getpid() % 120 * 2
    doors = f"10.255.{os.getpid() % 250}.{number}/31"
    address = f"10.255.{os.getpid() % 250}.{number + 1}"
    authority = make_authority("engines of a test")
    write(pairs, "server", make_certificate(authority, "far", ["far", address]))
    write(pairs, "", make_certificate(authority, "operator", ["operator"]))
    (pairs / "ca.pem").write_text(authority.certificate)
    options = (
        "--host=tcp://0.0.0.0:2376", "--tlsverify", f"--tlscacert={pairs / 'ca.pem'}",
        f"--tlscert={pairs / 'servercert.pem'}", f"--tlskey={pairs / 'serverkey.pem'}",
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="e-") as folder:
        engine = Engine(Path(folder) / "e", options, (Wire(DOOR, INNER, doors), Wire(HERE, THERE)))
        with engine, deployment(built, tmp_path_factory.mktemp("engines"), f"e{os.getpid()}") as small:
            made = Two(small, engine, pairs, address)
            made.point(made.tcp)
            small.seter("deploy", "--yes")
            yield made


def write(folder: Path, name: str, pair: Pair) -> None:
    (folder / f"{name}cert.pem").write_text(pair.certificate)
    (folder / f"{name}key.pem").write_text(pair.key)
    (folder / f"{name}key.pem").chmod(0o600)


def test_nodes_of_one_network_on_two_engines_reach_each_other(two: Two) -> None:
    assert {name.partition(".")[0] for name in two.running()} == {"w1"}
    assert {name.partition(".")[0] for name in two.running(two.far.host)} == {"w2", "x1"}
    assert "w2 says hello" in two.page("w1", "w2")
    assert "w1 says hello" in two.page("w2", "w1")
    assert len(set(two.addresses().values())) == 3
    assert "no change" in two.small.seter("deploy", "--yes").out
    two.small.seter("verify")


def test_doctor_asks_each_engine(two: Two) -> None:
    found = two.small.seter("doctor", "--json").json()["findings"]
    assert {each["subject"] for each in found if each["what"] == "Docker"} == {"engine", "far"}
    assert ("here", "key for far", "ok") in {(each["subject"], each["what"], each["state"]) for each in found}


@pytest.mark.long
def test_an_engine_takes_no_client_with_another_s_certificate_and_hides_no_other(two: Two) -> None:
    right = {name: (two.pairs / name).read_text() for name in ("cert.pem", "key.pem")}
    write(two.pairs, "", make_certificate(make_authority("somebody else"), "operator", ["operator"]))
    try:
        states = two.states()
        assert states.pop("w1") == {"done", "running"} and set(map(frozenset, states.values())) == {
            frozenset({"unknown"})
        }
        refused = two.small.seter("deploy", "--yes", code=5)
        assert "container on far" in refused.err and "Nothing was changed" in refused.err
    finally:
        for name, text in right.items():
            (two.pairs / name).write_text(text)


@pytest.mark.long
def test_a_change_goes_over_both_and_one_that_fails_goes_back_on_both(two: Two) -> None:
    small = two.small
    small.edit("small/system.hcl", 'greeting = "hello"', 'greeting = "both"')
    small.seter("deploy", "--yes")
    assert "w2 says both" in two.page("w1", "w2") and "w1 says both" in two.page("w2", "w1")
    small.edit("small/system.hcl", 'greeting = "both"', 'greeting = "hello"')
    small.edit("roles/web/role.hcl", '"grep", "-q", "says"', '"grep", "-q", "w1 says"')  # holds on the canary alone
    failed = small.seter("deploy", "--yes", "--only", "servers", code=6)
    assert "put back" in failed.err and "w2" in failed.err
    small.edit("roles/web/role.hcl", '"grep", "-q", "w1 says"', '"grep", "-q", "says"')
    assert "w2 says both" in two.page("w1", "w2") and "w1 says both" in two.page("w2", "w1")
    small.seter("deploy", "--yes")
    assert "w2 says hello" in two.page("w1", "w2")


@pytest.mark.long
def test_a_node_on_the_far_engine_is_read_and_rebooted_like_any_other(two: Two) -> None:
    small = two.small
    small.seter("reboot", "w2", "--yes")
    assert "w2 says hello" in two.page("w1", "w2")
    assert "GET /index.html" in small.seter("logs", "w2", "web").out
    small.seter("verify")


@pytest.mark.long
def test_a_node_does_not_move_between_engines_by_the_way(two: Two) -> None:
    target = two.small.folder / "systems/small/targets/container.hcl"
    text = target.read_text()
    target.write_text(text.replace('node "w1" {\n', 'node "w1" {\n      engine = "far"\n'))
    try:
        refused = two.small.seter("plan", code=7)
        assert "w1 is on container, and the target has it on container on far" in refused.err
    finally:
        target.write_text(text)


@pytest.mark.long
def test_over_ssh_the_same_engine_is_the_same_once_its_key_is_known(two: Two, tmp_path: Path) -> None:
    """The machine that it is reached over has the engine's socket and a real SSH server."""
    small = two.small
    with hosts(tmp_path, {"door": ("door",)}, only_ssh=True, binds=[f"{two.far.folder}:/engine"]) as lab:
        url = f"ssh://root@{lab['door'].address}/engine/docker.sock"
        two.point(url)
        target = small.folder / "systems/small/targets/container.hcl"
        target.write_text(target.read_text().replace("{\n", f'{{\n  identity_file = "{lab.key}"\n', 1))
        assert two.states()["w2"] == {"unknown"}
        shown = small.seter("trust", "--yes", "--json").json()
        assert [each["key"] for each in shown] == [" ".join(lab["door"].key.split()[:2])]
        assert "no change" in small.seter("deploy", "--yes").out
        small.edit("small/system.hcl", 'greeting = "hello"', 'greeting = "tunnel"')
        small.seter("deploy", "--yes")
        assert "w2 says tunnel" in two.page("w1", "w2")
        nothing_left()
        cut = small.start("logs", "w2", "web", "--follow")
        time.sleep(4)
        cut.kill()
        cut.wait()
        nothing_left()


def nothing_left() -> None:
    """No ssh(1) that carries a socket outlives the run that began it."""
    end = time.monotonic() + 10
    while (left := subprocess.run(["pgrep", "-af", "ssh -F .*engines/far"], capture_output=True, text=True)).stdout:
        assert time.monotonic() < end, left.stdout
        time.sleep(0.2)


@contextmanager
def cut() -> Iterator[None]:
    """The way to the second engine is gone; what runs there runs on."""
    subprocess.run(["ip", "link", "set", DOOR, "down"], check=True)
    try:
        yield
    finally:
        subprocess.run(["ip", "link", "set", DOOR, "up"], check=True)


@pytest.mark.long
def test_an_engine_that_is_lost_is_said_of_its_nodes_and_the_others_keep_their_addresses(two: Two) -> None:
    two.point(two.tcp)
    before = two.addresses()
    with cut():
        begun = time.monotonic()
        assert two.states() == {"w1": {"done", "running"}, "w2": {"unknown"}, "x1": {"unknown"}}
        assert time.monotonic() - begun < LOST_WITHIN
        assert two.small.steps() == set()  # w1's files name its peers by the addresses that they had
    assert "no change" in two.small.seter("deploy", "--yes").out
    assert two.addresses() == before


def test_what_is_taken_down_is_found_without_definitions_and_what_is_lost_later(two: Two) -> None:
    """By what the deployment's folder remembers of engines."""
    (two.small.folder / "systems/small/targets/container.hcl").unlink()
    with cut():
        lost = two.small.seter("destroy", "--yes", code=4)
        assert "container on far" in lost.err and two.running() == set()
    two.small.seter("destroy", "--yes")
    for where in ((), ("--host", two.far.host)):
        for listing in (("ps", "--all", "--format", "{{.Names}}"), ("network", "ls", "--format", "{{.Name}}")):
            left = subprocess.run(["docker", *where, *listing], capture_output=True, text=True, check=True).stdout
            assert two.small.prefix not in left
