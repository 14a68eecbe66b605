"""What is revoked, and everything built from it, is refused: by pull, engine, promote, deploy and verify."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from common.errors import BadInput, Corrupt
from common.model import Artifact, Digest
from naust import revoke
from naust.attest import attest
from naust.content import engine
from naust.listing import resolve
from naust.proof.policy import Policy
from naust.proof.proofs import gather
from naust.proof.revocations import LISTS_NAME, LISTS_TAG, REVOCATION
from naust.pull import into_stream, pull_file, pull_layout
from naust.sign import sign
from naust.store.directory import DirectoryStore
from naust.store.memory import MemoryStore
from naust.transfer.pull_any import pull
from naust.transfer.pull_folder import get_folder, get_member
from naust.verify import Judgement, judge
from seter import artifacts
from tests.lab.images import index
from tests.lab.proofs import NOW, TAG, asking, container, file, key, provenance, rule


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def revoked(store: MemoryStore, artifact: Artifact, reason: str = "CVE-2026-1", **more: object) -> None:
    revoke.revoke(store, artifact, reason, **({"by": "alice", "now": NOW} | more))  # type: ignore[arg-type]


def refuses(store: MemoryStore, artifact: Artifact) -> str:
    """Why it is refused; '' if it is not."""
    try:
        revoke.check(store, artifact)
    except Corrupt as error:
        return str(error)
    return ""


def judged(store: MemoryStore, artifact: Artifact, policy: Policy | None = None) -> Judgement:
    return judge(gather(store, artifact, now=NOW), policy or asking(), now=NOW)


def unmet(found: Judgement) -> set[str]:
    return {each.check for each in found.requirements if not each.ok}


# Itself


def test_a_revoked_artefact_is_refused_with_reason_date_and_name(store: MemoryStore) -> None:
    tool, other = file(store), file(store, "file/other", b"other")
    assert not refuses(store, tool)
    revoked(store, tool)
    for text in ("file/tool", "CVE-2026-1", "2026-11-25", "alice"):
        assert text in refuses(store, tool)
    assert not refuses(store, other)


def test_undoing_it_lets_it_pass_and_doing_it_again_does_not(store: MemoryStore) -> None:
    tool = file(store)
    revoked(store, tool)
    revoked(store, tool, "it was a mistake", undo=True)
    assert not refuses(store, tool)
    revoked(store, tool, "it was none")
    assert "it was none" in refuses(store, tool)


def test_revoking_twice_changes_nothing(store: MemoryStore) -> None:
    tool = file(store)
    for _ in range(2):
        revoked(store, tool)
    assert len(list(store.referrers("file/tool", tool.digest))) == 1
    assert len(revoke.the_list(store).listing.entries) == 1


def test_a_revocation_needs_a_reason(store: MemoryStore) -> None:
    tool = file(store)
    for reason in ("", " ", "two\nlines", "\x1b[2J"):
        with pytest.raises(BadInput):
            revoked(store, tool, reason)
    assert not refuses(store, tool)


@pytest.mark.parametrize(
    "act",
    [
        lambda store, tool, out: pull(store, tool, str(out / "x")),
        lambda store, tool, out: pull(store, tool, f"oci:{out / 'layout'}"),
        lambda store, tool, out: pull(store, tool, "-"),
        lambda store, tool, out: pull_file(store, tool, out / "x"),
        lambda store, tool, out: pull_layout(store, tool, out / "layout"),
        lambda store, tool, out: into_stream(store, tool, io.BytesIO()),
        lambda store, tool, out: get_folder(store, tool, out / "folder"),
        lambda store, tool, out: get_member(store, tool, "a", out),
    ],
)
def test_no_way_of_pulling_gives_it_out(
    store: MemoryStore, tmp_path: Path, act: Callable[[MemoryStore, Artifact, Path], object]
) -> None:
    tool = file(store)
    revoked(store, tool)
    with pytest.raises(Corrupt, match="is revoked"):
        act(store, tool, tmp_path)
    assert not list(tmp_path.iterdir())


def test_no_engine_gets_it_and_no_plan_or_deployment_uses_it(store: MemoryStore) -> None:
    """Both plan and deploy of seter resolve their images with `resolve_all`, and load them with the engine's `load`."""
    web = container(store, "container/web", b"layer")
    assert artifacts.resolve_all(store, ["container/web"], {})
    revoked(store, web)
    with pytest.raises(Corrupt, match="is revoked"):
        engine.load(store, web)
    with pytest.raises(Corrupt, match="is revoked") as refused:
        artifacts.resolve_all(store, ["container/web"], {})
    assert refused.value.exit_code == 8


def test_verify_refuses_it_though_everything_else_is_good(store: MemoryStore) -> None:
    tool = file(store)
    sign(store, tool, key("release"))
    assert judged(store, tool).ok
    revoked(store, tool)
    assert unmet(judged(store, tool)) == {"revocations"}
    revoked(store, tool, "fine", undo=True)
    assert judged(store, tool).ok


