"""Sources of mode proxy: what is asked of upstream and what is not, and the record of what was used."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.console import Report
from common.errors import NotFound, Unavailable
from common.model import Digest
from naust.manifest import Blob
from naust.source import used as form
from naust.source.definition import PROXY, Files, OneFile
from naust.source.interface import Item, Kept, Package, Survey
from naust.source.proxy import Proxy, kept
from naust.source.used import Journal, Record, Used
from naust.store.directory import DirectoryStore
from naust.wire.transport import Transport

SECRET = "Zo2tpassw0rd"
BLOCK = Files("tools", mode=PROXY)


@dataclass
class Shelf:
    """An upstream that has what it is given: path → bytes; `away`: it answers nothing."""

    files: dict[str, bytes]
    version: str = "1"
    away: bool = False
    date: datetime | None = None
    surveys: int = 0
    opens: list[str] = field(default_factory=list)
    slow: float = 0.0
    hangs: threading.Event = field(default_factory=threading.Event)  # while it is not set

    def __post_init__(self) -> None:
        self.hangs.set()

    def survey(self, transport: Transport, previous: str, report: Report) -> Survey | None:
        self.surveys += 1
        self.hangs.wait(20)
        if self.away:
            raise Unavailable("upstream is away", resolution="Wait.")
        mark = repr((sorted(self.files.items()), self.version, self.date))
        return None if mark == previous else Survey(tuple(map(self.item, self.files)), mark, self.date)

    def item(self, path: str) -> Item:
        data = self.files[path]
        url = f"http://me:{SECRET}@upstream.test/{path}"
        package = Package("deb", path.partition("_")[0], self.version)
        return Item(path, url, len(data), Digest.of(data) if data else None, package=package, facts=(("a", "b"),))

    def index(self, kept: Sequence[Kept], survey: Survey) -> Mapping[str, bytes]:
        return {"index": "\n".join(sorted(each.item.path for each in kept)).encode()}

    @contextmanager
    def opened(self, transport: Transport, item: Item, start: int) -> Iterator[BinaryIO]:
        self.opens.append(item.path)
        time.sleep(self.slow)
        if self.away:
            raise NotFound("upstream is away", resolution="Wait.")
        yield cast(BinaryIO, BytesIO(self.files[item.path][start:]))


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


@pytest.fixture
def shelf() -> Shelf:
    return Shelf({"one_1": b"one", "two_1": b"two", "unknown": b""})


def proxy(store: DirectoryStore, shelf: Shelf, refresh: float = 900.0) -> Proxy:
    return Proxy(store, BLOCK, Transport(), refresh, make=lambda block: shelf)


def use(found: Proxy, path: str) -> Blob:
    item = found.find(path)
    return found.bring(item) if isinstance(item, Item) else cast(Blob, item)


def settled(store: DirectoryStore) -> None:
    """Wait until the record has all that the journal had."""
    end = time.monotonic() + 20
    while any(Journal(store.root, "tools").read()):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_what_is_used_is_fetched_once_and_nothing_else(store: DirectoryStore, shelf: Shelf) -> None:
    found = proxy(store, shelf)
    for _ in range(3):
        assert use(found, "one_1").digest == Digest.of(b"one")
    assert shelf.opens == ["one_1"]
    assert found.find("three") is None
    assert shelf.surveys == 1


def test_a_file_whose_digest_nobody_names_is_not_offered(store: DirectoryStore, shelf: Shelf) -> None:
    found = proxy(store, shelf)
    assert found.find("unknown") is None
    index = found.find("index")
    assert isinstance(index, Blob)
    with store.read(found.name, index.digest) as source:
        assert source.read() == b"one_1\ntwo_1"


def test_of_many_at_once_one_asks_and_all_get_it_or_all_learn_why(store: DirectoryStore, shelf: Shelf) -> None:
    shelf.slow = 0.2
    found = proxy(store, shelf)
    item = found.find("one_1")
    assert isinstance(item, Item)
    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(lambda _: found.bring(item).digest, range(8)))) == 1
    assert shelf.opens == ["one_1"]
    other = found.find("two_1")
    assert isinstance(other, Item)
    shelf.away = True

    def failing(_: int) -> bool:
        with pytest.raises(NotFound):
            found.bring(other)
        return True

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(failing, range(8)))
    shelf.away = False
    assert found.bring(other).digest == Digest.of(b"two")


def test_the_last_survey_is_used_while_upstream_is_away_and_the_next_one_when_it_is_back(
    store: DirectoryStore, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("naust.source.proxy.AGAIN", 0.0)
    found = proxy(store, shelf, refresh=0.0)
    use(found, "one_1")
    shelf.away = True
    assert found.find("one_1") is not None
    assert found.standing().trouble == "upstream is away"
    shelf.away, shelf.files = False, {**shelf.files, "three_1": b"three"}
    assert use(found, "three_1").digest == Digest.of(b"three")
    assert not found.standing().trouble


def test_an_upstream_that_hangs_holds_up_nobody_twice(
    store: DirectoryStore, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = proxy(store, shelf, refresh=0.0)
    use(found, "one_1")
    monkeypatch.setattr("naust.source.proxy.PATIENT", 0.1)
    shelf.hangs.clear()
    begun = time.monotonic()
    for _ in range(50):
        assert found.find("one_1") is not None
    assert time.monotonic() - begun < 2
    shelf.hangs.set()


def test_a_new_server_goes_on_where_the_last_one_was(store: DirectoryStore, shelf: Shelf) -> None:
    use(proxy(store, shelf), "one_1")
    shelf.away = True
    for _ in range(2):
        again = proxy(store, shelf, refresh=0.0)
        assert use(again, "one_1").digest == Digest.of(b"one")
        settled(store)
    assert shelf.opens == ["one_1"]


def test_without_any_survey_the_first_who_asks_learns_why_and_upstream_is_not_asked_by_each(
    store: DirectoryStore, shelf: Shelf
) -> None:
    shelf.away = True
    found = proxy(store, shelf)
    for _ in range(3):
        with pytest.raises(Unavailable, match="upstream is away"):
            found.find("one_1")
    assert shelf.surveys == 1


def test_what_is_not_offered_any_more_is_served_on_and_leaves_the_source_once_something_newer_was_used(
    store: DirectoryStore, shelf: Shelf
) -> None:
    found = proxy(store, shelf, refresh=0.0)
    use(found, "one_1")
    shelf.files, shelf.version = {"one_2": b"one, newer", "two_1": b"two"}, "2"
    assert found.find("one_1") is not None
    assert [each.item.path for each in kept(store, BLOCK)[1]] == ["one_1"]
    time.sleep(0.01)
    use(found, "one_2")
    assert [each.item.path for each in kept(store, BLOCK)[1]] == ["one_2"]
    assert isinstance(found.find("one_1"), Blob)


def test_an_upstream_that_goes_back_in_time_is_not_believed(store: DirectoryStore, shelf: Shelf) -> None:
    shelf.date = datetime(2026, 11, 20, tzinfo=UTC)
    found = proxy(store, shelf, refresh=0.0)
    found.find("")
    shelf.date, shelf.files = datetime(2026, 11, 19, tzinfo=UTC), {"old_1": b"old"}
    assert found.find("old_1") is None
    assert "went back in time" in found.standing().trouble


def test_two_servers_of_one_store_lose_nothing_of_each_other(store: DirectoryStore, shelf: Shelf) -> None:
    one, other = proxy(store, shelf), proxy(store, shelf)
    use(one, "one_1")
    use(other, "two_1")
    assert {each.item.path for each in kept(store, BLOCK)[1]} == {"one_1", "two_1"}
    settled(store)
    assert {each.item.path for each in kept(store, BLOCK)[1]} == {"one_1", "two_1"}


def test_a_login_in_upstreams_urls_is_written_down_nowhere(store: DirectoryStore, shelf: Shelf) -> None:
    found = proxy(store, shelf)
    use(found, "one_1")
    assert SECRET not in Journal(store.root, "tools")._path.read_text()
    settled(store)
    record = form.load(store, "tools")
    assert record is not None
    assert SECRET not in repr(record)
    item = found.find("two_1")
    assert isinstance(item, Item)
    assert SECRET in item.url  # it is needed to fetch


def test_a_definition_that_changed_is_surveyed_at_once(store: DirectoryStore, shelf: Shelf) -> None:
    proxy(store, shelf).find("")
    changed = replace(BLOCK, files=(OneFile("x", "http://x.test/x", Digest.of(b"x")),))
    Proxy(store, changed, Transport(), make=lambda block: shelf).find("")
    proxy(store, shelf)
    assert shelf.surveys == 2


def test_a_damaged_record_is_made_anew(store: DirectoryStore, shelf: Shelf) -> None:
    found = proxy(store, shelf)
    use(found, "one_1")
    settled(store)
    record = form.load(store, "tools")
    assert record is not None
    path = store.root / "blobs/sha256" / record.data.digest.hex
    path.chmod(0o644)
    path.write_bytes(b"damaged")
    assert use(proxy(store, shelf), "one_1").digest == Digest.of(b"one")


# The record -----------------------------------------------------------------------------------------------------------


def used(path: str, data: bytes, since: float = 1.0) -> Used:
    item = Item(path, f"http://upstream.test/{path}", len(data), Digest.of(data), facts=(("where", "a\nb"),))
    return Used(item, Digest.of(data), len(data), since)


def test_a_record_comes_back_as_it_was(store: DirectoryStore) -> None:
    item = Item("a/b", "http://u.test/b", 3, Digest.of(b"abc"), "text/x", Package("deb", "b", "1"), facts=(("k", "v"),))
    survey = Survey((item, replace(item, path="c", package=None, facts=())), "mark", datetime.now(UTC), {"x": b"extra"})
    store.add("snapshot/tools", BytesIO(b"data"))
    record = form.record_of(store, BLOCK, survey, 5.0, {"made": b"made"}, {"d": used("d", b"data")})
    form.save(store, BLOCK, record)
    assert form.load(store, "tools") == record
    form.save(store, BLOCK, replace(record, used={}))
    assert len(list(store.tags("snapshot/tools.proxy"))) == 1


def test_a_journal_outlives_half_a_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "tools")
    journal.append(used("a", b"a"))
    path = tmp_path / ".proxy/tools.jsonl"
    path.write_bytes(path.read_bytes() + b'{"item":{"pa')
    journal.append(used("b", b"b"))
    assert [each.item.path for each in journal.read()] == ["a", "b"]
    journal.settle({"a": used("a", b"a")})
    assert [each.item.path for each in journal.read()] == ["b"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_no_journal_makes_the_reader_fail(tmp_path: Path, data: bytes) -> None:
    (tmp_path / ".proxy").mkdir(exist_ok=True)
    (tmp_path / ".proxy/tools.jsonl").write_bytes(data)
    Journal(tmp_path, "tools").read()


def test_many_may_write_a_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "tools")
    threads = [threading.Thread(target=journal.append, args=(used(str(i), b"x"),)) for i in range(30)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(journal.read()) == 30


def test_what_nobody_used_is_told_so(store: DirectoryStore) -> None:
    with pytest.raises(NotFound, match="nobody used tools"):
        kept(store, BLOCK)
    assert Record(Survey((), ""), 0.0, "", {}, Blob(Digest.of(b""), 0)).still() == ()
