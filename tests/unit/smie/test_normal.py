"""Two builds give the same layer, and nothing of the build stays in it."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

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
    assert list(members(data)) == ["etc/.wh.issue", ".wh.top"]


def test_added_files_are_roots(tmp_path: Path) -> None:
    data, _ = normalised(layer(), added=[file("etc/x", "text", EPOCH, 0o755), file("etc/machine-id", "", EPOCH)])
    (tmp_path / "l.tar").write_bytes(data)
    with tarfile.open(tmp_path / "l.tar") as archive:
        found = archive.getmember("etc/x")
        content = archive.extractfile(found)
        assert (found.uid, found.gid, found.mode, found.mtime) == (0, 0, 0o755, EPOCH)
        assert content is not None and content.read() == b"text"
        assert archive.getmember("etc/machine-id").size == 0
