"""Nodes in several parts: every call goes to that of its node, and one that is lost hides no other."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from common.errors import Conflict, Corrupt, Partial, Unavailable
from common.role import Process
from common.system import Deployment, Engine, Network, Node, Target
from seter.provisioner.engine import Way
from seter.provisioner.interface import NodeShape, Provisioner
from seter.provisioner.networks import Wire, settings, wires
from seter.provisioner.parts import Parts
from seter.provisioner.remembered import FILE, is_divided, parts_of
from seter.provisioner.tunnel import command, sweep
from seter.state import NodeState, Observed, Place, RoleState, Subnets
from seter.tree import NodeTree

FAR = Engine("far", "tcp://far:2376", "/ca", "/cert", "/key", parents=(("front", "eno2"),))
NET = Network("front", parent="eno1")
NODES = (
    Node("w1", "servers", networks=("front",), kind="container"),
    Node("w2", "servers", networks=("front",), kind="container", engine="far"),
    Node("h1", "servers", address="10.0.0.1", kind="baremetal"),
)
TARGET = Target("t", "container", NODES, Path("t.hcl"), image="debian-13", networks=(NET,), engines=(FAR,))
HERE = Deployment("small", "t")
FRONT = Subnets("10.213.1.0/24", "fd00::/64")
TREE = NodeTree({}, {}, "", "", state=())
# What the interface has beside what goes to a node's own part.
OF_ALL = {"of", "observe", "refuse_foreign", "taken", "free_subnets", "ensure_network", "remove_network", "load",
          "examinations", "halt", "destroy", "owners", "entrust", "tell"}  # fmt: skip


def shape(node: str, number: int) -> NodeShape:
    return NodeShape(node, "servers", number, number, "", (), (), "shape")


@dataclass
class World:
    """What is there of each part, and who does not answer."""

    nodes: dict[str, dict[str, Place]] = field(default_factory=dict)
    networks: dict[str, dict[str, Subnets]] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    full: set[str] = field(default_factory=set)  # where addresses are taken
    calls: list[tuple[str, str]] = field(default_factory=list)  # (part, method)

    def open(self, kind: str, target: Target | None) -> Provisioner:
        engine = target.engines[0].name if target is not None and target.engines else ""
        name = f"{kind} on {engine}" if engine else kind
        if name in self.lost:
            raise Unavailable(f"{name} is gone", resolution="Bring it back.")
        return standing_for(self, name)

    def parts(self, folder: Path, target: Target | None = TARGET) -> Parts:
        return Parts.made(HERE, folder, target, self.open)


def standing_for(world: World, name: str) -> Provisioner:
    """A provisioner that notes what it is asked; there is what the world says."""

    def noting(method: str) -> Any:
        def note(self: Provisioner, *words: Any, **options: Any) -> Any:
            world.calls.append((name, method))

        return note

    def observe(self: Provisioner, key: bytes) -> Observed:
        places = world.nodes.get(name, {})
        states = {node: NodeState("shape", "", "", (), identity=name) for node in places}
        return Observed(dict(world.networks.get(name, {})), states, dict(places))

    def ensure(self: Provisioner, shape: NodeShape, tree: NodeTree) -> None:
        world.calls.append((name, "ensure"))
        world.nodes.setdefault(name, {})[shape.name] = Place(shape.group, shape.index, shape.number)

    def ensure_network(self: Provisioner, network: str, subnets: Subnets) -> bool:
        if name not in world.full:
            world.networks.setdefault(name, {})[network] = subnets
        return name not in world.full

    def remove_network(self: Provisioner, network: str) -> None:
        world.networks.get(name, {}).pop(network, None)

    def destroy(self: Provisioner) -> tuple[str, ...]:
        return tuple(world.nodes.pop(name, {}))

    own: dict[str, Any] = {
        "observe": observe, "ensure": ensure, "ensure_network": ensure_network, "remove_network": remove_network,
        "destroy": destroy, "taken": lambda self: (), "examinations": lambda self: {}, "owners": lambda self: {},
        "of": None,
    }  # fmt: skip
    methods = {method: noting(method) for method in public() if method not in own}
    made: Provisioner = type("Standing", (Provisioner,), {**methods, **own})()
    return made


def public() -> list[str]:
    return [name for name, _ in inspect.getmembers(Provisioner, inspect.isfunction) if not name.startswith("_")]


def test_a_target_is_divided_by_kind_and_engine() -> None:
    parts = parts_of(TARGET)
    assert {name: part.nodes for name, part in parts.items()} == {
        "container": ("w1",), "container on far": ("w2",), "baremetal": ("h1",),
    }  # fmt: skip
    assert is_divided(TARGET)
    one = Target("t", "container", NODES[:1], Path("t.hcl"))
    assert not is_divided(one) and list(parts_of(one)) == ["container"]
    narrow = parts["container on far"].target
    assert narrow is not None and (narrow.nodes, narrow.engines) == (NODES[1:2], (FAR,))
    assert wires(narrow) == {"front": Wire("eno2")} and wires(TARGET.__class__("t", "container", (), Path("t"))) == {}


@pytest.mark.parametrize(("node", "part"), [("w1", "container"), ("w2", "container on far"), ("h1", "baremetal")])
def test_every_call_about_a_node_goes_to_its_own_part(tmp_path: Path, node: str, part: str) -> None:
    world = World()
    parts = world.parts(tmp_path)
    process, state = Process(("true",)), RoleState("", "", "", "")
    words: Mapping[str, Sequence[Any]] = {
        "lay": (TREE,), "switch": (TREE,), "folders": (TREE,), "reboot": (TREE,), "join": ("web",), "inside": ("web",),
        "started": ("web", process, state, ""), "install": ((), print), "remove_role": ("web", 1),
        "execute": ("web", ()), "restart": ("web", 1), "fetch": ("/", None), "put": ("/", None, 1, 1),
        "loaded": ("web", ""), "cluster_done": ("web", ""), "set_aside": ("web", 1), "go_back": ((),),
        "arm": ((), 1), "try_out": ("", ()), "logs": ("web",), "first": ("web", ()),
        "freeze": ("web",), "thaw": ("web",), "end": ("web",), "limit": ("web",), "claim": ("other",),
        "set_clock": (1.0,), "fill": ("/",),
        "foresee": (None,), "write_slot": (None, (), None), "boot_slot": (None, ()),
    }  # fmt: skip
    named: dict[str, dict[str, Any]] = {
        "try_out": {"user": ""},
        "logs": {"since": None, "follow": False},
        "limit": {"cores": 0.0, "memory": 0},
        "fill": {"full": True},
        "boot_slot": {"keep": False},
    }
    methods = [name for name in public() if name not in OF_ALL | {"ensure"}]
    for method in methods:
        getattr(parts, method)(node, *words.get(method, ()), **named.get(method, {}))
    parts.ensure(shape(node, 1), TREE)
    assert world.calls == [(part, method) for method in [*methods, "ensure"]]


def test_a_part_that_is_lost_is_said_of_its_nodes_which_keep_their_places(tmp_path: Path) -> None:
    world = World()
    parts = world.parts(tmp_path)
    for number, node in enumerate(("w1", "w2", "h1"), 1):
        parts.ensure(shape(node, number), TREE)
    parts.observe(b"")
    world.lost = {"container on far"}
    seen = world.parts(tmp_path).observe(b"")
    assert set(seen.nodes) == {"w1", "h1"}
    assert seen.unreachable == {"w2": "container on far: container on far is gone"}
    assert seen.places["w2"] == Place("servers", 2, 2)
    with pytest.raises(Unavailable):
        world.parts(tmp_path).execute("w2", "web", ["true"])


def test_a_network_is_there_when_all_its_parts_have_it_and_has_one_prefix(tmp_path: Path) -> None:
    world = World()
    parts = world.parts(tmp_path)
    assert parts.free_subnets("front", "10.213.0.0/16", 24).v4.startswith("10.213.")
    assert parts.ensure_network("front", FRONT)
    assert set(world.networks) == {"container", "container on far"}
    assert parts.observe(b"").networks == {"front": FRONT}
    del world.networks["container on far"]["front"]
    again = world.parts(tmp_path)
    assert again.observe(b"").networks == {}
    assert again.free_subnets("front", "10.213.0.0/16", 24) == FRONT


def test_a_network_that_one_part_cannot_have_is_left_in_none(tmp_path: Path) -> None:
    world = World(full={"container on far"})
    assert not world.parts(tmp_path).ensure_network("front", FRONT)
    assert world.networks["container"] == {}


def test_a_node_in_another_part_than_its_definition_says_is_a_conflict(tmp_path: Path) -> None:
    world = World(nodes={"container": {"w2": Place("servers", 2, 2)}})
    parts = world.parts(tmp_path)
    parts.observe(b"")
    with pytest.raises(Conflict, match="w2 is on container, and the target has it on container on far"):
        parts.refuse_foreign(["w1", "w2", "h1"], ["front"], {})


def test_what_definitions_do_not_name_any_more_is_still_found_until_it_is_gone(tmp_path: Path) -> None:
    world = World()
    parts = world.parts(tmp_path)
    parts.ensure(shape("w2", 2), TREE)
    parts.observe(b"")
    alone = Target("t", "container", NODES[:1], Path("t.hcl"))
    later = world.parts(tmp_path, alone)
    assert set(later.observe(b"").nodes) == {"w2"}
    later.remove("w2")
    world.nodes.clear()
    world.parts(tmp_path, alone).observe(b"")
    assert "far" not in (tmp_path / FILE).read_text()


def test_all_is_taken_down_without_definitions_and_what_is_lost_is_named(tmp_path: Path) -> None:
    world = World()
    parts = world.parts(tmp_path)
    for number, node in enumerate(("w1", "w2", "h1"), 1):
        parts.ensure(shape(node, number), TREE)
    parts.observe(b"")
    world.lost = {"container on far"}
    with pytest.raises(Partial, match="2 were taken down; what is on container on far was not"):
        world.parts(tmp_path, None).destroy()
    world.lost = set()
    assert world.parts(tmp_path, None).destroy() == ("w2",)
    assert not (tmp_path / FILE).exists()


def test_an_engine_that_may_have_had_something_is_no_loss_when_it_is_away(tmp_path: Path) -> None:
    world = World(lost={"container"})
    far = Target("t", "container", NODES[1:2], Path("t.hcl"), engines=(FAR,))
    assert world.parts(tmp_path, far).observe(b"").unreachable == {}


def test_a_memory_that_is_damaged_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"format": 2}')
    with pytest.raises(Corrupt) as error:
        World().parts(tmp_path)
    assert "Remove it" in error.value.resolution


def test_a_part_that_cannot_be_opened_is_a_finding_of_doctor_s(tmp_path: Path) -> None:
    (found,) = World(lost={"container on far"}).parts(tmp_path).examinations()["container on far"]()
    assert (found.state.value, found.fix) == ("fail", "Bring it back.")


def test_a_bridge_keeps_the_engine_s_address_out_of_the_way_and_a_wire_has_its_own_gateway() -> None:
    driver, options, pools = settings(FRONT, None)
    assert (driver, pools) == ("bridge", {"10.213.1.0/24": "10.213.1.254", "fd00::/64": "fd00::fe"})
    assert options == {"com.docker.network.bridge.enable_ip_masquerade": "false"}
    driver, options, pools = settings(Subnets("10.20.0.0/16", ""), Wire("eno1", "10.20.0.1"))
    assert (driver, options["parent"], pools) == ("macvlan", "eno1", {"10.20.0.0/16": "10.20.0.1"})
    assert settings(Subnets("10.20.0.0/25", ""), Wire("eno1"))[2] == {"10.20.0.0/25": "10.20.0.126"}


def test_every_program_is_told_the_same_way() -> None:
    way = Way("far", "tcp://far:2376", "/ca", "/cert", "/key")
    assert way.words() == "--host=tcp://far:2376 --tlsverify --tlscacert=/ca --tlscert=/cert --tlskey=/key"
    assert way.variables() == {
        "docker_host": "tcp://far:2376",
        "docker_tls": {"ca_path": "/ca", "client_cert": "/cert", "client_key": "/key"},
    }
    assert Way("near", "unix:///s").variables() == {"docker_host": "unix:///s"}
    assert Way("engine", None).words() == ""


def test_a_tunnel_ends_with_who_opened_it_and_asks_nothing_new(tmp_path: Path) -> None:
    argv = command(Path("/c"), "far", Path("/s"), "/run/docker.sock")
    assert argv[:3] == ["ssh", "-F", "/c"] and argv[-3:] == ["far", "--", "echo up; cat"]
    assert "/s:/run/docker.sock" in argv and "ControlPath=none" in argv
    for name in ("engine-far-999999999.sock", "engine-far-1.sock", "other.sock"):
        (tmp_path / name).touch()
    sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"engine-far-1.sock", "other.sock"}
