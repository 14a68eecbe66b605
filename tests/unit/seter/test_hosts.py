"""What hosts say of themselves, read as states."""

from __future__ import annotations

import base64
import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from common.errors import BadInput, Error
from common.system import Deployment
from seter.provisioner import hosts
from seter.provisioner.interface import NodeShape
from seter.state import Place
from seter.tree import File, NodeTree, tree_digest

KEY = b"k" * 32
DEPLOYMENT = Deployment("lb", "metal")
SHAPE = NodeShape("gw1", "gateways", 2, 7, "", (), (), "shape-1")
FILES = {"web": (File("index.html", b"hello"),)}
UNIT = {"ActiveState": "active", "Type": "exec", "read": "p s sha256:a"}


def lying() -> str:
    tree = NodeTree(FILES, {}, tree_digest(FILES), tree_digest({}, KEY), state=())
    buffer = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(tree.archive())) as made,
        tarfile.open(fileobj=buffer, mode="w") as tar,
    ):
        for member in made.getmembers():
            source = made.extractfile(member) if member.isreg() else None
            member.name = f"seter/{member.name}"
            tar.addfile(member, source)
    return base64.b64encode(buffer.getvalue()).decode()


def said(**more: Any) -> dict[str, Any]:
    """As `onhost look` prints it."""
    return {
        "identity": "id",
        "release": {"ID": "debian", "VERSION_CODENAME": "trixie"},
        "lacks": [],
        "mark": hosts.mark(DEPLOYMENT, SHAPE),
        "units": {"web": UNIT},
        "installed": {"web": {"artifact": "sha256:a", "differs": []}},
        "lying": lying(),
    } | more


def test_a_host_is_read_as_a_node() -> None:
    state = hosts.node_state(said(), KEY)
    role = state.role("web")
    assert role is not None and role.running and role.has_process
    assert (role.artifact, role.process, role.start) == ("sha256:a", "p", "s")
    assert (state.shape, state.identity, state.files) == ("shape-1", "id", tree_digest(FILES))
    assert hosts.place(said()["mark"]) == Place("gateways", 2, 7)


@pytest.mark.parametrize(
    "installed",
    [
        {"web": {"artifact": "sha256:a", "differs": ["/usr/local/bin/web"]}},
        {"web": {"artifact": "sha256:b", "differs": []}},
        {},
    ],
)
def test_software_that_is_not_as_it_was_installed_has_to_be_started_anew(installed: dict[str, Any]) -> None:
    role = hosts.node_state(said(installed=installed), KEY).role("web")
    assert role is not None and role.start != "s"


@pytest.mark.parametrize(("state", "runs"), [("active", True), ("reloading", True), ("failed", False), ("", False)])
def test_a_unit_runs_while_systemd_says_so(state: str, runs: bool) -> None:
    role = hosts.node_state(said(units={"web": UNIT | {"ActiveState": state}}), KEY).role("web")
    assert role is not None and role.running is runs


def test_a_role_without_a_unit_has_no_process() -> None:
    role = hosts.node_state(said(units={}), KEY).role("web")
    assert role is not None and not role.has_process and not role.running


def test_a_host_that_cannot_be_a_node_is_refused_in_words() -> None:
    hosts.refuse_unfit("gw1", said())
    with pytest.raises(BadInput, match="runs debian bookworm"):
        hosts.refuse_unfit("gw1", said(release={"ID": "debian", "VERSION_CODENAME": "bookworm"}))
    with pytest.raises(BadInput, match="lacks nsenter"):
        hosts.refuse_unfit("gw1", said(lacks=["nsenter"]))


def test_marks_are_remembered_and_forgotten(tmp_path: Path) -> None:
    memory = hosts.Memory(tmp_path / "hosts.json")
    memory.forget("gw1")
    memory.keep("gw1", hosts.mark(DEPLOYMENT, SHAPE))
    assert hosts.stopped(memory.marks()["gw1"]).shape == "shape-1"
    memory.forget("gw1")
    assert memory.marks() == {}


def test_what_a_process_has_read_goes_to_the_host_and_comes_back() -> None:
    assert hosts.parse_read(hosts.read_mark("p", "s", "a")) == ("p", "s", "a")
    assert hosts.parse_read("") == ("", "", "")


def test_what_did_not_come_back_is_said_with_what_to_do_next() -> None:
    assert hosts.came_back("gw1", {"again": ["web"], "failed": [], "lost": {}}) == ("web",)
    with pytest.raises(Error, match="not the software of web") as lost:
        hosts.came_back("gw1", {"again": [], "failed": ["web"], "lost": {"web": ["nginx", "/usr/bin/x"]}})
    assert lost.value.details == "web: not as before: nginx, /usr/bin/x\nweb: does not start with it"
    assert "snapshot" in lost.value.resolution
    with pytest.raises(Error, match="web did not start again"):
        hosts.came_back("gw1", {"again": [], "failed": ["web"], "lost": {}})
