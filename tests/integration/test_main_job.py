"""The main job on real components: build, deploy, change, kill, break, take away. One deployment serves all tests here.

The tests run in the order of the file; each leaves the deployment as it found it.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from common.system import Deployment
from seter.history import History, Run
from seter.keep import open_keep
from tests.conftest import ROOT, Running, Tools
from tests.lab.small import deployment, docker


def test_a_second_build_finds_nothing_to_do(built: Tools) -> None:
    plan = built("smie", "plan", "s3-lb", "--exit-code", "--json").json()
    assert plan
    built("smie", "build", "s3-lb")


def test_every_artefact_says_what_it_is_and_what_it_was_made_from(built: Tools) -> None:
    shown = built("naust", "show", "container/traefik", "--json").json()
    assert shown["kind"] == "container"
    assert shown["uri"].startswith("file://")
    assert shown["version"] == "3.7.15"
    assert shown["digest"].startswith("sha256:")
    assert {"name", "created", "size", "revision", "inputs"} <= shown.keys()


def test_the_first_deploy_bootstraps_and_all_checks_hold(running: Running) -> None:
    found = running.seter("verify", "--json").json()
    assert found
    assert all(each["verdict"]["ok"] for each in found)


def test_a_second_deploy_says_so_and_touches_nothing(running: Running) -> None:
    before = running.containers()
    assert "no change" in running.seter("deploy", "--yes").out
    assert running.containers() == before


def test_routers_have_three_next_hops_for_both_families_in_their_kernels(running: Running) -> None:
    for router in ("rt1", "rt2"):
        for family, address in (("-4", "192.0.2.10"), ("-6", "2001:db8::10")):
            words = (router, "bird-router", "--", "ip", family, "-json", "route", "show", address)
            routes = json.loads(running.seter("exec", *words).out)
            assert sum(len(route.get("nexthops", [1])) for route in routes) == 3


def test_the_router_spreads_by_flow(running: Running) -> None:
    words = ("rt1", "bird-router", "--", "cat", "/proc/sys/net/ipv4/fib_multipath_hash_policy")
    assert running.seter("exec", *words).out.strip() in (
        "1",
        "3",
    )  # ports count: ip-sysctl.rst, fib_multipath_hash_policy


def test_the_session_is_watched_by_bfd_and_fails_within_300_ms(running: Running) -> None:
    words = ("gw1", "bird-gateway", "--", "birdc", "-s", "/run/bird/bird.ctl", "show", "bfd", "sessions")
    sessions = [line.split() for line in running.seter("exec", *words).out.splitlines() if " Up " in line]
    assert len(sessions) >= 2
    assert all(float(line[-1]) <= 0.3 for line in sessions)


def test_nobody_without_a_certificate_reads_the_cluster(running: Running) -> None:
    words = ("gw1", "etcd", "--", "curl", "-sk", "--max-time", "3", "https://127.0.0.1:2379/version")
    assert running.seter("exec", *words, code=None).code != 0


def test_a_restarted_router_daemon_announces_nothing_until_the_node_serves(running: Running) -> None:
    """Stop RadosGW everywhere, restart BIRD on gw2: its protocols stay down. Start again: they come up."""
    names = [f"s3-lb.container.{running.instance}.{node}.radosgw" for node in ("gw1", "gw2", "gw3")]
    bird = f"s3-lb.container.{running.instance}.gw2.bird-gateway"
    running.docker("kill", *names)
    running.docker("restart", "--time", "1", bird)
    time.sleep(4)
    assert " up " not in static_protocols(running, "gw2")
    running.docker("start", *names)
    running.seter("verify")
    deadline = time.monotonic() + 20
    while " up " not in static_protocols(running, "gw2"):
        assert time.monotonic() < deadline
        time.sleep(0.5)


def static_protocols(running: Running, node: str) -> str:
    words = (node, "bird-gateway", "--", "birdc", "-s", "/run/bird/bird.ctl", "show", "protocols")
    lines = running.seter("exec", *words).out.splitlines()
    return "\n".join(line for line in lines if line.startswith("vip"))


@pytest.fixture
def systems(tmp_path: Path) -> Path:
    """A copy of the definitions, to be changed."""
    return Path(shutil.copytree(ROOT / "systems", tmp_path / "systems"))


@pytest.fixture
def later(systems: Path) -> Path:
    """Definitions in which one node has another parameter."""
    file = systems / "s3-lb" / "targets" / "container.hcl"
    text = file.read_text()
    changed = text.replace(
        'node "gw2" {\n', 'node "gw2" {\n      parameters {\n        longest_upload = "11h"\n      }\n'
    )
    assert changed != text
    file.write_text(changed)
    return systems


def test_a_changed_parameter_of_one_role_is_planned_only_for_what_it_concerns(running: Running, later: Path) -> None:
    """That a deploy touches what was planned and nothing else, test_seter.py sees on a smaller system."""
    before = running.containers()
    plan = running.seter("plan", "--systems", str(later), "--json").json()
    assert {(step["node"], step["role"]) for step in plan["steps"] if step["role"]} == {("gw2", "traefik")}
    assert running.containers() == before


@pytest.mark.long
def test_a_changed_parameter_of_one_role_touches_only_what_it_concerns(running: Running, later: Path) -> None:
    before = running.containers()
    running.seter("deploy", "--yes", "--systems", str(later))
    after = running.containers()
    changed_names = {name for name in before if before[name] != after.get(name)}
    assert changed_names == {f"s3-lb.container.{running.instance}.gw2.traefik"}
    running.seter("deploy", "--yes")


def test_a_node_that_a_cut_deploy_left_withdrawn_is_let_in_by_the_next(running: Running) -> None:
    """What a kill -9 between `withdraw` and `admit` leaves: the agent's memory of it, and a run without an end."""
    keep = open_keep(Deployment("s3-lb", "container", running.instance), str(ROOT / ".seter"))
    running.seter("exec", "gw1", "health", "--", "/usr/local/lib/seter/health", "withdraw")
    History(keep).begin(Run(str(keep.deployment), "deploy", {}), {})
    before = running.containers()
    running.seter("deploy", "--yes")
    assert " up " in static_protocols(running, "gw1")
    assert running.containers() == before
    running.seter("verify")


