"""The engine of naust mirror, with an upstream of local files; and what a snapshot of its states can do."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from common.console import Report
from common.errors import Conflict, Corrupt, NotFound, Partial, Unavailable
from common.model import Digest, Event, Reference
from naust import gc, promote
from naust.copy import copy
from naust.listing import artifacts
from naust.proof import bundle
from naust.proof.attached import attach
from naust.proof.bundle import Subject
from naust.push import push_file
from naust.source import state as form
from naust.source.changes import changes
from naust.source.definition import Files, Keep
from naust.source.interface import Item, Kept, Package, Survey
from naust.source.mirror import How, Mirrored, check, mirror
from naust.source.retention import tidy
from naust.source.snapshot import Snapshot, dated, files, find, gaps, make, named, newest
from naust.source.usage import usage
from naust.store.directory import DirectoryStore
from naust.store.interface import Store
from naust.store.tries import Patience
from naust.transfer.push_blobs import silent
from naust.wire.transport import Transport
from tests.lab.registries import docker_registry

QUICK = Patience(tries=2, sleep=lambda seconds: None)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
BLOCK = Files("source")


@dataclass
class Shelf:
    """An upstream that has what it is given: path → bytes, each a package of this version."""

    files: dict[str, bytes]
    version: str = "1"
    date: datetime | None = None
    origin: Mapping[str, str] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    no_digests: bool = False
    opens: int = 0

    def survey(self, transport: Transport, previous: str, report: Report) -> Survey | None:
        mark = str(Digest.of(repr((sorted(self.files.items()), self.version, self.date, self.broken)).encode()))
        return None if mark == previous else Survey(tuple(map(self.item, self.files)), mark, self.date)

    def item(self, path: str) -> Item:
        data = self.files[path]
        package = Package("deb", path.rpartition("/")[2], self.version, "amd64", self.origin.get(path, "trixie"))
        digest = None if self.no_digests else Digest.of(data)
        return Item(path, f"https://user:hunter2@upstream.test/{path}", len(data), digest, package=package)

    def index(self, kept: Sequence[Kept], survey: Survey) -> Mapping[str, bytes]:
        return {"index": "\n".join(f"{each.item.path} {each.digest}" for each in kept).encode()}

    @contextmanager
    def opened(self, transport: Transport, item: Item, start: int) -> Iterator[BinaryIO]:
        import io

        self.opens += 1
        if item.path in self.broken:
            raise Unavailable("upstream is silent", resolution="Wait.")
        yield cast(BinaryIO, io.BytesIO(self.files[item.path][start:]))


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


def shelf(count: int = 5, **more: bytes) -> Shelf:
    return Shelf({f"pool/p{number}": b"bytes of %d" % number for number in range(count)} | more)


def run(store: Store, upstream: Shelf, block: Files = BLOCK, now: datetime = NOON, **how: bool) -> Mirrored:
    wanted = How(patience=QUICK, now=now, accept=how.get("accept", False), dry_run=how.get("dry_run", False))
    return mirror(store, [(block, lambda: upstream)], Transport(), wanted)[0]


def snapshot(store: Store, now: datetime = NOON) -> Snapshot:
    return make(store, "build", ["source"], now=now).snapshot


def versions(store: Store, found: Snapshot) -> set[str]:
    return {file.package.version for _, file in files(store, found) if file.package}


# States ---------------------------------------------------------------------------------------------------------------


def test_the_same_files_are_the_same_state_and_nothing_is_opened_again(store: DirectoryStore) -> None:
    upstream = shelf()
    first = run(store, upstream)
    second = run(store, upstream, now=NOON + timedelta(days=1))
    assert (first.changed, second.changed, second.reference) == (True, False, first.reference)
    assert upstream.opens == 5


def test_what_was_before_and_comes_back_within_a_day_is_the_newest_again(store: DirectoryStore) -> None:
    for number, content in enumerate((b"old", b"new", b"old", b"new", b"old")):
        run(store, Shelf({"a": content}), now=NOON + timedelta(minutes=number))
        (file,) = [file for _, file in files(store, find(store, "source")) if file.path == "a"]
        assert file.blob.digest == Digest.of(content)
    assert len(artifacts(store)) == 5


def test_an_upstream_of_an_earlier_date_is_refused_until_it_is_accepted(store: DirectoryStore) -> None:
    run(store, replace(shelf(), date=NOON))
    older = replace(shelf(), version="0", date=NOON - timedelta(hours=1))
    with pytest.raises(Conflict, match="went back in time"):
        run(store, older)
    assert versions(store, find(store, "source")) == {"1"}
    assert run(store, older, accept=True).changed


def test_a_source_that_asks_for_less_than_before_is_not_taken_for_an_upstream_that_shrank(
    store: DirectoryStore,
) -> None:
    run(store, shelf(20))
    narrower = replace(BLOCK, files=())
    assert run(store, shelf(20), narrower).error == ""
    with pytest.raises(Conflict, match="shrank"):
        run(store, shelf(17), narrower)
    assert run(store, shelf(18), narrower).changed


def test_no_state_over_a_gap_and_the_last_one_stays(store: DirectoryStore) -> None:
    run(store, shelf())
    gappy = replace(shelf(8), broken={"pool/p7"})
    found = run(store, gappy)
    assert [(each.path, each.cause) for each in found.failures] == [("pool/p7", "Unavailable")]
    assert (found.fetched, found.changed) == (2, False)
    assert len(list(files(store, find(store, "source")))) == 6
    with pytest.raises(Partial) as told:
        check([found])
    assert "pool/p7" in told.value.details


def test_a_password_of_upstream_is_in_no_message_and_in_no_state(store: DirectoryStore) -> None:
    events: list[Event] = []
    upstream = replace(shelf(), broken={"pool/p1"})
    found = mirror(store, [(BLOCK, lambda: upstream)], Transport(), How(patience=QUICK), report=events.append)[0]
    run(store, shelf())
    assert "hunter2" not in repr(found) + repr(events)
    assert not [path for path in store.root.rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]


def test_an_upstream_that_answers_nobody_is_left_alone_after_a_while(store: DirectoryStore) -> None:
    many = shelf(300)
    many.broken = set(many.files)
    found = run(store, many)
    assert len(found.failures) == 300
    assert many.opens < 100
    assert sum("not tried" in failure.message for failure in found.failures) > 200


def test_other_bytes_under_a_name_without_a_digest_are_told(store: DirectoryStore) -> None:
    events: list[Event] = []
    run(store, Shelf({"a": b"one"}, no_digests=True))
    other = Shelf({"a": b"two"}, no_digests=True)
    mirror(store, [(BLOCK, lambda: other)], Transport(), How(patience=QUICK), report=events.append)
    assert [event.subject for event in events if event.kind == "changed"] == ["a"]


def test_a_path_that_leads_out_of_the_source_is_refused_before_anything_comes(store: DirectoryStore) -> None:
    climbing = Shelf({"../../etc/passwd": b"x"})
    with pytest.raises(Corrupt):
        run(store, climbing)
    assert climbing.opens == 0 and not artifacts(store)


def test_two_contents_for_one_path_are_refused(store: DirectoryStore) -> None:
    class Twice(Shelf):
        def survey(self, transport: Transport, previous: str, report: Report) -> Survey | None:
            items = (Item("a", "x", digest=Digest.of(b"1")), Item("a", "x", digest=Digest.of(b"2")))
            return Survey(items, "mark")

    with pytest.raises(Corrupt, match="two files"):
        run(store, Twice({}))


def test_a_source_of_many_files_is_an_index_of_parts_that_copy_and_gc_follow(
    store: DirectoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(form, "MOST", 10)
    run(store, shelf(35))
    made = snapshot(store)
    assert len(made.states[0].parts) == 4
    other = DirectoryStore(tmp_path / "other")
    copy(store, other, ["snapshot/build"])
    for each in (store, other):
        gc.collect(each, grace=timedelta(0))
        assert len(list(files(each, find(each, "build")))) == 36
        assert gaps(each, find(each, "build").states[0], read=True) == ()


def test_memory_grows_little_with_the_number_of_files(store: DirectoryStore) -> None:
    run(store, Shelf({"warm": b"x"}), Files("warm"))
    few = _peak(store, 500)
    many = _peak(store, 2500)
    assert (many - few) / 2000 < 5000, "bytes a file"


def test_memory_of_the_upkeep_does_not_grow_with_the_number_of_days(store: DirectoryStore) -> None:
    count, peaks = 600, []
    upstream = Shelf({f"pool/main/a/package-{number}/file-{number}.deb": b"the same" for number in range(count)})
    for day in range(8):
        upstream.files |= {f"pool/main/a/package-{day}/file-{day}.deb": b"changed %d" % day}
        run(store, upstream, now=NOON + timedelta(days=day))
        snapshot(store, NOON + timedelta(days=day))
        if day in (1, 7):
            peaks.append(_peak_of(lambda: _upkeep(store)))
    assert peaks[1] < 1.3 * peaks[0], peaks
    assert len(tidy(store, "build", Keep(last=2), now=NOON + timedelta(days=99))) == 6


def _upkeep(store: DirectoryStore) -> None:
    usage(store, versions=True)
    tidy(store, "build", Keep(last=1), now=NOON + timedelta(days=99), dry_run=True)
    gc.collect(store, grace=timedelta(0), dry_run=True)


def _peak_of(act: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _peak(store: DirectoryStore, count: int) -> int:
    upstream = Shelf({f"pool/main/a/package-{number}/file-{number}.deb": b"the same" for number in range(count)})
    return _peak_of(lambda: run(store, upstream, Files(f"of-{count}")))


# Snapshots ------------------------------------------------------------------------------------------------------------


def test_a_snapshot_is_found_by_day_view_tag_and_as_the_latest(store: DirectoryStore) -> None:
    days = [NOON, NOON + timedelta(hours=1), NOON + timedelta(days=3)]
    made = []
    for number, day in enumerate(days):
        run(store, replace(shelf(), version=str(number)), now=day)
        made.append(snapshot(store, day).artifact)
    promote.promote(store, str(made[0].reference), "production")
    assert find(store, "build").artifact.digest == made[2].digest
    assert find(store, "build", "latest").artifact.digest == made[2].digest
    assert named(store, "build:2026-11-20").artifact.digest == made[1].digest
    assert named(store, "snapshot/build:production").artifact.digest == made[0].digest
    assert find(store, "build", made[0].reference.tag).artifact.digest == made[0].digest
    with pytest.raises(NotFound):
        find(store, "build", "2026-11-19")
    with pytest.raises(NotFound):
        find(store, "nothing")


def test_a_snapshot_of_the_same_states_is_the_same_snapshot(store: DirectoryStore) -> None:
    run(store, shelf())
    first = make(store, "build", ["source"], now=NOON)
    again = make(store, "build", ["source"], now=NOON + timedelta(days=2))
    assert (first.changed, again.changed) == (True, False)
    assert first.snapshot.artifact.reference == again.snapshot.artifact.reference


def test_no_snapshot_without_a_state_of_every_source(store: DirectoryStore) -> None:
    run(store, shelf())
    with pytest.raises(NotFound, match="no state of other"):
        make(store, "build", ["source", "other"])
    assert newest(store, "build") is None


def test_readers_see_all_of_one_snapshot_while_a_view_switches(store: DirectoryStore) -> None:
    tags = []
    for number in range(2):
        run(store, replace(shelf(), version=str(number)), now=NOON + timedelta(minutes=number))
        tags.append(str(snapshot(store, NOON + timedelta(minutes=number)).artifact.reference))
    promote.promote(store, tags[0], "production")
    seen, wrong, stop = list[str](), list[object](), threading.Event()

    def read() -> None:
        while not stop.is_set():
            try:
                found = versions(store, find(store, "build", "production"))
            except Exception as error:
                wrong.append(error)
                return
            (seen if len(found) == 1 else wrong).append("".join(found))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(10):
        promote.promote(store, tags[(number + 1) % 2], "production")
    stop.set()
    for reader in readers:
        reader.join()
    assert not wrong
    assert set(seen) == {"0", "1"}


def test_a_difference_says_what_comes_from_the_security_archive_also_when_it_is_elsewhere_too(
    store: DirectoryStore,
) -> None:
    run(store, shelf())
    before = snapshot(store)
    updated = Shelf(
        {"pool/p0": b"fixed", "pool/updates/p0": b"fixed", "pool/p1": b"newer"} | shelf().files,
        origin={"pool/updates/p0": "trixie-security"},
    )
    updated.files |= {"pool/p0": b"fixed", "pool/p1": b"newer"}
    run(store, updated, now=NOON + timedelta(days=1))
    found = changes(store, before, snapshot(store, NOON + timedelta(days=1)))
    assert [(each.name, each.security, each.origin) for each in found] == [
        ("p0", True, "trixie, trixie-security"),
        ("p1", False, "trixie"),
    ]
    assert changes(store, before, before) == ()


def test_a_snapshot_in_a_registry_is_whole_under_its_own_name(tmp_path: Path) -> None:
    with docker_registry(tmp_path) as registry:
        store = registry.store("lab")
        run(store, shelf())
        made = snapshot(store)
        assert len(list(files(store, made))) == 6
        assert gaps(store, made.states[0], read=True) == ()


# Keeping --------------------------------------------------------------------------------------------------------------


def test_the_rules_keep_the_newest_the_last_the_young_and_what_a_view_stands_for(store: DirectoryStore) -> None:
    for number in range(6):
        run(store, replace(shelf(), version=str(number)), now=NOON + timedelta(days=number))
    oldest = artifacts(store)[-1]
    promote.promote(store, str(oldest.reference), "production")
    now = NOON + timedelta(days=6)
    assert tidy(store, "source", Keep(), now=now) == ()
    assert len(tidy(store, "source", Keep(last=2), now=now, dry_run=True)) == 3
    assert len(tidy(store, "source", Keep(last=1, days=3), now=now, dry_run=True)) == 3
    assert len(tidy(store, "source", Keep(days=4), now=now)) == 2
    assert oldest.digest in {each.digest for each in artifacts(store)}
    assert tidy(store, "source", Keep(days=4), now=now) == ()
    tidy(store, "source", Keep(days=1), now=now + timedelta(days=900))
    assert [each.version for each in dated(store, "source")] == ["2026-11-25", "2026-11-20"]  # the newest, the view's


def test_a_state_whose_name_went_stays_while_a_snapshot_has_it(store: DirectoryStore) -> None:
    run(store, shelf(), now=NOON)
    snapshot(store)
    run(store, replace(shelf(), version="2"), now=NOON + timedelta(days=1))
    assert len(tidy(store, "source", Keep(last=1), now=NOON + timedelta(days=2))) == 1
    gc.collect(store, grace=timedelta(0))
    assert gaps(store, find(store, "build").states[0], read=True) == ()


def test_usage_counts_every_byte_once_and_says_what_is_shared(store: DirectoryStore) -> None:
    run(store, shelf())
    snapshot(store)
    run(store, replace(shelf(), files={**shelf().files, "pool/more": b"m" * 5000}), now=NOON + timedelta(days=1))
    found = usage(store)
    on_disk = [path.stat().st_size for path in (store.root / "blobs" / "sha256").iterdir()]
    assert (found.blobs, found.size) == (len(on_disk), sum(on_disk))
    uses = {use.name: use for use in found.uses}
    assert 5000 <= uses["snapshot/source"].alone < 12000
    assert uses["snapshot/build"].alone < uses["snapshot/build"].shared
    each = usage(store, "snapshot/source", versions=True).uses
    assert len(each) == 2 and {use.versions for use in each} == {1}


def test_usage_says_what_it_could_not_count(store: DirectoryStore) -> None:
    run(store, shelf())
    made = snapshot(store)
    path = store.root / "blobs" / "sha256" / made.states[0].manifest.digest.hex
    path.chmod(0o644)
    path.write_bytes(b"{}")
    assert usage(store).damaged


def test_silence_is_the_default(store: DirectoryStore, capsys: pytest.CaptureFixture[str]) -> None:
    make_report: Report = silent
    make_report(Event("kind", "subject"))
    run(store, shelf())
    assert capsys.readouterr().out == capsys.readouterr().err == ""


def test_what_a_channels_artefact_was_built_from_outlives_every_rule(store: DirectoryStore, tmp_path: Path) -> None:
    for number in range(3):
        run(store, replace(shelf(), version=str(number)), now=NOON + timedelta(days=number))
        snapshot(store, NOON + timedelta(days=number))
    used = dated(store, "build")[-1]
    made = push_file(store, _file(tmp_path), Reference.parse("file/tool:1.0"))
    said = [{"name": "snapshot", "uri": str(used.reference), "digest": {"sha256": used.digest.hex}}]
    builder = {"builder": {"id": "urn:test"}}
    subject = Subject((str(made.digest),), "tool")
    predicate = {"buildDefinition": {"resolvedDependencies": said}, "runDetails": builder}
    document = bundle.statement(subject, bundle.PROVENANCE, predicate)
    attach(store, "file/tool", made.digest, document, media_type=bundle.IN_TOTO, artifact_type=bundle.IN_TOTO)
    later = NOON + timedelta(days=900)
    assert len(tidy(store, "build", Keep(last=1), now=later, dry_run=True)) == 2  # no channel stands for it yet
    promote.promote(store, str(made.reference), "production")
    assert len(tidy(store, "build", Keep(last=1), now=later)) == 1
    assert len(tidy(store, "source", Keep(last=1), now=later)) == 2
    gc.collect(store, grace=timedelta(0))
    assert [each.digest for each in dated(store, "build")][-1] == used.digest
    found = find(store, "build", used.reference.tag)
    assert gaps(store, found.states[0], read=True) == ()


def _file(folder: Path) -> Path:
    (folder / "tool").write_text("a program")
    return folder / "tool"
