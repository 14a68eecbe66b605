"""What every provisioner promises, on the real engine. A new kind of target is one more line in PROVISIONERS."""

from __future__ import annotations

import io
import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from common.errors import Conflict, Missing, NotFound
from common.role import Process
from common.system import Deployment
from seter.provisioner import labels
from seter.provisioner.container import ContainerProvisioner
from seter.provisioner.interface import NodeShape, Provisioner
from seter.provisioner.subnets import address
from seter.state import Place, RoleState, Subnets
from seter.tree import File, NodeTree, tree_digest
from tests.conftest import Tools

PROVISIONERS = {"container": ContainerProvisioner}
KEY = b"k" * 32
POOL = "10.213.0.0/16"


@pytest.fixture(scope="module")
def image(built: Tools) -> str:
    """The id of the node image, loaded into the engine."""
    from naust.content.engine import load
    from naust.listing import resolve
    from naust.store import open_store

    store = open_store(str(built.cwd / ".naust"))
    return str(load(store, resolve(store, "container/debian-13")))


@pytest.fixture(params=PROVISIONERS)
def deployment(request: pytest.FixtureRequest) -> Deployment:
    return Deployment("contract", str(request.param), f"t{os.getpid()}")


@pytest.fixture
def provisioner(deployment: Deployment) -> Iterator[Provisioner]:
    made = PROVISIONERS[deployment.target](deployment)
    try:
        yield made
    finally:
        made.destroy()


@pytest.fixture
def nets(provisioner: Provisioner) -> dict[str, Subnets]:
    """Two networks, made."""
    found = {}
    for name in ("one", "two"):
        found[name] = provisioner.free_subnets(name, POOL, 24)
        assert provisioner.ensure_network(name, found[name])
    return found


def tree(text: str = "hello") -> NodeTree:
    files = {"web": (File("index.html", text.encode()),)}
    secrets = {"web": (File("token", b"canary", 0o400, 33),)}
    digests = tree_digest(files), tree_digest(secrets, KEY)
    return NodeTree(files, secrets, *digests, state=(("web", 33),), run=(("web", 33),))


def shape(image: str, nets: dict[str, Subnets], *names: str, digest: str = "shape-1") -> NodeShape:
    networks = tuple((name, address(nets[name].v4, 7), address(nets[name].v6, 7)) for name in names or ("one",))
    sysctls = (("net.ipv4.ip_forward", "0"), ("net.ipv6.conf.all.disable_ipv6", "0"))
    return NodeShape("n1", "group", 1, 7, image, networks, sysctls, digest)


def inside(deployment: Deployment, *argv: str) -> str:
    name = f"{deployment.prefix}.n1"
    return subprocess.run(["docker", "exec", name, *argv], capture_output=True, text=True, check=True).stdout.strip()


