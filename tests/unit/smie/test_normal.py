"""Two builds give the same layer, and nothing of the build stays in it."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smie.normal import deleted, file, kept, normalise, whiteout

EPOCH = 1_700_000_000


def layer(*entries: tuple[tarfile.TarInfo, bytes]) -> io.BytesIO:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry, content in entries:
            archive.addfile(entry, io.BytesIO(content))
    raw.seek(0)
    return raw


def entry(name: str, content: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    made = tarfile.TarInfo(name)
    made.size = len(content)
    for key, value in fields.items():
        setattr(made, key, value)
    return made, content


def normalised(raw: io.BytesIO, **options: object) -> tuple[bytes, dict[str, bytes]]:
    target = io.BytesIO()
    seen = normalise(raw, target, EPOCH, **options)  # type: ignore[arg-type]  # passed on
    return target.getvalue(), seen


def contents(data: bytes) -> dict[str, bytes]:
    """What the files have; a hard link has what its file has."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {one.name: file.read() for one in archive if (file := archive.extractfile(one))}


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    return {member.name: member for member in tarfile.open(fileobj=io.BytesIO(data))}


@pytest.mark.parametrize(
    "path",
    [
        "smie", "smie/apt/apt.conf", "packer-files", "root/.ansible/tmp", "root/.bash_history", "var/log/dpkg.log",
        "var/log/apt/term.log", "var/lib/apt/lists/x_InRelease", "var/cache/apt/pkgcache.bin", "tmp/ansible_x/y",
        "run/lock", "var/cache/ldconfig/aux-cache", "etc/passwd-", "etc/ssh/ssh_host_ed25519_key", "etc/machine-id",
        "etc/nvme/hostid", "etc/nvme/hostnqn",
        "etc/hostname", "etc/resolv.conf", "usr/local/lib/seter/__pycache__/x.pyc", "root/.cache/pip",
        "var/lib/dpkg/status-old",
    ],
)  # fmt: skip
def test_what_only_the_build_needed_goes(path: str) -> None:
    assert not kept(path)


@pytest.mark.parametrize(
    "path",
    [
        "tmp", "run", "var/log", "var/log/apt", "var/log/ceph/x", "var/lib/apt/lists", "root", "etc/ssh/sshd_config",
        "usr/lib/python3/dist-packages/apt/__pycache__/x.pyc", "usr/share/smie", "etc/apt/apt.conf.d/01autoremove",
        "usr/bin/foo-", "var/lib/dpkg/status",
    ],
)  # fmt: skip
def test_everything_else_stays(path: str) -> None:
    assert kept(path)


def test_time_and_names_of_users_do_not_matter() -> None:
    one = layer(entry("./etc/x", b"x", mtime=EPOCH + 5.25, uname="alice", gname="users", uid=7))
    two = layer(entry("etc/x", b"x", mtime=EPOCH + 99, uname="bob", uid=7))
    assert normalised(one)[0] == normalised(two)[0]


def test_older_times_owners_modes_and_links_stay() -> None:
    raw = layer(
        entry("etc/a", b"x", mtime=5, uid=953, gid=953, mode=0o4750),
        entry("etc/b", type=tarfile.LNKTYPE, linkname="etc/a"),
        entry("etc/c", type=tarfile.SYMTYPE, linkname="../a"),
    )
    found = members(normalised(raw)[0])
    assert (found["etc/a"].mtime, found["etc/a"].uid, found["etc/a"].mode) == (5, 953, 0o4750)
    assert (found["etc/b"].islnk(), found["etc/b"].linkname) == (True, "etc/a")
    assert found["etc/c"].linkname == "../a"


def test_of_extended_headers_only_attributes_stay() -> None:
    capability = "SCHILY.xattr.security.capability"
    raw = layer(entry("usr/bin/ping", b"x", pax_headers={capability: "\x01\x00", "atime": "1.5", "ctime": "2.5"}))
    assert dict(members(normalised(raw)[0])["usr/bin/ping"].pax_headers) == {capability: "\x01\x00"}


