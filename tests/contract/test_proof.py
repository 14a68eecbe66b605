"""Every store gives the same verdict on the same artefact, and refuses what is revoked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from common.errors import Corrupt
from naust import revoke
from naust.affected import affected, query
from naust.attest import attest
from naust.copy import copy
from naust.proof import proofs
from naust.proof.proofs import gather
from naust.proof.sbom import found_packages
from naust.sign import sign
from naust.store.interface import Store
from naust.verify import judge
from tests.lab.proofs import NOW, TAG, asking, bom, container, file, key, provenance, rule
from tests.lab.stores import STORES

POLICY = asking(
    rule("release", purposes=("release",)), rule("second"), signatures=2, signed_by=("second",), named=True,
    built_by=("https://ci.example.org/*",), sources=("git+https://git.example.org/*",), sbom=True,
    not_older_than=timedelta(days=7), revocations_not_older_than=timedelta(days=7), signed_revocations=True,
)  # fmt: skip


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with STORES[request.param](tmp_path) as opened:
        yield opened


def test_one_verdict_on_every_store_and_from_a_file(store: Store, tmp_path: Path) -> None:
    web = container(store, "container/web", b"one", b"two")
    before = judge(gather(store, web, now=NOW), POLICY, now=NOW)
    assert [each.check for each in before.requirements if not each.ok] == [
        "signatures", "signed by", "provenance", "built by", "sources", "SBOM", "age", "list of revocations",
    ]  # fmt: skip
    release, second = key("release"), key("second")
    for signer in (release, second):
        assert sign(store, web, signer, "release") == sign(store, web, signer, "release")
    attest(store, web, release, bom(("libssl3", "3.0.15-1~deb12u1"), source="openssl"), "cyclonedx")
    attest(store, web, release, provenance(), "slsaprovenance1")
    revoke.refresh(store, key=release, now=NOW)
    proof = gather(store, web, now=NOW)
    found = judge(proof, POLICY, now=NOW)
    assert found.ok, found
    assert len(list(store.referrers("container/web", web.digest))) == 4
    proofs.export(proof, tmp_path / "proof")
    assert judge(proofs.load(tmp_path / "proof"), POLICY, now=NOW) == found
    revoke.revoke(store, web, "CVE-2026-1", by="alice", key=release, now=NOW)
    proofs.export(gather(store, web, now=NOW), tmp_path / "later")
    later = judge(proofs.load(tmp_path / "later"), POLICY, now=NOW)
    assert [each.check for each in later.requirements if not each.ok] == ["revocations"]


def test_what_is_revoked_and_what_is_built_from_it_is_refused(store: Store) -> None:
    base = container(store, "container/base", b"one")
    web = container(store, "container/web", b"one", b"two")
    disk = file(store, "vm/web", b"disk", inputs=[("container/web", "1.0", str(web.digest))])
    other = file(store, "file/other", b"other")
    revoke.revoke(store, base, "CVE-2026-1", by="alice", now=NOW)
    for each in (base, web):
        with pytest.raises(Corrupt, match="revoked"):
            revoke.check(store, each)
    revoke.revoke(store, web, "CVE-2026-1", by="alice", now=NOW)
    with pytest.raises(Corrupt, match="revoked"):
        revoke.check(store, disk)
    revoke.check(store, other)
    for each in (base, web):
        revoke.revoke(store, each, "fine", by="alice", undo=True, now=NOW)
    for each in (base, web, disk, other):
        revoke.check(store, each)


def test_who_contains_a_package_is_known(store: Store) -> None:
    web = container(store, "container/web", b"one")
    store.put_manifest("container/web", "production", store.manifest("container/web", TAG))
    file(store, "file/unknown", b"unknown")
    assert found_packages(store, web) is None
    attest(store, web, key("release"), bom(("libssl3", "3.5.4-1"), source="openssl"), "cyclonedx")
    answer = affected(store, query("openssl<3.5.5"))
    assert [(each.name, each.channels, each.by) for each in answer.affected] == [
        ("container/web", ("production",), "sbom")
    ]
    assert answer.unknown == (f"file/unknown:{TAG}",)
    assert not affected(store, query("openssl>=3.5.5")).affected
    assert affected(store, query("openssl<3.5.5"), channel="production").looked_at == 1


def test_proof_is_copied_with_the_artefact(store: Store, tmp_path: Path) -> None:
    with STORES["directory"](tmp_path / "source") as source:
        web = file(source, "file/web")
        sign(source, web, key("release"), "release")
        attest(source, web, key("release"), provenance(), "slsaprovenance1")
        policy = asking(purpose="release", built_by=("https://ci.example.org/*",))
        before = judge(gather(source, web, now=NOW), policy, now=NOW)
        copy(source, store, [f"file/web:{TAG}"])
        assert before.ok
        assert judge(gather(store, web, now=NOW), policy, now=NOW) == before
        revoke.revoke(source, web, "CVE-2026-1", by="alice", now=NOW)
        copy(source, store, [f"file/web:{TAG}"])
        with pytest.raises(Corrupt, match="revoked"):
            revoke.check(store, web)
        disk = file(store, "vm/web", b"disk", inputs=[("file/web", "1.0", str(web.digest))])
        with pytest.raises(Corrupt, match="is built from it"):
            revoke.check(store, disk)