def test_a_foreign_container_with_our_name_is_never_touched(built: Tools) -> None:
    name = "s3-lb.container.foreign.gw1"
    image = subprocess.run(
        ["docker", "images", "--quiet", "naust/debian-13"], capture_output=True, text=True, check=True
    ).stdout.split()[0]
    made = subprocess.run(
        ["docker", "create", "--name", name, image, "true"], capture_output=True, text=True, check=True
    )
    try:
        words = ("deploy", "s3-lb", "--target", "container", "--instance", "foreign", "--yes")
        ended = built("seter", *words, code=7)
        assert name in ended.err
        listed = subprocess.run(
            ["docker", "ps", "--all", "--quiet", "--no-trunc", "--filter", "name=s3-lb.container.foreign"],
            capture_output=True, text=True, check=True,
        ).stdout.split()  # fmt: skip
        assert listed == [made.stdout.strip()]
    finally:
        subprocess.run(["docker", "rm", "--force", name], capture_output=True, check=True)
        built("seter", "destroy", "s3-lb", "--target", "container", "--instance", "foreign", "--yes", code=None)


def test_a_damaged_artefact_is_refused_before_anything_is_touched(built: Tools, tmp_path: Path) -> None:
    store = Path(shutil.copytree(ROOT / ".naust", tmp_path / "store", copy_function=link_blobs))
    where = ("--store", f"file://{store}")
    push_unseen(built, tmp_path.name, where)
    damage(store, built("naust", "show", "container/odd", "--json", *where).json()["parts"][-1]["digest"])
    ended = built("naust", "pull", "container/odd", f"oci:{tmp_path / 'out'}", *where, code=8)
    assert "odd" in ended.err
    with deployment(built, tmp_path, f"damaged-{os.getpid()}") as small:
        small.edit("small/system.hcl", 'role "web" {\n      artifact = "container/debian-13"', ODD)
        ended = small.seter("deploy", "--yes", *where, code=8)
        assert "odd" in ended.err
        assert small.containers() == {}


ODD = 'role "web" {\n      artifact = "container/odd"'


def push_unseen(tools: Tools, name: str, where: tuple[str, str]) -> None:
    """An artefact of an image that the engine does not have; its last part is a layer of its own."""
    base = docker("images", "--quiet", "naust/debian-13").split()[0]
    image = f"odd-{os.getpid()}:{name.lower()}"
    made = docker("create", base, "true")
    try:
        subprocess.run(["docker", "cp", "-", f"{made}:/srv"], input=one_file(name), check=True, timeout=60)
        docker("commit", made, image)
        tools("naust", "push", f"docker:{image}", "container/odd:1", *where)
    finally:
        docker("rm", "--force", made)
        subprocess.run(["docker", "rmi", "--force", image], capture_output=True, check=True, timeout=60)


def one_file(text: str) -> bytes:
    """A tar."""
    packed, content = io.BytesIO(), text.encode() * 100
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("odd")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def link_blobs(source: str, target: str) -> str:
    """Blobs never change, so a link will do; everything else is copied."""
    if "/blobs/" in source:
        Path(target).hardlink_to(source)
        return target
    return str(shutil.copy2(source, target))


def damage(store: Path, digest: str) -> None:
    """Turn one bit in the middle of a blob, without touching what it is a link to."""
    blob = next(path for path in store.rglob(digest.removeprefix("sha256:")) if path.is_file())
    content = bytearray(blob.read_bytes())
    content[len(content) // 2] ^= 1
    blob.unlink()
    blob.write_bytes(content)


@pytest.mark.long
def test_two_deployments_stand_side_by_side_and_a_killed_deploy_is_finished_by_the_next(running: Running) -> None:
    other = Running(running.tools, f"{running.instance}-b")
    before = running.containers()
    try:
        process = subprocess.Popen(
            [str(ROOT / ".venv/bin/seter"), "deploy", "s3-lb", "--target", "container", "--instance", other.instance,
             "--yes"],
            cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for_containers(other, 12)
        process.send_signal(signal.SIGKILL)
        process.wait()
        other.seter("deploy", "--yes")
        assert "no change" in other.seter("deploy", "--yes").out
        other.seter("verify")
        assert running.containers() == before
    finally:
        other.seter("destroy", "--yes", "--forget", code=None)
    assert other.containers() == {}
    running.seter("verify")


def wait_for_containers(running: Running, count: int) -> None:
    deadline = time.monotonic() + 120
    while len(running.containers()) < count:
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.long
def test_a_gateway_that_dies_under_load_costs_at_most_a_second(running: Running) -> None:
    proof = running.seter("prove", "--json").json()
    assert proof["held"], proof
    assert proof["outage_seconds"] <= 1.0
    running.seter("verify")
