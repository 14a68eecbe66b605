"""Tables of what tags say, and the segments that they are kept in."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Corrupt
from common.model import Digest, Kind
from naust import manifest as oci
from naust.brief import Brief
from naust.manifest import Blob
from naust.store.s3_bucket import Bucket
from naust.store.s3_segments import FOLDER, Segments, Table, described, rows

NAME = "file/thing"


class Kept:
    """Objects of a bucket, in memory."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put(self, key: str, data: bytes) -> None:
        self.objects[key] = data

    def get(self, key: str, *, at_most: int) -> tuple[bytes, None] | None:
        return (self.objects[key], None) if key in self.objects else None

    def delete(self, key: str) -> None:
        self.objects.pop(key, None)

    def each(self, act: object, arguments: Sequence[object]) -> list[object]:
        return [act(argument) for argument in arguments]  # type: ignore[operator]


def manifest(content: bytes, **more: str) -> bytes:
    blob = Blob(Digest.of(content), len(content), "text/plain")
    return oci.file_manifest(Kind.FILE, blob, "thing", oci.annotated(Kind.FILE, "1.0", more=more))


def table(**tags: bytes) -> Table:
    found = Table()
    for tag, data in tags.items():
        found.put(f"{NAME}:{tag}", described(NAME, tag, data, f"etag-{tag}"))
    return found


def segments() -> tuple[Kept, Segments]:
    kept = Kept()
    return kept, Segments(cast(Bucket, kept))


@given(value=st.text(max_size=50), version=st.text(min_size=1, max_size=20))
def test_what_anybody_wrote_into_a_manifest_comes_back_as_it_was(value: str, version: str) -> None:
    said = {"note": value, "org.opencontainers.image.version": version}
    data = oci.file_manifest(Kind.FILE, Blob(Digest.of(b"x"), 1), "thing", said)
    _, kept = segments()
    segment, count = kept.write(table(tag=data))
    assert count == 1
    (row,) = rows(kept.read(segment, "", True))
    assert isinstance(row, Brief)
    assert row.artifact() == oci.brief(oci.artifact(NAME, "tag", data))
    (bare,) = rows(kept.read(segment, "", False))
    assert bare == row._replace(annotations="")


def test_a_later_segment_has_the_last_word_and_what_is_gone_is_not_listed() -> None:
    _, kept = segments()
    whole = kept.read(kept.write(table(a=manifest(b"1"), b=manifest(b"2")))[0], "", True)
    newer = table(a=manifest(b"3"))
    newer.put(f"{NAME}:b", ("", ""))
    whole.update(kept.read(kept.write(newer)[0], "", True))
    (row,) = rows(whole)
    assert isinstance(row, Brief) and row.digest == str(Digest.of(manifest(b"3")))
    assert whole.living().places == {f"{NAME}:a"} and whole.places == {f"{NAME}:a", f"{NAME}:b"}


def test_versions_carry_the_channels_that_stand_for_them() -> None:
    data = manifest(b"1")
    found = rows(table(**{"1.0-20261124T221500Z": data, "production": data, "other": manifest(b"2")}))
    said = {row.tag: (row.role, row.channels) for row in found if isinstance(row, Brief)}
    assert said == {"1.0-20261124T221500Z": ("v", "production"), "production": ("c", ""), "other": ("t", "")}


def test_what_cannot_be_read_is_listed_as_the_error_that_says_so() -> None:
    _, kept = segments()
    segment, _ = kept.write(table(bad=b"{", good=manifest(b"1")))
    found = list(rows(kept.read(segment, "", True)))
    damaged = [each for each in found if not isinstance(each, Brief)]
    assert [(name, type(error)) for name, error in damaged] == [(NAME, Corrupt)]
    assert len(found) == 2


def test_only_names_that_begin_so_are_read() -> None:
    _, kept = segments()
    both = table(a=manifest(b"1"))
    both.put("vm/x:1", described("vm/x", "1", manifest(b"2"), "e"))
    segment, _ = kept.write(both)
    assert kept.read(segment, "vm/", True).places == {"vm/x:1"}


@pytest.mark.parametrize("harm", ["gone", "cut", "changed", "no gzip"])
def test_a_harmed_segment_is_never_read_as_another_one(harm: str) -> None:
    objects, kept = segments()
    segment, _ = kept.write(table(a=manifest(b"1"), b=manifest(b"2")))
    key = f"{FOLDER}{segment}.rows"
    data = objects.objects[key]
    harmed = {
        "cut": data[:-5],
        "changed": data[:30] + bytes([data[30] ^ 1]) + data[31:],
        "no gzip": gzip.decompress(data),
    }
    if harm == "gone":
        objects.delete(key)
    else:
        objects.put(key, harmed[harm])
    with pytest.raises(Corrupt):
        kept.read(segment, "", False)
