"""What Docker's listings say about a deployment."""

from __future__ import annotations

from typing import Any

from common.role import Process
from common.system import Deployment
from seter.provisioner import labels
from seter.provisioner.interface import NodeShape
from seter.state import Place, RoleState, Subnets
from seter.tree import File, Lying, files_digest

DEPLOYMENT = Deployment("s3-lb", "container", "main")
SHAPE = NodeShape("gw1", "gateways", 1, 3, "sha256:base", (("fabric", "10.0.0.3", "fd00::3"),), (), "shape-1")
LIFE = "0123@2026-11-25T01:00:00Z"
WANTED = RoleState("sha256:manifest", "files", "process-1", "start-1")
NODE: dict[str, Any] = {"Id": "0123", "State": "running", "Labels": labels.of_node(DEPLOYMENT, SHAPE)}
NOTHING = Lying({}, {}, {}, {})


def role(*, type: str = "simple", joined: str = LIFE, **listed: str) -> dict[str, Any]:
    process = Process(("traefik",), type=type, user="traefik", uid=951)
    marks = labels.of_role(DEPLOYMENT, "gw1", "traefik", WANTED, process=process, image="sha256:image", joined=joined)
    return {"Id": "4567", "State": "running", "Status": "Up", "ImageID": "sha256:image", "Labels": marks} | listed


def seen(listed: dict[str, Any], lying: Lying = NOTHING) -> RoleState:
    state = labels.node_state(NODE, LIFE, [listed], lying, b"key").role("traefik")
    assert state is not None
    return state


def test_what_was_started_is_read_back_as_it_was_wanted() -> None:
    state = seen(role())
    assert (state.artifact, state.start, state.process, state.running) == (
        "sha256:manifest",
        "start-1",
        "process-1",
        True,
    )


def test_a_process_of_an_earlier_life_of_its_node_does_not_run() -> None:
    assert not seen(role(joined="0123@2026-11-25T00:00:00Z")).running
    assert not seen(role(joined="another")).running


def test_a_oneshot_that_ended_well_counts_as_running_and_one_that_failed_does_not() -> None:
    assert seen(role(type="oneshot", State="exited", Status="Exited (0) 2 minutes ago")).running
    assert not seen(role(type="oneshot", State="exited", Status="Exited (1) 2 minutes ago")).running
    assert not seen(role(State="exited", Status="Exited (0) 2 minutes ago")).running


def test_another_image_under_our_name_is_found_out() -> None:
    state = seen(role(ImageID="sha256:foreign"))
    assert state.artifact == "image sha256:foreign"
    assert state.start != "start-1"


def test_a_reload_is_known_only_of_the_container_that_was_reloaded() -> None:
    mark = labels.loaded_mark("4567", "process-2")
    assert seen(role(), Lying({}, {}, {"traefik": mark}, {})).process == "process-2"
    assert seen(role(), Lying({}, {}, {"traefik": labels.loaded_mark("old", "process-2")}, {})).process == "process-1"


def test_files_are_those_that_lie_there_not_those_that_somebody_laid() -> None:
    files = (File("traefik.yml", b"edited by hand"),)
    assert seen(role(), Lying({"traefik": files}, {}, {}, {})).files == files_digest(files)


def test_a_role_whose_container_is_gone_does_not_run_but_its_files_are_seen() -> None:
    lying = Lying({"etcd": (File("etcd.yml", b""),)}, {}, {}, {})
    state = labels.node_state(NODE, LIFE, [], lying, b"key").role("etcd")
    assert state is not None
    assert not state.running
    assert not state.has_process


def test_a_node_s_place_is_remembered_by_what_is_left_of_it() -> None:
    volume = {"Labels": labels.of_node(DEPLOYMENT, SHAPE, "volume")}
    assert labels.places([volume]) == {"gw1": Place("gateways", 1, 3)}


def test_addresses_of_networks_are_read_whatever_their_order() -> None:
    pools = [{"Subnet": "fd00::/64"}, {"Subnet": "10.0.0.0/24"}]
    network = {"Labels": {labels.NETWORK: "fabric"}, "IPAM": {"Config": pools}}
    assert labels.subnets([network]) == {"fabric": Subnets("10.0.0.0/24", "fd00::/64")}
