"""What the roles of the services must agree on among themselves."""

from __future__ import annotations

from pathlib import Path

import ceph_launch
import pytest
import yaml

from common.catalog import Catalog
from common.role import Role

SYSTEMS = Path(__file__).parents[3] / "systems"
CEPH = ("ceph-mon", "ceph-mgr", "ceph-osd", "radosgw")


@pytest.fixture(scope="module")
def roles() -> dict[str, Role]:
    return {role.name: role for role in Catalog.open(SYSTEMS).roles()}


def test_one_user_has_one_uid_and_one_uid_has_one_user(roles: dict[str, Role]) -> None:
    pairs = {(role.process.user, role.process.uid) for role in roles.values() if role.process and role.process.uid}
    assert len({user for user, _ in pairs}) == len({uid for _, uid in pairs}) == len(pairs)


def test_the_ceph_user_of_the_shared_image_is_that_of_the_daemons(roles: dict[str, Role]) -> None:
    tasks = yaml.safe_load((SYSTEMS / "roles" / "ceph-common" / "tasks" / "install.yml").read_text())
    users = [task["ansible.builtin.user"] for task in tasks if "ansible.builtin.user" in task]
    made = {(user["name"], user["uid"]) for user in users}
    daemons = {(process.user, process.uid) for name in CEPH if (process := roles[name].process)}
    assert made == daemons


def test_a_secret_that_roles_share_is_made_alike(roles: dict[str, Role]) -> None:
    made: dict[str, tuple[str, str]] = {}
    for role in roles.values():
        for need in role.secrets:
            if need.scope == "deployment":
                assert made.setdefault(need.name, (need.make, need.scope)) == (need.make, need.scope), role.name


def test_every_key_that_the_launcher_reads_is_a_secret_of_the_role(roles: dict[str, Role]) -> None:
    wanted = {
        "ceph-mon": set(ceph_launch.OWNERS),
        "ceph-mgr": {"ceph-mgr-key"},
        "ceph-osd": {"ceph-osd-key"},
        "radosgw": {"ceph-rgw-key", "s3-access-key", "s3-secret-key", "tls"},
    }
    assert {name: {need.name for need in roles[name].secrets} for name in CEPH} == wanted


def test_only_traefik_may_more_than_any_user(roles: dict[str, Role]) -> None:
    services = (*CEPH, "etcd", "traefik", "prometheus")
    capabilities = {name: process.capabilities for name in services if (process := roles[name].process)}
    assert {name: held for name, held in capabilities.items() if held} == {"traefik": ("NET_BIND_SERVICE",)}
