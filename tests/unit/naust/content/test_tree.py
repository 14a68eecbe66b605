"""Directories as tars: deterministic, complete, read by the tar programs of others; and nothing unsafe comes out."""

from __future__ import annotations

import io
import os
import socket
import tarfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import BadInput, Corrupt, Error
from common.model import Digest, Kind
from naust.content.tree import Entry, header, leads_out, read_index
from naust.content.tree_pack import Packed, fingerprint
from naust.content.tree_unpack import Rules, remove, unpack
from tests.lab.shapes import full_tree, ran, sparse, state

RULES = Rules("it", Kind.FILE, owners=True)
ROOTFS = Rules("it", Kind.ROOTFS, owners=True)


def packed(folder: Path, kind: Kind = Kind.ROOTFS) -> tuple[bytes, list[Entry], Digest]:
    """The tar, its index, and the index's digest."""
    stream = Packed(folder, kind)
    buffered = io.BufferedReader(stream)
    data = buffered.read()
    index, digest, size = stream.index
    read = index.read()
    assert (Digest.of(read), len(read)) == (digest, size)
    return data, list(read_index(io.BytesIO(read), "it")), digest


def unpacked(data: bytes, folder: Path, rules: Rules = RULES, index: Iterator[Entry] | None = None) -> Path:
    tar = folder.with_name(f"{folder.name}.tar")
    tar.write_bytes(data)
    folder.mkdir()
    with tar.open("rb") as source:
        unpack(source, folder, rules, index)
    return folder


# Packing


def test_the_same_directory_is_the_same_tar(tmp_path: Path) -> None:
    tree = full_tree(tmp_path / "tree")
    first = packed(tree)
    assert packed(tree) == first
    ran("cp", "-a", "--sparse=auto", tree, tmp_path / "copy")
    assert packed(tmp_path / "copy") == first


def test_the_index_says_where_each_file_is(tmp_path: Path) -> None:
    tree = full_tree(tmp_path / "tree")
    data, entries, _ = packed(tree)
    assert [entry.path for entry in entries if "/" not in entry.path] == [
        ".",
        *sorted((path.name for path in tree.iterdir()), key=os.fsencode),
    ]
    for entry in entries:
        if entry.type == "file":
            content, at = bytearray(entry.size), entry.offset
            for start, length in entry.map or ((0, entry.size),):
                content[start : start + length] = data[at : at + length]
                at += length
            assert bytes(content) == (tree / entry.path).read_bytes()
            assert Digest.of(bytes(content)) == entry.digest


