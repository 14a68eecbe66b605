"""What keeping promises on every store: copies are the same, garbage goes and nothing else, channels move by one at a
time, damage is found and mended. Cases NA-04, NA-05, NA-09."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from common.errors import BadInput, Conflict, Corrupt, Denied, Error, NotFound
from common.model import Digest
from naust import fsck, gc, promote, rm
from naust import manifest as oci
from naust.copy import Options, copy
from naust.listing import artifacts
from naust.promote import HISTORY
from naust.store.interface import Collectable, Store
from naust.store.memory import MemoryStore
from naust.transfer.verified import content
from tests.lab.images import image, index, refer, two_platforms
from tests.lab.stores import STORES

NAME = "container/thing"
DATED = "1.0-20261124T221500Z"
NEXT = "1.1-20261125T221500Z"
NOW = timedelta(0)
# docker-registry 2.8 answers 500 now and then to who asks for a tag while others put theirs (4 of 40 times).
CALMLY = Options(at_once=1)


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with STORES[request.param](tmp_path) as opened:
        yield opened


def present(store: Store) -> set[Digest]:
    assert isinstance(store, Collectable)
    return {each.digest for each in store.blobs()}


def collected(store: Store, **more: bool) -> gc.Collected:
    """Without a grace, until nothing is too young. A file system's clock is a little behind, and S3 counts whole
    seconds, so that what is looked at slowly seems young for longer."""
    time.sleep(1.1 if store.url.startswith("s3:") else 0.1)
    done = gc.collect(store, grace=NOW, **more)
    for _ in range(20 if store.url.startswith("s3:") else 0):
        if not done.young:
            break
        time.sleep(0.5)
        before, done = done, gc.collect(store, grace=NOW, **more)
        if not done.dry_run:
            done = replace(done, deleted=before.deleted + done.deleted, freed=before.freed + done.freed)
    return done


def whole(store: Store, name: str, reference: str) -> int:
    """How many blobs came out right."""
    count = 0
    read = oci.parse(store.manifest(name, reference), reference)
    for each in read.blobs:
        if each in read.children:
            count += whole(store, name, str(each.digest))
        else:
            assert len(content(store, name, each, reference)) == each.size
            count += 1
    return count


# Garbage


def test_collecting_follows_index_child_subject_and_referrer(store: Store) -> None:
    """NA-04, and afterwards all of it goes."""
    if not isinstance(store, Collectable):
        with pytest.raises(Denied, match="does not say which blobs"):
            gc.collect(store)
        return
    before = present(store)
    _, first, second, referrers = two_platforms(store, NAME, DATED)
    store.put_manifest(NAME, "second", store.manifest(NAME, str(first.digest)))
    store.delete_tag(NAME, "second")

    half = image(store, NAME, b"shared layer", b"of the push")  # and no index yet: half-way through
    done = collected(store)
    for child in (first, second):
        assert whole(store, NAME, str(child.digest)) == 3
    assert {each.digest for each in store.referrers(NAME, first.digest)} == {each.digest for each in referrers[:2]}
    assert [each.digest for each in store.referrers(NAME, referrers[1].digest)] == [referrers[2].digest]
    assert all(whole(store, NAME, str(each.digest)) == 2 for each in referrers)

    if store.url.startswith(("file:", "http:", "https:")):
        assert done.deleted == 0
    else:  # a push cannot be seen here: it is refused, and done again
        assert done.deleted == 3
        with pytest.raises(NotFound):
            index(store, NAME, {"linux/amd64": half}, "other")
        half = image(store, NAME, b"shared layer", b"of the push")
    index(store, NAME, {"linux/amd64": half}, "other")
    assert whole(store, NAME, "other") == 3

    store.delete_tag(NAME, DATED)
    store.delete_tag(NAME, "other")
    last = collected(store)
    assert present(store) <= before
    assert (last.kept, last.young) == (0, 0)
    assert not list(store.referrers(NAME, first.digest))


def test_a_dry_run_deletes_nothing_and_says_what_the_run_then_does(store: Store) -> None:
    if not isinstance(store, Collectable):
        return
    image(store, NAME, b"stays", tag=DATED)
    image(store, NAME, b"goes", tag="other")
    store.delete_tag(NAME, "other")
    before = present(store)
    dry = collected(store, dry_run=True)
    assert present(store) == before
    real = collected(store)
    assert (dry.deleted, dry.freed, dry.kept) == (real.deleted, real.freed, real.kept) == (3, dry.freed, 3)
    assert gc.collect(store, grace=NOW).deleted == 0
    assert whole(store, NAME, DATED) == 2


def test_what_is_younger_than_the_grace_stays(store: Store) -> None:
    if not isinstance(store, Collectable):
        return
    image(store, NAME, b"content", tag=DATED)
    store.delete_tag(NAME, DATED)
    done = gc.collect(store)
    assert (done.deleted, done.young) == (0, 3)
    assert done.young_size == sum(each.size for each in store.blobs())


def test_a_tag_makes_young_all_that_it_leads_to(store: Store) -> None:
    """Else a collector that looked before would take the layers of an index that came back."""
    if not isinstance(store, Collectable):
        return
    top, *_ = two_platforms(store, NAME, DATED)
    store.delete_tag(NAME, DATED)
    time.sleep(2.1)
    store.put_manifest(NAME, DATED, store.manifest(NAME, str(top.digest)))
    assert [each.digest for each in store.blobs() if each.age > timedelta(seconds=2)] == []


def test_a_subject_is_kept_by_a_referrer_that_has_a_tag(store: Store) -> None:
    if not isinstance(store, Collectable):
        return
    subject = image(store, NAME, b"content", tag=DATED)
    signature = refer(store, NAME, subject, b"signature")
    store.put_manifest(NAME, "signature", store.manifest(NAME, str(signature.digest)))
    store.delete_tag(NAME, DATED)
    assert collected(store).deleted == 0
    assert whole(store, NAME, str(subject.digest)) == 2


def test_a_name_keeps_what_another_name_shares(store: Store) -> None:
    if not isinstance(store, Collectable):
        return
    image(store, NAME, b"shared", b"own", tag=DATED)
    image(store, "container/other", b"shared", tag=DATED)
    store.delete_tag(NAME, DATED)
    collected(store)
    assert whole(store, "container/other", DATED) == 2
    assert Digest.of(b"own") not in present(store)


# Channels


def test_a_channel_moves_and_goes_back_and_knows_how_it_came_there(store: Store) -> None:
    first, second = image(store, NAME, b"1", tag=DATED), image(store, NAME, b"2", tag=NEXT)
    promote.promote(store, f"{NAME}:{DATED}", "production", who="ann", reason="first")
    moved = promote.promote(store, f"{NAME}:1.1", "production", who="bob", reason="fix")
    assert (moved.changed, moved.move.before, moved.move.version) == (True, first.digest, NEXT)
    assert store.manifest(NAME, "production") == store.manifest(NAME, NEXT)
    assert not promote.promote(store, f"{NAME}:{NEXT}", "production").changed

    back = promote.undo(store, NAME, "production", who="cyd")
    assert (back.move.to, back.move.version, back.move.undoes) == (first.digest, DATED, 2)
    assert promote.stands_for(store, NAME, "production") == first.digest
    with pytest.raises(NotFound, match="before"):
        promote.undo(store, NAME, "production")
    past = promote.history(store, NAME, "production")
    assert [(each.who, each.to, each.reason) for each in past] == [
        ("ann", first.digest, "first"),
        ("bob", second.digest, "fix"),
        ("cyd", first.digest, ""),
    ]
    assert {each.reference.tag for each in artifacts(store)} == {DATED, NEXT, "production"}


def test_a_dry_promotion_changes_nothing(store: Store) -> None:
    image(store, NAME, b"1", tag=DATED)
    assert promote.promote(store, NAME, "production", dry_run=True).changed
    assert list(store.tags(NAME)) == [DATED]


def test_of_two_who_promote_at_once_one_wins_and_the_other_is_told_by_whom(store: Store) -> None:
    first = image(store, NAME, b"0", tag="1.0-20261124T221459Z")
    image(store, NAME, b"1", tag=DATED)
    image(store, NAME, b"2", tag=NEXT)
    promote.promote(store, f"{NAME}:1.0-20261124T221459Z", "production", who="ann")

    # Bob looks, ann moves, bob puts: without the lock that only publishers on one machine share.
    moves = promote._moves(store, NAME, "production", first.digest)
    promote.promote(store, f"{NAME}:{DATED}", "production", who="ann")
    goal = Digest.of(store.manifest(NAME, NEXT))
    late = promote.Move(9, moves[0].at, "bob", goal, NEXT, first.digest, "")
    with pytest.raises(Conflict, match="moved by somebody else") as error:
        promote._move(store, NAME, "production", moves, late, False, lambda event: None)
    assert "ann moved it to 1.0" in error.value.details
    assert store.manifest(NAME, "production") == store.manifest(NAME, DATED)
    assert [each.who for each in promote.history(store, NAME, "production")] == ["ann", "ann"]
    # What the loser left is overtaken by whoever really gets there.
    promote.promote(store, f"{NAME}:{NEXT}", "production", who="cyd")
    assert [each.who for each in promote.history(store, NAME, "production")] == ["ann", "ann", "cyd"]


def test_many_who_promote_at_once_leave_a_history_that_ends_where_the_channel_is(store: Store) -> None:
    if not store.traits().compare_and_swap:
        return
    tags = [f"1.{number}-20261124T22150{number}Z" for number in range(4)]
    for tag in tags:
        image(store, NAME, tag.encode(), tag=tag)
    start, told = threading.Barrier(4), []

    def move(tag: str) -> None:
        start.wait()
        try:
            promote.promote(store, f"{NAME}:{tag}", "production", who=tag)
            told.append(tag)
        except Conflict:
            pass

    threads = [threading.Thread(target=move, args=(tag,)) for tag in tags]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    past = promote.history(store, NAME, "production")
    assert past[-1].to == promote.stands_for(store, NAME, "production")
    assert sorted(each.who for each in past) == sorted(told)
    assert [each.before for each in past[1:]] == [each.to for each in past[:-1]]


@pytest.mark.parametrize("channel", ["latest", DATED, "Production", "3.7", "", "../x", "a b", "1.0"])
def test_what_would_be_taken_for_something_else_is_no_channel(store: Store, channel: str) -> None:
    image(store, NAME, b"1", tag=DATED)
    with pytest.raises(BadInput):
        promote.promote(store, NAME, channel)
    assert list(store.tags(NAME)) == [DATED]


def test_what_undo_needs_is_kept_though_its_name_is_gone(store: Store) -> None:
    if not isinstance(store, Collectable):
        return
    image(store, NAME, b"1", tag=DATED)
    image(store, NAME, b"2", tag=NEXT)
    promote.promote(store, f"{NAME}:{DATED}", "production")
    promote.promote(store, f"{NAME}:{NEXT}", "production")
    rm.remove(store, rm.plan(store, [f"{NAME}:{DATED}"]))
    collected(store)
    promote.undo(store, NAME, "production")
    assert whole(store, NAME, "production") == 2


# Names away


def test_a_version_that_a_channel_stands_for_is_not_removed(store: Store) -> None:
    if not store.traits().deletes_names:
        with pytest.raises(Denied):
            rm.plan(store, [f"{NAME}:{DATED}"])
        return
    image(store, NAME, b"1", tag=DATED)
    promote.promote(store, NAME, "production")
    with pytest.raises(Conflict, match="production stands for"):
        rm.plan(store, [f"{NAME}:1.0"])
    found = rm.plan(store, [f"{NAME}:1.0"], force=True)
    free = rm.free(store, found)
    assert free is None or free.blobs == 0
    if isinstance(store, Collectable):  # what of registries says that it can, may be told otherwise when it does
        rm.remove(store, found)
        assert list(store.tags(NAME)) == ["production"]


def test_removing_says_what_becomes_free(store: Store) -> None:
    if not store.traits().deletes_names or not isinstance(store, Collectable):
        return
    image(store, NAME, b"shared", b"own", tag=DATED)
    image(store, NAME, b"shared", tag=NEXT)
    before = present(store)
    found = rm.plan(store, [f"{NAME}:1.0"])
    free = rm.free(store, found)
    rm.remove(store, found)
    collected(store)
    gone = before - present(store)
    assert free is not None and free.blobs == len(gone) == 3


def test_a_tag_that_moved_since_it_was_looked_at_is_not_removed(store: Store) -> None:
    if not store.traits().compare_and_swap:
        return
    image(store, NAME, b"1", tag=DATED)
    image(store, NAME, b"2", tag=NEXT)
    promote.promote(store, f"{NAME}:{DATED}", "production")
    found = rm.plan(store, [f"{NAME}:production"])
    promote.promote(store, f"{NAME}:{NEXT}", "production")
    with pytest.raises(Conflict):
        rm.remove(store, found)
    assert "production" in store.tags(NAME)


# Copies


def test_a_copy_has_the_same_digests_platforms_and_referrers(store: Store) -> None:
    """NA-05, there and back: memory → store → memory."""
    origin, back = MemoryStore(), MemoryStore()
    top, first, second, referrers = two_platforms(origin, NAME, DATED)
    for source, dest in ((origin, store), (store, back)):
        (done,) = copy(source, dest, [f"{NAME}:{DATED}"])
        assert (done.error, done.asked, done.digest, done.referrers) == ("", top.digest, top.digest, 3)
        assert done.left_out == ()
        assert dest.manifest(NAME, DATED) == origin.manifest(NAME, DATED)
        assert whole(dest, NAME, DATED) == 6
        assert {each.digest for each in dest.referrers(NAME, first.digest)} == {each.digest for each in referrers[:2]}
        assert all(whole(dest, NAME, str(each.digest)) == 2 for each in referrers)
        (again,) = copy(source, dest, [f"{NAME}:{DATED}"])
        assert (again.sent, again.there) == (0, done.sent)
    assert whole(back, NAME, str(second.digest)) == 3


def test_one_platform_says_what_was_asked_and_what_is_stored(store: Store) -> None:
    origin = MemoryStore()
    top, _, second, _ = two_platforms(origin, NAME, DATED)
    (done,) = copy(origin, store, [NAME], Options(platform="linux/arm64"))
    assert (done.asked, done.digest) == (top.digest, second.digest)
    assert "1 other platforms" in done.left_out
    assert store.manifest(NAME, DATED) == origin.manifest(NAME, str(second.digest))
    (none,) = copy(origin, store, [NAME], Options(platform="plan9/mips"))
    assert "no images for plan9/mips" in none.error


def test_without_referrers_it_is_said_what_is_left_out(store: Store) -> None:
    origin = MemoryStore()
    _, first, *_ = two_platforms(origin, NAME, DATED)
    (done,) = copy(origin, store, [NAME], Options(referrers=False))
    assert done.referrers == 0
    assert [text[:12] for text in done.left_out] == ["3 referrers:"]
    assert not list(store.referrers(NAME, first.digest))


def test_one_bad_artefact_does_not_stop_the_others(store: Store) -> None:
    """NA-09: a wrong hash, a missing blob, a name that is not there, one that stands for something else."""
    origin = MemoryStore()
    tags = [f"1.{number}-20261124T2215{number:02}Z" for number in range(12)]
    for tag in tags:
        image(origin, NAME, tag.encode(), tag=tag)
    origin._contents[Digest.of(tags[3].encode())] = bytes(len(tags[3]))
    origin.delete(Digest.of(tags[5].encode()))
    image(store, NAME, b"something else", tag=tags[7])
    wanted = [*(f"{NAME}:{tag}" for tag in tags), f"{NAME}:9.9"]
    dry = copy(origin, store, wanted, Options(dry_run=True, at_once=1))
    assert [each.reference for each in dry if each.error] == [*(wanted[n] for n in (5, 7)), f"{NAME}:9.9"]
    assert list(store.tags(NAME)) == [tags[7]]
    done = copy(origin, store, wanted, CALMLY)
    assert [each.reference for each in done if each.error] == [*(wanted[n] for n in (3, 5, 7)), f"{NAME}:9.9"]
    assert sorted(store.tags(NAME)) == sorted(set(tags) - {tags[3], tags[5]})
    assert store.stat(NAME, Digest.of(tags[3].encode())) is None
    assert [each.code for each in done if each.error] == [8, 8, 7, 2]


def test_history_stays_and_a_channel_moves_only_when_it_is_told_to(store: Store) -> None:
    origin = MemoryStore()
    first, _ = image(origin, NAME, b"1", tag=DATED), image(origin, NAME, b"2", tag=NEXT)
    promote.promote(origin, f"{NAME}:{DATED}", "production")
    assert not any(each.error for each in copy(origin, store, ["*"], CALMLY))
    assert not list(store.referrers(NAME, first.digest, HISTORY))
    promote.promote(origin, f"{NAME}:{NEXT}", "production")
    assert [each.code for each in copy(origin, store, [f"{NAME}:production"])] == [7]
    assert not any(each.error for each in copy(origin, store, ["*"], Options(move=True, at_once=1)))
    assert store.manifest(NAME, "production") == origin.manifest(NAME, NEXT)


# Damage


def test_a_whole_store_is_found_whole(store: Store) -> None:
    two_platforms(store, NAME, DATED)
    image(store, "container/other", b"shared layer", tag=NEXT)
    found = fsck.check(store)
    assert (found.artifacts, found.damage, found.whole) == (2, (), True)
    assert found.blobs >= 9


def test_a_missing_blob_is_found_and_comes_back_from_another_store(store: Store) -> None:
    if not isinstance(store, Collectable):
        return
    origin = MemoryStore()
    for each in (origin, store):
        _, first, _, referrers = two_platforms(each, NAME, DATED)
    lost = (Digest.of(b"layer of arm64"), first.digest, referrers[0].digest)
    for digest in lost:
        assert store.delete(digest)
    for quick in (True, False):
        found = fsck.check(store, quick=quick)
        assert {one.digest for one in found.damage} >= set(lost[:2])
        assert {one.artifacts for one in found.damage} >= {(f"{NAME}:{DATED}",)}
    with pytest.raises(Corrupt, match="damaged in"):
        fsck.verdict(store, found)
    with pytest.raises(Error):
        gc.collect(store, grace=NOW)
    done = fsck.mend(store, origin)
    assert done.whole and fsck.check(store).whole
    fsck.verdict(store, done)
    assert whole(store, NAME, DATED) == 6


def test_what_no_store_has_stays_damaged(store: Store) -> None:
    if not isinstance(store, Collectable):
        return
    image(store, NAME, b"content", tag=DATED)
    store.delete(Digest.of(b"content"))
    done = fsck.mend(store, MemoryStore())
    assert [(one.digest, one.repaired) for one in done.damage] == [(Digest.of(b"content"), False)]
    assert not done.whole


def test_a_lie_in_the_second_store_is_not_taken(store: Store) -> None:
    if not isinstance(store, Collectable):
        return
    origin = MemoryStore()
    for each in (origin, store):
        image(each, NAME, b"content", tag=DATED)
    digest = Digest.of(b"content")
    origin._contents[digest] = b"CONTENT"
    store.delete(digest)
    assert not fsck.mend(store, origin).whole
    assert store.stat(NAME, digest) is None
