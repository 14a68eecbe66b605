"""What two artefacts differ in: annotations, packages, blobs, and the files in layers, tars and folders."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import tracemalloc
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from importlib.util import find_spec
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import Corrupt, NotFound
from common.model import Digest, Kind, Reference
from naust import diff
from naust import manifest as oci
from naust.content import dpkg
from naust.content.layers import File, files, zstd
from naust.listing import resolve
from naust.manifest import Blob
from naust.proof.attached import attach
from naust.store.memory import MemoryStore
from tests.lab.images import blob, image, put, two_platforms

NAME = "container/thing"
OLD, NEW = "1.0-20261124T221500Z", "1.1-20261125T221500Z"
# Without the order of Debian's versions one can only say that something changed.
UP, DOWN = ("upgraded", "downgraded") if find_spec("naust.proof.debian") else ("changed", "changed")
Member = tuple[str, bytes] | tarfile.TarInfo


def tar(*members: Member) -> bytes:
    """A tar of files (path, bytes), folders (path that ends with a slash) and members as they are."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
                continue
            info = tarfile.TarInfo(member[0].rstrip("/"))
            info.size, info.mode = len(member[1]), 0o644
            if member[0].endswith("/"):
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(info, io.BytesIO(member[1]))
    return out.getvalue()


def link(path: str, target: str, type: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.type, info.linkname = type, target
    return info


def listed(*layers: bytes) -> dict[str, File]:
    store = MemoryStore()
    top = image(store, NAME, *layers)
    return files(store, NAME, oci.parse(store.manifest(NAME, str(top.digest)), NAME))


def compared(store: MemoryStore, **more: bool) -> diff.Difference:
    old, new = (diff.side(store, resolve(store, f"{NAME}:{tag}")) for tag in (OLD, NEW))
    return diff.compare(old, new, **more)


def changes(old: tuple[bytes, ...], new: tuple[bytes, ...]) -> list[tuple[str, str, tuple[str, ...]]]:
    store = MemoryStore()
    image(store, NAME, *old, tag=OLD)
    image(store, NAME, *new, tag=NEW)
    return [(each.how, each.path, each.what) for each in compared(store).files or ()]


# Layers


def test_an_upper_layer_takes_the_place_of_a_lower_one() -> None:
    found = listed(tar(("etc/", b""), ("etc/a", b"1"), ("b", b"2")), tar(("etc/a", b"new"), ("c", b"3")))
    assert set(found) == {"etc", "etc/a", "b", "c"}
    assert (found["etc/a"].size, found["etc/a"].digest) == (3, Digest.of(b"new").hex)


def test_whiteouts_take_away_files_folders_and_what_is_below_them() -> None:
    base = tar(("a/", b""), ("a/x", b"1"), ("a/y/", b""), ("a/y/z", b"2"), ("ab", b"3"), ("c", b"4"))
    assert set(listed(base, tar(("a/.wh.y", b""), (".wh.c", b"")))) == {"a", "a/x", "ab"}
    assert set(listed(base, tar((".wh.a", b"")))) == {"ab", "c"}
    assert set(listed(base, tar((".wh.a", b""), ("a/", b""), ("a/new", b"")))) == {"a", "a/new", "ab", "c"}


def test_an_opaque_folder_hides_what_lower_layers_have_in_it_and_not_its_own() -> None:
    base = tar(("a/", b""), ("a/x", b"1"), ("a/y/z", b"2"), ("b", b"3"))
    assert set(listed(base, tar(("a/", b""), ("a/new", b""), ("a/.wh..wh..opq", b"")))) == {"a", "a/new", "b"}


def test_a_file_in_place_of_a_folder_hides_what_was_in_it() -> None:
    assert set(listed(tar(("a/", b""), ("a/x", b"1")), tar(("a", b"file now")))) == {"a"}
    assert set(listed(tar(("a/", b""), ("a/x", b"1")), tar(link("a", "b")))) == {"a"}


@pytest.mark.parametrize(
    "pack", [gzip.compress, bz2.compress, lzma.compress, zstd.compress], ids=["gzip", "bzip2", "xz", "zstd"]
)
def test_packed_layers_are_looked_into(pack: Callable[[bytes], bytes]) -> None:
    assert listed(pack(tar(("./a//b", b"1"), ("/c", b"2")))).keys() == {"a/b", "c"}


@pytest.mark.parametrize(
    "data",
    [b"", b"no tar", b"\x28\xb5\x2f\xfd zstd", tar(("a", b"x" * 5000))[:3000], gzip.compress(tar(("a", b"1")))[:-40]],
    ids=["empty", "text", "zstd", "short", "cut"],
)
def test_what_is_no_tar_is_said(data: bytes) -> None:
    with pytest.raises(Corrupt, match="cannot be looked into"):
        listed(data)


def test_a_header_cannot_ask_for_all_memory() -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 1 << 28
    bomb = gzip.compress(info.tobuf() + bytes(1 << 28))
    tracemalloc.start()
    with pytest.raises(Corrupt):
        listed(bomb)
    assert tracemalloc.get_traced_memory()[1] < 32 << 20
    tracemalloc.stop()


def test_a_damaged_layer_is_refused_though_it_is_a_good_tar() -> None:
    store = MemoryStore()
    good, other = tar(("a", b"1")), tar(("a", b"2"))
    top = image(store, NAME, good)
    store._contents[Digest.of(good)] = other
    with pytest.raises(Corrupt, match="is damaged"):
        files(store, NAME, oci.parse(store.manifest(NAME, str(top.digest)), NAME))


def test_extended_attributes_belong_to_a_file() -> None:
    def pinging(capability: str) -> bytes:
        info = tarfile.TarInfo("bin/ping")
        info.pax_headers = {"SCHILY.xattr.security.capability": capability}
        return tar(info)

    assert listed(pinging("net_raw"))["bin/ping"].attributes == (("security.capability", "net_raw"),)
    assert changes((pinging("net_raw"),), (pinging("all"),)) == [("changed", "bin/ping", ("attributes",))]


@settings(deadline=None, max_examples=150)
@given(
    st.binary(max_size=3000)
    | st.builds(lambda at, x: _spoilt(at, x), st.integers(0, 2047), st.binary(min_size=1, max_size=9))
)
def test_no_bytes_make_it_fail_otherwise_than_by_saying_so(data: bytes) -> None:
    with suppress(Corrupt):
        listed(data)


def _spoilt(at: int, what: bytes) -> bytes:
    data = bytearray(tar(("a/b", b"content"), link("c", "a/b")))
    data[at : at + len(what)] = what
    return bytes(data)


# Files


def test_files_are_told_by_what_changed_in_them() -> None:
    moded, owned = tarfile.TarInfo("mode"), tarfile.TarInfo("owner")
    moded.mode, owned.uid = 0o4755, 7
    old = tar(
        ("same", b"="), ("gone", b"1"), ("content", b"1"), ("size", b"1"), ("mode", b""), ("owner", b""), link("l", "a")
    )
    new = tar(("same", b"="), ("new", b"1"), ("content", b"2"), ("size", b"12"), moded, owned, link("l", "b"))
    assert changes((old,), (new,)) == [
        ("changed", "content", ("digest",)),
        ("removed", "gone", ()),
        ("changed", "l", ("target",)),
        ("changed", "mode", ("mode",)),
        ("added", "new", ()),
        ("changed", "owner", ("owner",)),
        ("changed", "size", ("size", "digest")),
    ]


def test_the_same_files_in_other_layers_are_no_change() -> None:
    one, two = ("a", b"1"), ("b", b"2")
    assert changes((tar(one, two),), (tar(one), tar(two))) == []


def test_layers_that_both_have_are_read_once() -> None:
    read_of: list[Digest] = []

    class Counting(MemoryStore):
        def read(
            self, name: str, digest: Digest, start: int = 0, length: int | None = None
        ) -> AbstractContextManager[BinaryIO]:
            read_of.append(digest)
            return super().read(name, digest, start, length)

    store, base = Counting(), tar(("base", b"1"))
    image(store, NAME, base, tar(("a", b"1")), tag=OLD)
    image(store, NAME, base, tar((".wh.base", b"")), tag=NEW)
    assert [(each.how, each.path) for each in compared(store).files or ()] == [("removed", "a"), ("removed", "base")]
    assert read_of.count(Digest.of(base)) == 1


# All of it


def test_sizes_and_blobs() -> None:
    store = MemoryStore()
    image(store, NAME, b"shared", b"old", tag=OLD)
    image(store, NAME, b"shared", b"newer", tag=NEW)
    found = compared(store, with_files=False)
    assert {(each.size, each.before, each.after) for each in found.parts if each.media_type == oci.LAYER} == {
        (6, True, True),
        (3, True, False),
        (5, False, True),
    }
    assert (found.same, found.files) == (False, None)
    assert found.after_size - found.before_size == 2 + 2  # the layer, and the longer name of it in the configuration


def test_an_artefact_is_the_same_as_itself_and_as_its_copy_elsewhere() -> None:
    here, there = MemoryStore(), MemoryStore()
    for store in (here, there):
        image(store, NAME, tar(("a", b"1")), tag=OLD)
    found = diff.compare(*(diff.side(store, resolve(store, NAME)) for store in (here, there)))
    assert found.same
    assert (found.files, found.annotations, found.packages) == ((), (), ())


def test_one_platform_of_an_index_is_compared_when_it_is_named() -> None:
    store = MemoryStore()
    two_platforms(store, NAME, OLD)
    whole = resolve(store, NAME)
    found = diff.compare(diff.side(store, whole), diff.side(store, whole))
    assert "several platforms" in found.notes[0]
    one, other = (diff.side(store, whole, platform) for platform in ("linux/amd64", "linux/arm64"))
    assert sum(each.before and each.after for each in diff.compare(one, other, with_files=False).parts) == 1
    with pytest.raises(NotFound):
        diff.side(store, whole, "plan9/mips")


def packages_of(*versions: tuple[str, str]) -> bytes:
    components = [
        {"type": "library", "name": name, "version": version, "purl": f"pkg:deb/debian/{name}@{version}"}
        for name, version in versions
    ]
    return oci.encode({"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": components})


def test_packages_come_from_the_attached_sbom() -> None:
    store = MemoryStore()
    for tag, listed_ in (
        (OLD, packages_of(("libc6", "2.41-12"), ("openssl", "3.5.1-1"), ("gone", "1"), ("down", "2"))),
        (NEW, packages_of(("libc6", "2.41-12"), ("openssl", "3.5.1-1+deb13u1"), ("new", "1"), ("down", "1~rc1"))),
    ):
        top = image(store, NAME, tag.encode(), tag=tag)
        kind = "application/vnd.cyclonedx+json"
        attach(store, NAME, top.digest, listed_, media_type=kind, artifact_type=kind)
    found = compared(store, with_files=False)
    assert found.packages_from == "sbom"
    assert [(each.how, each.name, each.before, each.after) for each in found.packages] == [
        (DOWN, "down", "2", "1~rc1"),
        ("removed", "gone", "1", ""),
        ("added", "new", "", "1"),
        (UP, "openssl", "3.5.1-1", "3.5.1-1+deb13u1"),
    ]


def test_without_an_sbom_packages_come_from_the_inputs() -> None:
    store = MemoryStore()
    for tag, version in ((OLD, "1:9"), (NEW, "1:10")):
        config = blob(store, NAME, b"{}", oci.EMPTY).described()
        layer = blob(store, NAME, tag.encode()).described()
        said = {oci.INPUTS: f'[{{"name": "package/x", "version": "{version}", "digest": ""}}]'}
        put(store, NAME, {"mediaType": oci.MANIFEST, "config": config, "layers": [layer], "annotations": said}, tag)
    found = compared(store, with_files=False)
    assert found.packages_from == "inputs"
    assert [(each.how, each.name, each.after) for each in found.packages] == [(UP, "package/x", "1:10")]


def test_a_file_that_is_no_tar_says_that_its_files_are_not_compared() -> None:
    store = MemoryStore()
    for tag in (OLD, NEW):
        data = blob(store, "vm/x", tag.encode(), "application/x-qemu-disk")
        blob(store, "vm/x", oci.EMPTY_CONFIG)
        manifest = oci.file_manifest(Kind.VM, Blob(data.digest, data.size, data.media_type), "x.qcow2", {})
        store.put_manifest("vm/x", tag, manifest)
    old, new = (diff.side(store, resolve(store, Reference(Kind.VM, "x", tag))) for tag in (OLD, NEW))
    found = diff.compare(old, new)
    assert found.files is None
    assert "files are not compared" in found.notes[0]


# How it runs, and what dpkg lists


def status(**versions: str) -> bytes:
    """A tar with dpkg's status file."""
    text = "".join(
        f"Package: {name}\nStatus: install ok installed\nVersion: {version}\n\n" for name, version in versions.items()
    )
    return tar((dpkg.PATH, text.encode()))


def test_without_an_sbom_packages_are_those_that_dpkg_lists() -> None:
    store = MemoryStore()
    base = status(kept="1", left="1", raised="1.0~rc1")
    image(store, NAME, base, tag=OLD)
    image(store, NAME, base, status(kept="1", new="2", raised="1.0"), tag=NEW)
    found = compared(store)
    assert found.packages_from == "dpkg"
    assert [(each.how, each.name, each.before, each.after) for each in found.packages] == [
        ("removed", "left", "1", ""), ("added", "new", "", "2"), (UP, "raised", "1.0~rc1", "1.0"),
    ]  # fmt: skip


def test_a_list_of_dpkg_that_a_layer_takes_away_does_not_count() -> None:
    store = MemoryStore()
    image(store, NAME, status(gone="1"), tag=OLD)
    image(store, NAME, status(gone="1"), tar(("var/lib/dpkg/.wh.status", b"")), tag=NEW)
    assert [(each.how, each.name) for each in compared(store).packages] == [("removed", "gone")]


def test_how_it_runs_is_compared_name_by_name() -> None:
    store = MemoryStore()
    image(store, NAME, b"", tag=OLD, config={"User": "a", "Env": ["PATH=/bin", "A=1"], "Labels": {"l": "1"}})
    image(store, NAME, b"", tag=NEW, config={"User": "b", "Env": ["PATH=/bin"], "Cmd": ["x"], "Labels": {"l": "2"}})
    found = compared(store, with_files=False)
    assert {(each.how, each.name, each.before, each.after) for each in found.configuration} == {
        ("changed", "User", '"a"', '"b"'), ("removed", "variable A", "1", ""), ("added", "Cmd", "", '["x"]'),
        ("changed", "label l", "1", "2"),
    }  # fmt: skip


def test_layers_are_numbered_from_the_bottom() -> None:
    store = MemoryStore()
    image(store, NAME, tar(("a", b"1")), tar(("b", b"1")), tag=OLD)
    image(store, NAME, tar(("a", b"1")), tar(("b", b"22")), tag=NEW)
    found = {(each.what, each.before, each.after) for each in compared(store).parts if each.what != "configuration"}
    assert found == {("layer 1", True, True), ("layer 2", True, False), ("layer 2", False, True)}


@settings(deadline=None)
@given(st.binary(max_size=400) | st.text(alphabet="Package:Status installok\n 1.-()", max_size=300).map(str.encode))
def test_whatever_stands_in_dpkgs_list_it_is_read_or_refused(text: bytes) -> None:
    with suppress(Corrupt):
        for each in dpkg.installed(b"Package: a\nStatus: install ok installed\n\n" + text, "it"):
            assert each.name
