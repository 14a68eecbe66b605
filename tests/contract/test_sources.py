"""What mirroring, snapshots and their upkeep promise on every store: the same states with the same digests everywhere,
and a snapshot that was copied from any store to any other is whole there."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from common.errors import Partial
from common.model import Digest
from naust import copy, gc
from naust.promote import stands_for
from naust.source import mirror, snapshot
from naust.source.changes import changes
from naust.source.definition import Files, Keep, OneFile
from naust.source.files import FilesUpstream
from naust.source.retention import tidy
from naust.source.usage import usage
from naust.store.directory import DirectoryStore
from naust.store.interface import Collectable, Store
from naust.transfer.verified import content
from naust.wire.transport import Transport
from tests.lab.archives import web
from tests.lab.serving import ask, served
from tests.lab.stores import STORES

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
FIRST = {"bin/a": b"a, version 1", "bin/b": b"b, version 1", "bin/c": b"c, version 1"}
SECOND = {"bin/a": b"a, version 2", "bin/b": b"b, version 1", "bin/d": b"d, version 1"}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with STORES[request.param](tmp_path) as opened:
        yield opened


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "site").mkdir()
    with web(tmp_path / "site") as host:
        yield Site(tmp_path / "site", f"http://{host}")


class Site:
    """An upstream of files."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder, self._url = folder, url

    def mirrored(self, store: Store, contents: Mapping[str, bytes], days: float = 0) -> mirror.Mirrored:
        """Bring the source `tools` to these contents."""
        files = []
        for path, data in contents.items():
            digest = Digest.of(data)
            (self._folder / digest.hex).write_bytes(data)
            # Ports differ from run to run, and a state depends on its definition: the name counts, not the port.
            files.append(OneFile(path, f"{self._url}/{digest.hex}", digest, len(data), f"{path}=={data[-1:].decode()}"))
        block = Files("tools", tuple(files))
        how = mirror.How(now=NOON + timedelta(days=days))
        (found,) = mirror.mirror(store, [(block, lambda: FilesUpstream.of(block))], Transport(), how)
        return found


def dated(store: Store, name: str, days: float) -> snapshot.Snapshot:
    return snapshot.make(store, name, ["tools"], now=NOON + timedelta(days=days)).snapshot


def read(store: Store, found: snapshot.Snapshot) -> dict[str, bytes]:
    """Every file, checked, as its path and bytes."""
    every = snapshot.files(store, found)
    return {file.path: content(store, state.name, file.blob, file.path) for state, file in every}


def test_a_source_goes_the_whole_way_from_upstream_to_its_readers(store: Store, site: Site) -> None:
    assert site.mirrored(store, FIRST).fetched == 3
    first = dated(store, "build", 0)
    again = site.mirrored(store, FIRST, 0.5)
    assert (again.changed, again.fetched) == (False, 0)
    assert not snapshot.make(store, "build", ["tools"], now=NOON + timedelta(days=0.5)).changed
    assert site.mirrored(store, SECOND, 1).fetched == 2
    second = dated(store, "build", 1)
    assert read(store, first) == FIRST
    assert read(store, second) == SECOND
    assert snapshot.find(store, "build").artifact.digest == second.artifact.digest
    assert snapshot.find(store, "build", "2026-11-20").artifact.digest == first.artifact.digest
    differ = {each.name: (each.before, each.after) for each in changes(store, first, second)}
    assert differ == {"bin/a": (("1",), ("2",)), "bin/c": (("1",), ()), "bin/d": ((), ("1",))}
    used = usage(store, "snapshot/build", versions=True)
    assert {each.name.partition(":")[0] for each in used.uses} == {"snapshot/build"}
    assert used.uses[0].size >= sum(map(len, SECOND.values()))