def test_a_node_whose_making_was_cut_off_after_it_ran_gets_its_folders_later(
    provisioner: Provisioner, deployment: Deployment, image: str, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(shape(image, nets), tree())
    inside(deployment, "rmdir", "/run/web")  # the last that making a node does, and of which nothing else tells
    provisioner.folders("n1", tree())
    provisioner.folders("n1", tree())
    assert inside(deployment, "stat", "--format=%u %a", "/run/web") == "33 770"


def test_nothing_is_there_at_first(provisioner: Provisioner) -> None:
    seen = provisioner.observe(KEY)
    assert (seen.networks, seen.nodes, seen.places) == ({}, {}, {})


def test_what_was_made_is_observed_as_it_was_wanted(
    provisioner: Provisioner, image: str, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(shape(image, nets, "one", "two"), tree())
    seen = provisioner.observe(KEY)
    node = seen.nodes["n1"]
    assert seen.networks == nets
    assert seen.places == {"n1": Place("group", 1, 7)}
    assert node.running
    assert (node.shape, node.files, node.secrets) == ("shape-1", tree().files_digest, tree().secrets_digest)


def test_twice_is_once(provisioner: Provisioner, image: str, nets: dict[str, Subnets]) -> None:
    provisioner.ensure(shape(image, nets), tree())
    before = provisioner.observe(KEY)
    provisioner.ensure(shape(image, nets), tree())
    assert provisioner.ensure_network("one", nets["one"])
    assert provisioner.observe(KEY) == before


def test_a_node_has_its_addresses_its_kernel_settings_and_its_name(
    provisioner: Provisioner, deployment: Deployment, image: str, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(shape(image, nets, "one", "two"), tree())
    addresses = inside(deployment, "ip", "-brief", "address")
    for network in nets.values():
        assert address(network.v4, 7) in addresses
        assert address(network.v6, 7) in addresses
    assert inside(deployment, "cat", "/proc/sys/net/ipv4/ip_forward") == "0"
    assert inside(deployment, "hostname") == "n1"


def test_a_node_has_no_capability_at_all(
    provisioner: Provisioner, deployment: Deployment, image: str, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(shape(image, nets), tree())
    status = dict(line.split(":", 1) for line in inside(deployment, "cat", "/proc/1/status").splitlines())
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}


def test_files_are_in_use_only_after_the_switch_and_old_trees_stay_to_go_back_to(
    provisioner: Provisioner, deployment: Deployment, image: str, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(shape(image, nets), tree())
    for number in range(5):
        root = provisioner.lay("n1", tree(f"text {number}"))
        assert inside(deployment, "cat", f"{root}/web/index.html") == f"text {number}"
        assert inside(deployment, "cat", "/etc/seter/now/web/index.html") != f"text {number}"
        provisioner.switch("n1", tree(f"text {number}"))
        assert inside(deployment, "cat", "/etc/seter/now/web/index.html") == f"text {number}"
    assert len(inside(deployment, "ls", "/etc/seter/trees").split()) == 3
    assert len(inside(deployment, "ls", "/etc/seter/vault").split()) == 1


def test_secrets_and_state_belong_to_the_process_alone(
    provisioner: Provisioner, deployment: Deployment, image: str, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(shape(image, nets), tree())
    paths = ("/etc/seter/secrets/web/token", "/var/lib/seter/web", "/run/web")
    modes = inside(deployment, "stat", "--format", "%a %u %g", *paths).splitlines()
    assert modes == ["400 33 33", "750 33 33", "770 33 33"]


def test_a_file_changed_by_hand_shows(
    provisioner: Provisioner, deployment: Deployment, image: str, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(shape(image, nets), tree())
    inside(deployment, "sh", "-c", "echo changed >/etc/seter/now/web/index.html")
    assert provisioner.observe(KEY).nodes["n1"].files != tree().files_digest


def test_a_killed_node_is_seen_as_stopped_and_made_anew_with_its_state(
    provisioner: Provisioner, deployment: Deployment, image: str, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(shape(image, nets), tree())
    before = provisioner.observe(KEY).nodes["n1"]
    inside(deployment, "sh", "-c", "echo kept >/var/lib/seter/kept")
    provisioner.kill("n1")
    assert not provisioner.observe(KEY).nodes["n1"].running
    provisioner.ensure(shape(image, nets), tree())
    after = provisioner.observe(KEY).nodes["n1"]
    assert after.running
    assert after.identity != before.identity
    assert inside(deployment, "cat", "/var/lib/seter/kept") == "kept"


def test_a_node_of_another_shape_is_made_anew(provisioner: Provisioner, image: str, nets: dict[str, Subnets]) -> None:
    provisioner.ensure(shape(image, nets), tree())
    before = provisioner.observe(KEY).nodes["n1"]
    provisioner.ensure(shape(image, nets, digest="shape-2"), tree())
    after = provisioner.observe(KEY).nodes["n1"]
    assert after.shape == "shape-2"
    assert after.identity != before.identity


def test_marks_are_read_back(provisioner: Provisioner, image: str, nets: dict[str, Subnets]) -> None:
    provisioner.ensure(shape(image, nets), tree())
    provisioner.cluster_done("n1", "web", "mark")
    assert provisioner.observe(KEY).nodes["n1"].cluster == (("web", "mark"),)


def test_a_removed_node_leaves_nothing_and_frees_its_place(
    provisioner: Provisioner, image: str, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(shape(image, nets), tree())
    provisioner.remove("n1")
    provisioner.remove("n1")
    seen = provisioner.observe(KEY)
    assert (seen.nodes, seen.places) == ({}, {})


def test_a_command_where_nothing_runs_is_not_found(
    provisioner: Provisioner, image: str, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(shape(image, nets), tree())
    with pytest.raises(NotFound):
        provisioner.execute("n1", "web", ["true"])


def test_a_file_goes_to_a_node_for_its_owner_alone_and_comes_back(
    provisioner: Provisioner, deployment: Deployment, image: str, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(shape(image, nets), tree())
    data = b"0123456789" * 100_000
    provisioner.put("n1", "/etc/seter/copy", io.BytesIO(data), len(data), 777)
    assert inside(deployment, "stat", "-c", "%a %u %s", "/etc/seter/copy") == f"400 777 {len(data)}"
    sink = io.BytesIO()
    assert provisioner.fetch("n1", "/etc/seter/copy", sink) == len(data)
    assert sink.getvalue() == data
    with pytest.raises(NotFound, match="nothing"):
        provisioner.fetch("n1", "/etc/seter/nothing", sink)


def test_what_does_not_run_is_not_restarted(provisioner: Provisioner, image: str, nets: dict[str, Subnets]) -> None:
    provisioner.ensure(shape(image, nets), tree())
    with pytest.raises(NotFound, match="web on n1"):
        provisioner.restart("n1", "web", 1)


def test_addresses_that_are_taken_are_said_so_and_others_are_offered(
    provisioner: Provisioner, nets: dict[str, Subnets]
) -> None:
    assert not provisioner.ensure_network("three", nets["one"])
    offered = provisioner.free_subnets("one", POOL, 24)
    assert offered.v4 not in {network.v4 for network in nets.values()}


def test_deployments_made_at_once_get_networks_of_their_own(deployment: Deployment) -> None:
    others = [replace(deployment, instance=f"{deployment.instance}-{number}") for number in range(4)]
    made = [PROVISIONERS[deployment.target](other) for other in others]

    def one(provisioner: Provisioner) -> str:
        for _ in range(10):
            subnets = provisioner.free_subnets("net", "10.213.252.0/22", 24)
            if provisioner.ensure_network("net", subnets):
                return subnets.v4
            time.sleep(0.3)  # a network that is just being made has its addresses, but is not listed yet
        raise AssertionError("none was free")

    try:
        with ThreadPoolExecutor(len(made)) as threads:
            assert len(set(threads.map(one, made))) == len(made)
    finally:
        for each in made:
            each.destroy()


@pytest.mark.parametrize("what", ["container", "volume", "network"])
def test_a_foreign_thing_with_our_name_is_a_conflict_and_is_not_touched(
    provisioner: Provisioner, deployment: Deployment, image: str, what: str
) -> None:
    names = {"container": "n1", "volume": "n1.state", "network": "one"}
    name = f"{deployment.prefix}.{names[what]}"
    more = {"container": ["--name", name, image, "true"], "volume": [name], "network": [name]}[what]
    subprocess.run(["docker", what, "create", *more], check=True, capture_output=True)
    try:
        with pytest.raises(Conflict, match=name):
            provisioner.refuse_foreign(["n1"], ["one"], {"n1": ["web"]})
        assert provisioner.destroy() == ()
        assert subprocess.run(["docker", what, "inspect", name], capture_output=True).returncode == 0
    finally:
        subprocess.run(["docker", what, "rm", name], check=True, capture_output=True)


def test_destroy_removes_half_made_things_too_and_nothing_of_others(
    provisioner: Provisioner, deployment: Deployment, image: str, nets: dict[str, Subnets]
) -> None:
    other = PROVISIONERS[deployment.target](replace(deployment, instance=f"{deployment.instance}-other"))
    try:
        subnets = other.free_subnets("one", POOL, 24)
        assert other.ensure_network("one", subnets)
        provisioner.ensure(shape(image, nets), tree())
        provisioner.kill("n1")
        assert provisioner.destroy()
        assert provisioner.destroy() == ()
        assert other.observe(KEY).networks == {"one": subnets}
    finally:
        other.destroy()


def test_an_engine_that_is_not_there_says_how_to_get_it(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(Missing, match="not installed") as error:
        PROVISIONERS[deployment.target](deployment)
    assert "apt-get install docker.io" in error.value.resolution


def test_removing_a_network_spares_one_whose_name_begins_the_same(provisioner: Provisioner) -> None:
    for name in ("one", "one-more"):
        assert provisioner.ensure_network(name, provisioner.free_subnets(name, POOL, 24))
    provisioner.remove_network("one")
    assert set(provisioner.observe(KEY).networks) == {"one-more"}


def start_role(deployment: Deployment, provisioner: Provisioner, image: str) -> str:
    """A process of the role `web` on the node, as the role `process` starts it; its id."""
    joined, state = provisioner.join("n1", "web"), RoleState("artifact", "files", "process", "start")
    process = Process(("sleep", "infinity"))
    marks = labels.of_role(deployment, "n1", "web", state, process=process, image=image, joined=joined.identity)
    words = [word for name, value in marks.items() for word in ("--label", f"{name}={value}")]
    argv = ["docker", "run", "--detach", "--name", joined.container, f"--network=container:{joined.node}", *words]
    ended = subprocess.run([*argv, f"--volumes-from={joined.node}", image, "sleep", "infinity"], capture_output=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.decode().strip()


def change(deployment: Deployment, provisioner: Provisioner, image: str) -> tuple[str, str]:
    """A node with a process, kept, then changed: ids of the process that ran and of that which runs."""
    before = start_role(deployment, provisioner, image)
    assert provisioner.keep("n1")
    assert provisioner.keep("n1")
    provisioner.set_aside("n1", "web", 1)
    provisioner.set_aside("n1", "web", 1)
    provisioner.lay("n1", tree("new"))
    provisioner.switch("n1", tree("new"))
    return before, start_role(deployment, provisioner, image)


def ids_of_roles(deployment: Deployment) -> list[str]:
    shape = ["--filter", f"label=seter.deployment={deployment}", "--filter", "label=seter.part=role"]
    argv = ["docker", "ps", "--all", "--no-trunc", "--format", "{{.ID}}", *shape]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()


def test_a_node_goes_back_to_the_very_process_and_files_that_it_had(
    provisioner: Provisioner, deployment: Deployment, image: str, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(shape(image, nets), tree("old"))
    before, after = change(deployment, provisioner, image)
    changed = provisioner.observe(KEY).nodes["n1"]
    assert (changed.kept, changed.files) == (True, tree("new").files_digest)
    assert set(ids_of_roles(deployment)) == {before, after}
    for _ in range(2):
        assert provisioner.go_back("n1", [("web", 1)]) == ()
    provisioner.forget("n1", gone_back=True)
    assert ids_of_roles(deployment) == [before]
    back = provisioner.observe(KEY).nodes["n1"]
    assert (back.kept, back.files, back.serves) == (False, tree("old").files_digest, True)
    assert provisioner.go_back("n1", [("web", 1)]) == ()  # nothing is kept: nothing was changed


def test_what_was_kept_is_gone_when_it_is_not_needed(
    provisioner: Provisioner, deployment: Deployment, image: str, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(shape(image, nets), tree("old"))
    _, after = change(deployment, provisioner, image)
    assert provisioner.forget("n1")
    assert not provisioner.forget("n1")
    assert ids_of_roles(deployment) == [after]
    assert not provisioner.observe(KEY).nodes["n1"].kept


def test_a_node_that_is_not_told_that_it_is_heard_goes_back_by_itself(
    provisioner: Provisioner, deployment: Deployment, image: str, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(shape(image, nets), tree("old"))
    change(deployment, provisioner, image)
    assert provisioner.arm("n1", ["web"], 3)
    for _ in range(5):
        time.sleep(1)
        assert provisioner.heard("n1")
    assert not provisioner.observe(KEY).nodes["n1"].alone
    end = time.monotonic() + 20
    while not (seen := provisioner.observe(KEY).nodes["n1"]).alone:
        assert time.monotonic() < end
        time.sleep(0.2)
    assert seen.files == tree("old").files_digest


def test_a_guard_that_was_taken_away_does_nothing(
    provisioner: Provisioner, deployment: Deployment, image: str, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(shape(image, nets), tree("old"))
    change(deployment, provisioner, image)
    assert provisioner.arm("n1", [], 1)
    assert provisioner.disarm("n1")
    assert not provisioner.disarm("n1")
    time.sleep(3)
    assert not provisioner.observe(KEY).nodes["n1"].alone


def test_a_rebooted_node_has_another_life_and_what_it_held(
    provisioner: Provisioner, deployment: Deployment, image: str, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(shape(image, nets, "one", "two"), tree())
    before, addresses = provisioner.observe(KEY).nodes["n1"], inside(deployment, "ip", "-brief", "address")
    inside(deployment, "touch", "/var/lib/seter/held")
    provisioner.reboot("n1", tree())
    after = provisioner.observe(KEY).nodes["n1"]
    assert after.running and after.identity != before.identity
    assert (after.shape, after.files, after.secrets) == (before.shape, before.files, before.secrets)
    assert inside(deployment, "ls", "/var/lib/seter").split() == ["held", "web"]
    for network in nets.values():
        assert address(network.v4, 7) in addresses
        assert address(network.v4, 7) in inside(deployment, "ip", "-brief", "address")


def test_logs_come_as_they_were_printed(
    provisioner: Provisioner, deployment: Deployment, image: str, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(shape(image, nets), tree())
    with pytest.raises(NotFound):
        list(provisioner.logs("n1", "web", since=None, follow=False))
    start_role(deployment, provisioner, image)
    assert b"".join(provisioner.logs("n1", "web", since=None, follow=False)) == b""


def test_a_node_that_was_made_anew_goes_back_to_the_one_it_was(
    provisioner: Provisioner, deployment: Deployment, image: str, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(shape(image, nets), tree("old"))
    before = start_role(deployment, provisioner, image)
    inside(deployment, "touch", "/var/lib/seter/held")
    assert provisioner.keep("n1")
    provisioner.set_aside("n1", "web", 1)
    for _ in range(2):
        provisioner.ensure(shape(image, nets, digest="shape-2"), tree("new"))
    changed = provisioner.observe(KEY).nodes["n1"]
    assert (changed.shape, changed.kept, changed.serves) == ("shape-2", True, False)
    start_role(deployment, provisioner, image)
    assert provisioner.observe(KEY).nodes["n1"].serves
    assert provisioner.go_back("n1", [("web", 1)]) == ()
    provisioner.forget("n1", gone_back=True)
    back = provisioner.observe(KEY).nodes["n1"]
    assert (back.shape, back.files, back.kept, back.serves) == ("shape-1", tree("old").files_digest, False, True)
    assert ids_of_roles(deployment) == [before]
    assert inside(deployment, "stat", "--format=%u %a", "/run/web") == "33 770"
    assert inside(deployment, "ls", "/var/lib/seter").split() == ["held", "web"]
    provisioner.kill("n1")
    assert not provisioner.observe(KEY).nodes["n1"].serves
