"""What every provisioner promises, on the real engine and on a real machine. A new kind of target is a new field."""

from __future__ import annotations

import io
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from common.errors import BadInput, Conflict, Error, Missing, NotFound
from seter.provisioner.interface import Provisioner
from seter.provisioner.subnets import address
from seter.state import Place, Subnets
from seter.tree import File, NodeTree, tree_digest
from tests.conftest import Tools
from tests.lab.engines import Engine
from tests.lab.fields import POOL, Containers, Field, Machines, Spread
from tests.lab.hosts import hosts

KEY = b"k" * 32
INSTANCE = f"t{os.getpid()}"


@pytest.fixture(scope="module")
def containers(built: Tools) -> Containers:
    """The node image is loaded into the engine."""
    from naust.content.engine import load
    from naust.listing import resolve
    from naust.store import open_store

    store = open_store(str(built.cwd / ".naust"))
    return Containers(str(load(store, resolve(store, "container/debian-13"))))


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    folder = tmp_path_factory.mktemp("machines")
    with pytest.MonkeyPatch.context() as patch, hosts(folder, {"n1": ("one", "two")}) as lab:
        patch.setenv("SETER_STATE", str(folder / "state"))
        yield Machines(lab)


@pytest.fixture(scope="module")
def spread(built: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spread]:
    """The node image is loaded into an engine of the test's own."""
    from naust.content.engine import load
    from naust.listing import resolve
    from naust.store import open_store

    store = open_store(str(built.cwd / ".naust"))
    with tempfile.TemporaryDirectory(prefix="e-") as folder, Engine(Path(folder) / "e") as engine:
        image = str(load(store, resolve(store, "container/debian-13"), engine.client()))
        yield Spread(image, engine=engine.host, folder=tmp_path_factory.mktemp("spread"))


@pytest.fixture(params=["containers", "machines", pytest.param("spread", marks=pytest.mark.long)])
def field(request: pytest.FixtureRequest) -> Field:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Field)
    return found


@pytest.fixture
def provisioner(field: Field) -> Iterator[Provisioner]:
    made = field.provisioner(INSTANCE)
    try:
        yield made
    finally:
        made.destroy()


@pytest.fixture
def nets(field: Field, provisioner: Provisioner) -> dict[str, Subnets]:
    """Two networks, made."""
    return field.nets(provisioner)


only_machines = pytest.mark.parametrize("field", ["machines"], indirect=True)
only_containers = pytest.mark.parametrize("field", ["containers"], indirect=True)


def tree(text: str = "hello") -> NodeTree:
    files = {"web": (File("index.html", text.encode()),)}
    secrets = {"web": (File("token", b"canary", 0o400, 33),)}
    digests = tree_digest(files), tree_digest(secrets, KEY)
    return NodeTree(files, secrets, *digests, state=(("web", 33),), run=(("web", 33),))