def test_the_day_of_a_password_is_that_of_the_build() -> None:
    raw = layer(entry("etc/shadow", b"root:*:20000:0:99999:7:::\nbird:!:20781::::::\nodd\n"))
    data, seen = normalised(raw)
    assert seen["etc/shadow"] == b"root:*:19675:0:99999:7:::\nbird:!:19675::::::\nodd\n"
    assert members(data)["etc/shadow"].size == len(seen["etc/shadow"])


def test_watched_files_are_handed_out_and_kept() -> None:
    data, seen = normalised(layer(entry("var/lib/dpkg/status", b"Package: a\n")), watched={"var/lib/dpkg/status"})
    assert seen == {"var/lib/dpkg/status": b"Package: a\n"}
    assert "var/lib/dpkg/status" in members(data)


def test_deleted_paths_become_whiteouts() -> None:
    changes = "C /etc\nD /etc/issue\nA /opt\nD /top\nD /smie/tmp\nD /var/log/dpkg.log\n"
    names = deleted(changes)
    assert names == ["etc/issue", "top"]
    data, _ = normalised(layer(), added=[whiteout(name, EPOCH) for name in names])
    assert list(members(data)) == [".wh.top", "etc/.wh.issue"]


def test_added_files_are_roots(tmp_path: Path) -> None:
    data, _ = normalised(layer(), added=[file("etc/x", "text", EPOCH, 0o755), file("etc/machine-id", "", EPOCH)])
    (tmp_path / "l.tar").write_bytes(data)
    with tarfile.open(tmp_path / "l.tar") as archive:
        found = archive.getmember("etc/x")
        content = archive.extractfile(found)
        assert (found.uid, found.gid, found.mode, found.mtime) == (0, 0, 0o755, EPOCH)
        assert content is not None and content.read() == b"text"
        assert archive.getmember("etc/machine-id").size == 0


def test_entries_come_by_name_whatever_order_they_were_read_in() -> None:
    entries = [entry(name, type=tarfile.DIRTYPE) for name in ("etc", "etc/b.d")]
    entries += [entry("etc/b-x"), entry("etc/b.d/a")]
    one, two = (normalised(layer(*each))[0] for each in (entries, reversed(entries)))
    assert one == two
    assert list(members(one)) == ["etc", "etc/b-x", "etc/b.d", "etc/b.d/a"]


@given(st.permutations(range(6)), st.sampled_from(("etc/a", "etc/b", "var/log/dpkg.log")))
def test_what_comes_out_does_not_depend_on_the_order_nor_on_which_of_hard_links_came_first(
    order: list[int], file: str
) -> None:
    """tar writes the first link that it meets as the file, and meets them as the file system has them."""
    names = ["etc/a", "etc/b", "var/log/dpkg.log"]
    linked = [entry(file, b"x")] + [entry(n, type=tarfile.LNKTYPE, linkname=file) for n in names if n != file]
    others = [entry("etc", type=tarfile.DIRTYPE), entry("etc/a.b", b"y"), entry("etc/a-b", b"z")]
    mixed = sorted(zip(order, [*linked, *others], strict=True), key=lambda pair: pair[0])
    data = normalised(layer(*(one for _, one in mixed)))[0]
    assert list(members(data)) == ["etc", "etc/a", "etc/a-b", "etc/a.b", "etc/b"]
    assert members(data)["etc/b"].linkname == "etc/a"
    assert contents(data) == {"etc/a": b"x", "etc/a-b": b"z", "etc/a.b": b"y", "etc/b": b"x"}


def test_normalising_twice_is_normalising_once() -> None:
    raw = layer(entry("etc/b", b"x", uname="alice", mtime=EPOCH + 9), entry("etc/shadow", b"root:*:20000:0:::::\n"))
    once = normalised(raw)[0]
    assert normalised(io.BytesIO(once))[0] == once