def test_all_names_of_the_same_content_are_refused(store: MemoryStore) -> None:
    tool = file(store)
    store.put_manifest("file/tool", "production", store.manifest("file/tool", TAG))
    revoked(store, tool)
    assert refuses(store, resolve(store, "file/tool:production"))


def test_the_same_content_under_another_name_is_refused(store: MemoryStore) -> None:
    revoked(store, file(store))
    assert "same content" in refuses(store, file(store, "rootfs/again"))


# Built from it


def test_an_image_on_revoked_layers_is_refused(store: MemoryStore) -> None:
    base = container(store, "container/base", b"one", b"two")
    web = container(store, "container/web", b"one", b"two", b"three")
    beside = container(store, "container/beside", b"one", b"other")
    revoked(store, base)
    assert "is built on it" in refuses(store, web)
    assert not refuses(store, beside)


def test_what_is_below_a_revoked_image_is_not_refused(store: MemoryStore) -> None:
    base = container(store, "container/base", b"one")
    revoked(store, container(store, "container/web", b"one", b"two"))
    assert not refuses(store, base)


def test_all_platforms_and_what_is_on_them_are_refused(store: MemoryStore) -> None:
    amd = container(store, "container/base", b"amd", tag="amd64")
    arm = container(store, "container/base", b"arm", tag="arm64")
    whole = {"linux/amd64": oci_blob(store, amd), "linux/arm64": oci_blob(store, arm)}
    index(store, "container/base", whole, TAG)
    revoked(store, resolve(store, f"container/base:{TAG}"))
    assert refuses(store, arm)
    assert "is built on it" in refuses(store, container(store, "container/web", b"arm", b"app"))


def test_an_index_with_one_revoked_platform_is_refused(store: MemoryStore) -> None:
    amd = container(store, "container/web", b"amd", b"app", tag="amd64")
    index(store, "container/web", {"linux/amd64": oci_blob(store, amd)}, TAG)
    revoked(store, container(store, "container/base", b"amd"))
    assert "is built on it" in refuses(store, resolve(store, f"container/web:{TAG}"))


def oci_blob(store: MemoryStore, artifact: Artifact) -> object:
    from naust import manifest as oci

    data = store.manifest("container/" + artifact.reference.name, str(artifact.digest))
    return oci.Blob(artifact.digest, len(data), oci.MANIFEST)


@pytest.mark.parametrize("what", ["manifest", "recipe", "file"])
def test_what_names_it_as_an_input_is_refused(store: MemoryStore, what: str) -> None:
    recipe = Digest.of(b"recipe")
    base = file(store, "vm/base", b"disk", made_from=recipe)
    digest = {"manifest": base.digest, "recipe": recipe, "file": Digest.of(b"disk")}[what]
    image = file(store, "vm/gateway", b"derived", inputs=[("base", "1.0", str(digest))])
    revoked(store, base)
    assert "is built from it" in refuses(store, image)


def test_it_is_followed_through_what_lies_between(store: MemoryStore) -> None:
    base = file(store, "vm/base", b"disk")
    middle = file(store, "vm/middle", b"more", inputs=[("base", "1.0", str(base.digest))])
    last = file(store, "vm/last", b"most", inputs=[("middle", "1.0", str(middle.digest))])
    revoked(store, base)
    assert "by way of vm/middle" in refuses(store, last)


def test_materials_of_its_provenance_are_followed(store: MemoryStore) -> None:
    base = file(store, "file/source", b"source")
    tool = file(store)
    material = {"uri": f"file:///srv/naust/file/source/{TAG}", "digest": {"sha256": base.digest.hex}}
    attest(store, tool, key("release"), provenance(material), "slsaprovenance1")
    revoked(store, base)
    assert "is built from it" in refuses(store, tool)
    sign(store, tool, key("release"))
    assert unmet(judged(store, tool)) == {"revocations"}


def test_a_circle_of_inputs_ends(store: MemoryStore) -> None:
    one = file(store, "vm/one", b"1", made_from=Digest.of(b"one"), inputs=[("two", "1", str(Digest.of(b"two")))])
    file(store, "vm/two", b"2", made_from=Digest.of(b"two"), inputs=[("one", "1", str(Digest.of(b"one")))])
    revoked(store, file(store, "file/other", b"other"))
    assert not refuses(store, one)


# Signed or not


def test_a_policy_can_demand_signed_revocations(store: MemoryStore) -> None:
    tool = file(store)
    sign(store, tool, key("release"))
    policy = asking(signed_revocations=True)
    revoked(store, tool)
    assert judged(store, tool, policy).ok
    revoked(store, tool, "by a stranger", key=key("stranger"))
    assert judged(store, tool, policy).ok
    revoked(store, tool, "by us", key=key("release"))
    assert unmet(judged(store, tool, policy)) == {"revocations"}
    assert refuses(store, tool)


def test_nobody_takes_a_signed_revocation_back_without_a_key(store: MemoryStore) -> None:
    tool = file(store)
    sign(store, tool, key("release"))
    revoked(store, tool, key=key("release"))
    revoked(store, tool, "never mind", undo=True)
    assert unmet(judged(store, tool)) == {"revocations"}
    revoked(store, tool, "never mind", undo=True, key=key("release"))
    assert judged(store, tool).ok