def test_a_node_whose_making_was_cut_off_after_it_ran_gets_its_folders_later(
    provisioner: Provisioner, field: Field, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(field.shape(nets), tree())
    field.inside(INSTANCE, "rmdir", "/run/web")  # the last that making a node does, and of which nothing else tells
    provisioner.folders("n1", tree())
    provisioner.folders("n1", tree())
    assert field.inside(INSTANCE, "stat", "--format=%u %a", "/run/web") == "33 770"


def test_nothing_is_there_at_first(provisioner: Provisioner) -> None:
    seen = provisioner.observe(KEY)
    assert (seen.networks, seen.nodes, seen.places) == ({}, {}, {})


def test_what_was_made_is_observed_as_it_was_wanted(
    provisioner: Provisioner, field: Field, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(field.shape(nets, "one", "two"), tree())
    seen = provisioner.observe(KEY)
    node = seen.nodes["n1"]
    assert seen.networks == (nets if field.makes_networks else {})
    assert seen.places == {"n1": Place("group", 1, field.number)}
    assert node.running
    assert (node.shape, node.files, node.secrets) == ("shape-1", tree().files_digest, tree().secrets_digest)


def test_twice_is_once(provisioner: Provisioner, field: Field, nets: dict[str, Subnets]) -> None:
    provisioner.ensure(field.shape(nets), tree())
    before = provisioner.observe(KEY)
    provisioner.ensure(field.shape(nets), tree())
    assert provisioner.ensure_network("one", nets["one"])
    assert provisioner.observe(KEY) == before


def test_a_node_has_its_addresses_its_kernel_settings_and_its_name(
    provisioner: Provisioner, field: Field, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(field.shape(nets, "one", "two"), tree())
    addresses = field.inside(INSTANCE, "ip", "-brief", "address")
    for network in nets.values():
        assert address(network.v4, field.number) in addresses
        assert address(network.v6, field.number) in addresses
    assert field.inside(INSTANCE, "cat", "/proc/sys/net/ipv4/ip_forward") == "0"
    assert field.inside(INSTANCE, "hostname") == "n1"


@only_containers
def test_a_node_has_no_capability_at_all(provisioner: Provisioner, field: Field, nets: dict[str, Subnets]) -> None:
    provisioner.ensure(field.shape(nets), tree())
    status = dict(line.split(":", 1) for line in field.inside(INSTANCE, "cat", "/proc/1/status").splitlines())
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}


def test_files_are_in_use_only_after_the_switch_and_old_trees_stay_to_go_back_to(
    provisioner: Provisioner, field: Field, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(field.shape(nets), tree())
    for number in range(5):
        root = provisioner.lay("n1", tree(f"text {number}"))
        assert field.inside(INSTANCE, "cat", f"{root}/web/index.html") == f"text {number}"
        assert field.inside(INSTANCE, "cat", "/etc/seter/now/web/index.html") != f"text {number}"
        provisioner.switch("n1", tree(f"text {number}"))
        assert field.inside(INSTANCE, "cat", "/etc/seter/now/web/index.html") == f"text {number}"
    assert len(field.inside(INSTANCE, "ls", "/etc/seter/trees").split()) == 3
    assert len(field.inside(INSTANCE, "ls", "/etc/seter/vault").split()) == 1


def test_secrets_and_state_belong_to_the_process_alone(
    provisioner: Provisioner, field: Field, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(field.shape(nets), tree())
    paths = ("/etc/seter/secrets/web/token", "/var/lib/seter/web", "/run/web")
    modes = field.inside(INSTANCE, "stat", "--format", "%a %u %g", *paths).splitlines()
    assert modes == ["400 33 33", "750 33 33", "770 33 33"]


def test_a_file_changed_by_hand_shows(provisioner: Provisioner, field: Field, nets: dict[str, Subnets]) -> None:
    provisioner.ensure(field.shape(nets), tree())
    field.inside(INSTANCE, "sh", "-c", "echo changed >/etc/seter/now/web/index.html")
    assert provisioner.observe(KEY).nodes["n1"].files != tree().files_digest


def test_a_killed_node_is_seen_as_stopped_and_made_anew_with_its_state(
    provisioner: Provisioner, field: Field, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(field.shape(nets), tree())
    before = provisioner.observe(KEY).nodes["n1"]
    field.inside(INSTANCE, "sh", "-c", "echo kept >/var/lib/seter/kept")
    provisioner.kill("n1")
    assert not provisioner.observe(KEY).nodes["n1"].running
    provisioner.ensure(field.shape(nets), tree())
    after = provisioner.observe(KEY).nodes["n1"]
    assert after.running
    assert after.identity != before.identity
    assert field.inside(INSTANCE, "cat", "/var/lib/seter/kept") == "kept"


def test_a_node_of_another_shape_is_brought_into_it(
    provisioner: Provisioner, field: Field, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(field.shape(nets), tree())
    before = provisioner.observe(KEY).nodes["n1"]
    provisioner.ensure(field.shape(nets, digest="shape-2"), tree())
    after = provisioner.observe(KEY).nodes["n1"]
    assert after.shape == "shape-2"
    assert (after.identity != before.identity) is field.makes_networks  # a host is not made anew


def test_marks_are_read_back(provisioner: Provisioner, field: Field, nets: dict[str, Subnets]) -> None:
    provisioner.ensure(field.shape(nets), tree())
    provisioner.cluster_done("n1", "web", "mark")
    assert provisioner.observe(KEY).nodes["n1"].cluster == (("web", "mark"),)


def test_a_removed_node_leaves_nothing_and_frees_its_place(
    provisioner: Provisioner, field: Field, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(field.shape(nets), tree())
    provisioner.remove("n1")
    provisioner.remove("n1")
    seen = provisioner.observe(KEY)
    assert (seen.nodes, seen.places) == ({}, {})


def test_a_command_where_nothing_runs_is_not_found(
    provisioner: Provisioner, field: Field, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(field.shape(nets), tree())
    with pytest.raises(NotFound):
        provisioner.execute("n1", "web", ["true"])


def test_a_file_goes_to_a_node_for_its_owner_alone_and_comes_back(
    provisioner: Provisioner, field: Field, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(field.shape(nets), tree())
    data = b"0123456789" * 100_000
    provisioner.put("n1", "/etc/seter/copy", io.BytesIO(data), len(data), 777)
    assert field.inside(INSTANCE, "stat", "-c", "%a %u %s", "/etc/seter/copy") == f"400 777 {len(data)}"
    sink = io.BytesIO()
    assert provisioner.fetch("n1", "/etc/seter/copy", sink) == len(data)
    assert sink.getvalue() == data
    with pytest.raises(NotFound, match="nothing"):
        provisioner.fetch("n1", "/etc/seter/nothing", sink)


def test_a_process_stands_still_goes_on_and_is_killed_like_one_that_crashed(
    provisioner: Provisioner, field: Field, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(field.shape(nets), tree())
    field.start(INSTANCE, "first")

    def printed() -> int:
        return b"".join(provisioner.logs("n1", "web", since=None, follow=False)).count(b"goes on")

    def counts() -> bool:
        time.sleep(0.2)  # what it had begun to print
        before = printed()
        time.sleep(1)
        return printed() > before

    assert counts()
    for role in ("web", ""):
        provisioner.freeze("n1", role)
        provisioner.freeze("n1", role)
        assert not counts()
        provisioner.thaw("n1", role)
        provisioner.thaw("n1", role)
        assert counts()
    provisioner.limit("n1", "web", cores=0.5, memory=64 << 20)
    provisioner.limit("n1", "web", cores=0.0, memory=0)
    struck: list[bool] = []
    provisioner.end("n1", "web", lambda: struck.append(counts()))
    assert struck == [True] and not counts()
    with pytest.raises(NotFound):
        provisioner.end("n1", "web")
    provisioner.freeze("n1", "web")


def test_what_does_not_run_is_not_restarted(provisioner: Provisioner, field: Field, nets: dict[str, Subnets]) -> None:
    provisioner.ensure(field.shape(nets), tree())
    with pytest.raises(NotFound, match="web on n1"):
        provisioner.restart("n1", "web", 1)


def test_a_node_goes_back_to_what_ran_before(provisioner: Provisioner, field: Field, nets: dict[str, Subnets]) -> None:
    provisioner.ensure(field.shape(nets), tree())
    field.start(INSTANCE, "first")
    before = provisioner.observe(KEY).nodes["n1"]
    assert provisioner.keep("n1")
    assert provisioner.keep("n1")
    assert provisioner.observe(KEY).nodes["n1"].kept
    for number in range(4):  # older trees go meanwhile
        provisioner.lay("n1", tree(f"new {number}"))
        provisioner.switch("n1", tree(f"new {number}"))
    provisioner.set_aside("n1", "web", 5)
    field.start(INSTANCE, "second")
    assert process_of(provisioner) == "second"
    assert provisioner.go_back("n1", [("web", 5)]) == ()
    assert provisioner.go_back("n1", [("web", 5)]) == ()
    assert provisioner.forget("n1", gone_back=True)
    assert not provisioner.forget("n1")
    assert provisioner.observe(KEY).nodes["n1"] == before


def test_files_that_were_laid_and_never_used_are_not_gone_back_to(
    provisioner: Provisioner, field: Field, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(field.shape(nets), tree())
    field.start(INSTANCE, "first")
    before = provisioner.observe(KEY).nodes["n1"]
    assert provisioner.keep("n1")
    provisioner.lay("n1", tree("refused"))
    assert provisioner.go_back("n1", [("web", 5)]) == ()
    assert provisioner.forget("n1", gone_back=True)
    assert provisioner.observe(KEY).nodes["n1"] == before


def test_what_has_run_all_the_time_goes_on_and_is_named_to_read_its_files_again(
    provisioner: Provisioner, field: Field, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(field.shape(nets), tree())
    field.start(INSTANCE, "first")
    before = provisioner.observe(KEY).nodes["n1"]
    assert provisioner.keep("n1")
    provisioner.lay("n1", tree("new"))
    provisioner.switch("n1", tree("new"))
    provisioner.loaded("n1", "web", "second")
    assert process_of(provisioner) == "second"
    assert provisioner.go_back("n1", [("web", 5)]) == ("web",)
    assert provisioner.forget("n1", gone_back=True)
    assert provisioner.observe(KEY).nodes["n1"] == before


def test_where_nothing_is_kept_nothing_is_changed_by_going_back(
    provisioner: Provisioner, field: Field, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(field.shape(nets), tree())
    field.start(INSTANCE, "first")
    before = provisioner.observe(KEY).nodes["n1"]
    assert provisioner.go_back("n1", [("web", 5)]) == ()
    assert not provisioner.forget("n1", gone_back=True)
    assert provisioner.observe(KEY).nodes["n1"] == before


@only_machines
def test_software_that_is_another_by_now_is_told_when_all_else_is_back(
    provisioner: Provisioner, field: Field, nets: dict[str, Subnets]
) -> None:
    mark = '{"artifact": "sha256:a", "packages": {"tar": "0.1"}, "programs": {}}'
    provisioner.ensure(field.shape(nets), tree())
    field.inside(INSTANCE, "sh", "-c", f"mkdir -p /etc/seter/installed; echo '{mark}' >/etc/seter/installed/web")
    field.start(INSTANCE, "first")
    assert provisioner.keep("n1")
    provisioner.lay("n1", tree("new"))
    provisioner.switch("n1", tree("new"))
    provisioner.set_aside("n1", "web", 5)
    with pytest.raises(Error, match="n1: files, secrets and units are back, but not the software of web") as error:
        provisioner.go_back("n1", [("web", 5)])
    assert "web: not as before: tar" in error.value.details and "seter deploy" in error.value.resolution
    seen = provisioner.observe(KEY).nodes["n1"]
    assert (seen.files, seen.serves, process_of(provisioner)) == (tree().files_digest, True, "first")


def test_a_rebooted_node_is_another_life_with_its_files_and_folders(
    provisioner: Provisioner, field: Field, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(field.shape(nets), tree())
    before = provisioner.observe(KEY).nodes["n1"]
    provisioner.reboot("n1", tree())
    after = provisioner.observe(KEY).nodes["n1"]
    assert after.running and after.identity != before.identity
    assert (after.files, after.secrets) == (before.files, before.secrets)
    assert field.inside(INSTANCE, "stat", "--format=%u %a", "/run/web") == "33 770"


def test_what_a_process_has_printed_can_be_read_and_followed_until_it_is_gone(
    provisioner: Provisioner, field: Field, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(field.shape(nets), tree())
    with pytest.raises(NotFound):
        list(provisioner.logs("n1", "web", since=None, follow=False))
    field.start(INSTANCE, "first")
    pieces = provisioner.logs("n1", "web", since=timedelta(minutes=5), follow=True)
    assert b"it is up" in next(pieces)
    provisioner.remove_role("n1", "web", 5)
    assert b"it is up" not in b"".join(pieces)  # it has ended


@only_containers
def test_a_node_that_is_not_told_that_it_is_heard_goes_back_by_itself(
    provisioner: Provisioner, field: Field, nets: dict[str, Subnets]
) -> None:
    change(provisioner, field, nets)
    assert provisioner.arm("n1", ["web"], 3)
    for _ in range(5):
        time.sleep(1)
        assert provisioner.heard("n1")
    assert not provisioner.observe(KEY).nodes["n1"].alone
    end = time.monotonic() + 20
    while not (seen := provisioner.observe(KEY).nodes["n1"]).alone:
        assert time.monotonic() < end
        time.sleep(0.2)
    assert seen.files == tree().files_digest


@only_containers
def test_a_guard_that_was_taken_away_does_nothing(
    provisioner: Provisioner, field: Field, nets: dict[str, Subnets]
) -> None:
    change(provisioner, field, nets)
    assert provisioner.arm("n1", [], 1)
    assert provisioner.disarm("n1")
    assert not provisioner.disarm("n1")
    time.sleep(3)
    assert not provisioner.observe(KEY).nodes["n1"].alone


@only_containers
def test_a_node_that_was_made_anew_goes_back_to_the_one_it_was(
    provisioner: Provisioner, field: Field, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(field.shape(nets), tree())
    field.start(INSTANCE, "first")
    field.inside(INSTANCE, "touch", "/var/lib/seter/held")
    assert provisioner.keep("n1")
    provisioner.set_aside("n1", "web", 5)
    for _ in range(2):
        provisioner.ensure(field.shape(nets, digest="shape-2"), tree("new"))
    changed = provisioner.observe(KEY).nodes["n1"]
    assert (changed.shape, changed.kept, changed.serves) == ("shape-2", True, False)
    field.start(INSTANCE, "second")
    assert provisioner.go_back("n1", [("web", 5)]) == ()
    provisioner.forget("n1", gone_back=True)
    back = provisioner.observe(KEY).nodes["n1"]
    assert (back.shape, back.files, back.kept, back.serves) == ("shape-1", tree().files_digest, False, True)
    assert process_of(provisioner) == "first"
    assert field.inside(INSTANCE, "stat", "--format=%u %a", "/run/web") == "33 770"
    assert "held" in field.inside(INSTANCE, "ls", "/var/lib/seter").split()


def change(provisioner: Provisioner, field: Field, nets: dict[str, Subnets]) -> None:
    """A node with a process, kept, then changed."""
    provisioner.ensure(field.shape(nets), tree())
    field.start(INSTANCE, "first")
    assert provisioner.keep("n1")
    provisioner.set_aside("n1", "web", 5)
    provisioner.lay("n1", tree("new"))
    provisioner.switch("n1", tree("new"))
    field.start(INSTANCE, "second")


def process_of(provisioner: Provisioner) -> str:
    """What the process of `web` has read last."""
    role = provisioner.observe(KEY).nodes["n1"].role("web")
    assert role is not None and role.running
    return role.process


@only_containers
def test_addresses_that_are_taken_are_said_so_and_others_are_offered(
    provisioner: Provisioner, nets: dict[str, Subnets]
) -> None:
    assert not provisioner.ensure_network("three", nets["one"])
    offered = provisioner.free_subnets("one", POOL, 24)
    assert offered.v4 not in {network.v4 for network in nets.values()}


@only_containers
def test_deployments_made_at_once_get_networks_of_their_own(field: Field) -> None:
    made = [field.provisioner(f"{INSTANCE}-{number}") for number in range(4)]

    def one(provisioner: Provisioner) -> str:
        for _ in range(10):
            subnets = provisioner.free_subnets("net", "10.219.0.0/22", 24)  # where no deployment has its own
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


@only_containers
@pytest.mark.parametrize("what", ["container", "volume", "network"])
def test_a_foreign_thing_with_our_name_is_a_conflict_and_is_not_touched(
    provisioner: Provisioner, field: Field, what: str
) -> None:
    names = {"container": "n1", "volume": "n1.state", "network": "one"}
    name = f"{field.deployment(INSTANCE).prefix}.{names[what]}"
    more = {"container": ["--name", name, field.image, "true"], "volume": [name], "network": [name]}[what]
    subprocess.run(["docker", what, "create", *more], check=True, capture_output=True)
    try:
        with pytest.raises(Conflict, match=name):
            provisioner.refuse_foreign(["n1"], ["one"], {"n1": ["web"]})
        assert provisioner.destroy() == ()
        assert subprocess.run(["docker", what, "inspect", name], capture_output=True).returncode == 0
    finally:
        subprocess.run(["docker", what, "rm", name], check=True, capture_output=True)


@only_machines
def test_a_host_of_another_deployment_is_a_conflict_and_is_not_touched(
    provisioner: Provisioner, field: Field, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(field.shape(nets), tree())
    other = field.provisioner(f"{INSTANCE}-other")
    with pytest.raises(Conflict, match=str(field.deployment(INSTANCE))):
        other.refuse_foreign(["n1"], [], {"n1": ["web"]})
    with pytest.raises(Error, match=str(field.deployment(INSTANCE))):
        other.ensure(field.shape(nets, digest="shape-2"), tree("other"))
    assert other.observe(KEY).nodes == {} and other.destroy() == ()
    assert provisioner.observe(KEY).nodes["n1"].files == tree().files_digest


@only_machines
def test_a_taken_down_host_has_nothing_of_ours(
    provisioner: Provisioner, field: Field, nets: dict[str, Subnets]
) -> None:
    look = "find /etc /usr/local /var/lib /run -newer /etc/hostname -path '*seter*'"
    provisioner.ensure(field.shape(nets), tree())
    assert field.inside(INSTANCE, "sh", "-c", look)
    assert provisioner.destroy() == ("n1",)
    assert field.inside(INSTANCE, "sh", "-c", look) == ""


@only_containers
def test_destroy_removes_half_made_things_too_and_nothing_of_others(
    provisioner: Provisioner, field: Field, nets: dict[str, Subnets]
) -> None:
    other = field.provisioner(f"{INSTANCE}-other")
    try:
        subnets = other.free_subnets("one", POOL, 24)
        assert other.ensure_network("one", subnets)
        provisioner.ensure(field.shape(nets), tree())
        provisioner.kill("n1")
        assert provisioner.destroy()
        assert provisioner.destroy() == ()
        assert other.observe(KEY).networks == {"one": subnets}
    finally:
        other.destroy()


@only_containers
def test_an_engine_that_is_not_there_says_how_to_get_it(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(Missing, match="not installed") as error:
        field.provisioner(INSTANCE)
    assert "apt-get install docker.io" in error.value.resolution


@only_containers
def test_removing_a_network_spares_one_whose_name_begins_the_same(provisioner: Provisioner) -> None:
    for name in ("one", "one-more"):
        assert provisioner.ensure_network(name, provisioner.free_subnets(name, POOL, 24))
    provisioner.remove_network("one")
    assert set(provisioner.observe(KEY).networks) == {"one-more"}


def test_what_is_installed_is_said_where_processes_run_from_it(
    provisioner: Provisioner, field: Field, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(field.shape(nets), tree())
    there = provisioner.packages("n1")
    assert (there is not None) == (field.kind == "baremetal")
    assert there is None or {"systemd", "libc6"} <= {each.name for each in there}
    assert there is None or {each.source for each in there if each.name == "libc6"} == {"glibc"}


def test_a_node_whose_disk_has_no_two_slots_is_not_written(
    provisioner: Provisioner, field: Field, nets: dict[str, Subnets]
) -> None:
    provisioner.ensure(field.shape(nets), tree())
    before = provisioner.observe(KEY)
    with pytest.raises(BadInput, match="n1 cannot be written"):
        provisioner.ready_slot("n1")
    assert provisioner.observe(KEY) == before
