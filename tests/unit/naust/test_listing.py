"""What a listing shows, on a store with an index and on one without."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from common.errors import BadInput, Corrupt
from common.model import Digest, Kind
from naust import manifest as oci
from naust.listing import artifacts, resolve
from naust.manifest import Blob
from naust.revoke import revoke
from naust.show import lines, show
from naust.show import rows as rows_of
from naust.store.directory import DirectoryStore
from naust.store.interface import Store
from naust.store.memory import MemoryStore
from naust.version import split
from naust.wanted import Wanted, listed

OLD, NEW = "3.7.14-20261101T000000Z", "3.7.15_dfsg-1-20261124T221500Z"
EXACT = "1:3.7.15+dfsg-1"


def put(store: Store, name: str, tag: str, version: str, content: bytes, **more: str) -> None:
    for data in (content, oci.EMPTY_CONFIG):
        store.write(name, Digest.of(data), len(data), io.BytesIO(data))
    kind = Kind(name.partition("/")[0])
    blob = Blob(Digest.of(content), len(content), "text/plain")
    store.put_manifest(name, tag, oci.file_manifest(kind, blob, "thing", oci.annotated(kind, version, more=more)))


@pytest.fixture(params=["directory", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = DirectoryStore(tmp_path / "store") if request.param == "directory" else MemoryStore()
    put(opened, "vm/traefik", OLD, "3.7.14", b"old", team="net")
    put(opened, "vm/traefik", NEW, EXACT, b"new", team="net")
    put(opened, "vm/traefik", "production", "3.7.14", b"old", team="net")
    put(opened, "vm/traefik", "latest", EXACT, b"new", team="net")
    put(opened, "file/notes", "1-20261110T120000Z", "1", b"notes")
    put(opened, "file/notes", "draft", "1", b"draft")
    yield opened


def tags(store: Store, wanted: Wanted) -> list[str]:
    return [row.tag for row in listed(store, wanted, damaged=lambda error: None)]


NOTES = "1-20261110T120000Z"


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Wanted(), [NEW, NOTES, OLD, "draft"]),
        (Wanted(limit=2), [NEW, NOTES]),
        (Wanted(kind=Kind.VM), [NEW, OLD]),
        (Wanted(kind=Kind.CONTAINER), []),
        (Wanted(name="notes"), [NOTES, "draft"]),
        (Wanted(name="note"), []),
        (Wanted(kind=Kind.FILE, name="note"), []),
        (Wanted(pattern="traefik"), [NEW, OLD]),
        (Wanted(pattern="vm/*"), [NEW, OLD]),
        (Wanted(pattern="*:3.7.14-*"), [OLD]),
        (Wanted(pattern="Traefik"), []),
        (Wanted(version="3.7.14"), [OLD]),
        (Wanted(version=EXACT), [NEW]),
        (Wanted(version="*3.7.*"), [NEW, OLD]),
        (Wanted(version="3.7"), []),
        (Wanted(version="draft"), ["draft"]),
        (Wanted(since="2026-11-10"), [NEW, NOTES]),
        (Wanted(since="2026-11-11"), [NEW]),
        (Wanted(until="2026-11-10", kind=Kind.FILE), [NOTES, "draft"]),
        (Wanted(until="2026-11-09", kind=Kind.FILE), ["draft"]),
        (Wanted(since="2026-11-10T12:00:00Z", until="2026-11-10T12:00:00Z"), [NOTES]),
        (Wanted(since="2026-11-10T13:00:00+01:00", until="2026-11-10T14:00:00+02:00"), [NOTES]),
        (Wanted(since="2026-11-10T12:00:01Z"), [NEW]),
        (Wanted(channel="production"), [OLD]),
        (Wanted(channel="latest"), [NEW]),
        (Wanted(channel="draft"), ["draft"]),
        (Wanted(channel="prod"), []),
        (Wanted(labels=(("team", "net"),)), [NEW, OLD]),
        (Wanted(labels=(("team", "net"), (oci.VERSION, "3.7.14"))), [OLD]),
        (Wanted(labels=(("team", "other"),)), []),
    ],
    ids=str,
)
def test_a_listing_shows_what_was_asked_for_newest_first(store: Store, wanted: Wanted, expected: list[str]) -> None:
    assert tags(store, wanted) == expected


def test_each_version_shows_its_channels_and_no_channel_shows_twice(store: Store) -> None:
    rows = listed(store, Wanted(), damaged=lambda error: None)
    assert {row.tag: row.channels for row in rows} == {OLD: "production", NEW: "latest", NOTES: "", "draft": ""}


def test_rows_and_artefacts_say_the_same(store: Store) -> None:
    rows = listed(store, Wanted(), annotations=True, damaged=lambda error: None)
    shown = {row.tag for row in rows}
    assert {row.artifact() for row in rows} == {each for each in artifacts(store) if each.reference.tag in shown}


@pytest.mark.parametrize(
    "wanted",
    [Wanted(since="yesterday"), Wanted(until="2026-13-01"), Wanted(since="0001-01-01T00:00:00+10:00"),
     Wanted(pattern=""), Wanted(version="a b")],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_asked_is_refused(store: Store, wanted: Wanted) -> None:
    with pytest.raises(BadInput):
        listed(store, wanted, damaged=lambda error: None)


def test_a_listing_as_json_is_one_list_and_says_all_that_a_description_does(store: Store) -> None:
    rows = listed(store, Wanted(), annotations=True, damaged=lambda error: None)
    read = json.loads("\n".join(lines(store, rows)))
    assert [each["tag"] for each in read] == [NEW, NOTES, OLD, "draft"]
    assert read[0] == {
        "uri": f"{store.url}/vm/traefik/{NEW}", "kind": "vm", "name": "traefik", "tag": NEW, "version": EXACT,
        "published": "2026-11-24T22:15:00+00:00", "digest": rows[0].digest, "size": int(rows[0].size),
        "media_type": "application/vnd.naust.vm.v1", "made_from": None, "channels": ["latest"],
        "annotations": {"naust.kind": "vm", "team": "net", oci.VERSION: EXACT},
    }  # fmt: skip
    assert json.loads("\n".join(lines(store, []))) == []


@pytest.mark.parametrize("count", [999, 1000, 1001])
def test_a_long_listing_is_one_list_too(store: Store, count: int) -> None:
    row = listed(store, Wanted(), annotations=True, damaged=lambda error: None)[0]
    assert len(json.loads("\n".join(lines(store, [row] * count)))) == count


def test_what_cannot_be_read_is_told_only_to_who_asked_for_that_name(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    put(store, "file/a", NOTES, "1", b"x")
    (store.root / "file/a" / "2").write_bytes(b"rubbish")
    told: list[Corrupt] = []
    assert len(listed(store, Wanted(), damaged=told.append)) == 1 == len(told)
    listed(store, Wanted(name="b"), damaged=told.append)
    assert len(told) == 1


class Slow(MemoryStore):
    """As a registry: answers several at once, and a tag may go while the others are read."""

    def traits(self) -> object:  # type: ignore[override]
        return replace(super().traits(), streams=4)

    def tags(self, name: str) -> Iterator[str]:
        yield from super().tags(name)
        yield "gone"


def test_a_store_without_an_index_is_asked_for_several_manifests_at_once() -> None:
    store = Slow()
    for number in range(20):
        put(store, "file/a", f"1.{number}-20261110T1200{number:02}Z", f"1.{number}", str(number).encode())
    assert [row.version for row in listed(store, Wanted(), damaged=lambda error: None)] == [
        f"1.{number}" for number in reversed(range(20))
    ]


# One artefact


def attach(store: Store, name: str, subject: Digest, type: str) -> Digest:
    about = Blob(subject, len(store.manifest(name, str(subject))), oci.MANIFEST)
    empty = Blob(Digest.of(oci.EMPTY_CONFIG), len(oci.EMPTY_CONFIG), oci.EMPTY).described()
    manifest = oci.encode({"config": empty, "layers": [empty], "artifactType": type, "subject": about.described()})
    return store.put_manifest(name, str(Digest.of(manifest)), manifest)


def test_show_names_channels_and_what_is_attached(store: Store) -> None:
    subject = show(store, f"vm/traefik:{OLD}").digest
    attached = attach(store, "vm/traefik", subject, "test/signature")
    shown = show(store, "vm/traefik:3.7.14")
    assert shown.channels == ("production",)
    assert [(each.type, each.digest) for each in shown.attachments] == [("test/signature", attached)]
    size = shown.attachments[0].size
    assert rows_of(shown)[-1] == ("attached", f"{attached} {size} bytes test/signature")
    assert ("channels", "production") in rows_of(shown)
    assert shown.revoked == ""


def test_show_of_a_channel_names_the_release_it_stands_for_and_its_date(store: Store) -> None:
    shown = show(store, "vm/traefik:production")
    assert (shown.release, shown.published) == (OLD, split(OLD)[1])  # type: ignore[index]
    assert ("release", OLD) in rows_of(shown)
    by_digest = show(store, f"vm/traefik@{shown.digest}")
    assert by_digest.published == shown.published
    draft = show(store, "file/notes:draft")
    assert (draft.release, draft.published) == ("", None)
    assert "published" not in dict(rows_of(draft))
    assert show(store, f"vm/traefik:{OLD}").release == ""


def test_show_says_why_an_artefact_is_revoked(store: Store) -> None:
    revoke(store, resolve(store, f"vm/traefik:{OLD}"), "a hole in it", by="anna")
    assert "a hole in it" in show(store, f"vm/traefik:{OLD}").revoked
    assert show(store, f"vm/traefik:{NEW}").revoked == ""
