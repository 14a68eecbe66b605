"""What differs between two tars, two files, two configurations is told by path, and nothing where nothing does."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from common.model import Artifact, Digest
from naust.manifest import Blob, ContainerImage
from naust.push import push_container
from naust.store import open_store
from naust.store.interface import Store
from smie.difference import LONGEST, contents, differences, tars

Change = Callable[[tarfile.TarInfo], object]


def tar(*changes: Change, content: bytes = b"one\n", names: tuple[str, ...] = ("etc", "etc/a", "etc/b")) -> io.BytesIO:
    """A folder and files of a content; `changes` are made to the last."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.type, entry.size = (tarfile.REGTYPE, len(content)) if "/" in name else (tarfile.DIRTYPE, 0)
            if name == names[-1]:
                for change in changes:
                    change(entry)
            archive.addfile(entry, io.BytesIO(content[: entry.size]))
    made.seek(0)
    return made


def told(one: io.BytesIO, two: io.BytesIO) -> list[str]:
    return [str(each) for each in tars(one, two)]


def set_to(**values: object) -> Change:
    return lambda entry: [setattr(entry, name, value) for name, value in values.items()]


def test_equal_tars_differ_in_nothing() -> None:
    assert told(tar(), tar()) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (set_to(mode=0o4755), "mode: 0644 ≠ 4755"),
        (set_to(uid=953), "uid: 0 ≠ 953"),
        (set_to(gid=953), "gid: 0 ≠ 953"),
        (set_to(mtime=86400), "mtime: 0 ≠ 86400"),
        (set_to(pax_headers={"SCHILY.xattr.user.x": "1"}), 'attribute SCHILY.xattr.user.x: null ≠ "1"'),
    ],
)
def test_what_describes_a_file_is_compared(change: Change, says: str) -> None:
    assert told(tar(), tar(change)) == [f"etc/b: {says}"]


def test_links_types_and_missing_entries() -> None:
    link = set_to(type=tarfile.SYMTYPE, linkname="x", size=0)
    other = set_to(type=tarfile.SYMTYPE, linkname="y", size=0)
    assert told(tar(link), tar(other)) == ["etc/b: linkname: x ≠ y"]
    assert "etc/b: type: 0 ≠ 2" in told(tar(), tar(link))
    assert told(tar(), tar(names=("etc", "etc/a"))) == ["etc/b: is there: yes ≠ no"]


def test_the_order_counts_when_nothing_else_differs() -> None:
    assert told(tar(), tar(names=("etc", "etc/b", "etc/a"))) == ["all of it: order of the entries: etc/a ≠ etc/b"]


@pytest.mark.parametrize(
    ("one", "two", "says"),
    [
        (b"a\nb\n", b"a\nc\n", ("line 2", "'b'", "'c'")),
        (b"x" * 70000 + b"\nb", b"x" * 70000 + b"\nc", ("line 2", "'b'", "'c'")),
        (b"\x00\x01\x02", b"\x00\x01\x03", ("byte 2", "02", "03")),
        (b"ab\x00", b"ab\x00\xff", ("byte 3", "its end", "ff")),
    ],
)
def test_where_contents_part(one: bytes, two: bytes, says: tuple[str, str, str]) -> None:
    assert contents(io.BytesIO(one), io.BytesIO(two)) == says


def test_equal_contents_and_long_lines() -> None:
    assert contents(io.BytesIO(b"x" * 200000), io.BytesIO(b"x" * 200000)) is None
    found = contents(io.BytesIO(b"x" * 1000 + b"1"), io.BytesIO(b"x" * 1000 + b"2"))
    assert found is not None and len(found[1]) <= LONGEST + 2


def stored(folder: Path, content: bytes, variable: str) -> tuple[Store, Artifact]:
    folder.mkdir()
    (layer := folder / "layer.tar").write_bytes(tar(content=content).getvalue())
    blob = Blob(Digest.of(layer.read_bytes()), layer.stat().st_size, path=layer)
    config = {"config": {"Env": [variable]}, "rootfs": {"type": "layers", "diff_ids": [str(blob.digest)]}}
    image = ContainerImage(json.dumps(config | {"architecture": "amd64", "os": "linux"}).encode(), (blob,))
    store = open_store(f"file://{folder / 'store'}")
    return store, push_container(store, image, name="x", version="1", annotations={}, made_from=Digest.of(b"recipe"))


def test_images_are_compared_by_configuration_and_by_layer(tmp_path: Path) -> None:
    one, two = stored(tmp_path / "one", b"one\n", "A=1"), stored(tmp_path / "two", b"two\n", "A=2")
    said = [str(each) for each in differences(one, two, tmp_path)]
    assert 'configuration config Env: is: ["A=1"] ≠ ["A=2"]' in said
    assert "layer 1: etc/a: line 1: 'one' ≠ 'two'" in said
    same = stored(tmp_path / "three", b"one\n", "A=1")
    assert [each for each in differences(one, same, tmp_path) if each.path.startswith(("layer", "configuration"))] == []
