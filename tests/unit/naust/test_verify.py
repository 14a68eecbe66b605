"""The verdict: what counts, what does not, and that every reason is named."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import BadInput, Corrupt
from common.model import Artifact, Digest
from naust.attest import attest
from naust.listing import resolve
from naust.proof import bundle, proofs
from naust.proof.attached import attach
from naust.proof.bundle import BUNDLE, Subject
from naust.proof.policy import Policy
from naust.proof.proofs import gather
from naust.sign import put, sealed, sign
from naust.store.memory import MemoryStore
from naust.verify import Judgement, judge
from tests.lab.proofs import BUILDER, NOW, TAG, asking, bom, file, key, provenance, rule

NAME = "file/tool"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def tool(store: MemoryStore) -> Artifact:
    return file(store)


def judged(store: MemoryStore, artifact: Artifact, policy: Policy | None = None, now: datetime = NOW) -> Judgement:
    return judge(gather(store, artifact, now=now), policy or asking(), now=now)


def unmet(found: Judgement) -> dict[str, str]:
    return {each.check: each.measured for each in found.requirements if not each.ok}


def put_bundle(store: MemoryStore, artifact: Artifact, data: bytes) -> None:
    attach(store, NAME, artifact.digest, data, media_type=BUNDLE, artifact_type=BUNDLE)


def changed(data: bytes, edit: Callable[[dict[str, object]], None]) -> bytes:
    """The bundle with its envelope edited."""
    document = json.loads(data)
    edit(document["dsseEnvelope"])
    return json.dumps(document).encode()


def signature(artifact: Artifact, name: str = "release") -> bytes:
    said = bundle.statement(Subject((str(artifact.digest),), "file/tool"), bundle.SIGNATURE, {})
    return sealed(key(name), said)


# Signatures


def test_nothing_is_good_that_nobody_signed(store: MemoryStore, tool: Artifact) -> None:
    assert set(unmet(judged(store, tool))) == {"signatures"}


@pytest.mark.parametrize("algorithm", ["p256", "ed25519"])
def test_one_signature_by_a_key_of_the_policy_is_enough(store: MemoryStore, tool: Artifact, algorithm: str) -> None:
    signer = key(f"of-{algorithm}", algorithm)
    sign(store, tool, signer)
    rules = replace(rule("release"), name="other", public=signer.public)
    assert judged(store, tool, asking(rules)).ok
    assert not judged(store, tool).ok


def test_signing_twice_adds_nothing(store: MemoryStore, tool: Artifact) -> None:
    assert sign(store, tool, key("release"), "release") == sign(store, tool, key("release"), "release")
    assert len(list(store.referrers(NAME, tool.digest))) == 1
    assert sign(store, tool, key("release"), "test") != sign(store, tool, key("release"), "release")


def test_as_many_different_keys_must_have_signed_as_the_policy_says(store: MemoryStore, tool: Artifact) -> None:
    policy = asking(rule("release"), rule("second"), rule("third"), signatures=2)
    sign(store, tool, key("release"), "release")
    sign(store, tool, key("release"), "again")
    assert "release" in unmet(judged(store, tool, policy))["signatures"]
    sign(store, tool, key("third"))
    assert judged(store, tool, policy).ok


def test_a_key_that_must_sign_is_missed(store: MemoryStore, tool: Artifact) -> None:
    policy = asking(rule("release"), rule("second"), signed_by=("second",))
    sign(store, tool, key("release"))
    assert set(unmet(judged(store, tool, policy))) == {"signed by"}
    sign(store, tool, key("second"))
    assert judged(store, tool, policy).ok


def test_a_signature_counts_for_its_purpose_alone(store: MemoryStore, tool: Artifact) -> None:
    sign(store, tool, key("release"), "test")
    assert judged(store, tool).ok
    assert "for test" in unmet(judged(store, tool, asking(purpose="release")))["signatures"]
    assert "for test" in unmet(judged(store, tool, asking(rule("release", purposes=("release",)))))["signatures"]
    sign(store, tool, key("release"), "release")
    assert judged(store, tool, asking(rule("release", purposes=("release",)), purpose="release")).ok


def test_a_purpose_that_only_the_manifest_states_is_none(store: MemoryStore, tool: Artifact) -> None:
    attach(
        store, NAME, tool.digest, signature(tool), media_type=BUNDLE, artifact_type=BUNDLE,
        annotations={"purpose": "release", "dev.sigstore.bundle.predicateType": bundle.SIGNATURE},
    )  # fmt: skip
    assert not judged(store, tool, asking(purpose="release")).ok


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"revoked": True}, "revoked"),
        ({"until": NOW}, "until"),
        ({"until": NOW - timedelta(days=1)}, "until"),
        ({"since": NOW + timedelta(days=1)}, "from"),
    ],
)
def test_a_key_counts_only_while_it_is_good(
    store: MemoryStore, tool: Artifact, more: dict[str, object], reason: str
) -> None:
    sign(store, tool, key("release"))
    assert reason in unmet(judged(store, tool, asking(rule("release", **more))))["signatures"]


def test_the_clock_decides_from_when_until_when_a_key_counts(store: MemoryStore, tool: Artifact) -> None:
    sign(store, tool, key("release"))
    policy = asking(rule("release", since=NOW, until=NOW + timedelta(days=2)))
    moments = {-1: False, 0: True, 1: True, 2: False}
    assert {days: judged(store, tool, policy, NOW + timedelta(days=days)).ok for days in moments} == moments


def test_a_signature_must_name_the_artefact_if_the_policy_wants_it(store: MemoryStore, tool: Artifact) -> None:
    policy = asking(named=True)
    sign(store, tool, key("release"))
    assert judged(store, tool, policy).ok
    store.put_manifest(NAME, "production", store.manifest(NAME, TAG))
    assert judged(store, resolve(store, "file/tool:production"), policy).ok
    elsewhere = file(store, "file/other", tag="9.9-20261124T221500Z")
    put(store, elsewhere, key("release"), bundle.statement(
        Subject((str(elsewhere.digest),), f"{NAME}:{TAG}"), bundle.SIGNATURE, {}
    ), bundle.SIGNATURE)  # fmt: skip
    assert judged(store, elsewhere).ok
    assert NAME in unmet(judged(store, elsewhere, policy))["signatures"]


# What is no signature


def test_an_attestation_is_no_signature(store: MemoryStore, tool: Artifact) -> None:
    attest(store, tool, key("release"), bom(("a", "1")), "cyclonedx")
    attest(store, tool, key("release"), provenance(), "slsaprovenance1")
    attest(store, tool, key("release"), b'{"a": 1}', "https://example.org/x")
    assert set(unmet(judged(store, tool))) == {"signatures"}


def test_a_signature_over_another_digest_is_none(store: MemoryStore, tool: Artifact) -> None:
    put_bundle(store, tool, signature(file(store, content=b"other", tag="2.0-20261124T221500Z")))
    assert "another digest" in unmet(judged(store, tool))["signatures"]


def test_a_swapped_payload_is_noticed(store: MemoryStore, tool: Artifact) -> None:
    other = bundle.statement(Subject((str(tool.digest),), annotations=(("purpose", "release"),)), bundle.SIGNATURE, {})
    put_bundle(
        store,
        tool,
        changed(signature(tool), lambda envelope: envelope.update(payload=base64.b64encode(other).decode())),
    )
    assert "which is not so" in unmet(judged(store, tool))["signatures"]


@pytest.mark.parametrize(
    "edit",
    [
        lambda envelope: envelope.update(payload="%%%"),
        lambda envelope: envelope.update(payload=""),
        lambda envelope: envelope.update(payload="AAAA\n"),
        lambda envelope: envelope.update(payload=7),
        lambda envelope: envelope.update(payloadType="text/plain"),
        lambda envelope: envelope.update(signatures=[]),
        lambda envelope: envelope.update(signatures=[{"sig": ""}]),
        lambda envelope: envelope.update(signatures=envelope["signatures"] * 2),
        lambda envelope: envelope.update(payload=base64.b64encode(b'{"_type": "x"}').decode()),
        lambda envelope: envelope.clear(),
    ],
)
def test_a_bundle_that_is_none_counts_for_nothing_and_is_named(
    store: MemoryStore, tool: Artifact, edit: Callable[[dict[str, object]], None]
) -> None:
    put_bundle(store, tool, changed(signature(tool), edit))
    found = judged(store, tool)
    assert not found.ok
    assert found.passed_over


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{" * 100_000,
        b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
        b'{"mediaType": "x"}',
        b'{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","dsseEnvelope":NaN}',
        b"\xff\xfe",
    ],
    ids=["empty", "list", "open", "deep", "other", "NaN", "no text"],
)
def test_rubbish_beside_a_good_signature_does_no_harm(store: MemoryStore, tool: Artifact, data: bytes) -> None:
    sign(store, tool, key("release"))
    put_bundle(store, tool, data)
    found = judged(store, tool)
    assert found.ok
    assert len(found.passed_over) == 1


def test_a_key_that_is_there_twice_makes_no_bundle(store: MemoryStore, tool: Artifact) -> None:
    good = signature(tool)
    put_bundle(store, tool, good[:-1] + b',"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}')
    assert "twice" in unmet(judged(store, tool))["signatures"]


def test_who_floods_an_artefact_with_documents_gets_no_verdict(store: MemoryStore, tool: Artifact) -> None:
    for number in range(501):
        put_bundle(store, tool, b"%d" % number)
    with pytest.raises(Corrupt, match="more than 500"):
        judged(store, tool)


# Provenance, SBOM, age


def test_a_provenance_says_who_built_it_and_from_what(store: MemoryStore, tool: Artifact) -> None:
    policy = asking(built_by=("https://ci.example.org/*",), sources=("git+https://git.example.org/*",))
    sign(store, tool, key("release"))
    assert set(unmet(judged(store, tool, policy))) == {"provenance", "built by", "sources"}
    attest(store, tool, key("release"), provenance(), "slsaprovenance1")
    assert judged(store, tool, policy).ok


def test_every_source_must_be_allowed(store: MemoryStore, tool: Artifact) -> None:
    sign(store, tool, key("release"))
    evil = {"uri": "git+https://git.example.org.evil.example/web", "digest": {"gitCommit": "cd" * 20}}
    attest(store, tool, key("release"), provenance({"uri": "git+https://git.example.org/a"}, evil), "slsaprovenance1")
    found = unmet(judged(store, tool, asking(sources=("git+https://git.example.org/*",))))
    assert list(found) == ["sources"]
    assert "1 of 2" in found["sources"]
    assert evil["uri"] in found["sources"]


def test_a_provenance_without_sources_does_not_say_them(store: MemoryStore, tool: Artifact) -> None:
    sign(store, tool, key("release"))
    none = json.dumps({"runDetails": {"builder": {"id": BUILDER}}}).encode()
    attest(store, tool, key("release"), none, "slsaprovenance1")
    assert set(unmet(judged(store, tool, asking(sources=("*",))))) == {"sources"}


def test_one_provenance_must_say_all_of_it(store: MemoryStore, tool: Artifact) -> None:
    sign(store, tool, key("release"))
    wrong = {"uri": "git+https://elsewhere.example/x"}
    attest(store, tool, key("release"), provenance(builder="https://evil.example"), "slsaprovenance1")
    attest(store, tool, key("release"), provenance(wrong), "slsaprovenance1")
    policy = asking(built_by=("https://ci.example.org/*",), sources=("git+https://git.example.org/*",))
    assert len(unmet(judged(store, tool, policy))) == 1


def test_a_provenance_of_another_version_of_the_format_counts_too(store: MemoryStore, tool: Artifact) -> None:
    sign(store, tool, key("release"))
    old = {"builder": {"id": BUILDER}, "materials": [{"uri": "git+https://git.example.org/a"}]}
    attest(store, tool, key("release"), json.dumps(old).encode(), "slsaprovenance02")
    assert judged(store, tool, asking(built_by=(BUILDER,), sources=("git+https://git.example.org/*",))).ok


def test_a_key_attests_only_what_the_policy_lets_it(store: MemoryStore, tool: Artifact) -> None:
    sign(store, tool, key("release"))
    attest(store, tool, key("release"), provenance(), "slsaprovenance1")
    attest(store, tool, key("release"), bom(("a", "1")), "cyclonedx")
    policy = asking(rule("release", attests=("sbom",)), provenance=True, sbom=True)
    assert set(unmet(judged(store, tool, policy))) == {"provenance"}


def test_an_sbom_must_be_one(store: MemoryStore, tool: Artifact) -> None:
    sign(store, tool, key("release"))
    policy = asking(sbom=True)
    assert set(unmet(judged(store, tool, policy))) == {"SBOM"}
    said = bundle.statement(Subject((str(tool.digest),)), bundle.SBOM, {"hello": "world"})
    put(store, tool, key("release"), said, bundle.SBOM)
    assert "no CycloneDX" in unmet(judged(store, tool, policy))["SBOM"]
    attest(store, tool, key("release"), bom(("a", "1")), "cyclonedx")
    assert judged(store, tool, policy).ok


def test_an_attestation_must_be_what_its_type_says(store: MemoryStore, tool: Artifact) -> None:
    for data, kind in (
        (b"{}", "x:y"),
        (b"[]", "x:y"),
        (b"{", "x:y"),
        (b'{"a":1}', "cyclonedx"),
        (b'{"a":1}', "slsaprovenance1"),
    ):
        with pytest.raises(BadInput):
            attest(store, tool, key("release"), data, kind)
    with pytest.raises(BadInput):
        attest(store, tool, key("release"), b'{"a":1}', "not a type")
    assert not list(store.referrers(NAME, tool.digest))


def test_what_is_too_old_is_refused_by_the_date_that_is_signed(store: MemoryStore, tool: Artifact) -> None:
    sign(store, tool, key("release"))
    week = asking(not_older_than=timedelta(days=7))
    assert judged(store, tool, week, datetime(2026, 12, 1, tzinfo=UTC)).ok
    late = datetime(2026, 12, 2, tzinfo=UTC)
    assert "signature" in unmet(judged(store, tool, week, late))["age"]
    attest(store, tool, key("release"), provenance(finished="2026-11-28T00:00:00Z"), "slsaprovenance1")
    assert judged(store, tool, week, late).ok


def test_what_is_from_the_future_is_refused(store: MemoryStore, tool: Artifact) -> None:
    sign(store, tool, key("release"))
    attest(store, tool, key("release"), provenance(finished="2099-01-01T00:00:00Z"), "slsaprovenance1")
    assert set(unmet(judged(store, tool, asking(not_older_than=timedelta(days=7))))) == {"age"}


def test_every_reason_is_named_at_once(store: MemoryStore, tool: Artifact) -> None:
    policy = asking(
        rule("release"), rule("second"), signatures=2, signed_by=("second",), built_by=("x:*",), sources=("y:*",),
        sbom=True, not_older_than=timedelta(days=1), revocations_not_older_than=timedelta(days=1),
    )  # fmt: skip
    found = judged(store, tool, policy)
    with pytest.raises(Corrupt) as refused:
        found.check()
    for each in ("signatures", "signed by", "provenance", "built by", "sources", "SBOM", "age", "list of revocations"):
        assert f"{each}: " in refused.value.details
    assert refused.value.exit_code == 8


def test_what_others_wrote_cannot_paint_over_a_terminal(store: MemoryStore, tool: Artifact) -> None:
    sign(store, tool, key("release"))
    attest(store, tool, key("release"), provenance({"uri": "\x1b[2Jevil:\n"}, builder="\x1b[31mme"), "slsaprovenance1")
    found = judged(store, tool, asking(built_by=("x",), sources=("y",)))
    assert all(text.isprintable() for each in found.requirements for text in (each.measured, each.expected))


# One file instead of a store


def test_the_exported_file_gives_the_same_verdict(store: MemoryStore, tool: Artifact, tmp_path: Path) -> None:
    sign(store, tool, key("release"), "release")
    attest(store, tool, key("release"), provenance(), "slsaprovenance1")
    gathered = gather(store, tool, now=NOW)
    proofs.export(gathered, tmp_path / "proof.json")
    read = proofs.load(tmp_path / "proof.json")
    assert read == gathered
    for policy in (asking(), asking(purpose="test"), asking(sbom=True), asking(rule("second"))):
        assert judge(read, policy, now=NOW) == judge(gathered, policy, now=NOW)


def test_the_file_that_came_with_the_proof_is_compared(store: MemoryStore, tool: Artifact, tmp_path: Path) -> None:
    sign(store, tool, key("release"))
    (tmp_path / "good").write_bytes(b"content")
    (tmp_path / "bad").write_bytes(b"contenT")
    proof = gather(store, tool, now=NOW)
    assert judge(proof, asking(), now=NOW, file=tmp_path / "good").ok
    assert set(unmet(judge(proof, asking(), now=NOW, file=tmp_path / "bad"))) == {"file"}
    with pytest.raises(BadInput):
        judge(proof, asking(), now=NOW, file=tmp_path / "none")


def test_a_proof_cannot_be_about_another_artefact_than_its_manifest(store: MemoryStore, tool: Artifact) -> None:
    sign(store, tool, key("release"))
    other = file(store, content=b"other", tag="2.0-20261124T221500Z")
    document = json.loads(proofs.encode(gather(store, tool, now=NOW)))
    document["manifests"] = [base64.b64encode(store.manifest(NAME, str(other.digest))).decode()]
    with pytest.raises(Corrupt):
        proofs.decode(json.dumps(document).encode(), "it")
    document["digest"] = str(other.digest)
    assert not judge(proofs.decode(json.dumps(document).encode(), "it"), asking(), now=NOW).ok


@pytest.mark.parametrize(
    "edit",
    [{"format": 2}, {"naust": "x"}, {"at": "never"}, {"reference": "x"}, {"manifests": []}, {"manifests": ["%"]},
     {"documents": [{"data": "%"}]}, {"digest": "sha256:00"}],
)  # fmt: skip
def test_a_file_that_is_no_proof_is_refused(store: MemoryStore, tool: Artifact, edit: dict[str, object]) -> None:
    document = json.loads(proofs.encode(gather(store, tool, now=NOW))) | edit
    with pytest.raises(Corrupt):
        proofs.decode(json.dumps(document).encode(), "it")


def test_a_digest_is_never_taken_from_a_bundle(store: MemoryStore, tool: Artifact) -> None:
    """Of all subjects, the artefact's own digest must be one; several are allowed (in-toto Statement v1)."""
    said = bundle.statement(Subject((str(Digest.of(b"x")), str(tool.digest))), bundle.SIGNATURE, {})
    document = json.loads(said)
    document["subject"] = [{"digest": {"sha256": Digest.of(b"x").hex}}, {"digest": {"sha256": tool.digest.hex}}]
    put_bundle(store, tool, sealed(key("release"), json.dumps(document).encode()))
    assert judged(store, tool).ok


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=10)
    | st.binary(max_size=20).map(base64.b64encode).map(bytes.decode),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["data", "type", "digest", "title", "via", "name"]), inner, max_size=3)
    ),
    max_leaves=8,
)
_FIELDS = ("reference", "store", "at", "manifests", "documents", "revocations", "list", "origins", "unreadable")


@given(st.sampled_from(_FIELDS), _VALUES)
def test_any_file_is_a_proof_or_refused_and_never_proves_what_it_does_not(field: str, value: object) -> None:
    store = MemoryStore()
    tool = file(store)
    sign(store, tool, key("second"))
    document = json.loads(proofs.encode(gather(store, tool, now=NOW))) | {field: value}
    try:
        found = judge(proofs.decode(json.dumps(document).encode(), "it"), asking(), now=NOW)
    except Corrupt:
        return
    assert not found.ok
