"""Machines of a cloud: the real provider of Terraform, against a small server that answers as OpenStack's API says."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from common.model import Event
from common.system import Deployment, Machine
from seter.keep import Keep
from seter.provisioner import seeds
from seter.provisioner.machines import make_pair
from seter.provisioner.modules import Life, Wish
from seter.provisioner.openstack import Openstack
from seter.provisioner.units import Units
from seter.record import leased
from seter.state import Subnets
from seter.terraform import Change, TerraformFailed
from tests.lab import providers
from tests.lab.cloud import Cloud, cloud
from tests.lab.programs import with_tools

DEPLOYMENT = Deployment("lb", "cloud", "t1")
NETS = Subnets("10.20.0.0/24", "fd00:20::/64")
VIPS = ("192.0.2.10/32", "2001:db8::10/128")
HOST = make_pair()


@dataclass
class Site:
    """One node in a cloud, made as seter makes it."""

    cloud: Cloud
    folder: Path
    machine: Machine
    image: str = "1" * 64
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.keep = Keep(DEPLOYMENT, str(self.folder / "state"))
        self.module = Openstack(DEPLOYMENT, self.keep.folder)
        self.units = Units(self.keep, lambda: self.events.append, threading.Event())

    @property
    def wish(self) -> Wish:
        disk = self.folder / "disk.qcow2"
        disk.write_bytes(b"QFI\xfb" + self.image.encode())
        cards = [seeds.card(DEPLOYMENT, "gw1", ("fabric", "10.20.0.3", "fd00:20::3"), NETS)]
        told = seeds.credentials("gw1", "ssh-ed25519 AAAA", HOST, cards, self.module.state_device)
        image, outputs = f"vm/lb.gateways@sha256:{self.image}", self.units.outputs()
        return Wish("gw1", "gateways", self.machine, image, disk, cards, told, outputs)

    def up(self) -> tuple[Change, ...]:
        given = self.module.network("fabric", NETS, self.machine)
        done = list(self.units.bring("network-fabric", given, self.module.config(given)))
        for unit, given in self.module.shared(self.wish).items():
            done += self.units.bring(unit, given, self.module.config(given))
        return *done, *self.units.bring("node-gw1", self.given, self.config, secret=self.module.secret(self.wish))

    @property
    def given(self) -> dict[str, Any]:
        return dict(self.module.node(self.wish))

    @property
    def config(self) -> dict[str, Any]:
        return self.module.config(self.given)

    @property
    def life(self) -> Life:
        return self.module.life(self.given, self.units.found("node-gw1", self.given, self.config))

    def one(self, kind: str) -> dict[str, Any]:
        (found,) = self.cloud.all(kind)
        return found


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return providers.mirror(tmp_path_factory.mktemp("providers"))


@pytest.fixture
def site(mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with cloud() as there:
        clouds = tmp_path / "clouds.yaml"
        clouds.write_text(there.clouds())
        monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(clouds))
        monkeypatch.setenv("SETER_IDENTITY", str(tmp_path / "identity"))
        monkeypatch.setenv("PATH", with_tools())
        machine = Machine("openstack", flavor="m1.small", cloud="lab", allowed=VIPS, providers=str(mirror))
        made = Site(there, tmp_path, machine)
        with leased(made.keep, "test", report=made.events.append):
            yield made


def refusals(site: Site) -> list[str]:
    """But for looking whether what was removed is gone."""
    return [line for line in site.cloud.refused if not (line.startswith("GET ") and " 404 " in line)]


def test_a_node_is_made_as_the_api_says_kept_and_removed(site: Site) -> None:
    assert len(site.up()) == 8 and refusals(site) == []
    assert site.up() == () and site.life is Life.ON
    port, server = site.one("port"), site.one("server")
    assert {each["ip_address"] for each in port["fixed_ips"]} == {"10.20.0.3", "fd00:20::3"}
    assert {each["ip_address"] for each in port["allowed_address_pairs"]} == set(VIPS)
    assert port["mac_address"] == seeds.mac(DEPLOYMENT, "gw1", "fabric") and port["device_id"] == server["id"]
    assert server["hints"]["group"] == site.one("server_group")["id"] and server["config_drive"] is True
    disk = (site.folder / "disk.qcow2").read_bytes()
    assert list(site.cloud.uploads.values()) == [hashlib.sha256(disk).hexdigest()]
    root, state = server["block_device_mapping_v2"]
    assert (root["source_type"], root["uuid"], str(root["boot_index"])) == ("image", site.one("image")["id"], "0")
    assert (state["uuid"], state["delete_on_termination"]) == (site.one("volume")["id"], False)
    site.units.destroy("node-gw1", site.given, site.config)
    for unit, given in site.module.shared(site.wish).items():
        site.units.destroy(unit, given, site.module.config(given))
    network = site.module.network("fabric", NETS, site.machine)
    site.units.destroy("network-fabric", network, site.module.config(network))
    assert all(not things for things in site.cloud.things.values()) and refusals(site) == []


def test_what_a_machine_is_told_is_its_user_data_and_is_in_no_state(site: Site) -> None:
    site.up()
    first, *lines = base64.b64decode(site.one("server")["user_data"]).decode().splitlines()
    told = {name: base64.b64decode(value).decode() for name, _, value in (line.partition(" ") for line in lines)}
    assert first == "#seter" and told == dict(site.wish.told)
    key = base64.b64encode(HOST.private.encode()).decode()
    states = json.dumps({name: unit.state for name, unit in site.units.machines.read().units.items()})
    assert key in told["tmpfiles.extra"] and key not in states
    assert base64.b64encode(told["tmpfiles.extra"].encode()).decode() not in states
    for path in (site.folder / "state").rglob("*"):
        assert not path.is_file() or b"PRIVATE KEY" not in path.read_bytes()


@pytest.mark.long
def test_one_that_is_off_is_seen_and_started_again(site: Site) -> None:
    site.up()
    server = site.one("server")
    server |= {"status": "SHUTOFF", "OS-EXT-STS:vm_state": "stopped", "OS-EXT-STS:power_state": 4}
    assert site.life is Life.OFF
    assert [change.actions for change in site.up()] == [("update",)]
    assert site.life is Life.ON and site.one("server")["id"] == server["id"]


@pytest.mark.long
def test_one_that_was_deleted_by_hand_is_seen_and_made_again_with_its_volume(site: Site) -> None:
    site.up()
    volume = site.one("volume")["id"]
    site.cloud.remove("server", site.one("server")["id"])
    assert site.life is Life.ABSENT
    site.up()
    assert site.life is Life.ON and site.one("volume")["id"] == volume


def test_another_artefact_is_another_server_with_the_volume_of_before(site: Site) -> None:
    site.up()
    server, volume = site.one("server")["id"], site.one("volume")["id"]
    site.image = "2" * 64
    site.up()
    assert site.one("server")["id"] != server and site.one("volume")["id"] == volume
    assert site.one("server")["block_device_mapping_v2"][0]["uuid"] in site.cloud.uploads


@pytest.mark.long
def test_other_virtual_addresses_change_the_port_alone(site: Site) -> None:
    site.up()
    server = site.one("server")["id"]
    site.machine = replace(site.machine, allowed=VIPS[:1])
    assert [str(change) for change in site.up()] == ["update openstack_networking_port_v2.port0"]
    assert site.one("server")["id"] == server
    assert [each["ip_address"] for each in site.one("port")["allowed_address_pairs"]] == [VIPS[0]]


@pytest.mark.long
def test_what_the_cloud_refuses_is_told_in_its_words(site: Site) -> None:
    site.machine = replace(site.machine, flavor="m1.huge")
    with pytest.raises(TerraformFailed, match="node-gw1"):
        site.up()
    assert site.cloud.all("server") == []
    site.machine = replace(site.machine, flavor="m1.small")
    site.up()
    assert site.life is Life.ON