def test_a_file_with_very_many_holes_keeps_the_longest_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("naust.content.tree_pack._MOST_PIECES", 3)
    (tmp_path / "tree").mkdir()
    block = 1 << 16
    sparse(tmp_path / "tree" / "f", 100 * block, {block * at: b"x" for at in (0, 2, 4, 6, 20, 90)})
    data, (_, entry), _ = packed(tmp_path / "tree")
    assert [(start // block, length // block) for start, length in entry.map] == [(0, 7), (20, 1), (90, 1), (100, 0)]
    out = unpacked(data, tmp_path / "out", ROOTFS, iter(packed(tmp_path / "tree")[1]))
    assert (out / "f").read_bytes() == (tmp_path / "tree" / "f").read_bytes()
    assert packed(out)[0] == data


def test_a_tar_is_read_twice_if_the_store_asks_for_it_again(tmp_path: Path) -> None:
    stream = Packed(full_tree(tmp_path / "tree"), Kind.ROOTFS)
    buffered = io.BufferedReader(stream)
    first = buffered.read()
    index = stream.index[1]
    buffered.seek(0)
    assert (buffered.read(), stream.index[1]) == (first, index)


@pytest.mark.parametrize("program", ["tar", "bsdtar"])
def test_the_tar_programs_of_others_read_it(tmp_path: Path, program: str) -> None:
    tree = full_tree(tmp_path / "tree")
    (tmp_path / "tree.tar").write_bytes(packed(tree)[0])
    (tmp_path / "out").mkdir()
    more = ("--xattrs", "--xattrs-include=*") if program == "tar" else ()
    ran(program, "-xpf", tmp_path / "tree.tar", *more, "-C", tmp_path / "out")
    if program == "bsdtar":  # it leaves the folder alone that it was told to work in
        os.utime(tmp_path / "out", ns=(0, tree.stat().st_mtime_ns))
    assert state(tmp_path / "out") == state(tree)


def test_what_this_kind_may_not_hold_is_named(tmp_path: Path) -> None:
    for number, make in enumerate(
        (
            os.mkfifo,
            lambda path: Path(path).symlink_to("/etc"),
            lambda path: Path(path).symlink_to("../../x"),
            lambda path: socket.socket(socket.AF_UNIX).bind(str(path)),
        )
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        make(folder / "bad")
        with pytest.raises(BadInput) as error:
            packed(folder, Kind.FILE)
        assert "bad" in error.value.message


def test_a_file_that_changes_meanwhile_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    for change in (lambda path: os.truncate(path, 10), lambda path: os.utime(path)):
        (tmp_path / "tree" / "f").write_bytes(bytes(5 << 20))
        stream = Packed(tmp_path / "tree", Kind.FILE)
        assert sum(len(stream.read(1024)) for _ in range(100)) > 50_000
        change(tmp_path / "tree" / "f")
        with pytest.raises(Error) as error:
            io.BufferedReader(stream).read()
        assert "changed while it was read" in error.value.message


def test_a_fingerprint_changes_with_everything_that_the_tar_depends_on(tmp_path: Path) -> None:
    tree = full_tree(tmp_path / "tree")
    seen = {fingerprint(tree, Kind.ROOTFS)[0]}
    assert fingerprint(tree, Kind.ROOTFS)[0] in seen
    for change in (
        lambda: (tree / "plain").chmod(0o600),
        lambda: os.setxattr(tree / "ü", "user.x", b"y"),
        lambda: (tree / "empty").rename(tree / "other"),
        lambda: os.chown(tree / "sym", 5, 5, follow_symlinks=False),
        lambda: (tree / "new").touch(),
        lambda: os.utime(tree),
    ):
        change()
        found = fingerprint(tree, Kind.ROOTFS)[0]
        assert found not in seen
        seen.add(found)
    assert fingerprint(tree, Kind.FILE)[0] not in seen


# Unpacking what others made


def member(
    archive: tarfile.TarFile,
    name: str,
    data: bytes = b"",
    kind: bytes = tarfile.REGTYPE,
    target: str = "",
    **more: object,
) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, len(data), target
    for key, value in more.items():
        setattr(info, key, value)
    archive.addfile(info, io.BytesIO(data))


def tar(*members: tuple[object, ...]) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        for each in members:
            member(archive, *each)  # type: ignore[arg-type]
    return held.getvalue()


LINK, HARD, FOLDER = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE
HOSTILE = {
    "climbs": tar(("../x", b"evil")),
    "climbs within": tar(("a/../../x", b"evil")),
    "climbs and comes back": tar(("a/../x", b"evil")),
    "absolute": tar(("/etc/cron.d/x", b"evil")),
    "drive": tar(("C:\\x", b"evil")),
    "drive with a slash": tar(("c:/x", b"evil")),
    "through a link out": tar(("d", b"", LINK, "../.."), ("d/x", b"evil")),
    "through a link within": tar(("real", b"", FOLDER), ("d", b"", LINK, "real"), ("d/x", b"evil")),
    "through an absolute link": tar(("d", b"", LINK, "/tmp"), ("d/x", b"evil")),
    "over a link": tar(("f", b"", LINK, "g"), ("f", b"evil")),
    "twice": tar(("f", b"1"), ("f", b"2")),
    "folder twice": tar(("f", b"", FOLDER), ("f", b"", FOLDER)),
    "folder over a link": tar(("f", b"", LINK, "g"), ("f", b"", FOLDER), ("f/x", b"evil")),
    "below a file": tar(("f", b"1"), ("f/x", b"evil")),
    "hard link out": tar(("f", b"", HARD, "../../etc/passwd")),
    "hard link absolute": tar(("f", b"", HARD, "/etc/passwd")),
    "hard link to nothing": tar(("f", b"", HARD, "g")),
    "hard link through a link": tar(("d", b"", LINK, "."), ("g", b"1"), ("f", b"", HARD, "d/g")),
    "hard link to a folder": tar(("d", b"", FOLDER), ("f", b"", HARD, "d")),
    "device": tar(("f", b"", tarfile.CHRTYPE)),
    "pipe": tar(("f", b"", tarfile.FIFOTYPE)),
    "unknown type": tar(("f", b"", b"Z")),
    "rubbish": b"rubbish" * 1000,
    "cut off": tar(("f", b"x" * 5000))[:3000],
}  # fmt: skip


def raw(records: bytes, name: bytes = b"f", size: int = 0, data: bytes = b"") -> bytes:
    """A member with these pax records."""
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, len(records)
    main = tarfile.TarInfo(name.decode())
    main.size = size
    padded = [part + bytes(-len(part) % 512) for part in (records, data)]
    return info.tobuf(tarfile.USTAR_FORMAT) + padded[0] + main.tobuf(tarfile.GNU_FORMAT) + padded[1] + bytes(1024)


def record(key: str, value: str) -> bytes:
    body = f" {key}={value}\n".encode("utf-8", "surrogateescape")
    length = len(body) + len(str(len(body) + 2))
    return str(length).encode() + body


SPARSE = record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0") + record("GNU.sparse.name", "f")
HOSTILE |= {
    "NUL": raw(record("path", "a\0b")),
    "climbs in a pax record": raw(record("path", "../x")),
    "climbs in the name of a sparse file": raw(
        SPARSE + record("GNU.sparse.name", "../x") + record("GNU.sparse.realsize", "0"), size=512, data=b"0\n"
    ),
    "pretends a yottabyte": raw(SPARSE + record("GNU.sparse.realsize", str(1 << 60)), size=512, data=b"1\n0\n0\n"),
    "a map without an end": raw(SPARSE + record("GNU.sparse.realsize", "1"), size=3 << 20, data=b"9" * (3 << 20)),
    "a map that runs backwards": raw(SPARSE + record("GNU.sparse.realsize", "9"), size=512, data=b"1\n-5\n9\n"),
    "a map behind the end": raw(SPARSE + record("GNU.sparse.realsize", "9"), size=512, data=b"1\n5\n9\n"),
    "more data than there is": raw(SPARSE + record("GNU.sparse.realsize", "999999"), size=512, data=b"1\n0\n999999\n"),
    "a huge header": raw(record("comment", "x" * (2 << 20))),
    "negative size": raw(record("size", "-5")),
    "old sparse": raw(record("GNU.sparse.map", "0,1") + record("GNU.sparse.size", "1")),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_unsafe_is_refused_and_nothing_is_outside(tmp_path: Path, what: str) -> None:
    inside = tmp_path / "deep" / "down"
    inside.mkdir(parents=True)
    with pytest.raises(Corrupt) as error:
        unpacked(HOSTILE[what], inside / "out")
    assert error.value.exit_code == 8
    outside = {path for path in tmp_path.rglob("*") if not path.is_relative_to(inside / "out")}
    assert outside == {tmp_path / "deep", inside, inside / "out.tar"} | {inside / "out"} - {inside / "out"}
    remove(inside / "out")
    assert not (inside / "out").exists()


def test_a_rootfs_may_hold_what_a_file_system_needs(tmp_path: Path) -> None:
    data = tar(("dev", b"", FOLDER), ("dev/null", b"", tarfile.CHRTYPE), ("mtab", b"", LINK, "/proc/mounts"))
    out = unpacked(data, tmp_path / "out", ROOTFS)
    assert (out / "dev" / "null").is_char_device()
    assert os.readlink(out / "mtab") == "/proc/mounts"  # noqa: PTH115


def test_owners_and_set_user_id_bits_come_only_where_they_are_asked_for(tmp_path: Path) -> None:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        member(archive, "f", b"x", mode=0o6755, uid=1234, gid=1234)
    kept = unpacked(held.getvalue(), tmp_path / "kept").joinpath("f").stat()
    plain = unpacked(held.getvalue(), tmp_path / "plain", Rules("it", Kind.FILE, owners=False)).joinpath("f").stat()
    assert (kept.st_mode & 0o7777, kept.st_uid) == (0o6755, 1234)
    assert (plain.st_mode & 0o7777, plain.st_uid) == (0o755, os.geteuid())


@pytest.mark.parametrize("form", ["gnu", "pax", "ustar", "v7"])
def test_what_gnu_tar_wrote_is_unpacked(tmp_path: Path, form: str) -> None:
    tree = tmp_path / "tree"
    (tree / "d").mkdir(parents=True)
    (tree / "d" / ("n" * (60 if form in ("v7", "ustar") else 180))).write_text("x")
    (tree / "l").symlink_to("d")
    (tree / "h").hardlink_to(next((tree / "d").iterdir()))
    ran("tar", f"--format={form}", "-cf", tmp_path / "made.tar", "-C", tree, ".")
    out = unpacked((tmp_path / "made.tar").read_bytes(), tmp_path / "out")
    assert {path: path_state[6] for path, path_state in state(out).items()} == {
        path: path_state[6] for path, path_state in state(tree).items()
    }


def test_sparse_files_of_gnu_tar_stay_sparse(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    sparse(tmp_path / "tree" / "s", 3 << 20, {1_000_000: b"data"})
    ran("tar", "--sparse", "--format=pax", "-cf", tmp_path / "made.tar", "-C", tmp_path / "tree", ".")
    out = unpacked((tmp_path / "made.tar").read_bytes(), tmp_path / "out")
    assert (out / "s").read_bytes() == (tmp_path / "tree" / "s").read_bytes()
    assert (out / "s").stat().st_blocks * 512 < 1 << 20


def test_a_tar_that_is_not_what_its_index_says_is_refused(tmp_path: Path) -> None:
    full_tree(tmp_path / "tree", devices=False)
    data, entries, _ = packed(tmp_path / "tree")
    unpacked(data, tmp_path / "good", ROOTFS, iter(entries))
    changes: list[Callable[[list[Entry]], list[Entry]]] = [
        lambda list: list[:-1],
        lambda list: [*list, list[-1]],
        lambda list: [*list[:3], list[4], list[3], *list[5:]],
    ]
    for number, change in enumerate(changes):
        with pytest.raises(Corrupt):
            unpacked(data, tmp_path / str(number), ROOTFS, iter(change(entries)))


def test_more_than_a_million_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("naust.content.tree_unpack.MOST", 3)
    monkeypatch.setattr("naust.content.tree_pack.MOST", 3)
    unpacked(tar(("a", b""), ("b", b""), ("c", b"")), tmp_path / "three")
    with pytest.raises(Corrupt):
        unpacked(tar(("a", b""), ("b", b""), ("c", b""), ("d", b"")), tmp_path / "four")
    with pytest.raises(BadInput):
        packed(tmp_path / "three")


FIXED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)


@given(st.data())
@FIXED
def test_a_damaged_tar_is_refused_or_unpacked_within_its_folder(tmp_path: Path, data: st.DataObject) -> None:
    base = bytearray(HOSTILE[data.draw(st.sampled_from(sorted(HOSTILE)))][: 64 << 10])
    for _ in range(data.draw(st.integers(0, 4))):
        base[data.draw(st.integers(0, min(2000, len(base) - 1)))] = data.draw(st.integers(0, 255))
    top = tmp_path / os.urandom(8).hex()
    top.mkdir()
    with suppress(Error):
        unpacked(bytes(base), top / "out", Rules("it", Kind.FILE, owners=False))
    assert {path.name for path in top.iterdir()} <= {"out", "out.tar"}
    remove(top)
    assert not top.exists()


@given(st.text(alphabet="./ab", max_size=12), st.text(alphabet="./ab", min_size=1, max_size=12))
def test_a_link_leads_out_if_following_it_does(path: str, target: str) -> None:
    plain = "/".join(part for part in path.split("/") if part not in ("", ".", "..")) or "x"
    depth = len(plain.split("/")) - 1
    for part in target.split("/"):
        depth += 0 if part in ("", ".") else -1 if part == ".." else 1
        if depth < 0:
            break
    assert leads_out(plain, target) == (target.startswith("/") or depth < 0)


@given(st.binary(max_size=200) | st.just(b"[" * 100_000) | st.just(b'{"path":"x","map":[[1]]}'))
def test_an_index_is_read_or_refused(data: bytes) -> None:
    with pytest.raises(Corrupt):
        list(read_index(io.BytesIO(data), "it"))
    with suppress(Corrupt):
        assert all(isinstance(each, Entry) for each in read_index(io.BytesIO(header() + data), "it"))