def test_a_revocation_outlives_its_key_but_not_the_key_s_own_revocation(store: MemoryStore) -> None:
    tool = file(store)
    sign(store, tool, key("release"))
    revoked(store, tool, key=key("second"))
    old = rule("second", until=NOW - timedelta(days=1))
    for second, good in ((old, False), (rule("second", revoked=True), True), (rule("second", attests=()), True)):
        assert judged(store, tool, asking(rule("release"), second, signed_revocations=True)).ok is good


def test_an_old_copy_of_the_store_cannot_hide_a_revocation(store: MemoryStore) -> None:
    tool = file(store)
    sign(store, tool, key("release"))
    policy = asking(revocations_not_older_than=timedelta(days=7))
    assert unmet(judged(store, tool, policy)) == {"list of revocations"}
    revoke.refresh(store, now=NOW)
    assert unmet(judged(store, tool, policy)) == {"list of revocations"}, "nobody signed it"
    revoke.refresh(store, key=key("release"), now=NOW + timedelta(minutes=1))
    assert judged(store, tool, policy).ok
    proof = gather(store, tool, now=NOW)
    assert judge(proof, policy, now=NOW + timedelta(days=7)).ok
    assert unmet(judge(proof, policy, now=NOW + timedelta(days=8))) == {"list of revocations"}


# The list


def test_the_list_can_be_made_anew_from_what_is_attached(store: MemoryStore) -> None:
    base = file(store, "vm/base", b"disk")
    image = file(store, "vm/gateway", b"derived", inputs=[("base", "1.0", str(base.digest))])
    revoked(store, base)
    store.delete_tag(LISTS_NAME, LISTS_TAG)
    assert refuses(store, base)
    assert not refuses(store, image)
    assert len(revoke.refresh(store, now=NOW).entries) == 1
    assert refuses(store, image)


def test_verify_finds_what_is_attached_to_an_ancestor_though_no_list_names_it(store: MemoryStore) -> None:
    base = file(store, "vm/base", b"disk")
    image = file(store, "vm/gateway", b"derived", inputs=[("base", "1.0", str(base.digest))])
    sign(store, image, key("release"))
    revoked(store, base)
    store.delete_tag(LISTS_NAME, LISTS_TAG)
    assert unmet(judged(store, image)) == {"revocations"}


def test_many_who_revoke_at_once_are_all_heard(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    store = DirectoryStore(tmp_path / "store")
    tools = [file(store, f"file/tool{number}", b"%d" % number) for number in range(8)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda tool: revoke.revoke(store, tool, "bad", by="alice"), tools))
    assert len(revoke.the_list(store).listing.entries) == 8


def test_a_damaged_list_lets_nothing_pass(store: MemoryStore) -> None:
    tool = file(store)
    file(store, LISTS_NAME, b"rubbish", tag=LISTS_TAG)
    with pytest.raises(Corrupt, match="list of revocations"):
        revoke.check(store, tool)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", json.dumps({"_type": "https://in-toto.io/Statement/v1"}).encode(), b"{" * 10_000]
)
def test_a_revocation_that_cannot_be_read_counts_for_nothing(store: MemoryStore, data: bytes) -> None:
    from naust.proof.attached import attach

    tool = file(store)
    sign(store, tool, key("release"))
    attach(store, "file/tool", tool.digest, data, media_type="application/json", artifact_type=REVOCATION)
    assert not refuses(store, tool)
    assert judged(store, tool).ok


def test_a_date_at_the_end_of_time_keeps_nobody_from_revoking(store: MemoryStore) -> None:
    from naust.proof.attached import attach
    from naust.proof.revocations import Revocation, statement

    tool = file(store)
    for year in (9000, 9999):
        said = Revocation("file/tool", str(tool.digest), "x", NOW.replace(year=year), "mallory", revoked=False)
        attach(store, "file/tool", tool.digest, statement(said), media_type="x", artifact_type=REVOCATION)
    revoked(store, tool)
    assert refuses(store, tool)


def test_a_copied_revocation_leaves_a_signed_list_alone(store: MemoryStore) -> None:
    tool, other = file(store), file(store, "file/other", b"other")
    revoked(store, tool)
    revoke.refresh(store, key=key("release"), now=NOW + timedelta(days=1))
    before = store.manifest(LISTS_NAME, LISTS_TAG)
    revoke.adopt(store, "file/tool", tool.digest)
    revoke.adopt(store, "file/other", other.digest)
    assert store.manifest(LISTS_NAME, LISTS_TAG) == before


def test_asking_takes_less_than_five_milliseconds_on_a_directory(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    tool = file(store)
    for number in range(20):
        revoke.revoke(store, file(store, f"file/bad{number}", b"%d" % number), "bad", by="alice", now=NOW)
    revoke.check(store, tool)
    begun = time.process_time()
    for _ in range(50):
        revoke.check(store, tool)
    assert (time.process_time() - begun) / 50 < 0.005