def test_the_states_and_snapshots_have_the_same_digests_as_in_a_directory(
    store: Store, site: Site, tmp_path: Path
) -> None:
    found = []
    for each in (DirectoryStore(tmp_path / "plain"), store):
        site.mirrored(each, FIRST)
        dated(each, "build", 0)
        site.mirrored(each, SECOND, 1)
        dated(each, "build", 1)
        names = ("tools", "build")
        found.append([(str(one.reference), one.digest) for name in names for one in snapshot.dated(each, name)])
    assert found[0] == found[1]
    assert len(found[0]) == 4


def test_a_view_moves_in_one_step_and_goes_back(store: Store, site: Site) -> None:
    site.mirrored(store, FIRST)
    first = dated(store, "build", 0)
    snapshot.show_as(store, str(first.artifact.reference), "production")
    site.mirrored(store, SECOND, 1)
    second = dated(store, "build", 1)
    snapshot.show_as(store, str(second.artifact.reference), "production")
    assert stands_for(store, "snapshot/build", "production") == second.artifact.digest
    snapshot.show_as(store, str(first.artifact.reference), "production")
    assert read(store, snapshot.find(store, "build", "production")) == FIRST


def test_no_snapshot_is_made_over_a_gap(store: Store, site: Site, tmp_path: Path) -> None:
    if not isinstance(store, Collectable):
        return  # others take no single blob away
    site.mirrored(store, FIRST)
    store.delete(Digest.of(FIRST["bin/b"]))
    with pytest.raises(Partial) as error:
        dated(store, "build", 0)
    assert "bin/b" in error.value.details
    assert site.mirrored(store, FIRST, 1).fetched == 1
    assert read(store, dated(store, "build", 1)) == FIRST


def test_a_keep_rule_and_a_collection_leave_what_is_left_whole(store: Store, site: Site) -> None:
    for day, contents in enumerate((FIRST, SECOND, FIRST | SECOND)):
        site.mirrored(store, contents, day)
        dated(store, "build", day)
    if not (isinstance(store, Collectable) and store.traits().deletes_names):
        return  # a registry keeps what it has
    for name in ("tools", "build"):
        assert len(tidy(store, name, Keep(last=1), now=NOON + timedelta(days=9))) == 2
    for _ in range(20):  # S3 counts whole seconds, and what is looked at slowly seems young for longer
        time.sleep(1.1 if store.url.startswith("s3:") else 0.1)
        if not gc.collect(store, grace=timedelta(0)).young:
            break
    assert store.stat("snapshot/tools", Digest.of(b"a, version 1")) is None
    assert read(store, snapshot.find(store, "build")) == FIRST | SECOND


def _pairs() -> Iterator[ParameterSet]:
    """All pairs; in the short suite those with a directory at one end."""
    for source in STORES:
        for target in STORES:
            marks = () if "directory" in (source, target) else (pytest.mark.long,)
            yield pytest.param(source, target, marks=marks, id=f"{source} to {target}")


@pytest.mark.parametrize(("source", "target"), tuple(_pairs()))
def test_a_snapshot_that_was_copied_is_whole_in_the_other_store(
    source: str, target: str, site: Site, tmp_path: Path
) -> None:
    with STORES[source](tmp_path / "one") as store, STORES[target](tmp_path / "other") as other:
        site.mirrored(store, FIRST)
        made = dated(store, "build", 0)
        copy.check(copy.copy(store, other, [str(made.artifact.reference)]), other)
        found = snapshot.find(other, "build")
        assert found.artifact.digest == made.artifact.digest
        assert read(other, found) == FIRST
        assert not [line for state in found.states for line in snapshot.gaps(other, state, read=True)]


def test_a_snapshot_out_of_any_store_is_served_to_clients(store: Store, site: Site, tmp_path: Path) -> None:
    site.mirrored(store, FIRST)
    made = dated(store, "build", 0)
    copy.check(copy.copy(store, DirectoryStore(tmp_path / "served"), [str(made.artifact.reference)]), store)
    with served(tmp_path / "served") as server:
        for path, data in FIRST.items():
            assert ask(server.port, "GET", f"/snapshots/build/2026-11-20/tools/{path}").body == data
