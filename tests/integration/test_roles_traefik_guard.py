"""What reaches Traefik of what stands in etcd, whoever wrote it there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.conftest import Running
from tests.integration.test_roles_services import (
    GATEWAYS,
    PROGRAMS,
    TREE,
    change_tree,
    container,
    run,
    says,
    soon,
    weights,
)

POOL = "traefik/http/services/radosgw/loadBalancer"
SECRETS = "/etc/seter/secrets/etcd"


def etcdctl(running: Running, *words: str) -> str:
    """As somebody who has the keys of a member, past all that seter checks."""
    argv = (
        "etcdctl", "--endpoints=https://127.0.0.1:2379", f"--cacert={SECRETS}/ca.crt", f"--cert={SECRETS}/member.crt",
        f"--key={SECRETS}/member.key",
    )  # fmt: skip
    return run(running, "gw1", "etcd", *argv, *words, user="etcd")


def guard(running: Running, node: str) -> dict[str, object]:
    return says(running, node, "traefik-guard", "traefik-guard", "status")


def refused(running: Running) -> bool:
    return all(guard(running, node)["refused"] for node in GATEWAYS)


@contextmanager
def restored(running: Running) -> Iterator[None]:
    """The tree that was rendered is in etcd, and on every node, after the block."""
    try:
        yield
    finally:
        says(running, "gw1", "traefik", "traefik-tree", "apply", TREE)
        soon(lambda: all(guard(running, node)["ok"] for node in GATEWAYS), 10, "all in step")


def test_every_node_has_what_etcd_has(running: Running) -> None:
    found = [guard(running, node) for node in GATEWAYS]
    assert all(one["ok"] for one in found), found
    assert len({one["applied_revision"] for one in found}) == 1


def test_a_tree_that_is_deleted_or_broken_by_hand_changes_nothing(running: Running) -> None:
    before = {node: weights(running, node) for node in GATEWAYS}
    with restored(running):
        etcdctl(running, "put", f"{POOL}/strategy", "nope")
        soon(lambda: refused(running), 5, "a wrong value is refused")
        etcdctl(running, "del", "--prefix", "traefik/")
        soon(lambda: "no router" in str(guard(running, "gw1")["refused"]), 5, "an empty tree is refused")
        time.sleep(1.0)
        assert {node: weights(running, node) for node in GATEWAYS} == before
        found = says(running, "cl1", "s3-client", "s3-client", "round-trip", "--size", "1KiB", "--json")
        assert found["ok"]


def test_a_change_reaches_every_traefik_soon(running: Running) -> None:
    """The figure is 0.3 s; each look costs 0.1 s or more here."""
    url = "http://127.0.0.1:7480"
    with restored(running):
        change_tree(running, "http/services/radosgw/loadBalancer/servers/00/weight", "5")
        started = time.monotonic()
        says(running, "gw1", "traefik", "traefik-tree", "apply", "/tmp/tree.json")
        soon(lambda: all(weights(running, node)[url] == 5 for node in GATEWAYS), 2, "the new weight")
        assert time.monotonic() - started < 2


def test_a_traefik_that_starts_while_etcd_is_away_serves_what_it_had(running: Running) -> None:
    before = weights(running, "gw2")
    roles = ("etcd", "traefik-guard", "traefik")
    running.docker("stop", "--time", "5", *(container(running, "gw2", role) for role in roles))
    try:
        for role in ("traefik-guard", "traefik"):
            running.docker("start", container(running, "gw2", role))
        soon(lambda: guard(running, "gw2")["etcd"] is False, 10, "the guard says that etcd is away")
        soon(lambda: weights(running, "gw2") == before, 10, "the configuration it had")
        health = [f"{PROGRAMS}/health", "status", "--settled"]
        soon(lambda: bool(run(running, "gw2", "health", *health, check=False)), 20, "the agent")
    finally:
        running.docker("start", container(running, "gw2", "etcd"))
    soon(lambda: bool(guard(running, "gw2")["ok"]), 30, "in step again")