def test_the_first_by_name_of_hard_links_is_the_file_with_owner_and_attributes() -> None:
    attribute = {"SCHILY.xattr.user.a": "b"}
    raw = layer(
        entry("usr/b", b"text", uid=953, mode=0o640, pax_headers=attribute),
        entry("usr/a", type=tarfile.LNKTYPE, linkname="usr/b"),
        entry("usr/c", type=tarfile.LNKTYPE, linkname="./usr/b"),
    )
    data = normalised(raw)[0]
    found = members(data)
    assert [found[name].linkname for name in ("usr/a", "usr/b", "usr/c")] == ["", "usr/a", "usr/a"]
    assert {(one.uid, one.mode) for one in found.values()} == {(953, 0o640)}
    assert dict(found["usr/a"].pax_headers) == attribute
    assert list(contents(data).values()) == [b"text"] * 3


def test_a_hard_link_whose_file_goes_becomes_the_file() -> None:
    raw = layer(entry("var/log/dpkg.log", b"text"), entry("usr/a", type=tarfile.LNKTYPE, linkname="var/log/dpkg.log"))
    data = normalised(raw)[0]
    assert members(data)["usr/a"].isreg() and contents(data) == {"usr/a": b"text"}


def test_a_hard_link_to_a_file_of_a_lower_layer_stays() -> None:
    found = members(normalised(layer(entry("usr/a", type=tarfile.LNKTYPE, linkname="bin/perl")))[0])
    assert (found["usr/a"].islnk(), found["usr/a"].linkname) == (True, "bin/perl")


def test_devices_pipes_long_names_large_numbers_and_setuid_stay() -> None:
    long = "srv/" + "/".join(["n" * 100] * 4)
    raw = layer(
        entry("dev/x", type=tarfile.CHRTYPE, devmajor=10, devminor=229, mode=0o660),
        entry("dev/y", type=tarfile.BLKTYPE, devmajor=7, devminor=1),
        entry("run-pipe", type=tarfile.FIFOTYPE),
        entry(long, b"x", uid=3_000_000, gid=4_294_967_294, mode=0o6755),
    )
    found = members(normalised(raw)[0])
    assert (found["dev/x"].ischr(), found["dev/x"].devmajor, found["dev/x"].devminor) == (True, 10, 229)
    assert found["dev/y"].isblk() and found["run-pipe"].isfifo()
    assert (found[long].uid, found[long].gid, found[long].mode) == (3_000_000, 4_294_967_294, 0o6755)


BYTES = b"\x01\x00\x00\x02\x00\x20\xff\xfe\x80"


def test_names_and_attributes_that_are_no_text_stay_as_gnu_tar_reads_them(tmp_path: Path) -> None:
    """A capability is bytes (capabilities(7), "File capabilities"), a name whatever is not a slash."""
    name = b"srv/\xff\xfe name".decode("utf-8", "surrogateescape")
    value = BYTES.decode("utf-8", "surrogateescape")
    raw = layer(entry(name, b"x", pax_headers={"SCHILY.xattr.user.smie": value}))
    data = normalised(raw)[0]
    (only,) = members(data).values()
    assert (only.name, only.pax_headers["SCHILY.xattr.user.smie"]) == (name, value)
    assert normalised(io.BytesIO(data))[0] == data
    tree = tmp_path / "tree"
    tree.mkdir()
    argv = ["tar", "--extract", "--xattrs", "--xattrs-include=*", f"--directory={tree}"]
    subprocess.run(argv, input=data, check=True)
    (path,) = (tree / "srv").iterdir()
    assert os.fsencode(path.name) == b"\xff\xfe name"
    assert os.getxattr(path, "user.smie") == BYTES


@pytest.mark.parametrize("options", [["--format=gnu"], ["--format=posix"]])
def test_a_sparse_file_has_its_content(tmp_path: Path, options: list[str]) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 20)
        file.seek(1 << 19)
        file.write(b"here")
    content = (tmp_path / "sparse").read_bytes()
    argv = ["tar", "--create", "--sparse", *options, f"--directory={tmp_path}", "sparse"]
    raw = subprocess.run(argv, check=True, capture_output=True).stdout
    assert len(raw) < 100_000
    data = normalised(io.BytesIO(raw))[0]
    assert contents(data) == {"sparse": content}
    assert normalised(io.BytesIO(data))[0] == data
