"""A system on a disk: what is on it, that it is whole or none, and that any damage is found."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.catalog import Catalog
from common.errors import BadInput, Conflict, Corrupt, Error, NotFound
from common.lock import lease
from common.model import Digest
from naust import copy as copying
from naust import fsck
from naust.export import contents, disk, tools
from naust.export.contents import INCOMPLETE, MANIFEST, SIGNATURE, SUMS, check, finish
from naust.export.disk import Exported, Options, export
from naust.export.taken import take
from naust.export.tools import LOCK, PYTHONS, Places
from naust.export.wanted import NO_SOURCES, Wanted, wanted
from naust.listing import resolve
from naust.materials import origin
from naust.source import snapshot as snapshots
from naust.store.directory import DirectoryStore
from naust.store.memory import MemoryStore
from tests.lab import exports
from tests.lab import snapshots as lab
from tests.lab.proofs import key, with_bom

BARE = Options(with_tools=False)


def silent(event: object) -> None:
    """Nobody listens."""


class Lab:
    """A store with the system `tiny`, its definitions, and a disk to be written."""

    def __init__(self, folder: Path) -> None:
        self.store = MemoryStore()
        self.made = exports.furnish(self.store)
        self.catalog: Catalog = exports.definitions(folder / "systems")
        self.disk = folder / "disk"

    def wanted(self, *, channel: str = "", named: tuple[str, ...] = ()) -> Wanted:
        return wanted(self.store, self.catalog, ["tiny"], channel=channel, named=named)

    def export(self, what: Wanted | None = None, options: Options = BARE, sign: str = "") -> Exported:
        signer = key(sign) if sign else None
        return export(self.store, self.catalog, ["tiny"], what or self.wanted(), self.disk, options, key=signer)

    def files(self) -> list[Path]:
        return sorted(path for path in self.disk.rglob("*") if path.is_file())


@pytest.fixture
def lab_(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


@pytest.fixture
def slim(tmp_path: Path) -> Path:
    """A folder of tools as an earlier export made it."""
    folder = tmp_path / "tools"
    folder.mkdir()
    name, data = lab.wheel("seter", "0.1.0")
    (folder / name).write_bytes(data)
    (folder / LOCK).write_text(f"seter==0.1.0 --hash={Digest.of(data)}\n")
    (folder / PYTHONS).write_text("3.11\n")
    return folder


def sums_fail(folder: Path) -> bool:
    return subprocess.run(["sha256sum", "--check", "--quiet", "--strict", SUMS], cwd=folder).returncode != 0


# What is on it


def test_a_disk_has_the_artefacts_their_sources_and_whatever_refers_to_them(lab_: Lab) -> None:
    with_bom(lab_.store, lab_.made.web, ("deb", "1"))
    done = lab_.export()
    there = DirectoryStore(lab_.disk / "store")
    assert set(done.artifacts) == {str(each.reference) for each in (lab_.made.base, lab_.made.web, lab_.made.note)}
    assert done.snapshots == (f"snapshot/{lab_.made.snapshot}",)
    assert not done.nowhere
    assert resolve(there, "container/web").digest == lab_.made.web.digest
    assert list(there.referrers("container/web", lab_.made.web.digest))
    assert not snapshots.gaps(there, snapshots.named(there, lab_.made.snapshot).states[0], read=True)
    assert not origin(there, resolve(there, "container/web")).nowhere
    assert fsck.check(there).whole
    assert "container/web:" in (lab_.disk / "README").read_text()


def test_definitions_go_along_without_other_systems_and_rubbish(lab_: Lab) -> None:
    lab_.export()
    found = Catalog(lab_.disk / "systems")
    assert found.systems() == ("tiny",)
    assert found.system("tiny").groups[0].roles[0].role.name == "web"
    assert not [path for path in lab_.files() if "hidden" in path.name or path.suffix == ".pyc"]
    assert (lab_.disk / "systems" / "sources.hcl").is_file()


def test_exporting_again_writes_only_what_is_missing_and_the_same_lists(lab_: Lab) -> None:
    first = lab_.export(sign="release")
    before = {path: path.read_bytes() for path in lab_.files()}
    lost = next(path for path in lab_.files() if path.parent.name == "sha256" and path.stat().st_size > 4000)
    kept = {path: path.stat().st_ino for path in lab_.files() if "blobs" in path.parts and path != lost}
    lost.unlink()
    again = lab_.export(sign="release")
    assert (first.sent > again.sent, again.sent) == (True, len(before[lost]))
    assert {path: path.read_bytes() for path in lab_.files()} == before
    assert {path: path.stat().st_ino for path in kept} == kept


def test_what_does_not_belong_to_it_any_more_goes(lab_: Lab) -> None:
    exports.newer_web(lab_.store)
    lab_.export(lab_.wanted(named=(lab_.made.snapshot,)))
    there = DirectoryStore(lab_.disk / "store")
    assert resolve(there, "container/web").digest != lab_.made.web.digest
    (lab_.disk / "rubbish").mkdir()
    (lab_.disk / "rubbish" / "file").touch()
    done = lab_.export(lab_.wanted(channel="production"))
    assert done.removed
    assert [*there.tags("container/web")] == [lab_.made.web.reference.tag]
    assert not (lab_.disk / "rubbish").exists()
    assert check(lab_.disk, report=silent).files == done.files
    assert all(not damage.what for damage in fsck.check(there).damage)


def test_a_channel_says_which_versions_go(lab_: Lab) -> None:
    exports.newer_web(lab_.store)
    found = {each.reference: each.digest for each in lab_.wanted(channel="production").artifacts}
    assert found[lab_.made.web.reference] == lab_.made.web.digest
    assert all(each.reference.tag != "production" for each in lab_.wanted(channel="production").artifacts)
    with pytest.raises(NotFound, match="container/web:staging"):
        lab_.wanted(channel="staging")


def test_sources_that_are_mirrored_nowhere_are_named_and_nothing_is_written(lab_: Lab) -> None:
    exports.newer_web(lab_.store)
    with pytest.raises(BadInput, match="package other 2"):
        lab_.wanted()
    named = lab_.wanted(named=(lab_.made.snapshot,))
    assert [each.name for each in named.nowhere] == ["other"]
    assert lab_.wanted(named=(NO_SOURCES,)).snapshots == ()


def test_the_fewest_snapshots_that_have_everything_are_taken(lab_: Lab) -> None:
    lab.published(lab_.store, "others", {"pool/other.deb": exports.OTHER}, "apt", exports.LATER)
    lab.snapshot(lab_.store, "more", ["others"], exports.LATER)
    lab.snapshot(lab_.store, "unrelated", ["others"], exports.START)
    exports.newer_web(lab_.store)
    assert {each.reference.name for each in lab_.wanted().snapshots} == {"build", "more"}


def test_all_that_is_missing_is_named_at_once(lab_: Lab) -> None:
    for name in ("container/web", "container/note"):
        for tag in list(lab_.store.tags(name)):
            lab_.store.delete_tag(name, tag)
    with pytest.raises(NotFound, match=r"container/web, container/note(.|\n)*smie build web note"):
        lab_.wanted()


def test_what_is_revoked_does_not_go(lab_: Lab) -> None:
    from naust import revoke

    revoke.revoke(lab_.store, lab_.made.base, "a hole", by="alice")
    with pytest.raises(Corrupt, match="a hole"):
        lab_.wanted()


def test_a_folder_with_something_else_in_it_is_left_alone(lab_: Lab) -> None:
    lab_.disk.mkdir()
    (lab_.disk / "photos").write_text("of the summer")
    with pytest.raises(BadInput, match="photos"):
        lab_.export()
    assert [path.name for path in lab_.files()] == ["photos"]


def test_two_exports_to_one_disk_do_not_run_at_once(lab_: Lab) -> None:
    with lease(lab_.disk / INCOMPLETE, "another"), pytest.raises(Conflict, match="another"):
        lab_.export()


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(
    lab_: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Room:
        f_bavail, f_frsize = 10, 4096

    monkeypatch.setattr(os, "statvfs", lambda path: Room)
    with pytest.raises(Error, match=r"bytes are needed, 40960 are free") as refused:
        lab_.export()
    assert "Use a larger disk" in refused.value.resolution
    assert not lab_.disk.exists()


# Whole, or none


@pytest.mark.parametrize("step", ["_artifacts", "_replace", "_texts", "_swept"])
def test_an_export_that_breaks_leaves_nothing_that_passes_and_the_next_finishes(
    lab_: Lab, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    whole = lab_.export()

    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(disk, step, broken)
        with pytest.raises(Error, match="could not be written"):
            lab_.export()
    with pytest.raises(Corrupt, match="not complete"):
        check(lab_.disk, report=silent)
    assert sums_fail(lab_.disk)
    assert lab_.export().files == whole.files
    assert check(lab_.disk, report=silent).files == whole.files


def test_any_byte_that_changes_is_found_and_its_file_named(lab_: Lab, slim: Path) -> None:
    lab_.export(options=Options(tools=slim), sign="release")
    assert not sums_fail(lab_.disk)
    for path in lab_.files():
        data = path.read_bytes()
        name = str(path.relative_to(lab_.disk))
        for at in {0, len(data) // 2, len(data) - 1} if data else ():
            path.chmod(0o644)
            path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            with pytest.raises(Corrupt, match=r".") as found:
                check(lab_.disk, report=silent)
            assert name in str(found.value), f"{name}, byte {at}"
        path.write_bytes(data)
    assert check(lab_.disk, report=silent).is_signed
    assert not sums_fail(lab_.disk)


def test_what_is_missing_cut_short_or_not_listed_is_named(lab_: Lab) -> None:
    lab_.export()
    short, gone = (lab_.disk / "README", lab_.disk / "systems" / "sources.hcl")
    short.write_text("short")
    gone.unlink()
    (lab_.disk / "extra").touch()
    for quick in (True, False):
        with pytest.raises(Corrupt) as found:
            check(lab_.disk, quick=quick, report=silent)
        lines = found.value.details.splitlines()
        assert [line.partition(":")[0] for line in lines] == ["README", "extra", "systems/sources.hcl"]
    assert sums_fail(lab_.disk)


def test_a_link_on_a_disk_is_refused(lab_: Lab) -> None:
    lab_.export()
    (lab_.disk / "systems" / "passwd").symlink_to("/etc/passwd")
    with pytest.raises(Corrupt, match="no plain file"):
        check(lab_.disk, report=silent)


def test_reading_the_store_on_the_disk_changes_nothing_that_counts(lab_: Lab) -> None:
    lab_.export()
    there = DirectoryStore(lab_.disk / "store")
    assert there.artifacts()
    assert list(there.artifacts())
    with there.hold("container/web"):
        check(lab_.disk, report=silent)


def test_a_disk_says_who_signed_it(lab_: Lab) -> None:
    lab_.export(sign="release")
    assert check(lab_.disk, [key("other").public, key("release").public], report=silent).signer
    assert check(lab_.disk, report=silent).signer == ""
    with pytest.raises(Corrupt, match="none of the keys"):
        check(lab_.disk, [key("other").public], report=silent)
    signature = (lab_.disk / SIGNATURE).read_bytes()
    lab_.export()
    with pytest.raises(Corrupt, match="not signed"):
        check(lab_.disk, [key("release").public], report=silent)
    (lab_.disk / "README").write_text("changed, and listed anew")
    finish(lab_.disk, None)
    (lab_.disk / SIGNATURE).write_bytes(signature)
    with pytest.raises(Corrupt, match="about another"):
        check(lab_.disk, [key("release").public], report=silent)


def test_a_signature_for_something_else_is_none(lab_: Lab) -> None:
    from naust.proof import bundle
    from naust.proof.bundle import Subject
    from naust.sign import sealed

    lab_.export(sign="release")
    digest = str(Digest.of((lab_.disk / MANIFEST).read_bytes()))
    said = bundle.statement(Subject((digest,), MANIFEST, (("purpose", "test"),)), bundle.SIGNATURE, {})
    (lab_.disk / SIGNATURE).write_bytes(sealed(key("release"), said))
    with pytest.raises(Corrupt, match="about another"):
        check(lab_.disk, [key("release").public], report=silent)


@given(st.binary(max_size=200))
def test_any_list_is_read_or_refused(text: bytes) -> None:
    for data in (text, b"naust-export 1\n" + text):
        try:
            found = contents._parsed(data)
        except Corrupt:
            continue
        assert contents._written(found) == data


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a//b", "a/./b", "a/..", ""])
def test_a_path_that_leads_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(Corrupt):
        contents._parsed(f"naust-export 1\n{path}\t1\t{'ab' * 32}\n".encode())


# On the other side


def test_a_disk_is_copied_into_another_store_once(lab_: Lab, tmp_path: Path) -> None:
    lab_.export(sign="release")
    dest = DirectoryStore(tmp_path / "site")
    _, copied = take(lab_.disk, dest, [key("release").public])
    assert not [each.error for each in copied if each.error]
    assert resolve(dest, "container/web").digest == lab_.made.web.digest
    assert snapshots.named(dest, "build").artifact.reference.tag == lab_.made.snapshot.partition(":")[2]
    assert sum(each.sent for each in take(lab_.disk, dest)[1]) == 0


def test_nothing_is_copied_from_a_damaged_disk(lab_: Lab, tmp_path: Path) -> None:
    lab_.export()
    (lab_.disk / "README").write_text("x")
    with pytest.raises(Corrupt, match="damaged"):
        take(lab_.disk, DirectoryStore(tmp_path / "site"))
    assert not (tmp_path / "site").exists()


def test_a_folder_that_is_no_export_is_named(tmp_path: Path) -> None:
    with pytest.raises(Corrupt, match="is no export"):
        check(tmp_path, report=silent)


# Tools


@pytest.fixture
def no_pip(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[str]]]:
    """What pip is asked for; it makes the wheels of nothing but our own."""
    asked: list[list[str]] = []

    def pip(argv: list[str], **_: str) -> None:
        asked.append(argv)
        if ".source" in argv[-1]:
            name, data = lab.wheel("seter", "0.1.0")
            (Path(argv[-2]) / name).write_bytes(data)
        elif "--requirement" in argv:
            asked.append([Path(argv[-1]).read_text()])

    monkeypatch.setattr(tools, "_pip", pip)
    yield asked


def locked(monkeypatch: pytest.MonkeyPatch, folder: Path, *wheels: tuple[str, bytes]) -> None:
    """The lock has these wheels and no others."""
    lines = (f"{n.split('-')[0]}=={n.split('-')[1]} --hash={Digest.of(data)}\n" for n, data in wheels)
    source = folder / "source"
    for room in ("common", "smie", "naust", "seter"):
        (source / room).mkdir(parents=True)
    for name in ("pyproject.toml", "requirements.in", "README.md", "LICENSE"):
        (source / name).touch()
    (source / LOCK).write_text("".join(lines))
    monkeypatch.setattr(tools, "_source", lambda: source)


def test_wheels_come_from_the_disk_then_from_the_snapshot_and_only_then_by_pip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_pip: list[list[str]]
) -> None:
    old, mirrored, lost = (lab.wheel(name, "1.0") for name in ("old", "mirrored", "lost"))
    locked(monkeypatch, tmp_path, old, mirrored, lost)
    store = MemoryStore()
    lab.published(store, "tools", {f"packages/{mirrored[0]}": mirrored[1]}, "pypi")
    states = snapshots.find(store, "tools").states
    for folder in ("new", "disk"):
        (tmp_path / folder).mkdir()
    (tmp_path / "disk" / old[0]).write_bytes(old[1])
    (tmp_path / "disk" / lab.wheel("lost", "1.0")[0]).write_bytes(b"not what the lock says")
    tools.gather(tmp_path / "new", Places(store, states, tmp_path / "disk"), None)
    (asked,) = (words[0] for words in no_pip if len(words) == 1)
    assert asked == f"lost==1.0 --hash={Digest.of(lost[1])}\n"
    text = (tmp_path / "new" / LOCK).read_text()
    assert all(str(Digest.of(data)) in text for _, data in (old, mirrored, lab.wheel("seter", "0.1.0")))
    assert not [path for path in (tmp_path / "new").iterdir() if path.name.startswith(".")]


def test_given_tools_are_taken_only_as_their_lock_has_them(tmp_path: Path, slim: Path) -> None:
    places = Places(MemoryStore(), (), tmp_path / "none")
    for folder in ("one", "two", "three"):
        (tmp_path / folder).mkdir()
    tools.gather(tmp_path / "one", places, slim)
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == sorted(p.name for p in slim.iterdir())
    (slim / "evil-1.0-py3-none-any.whl").write_bytes(b"evil")
    with pytest.raises(Corrupt, match="evil"):
        tools.gather(tmp_path / "two", places, slim)
    with pytest.raises(BadInput, match="no folder of tools"):
        tools.gather(tmp_path / "three", places, tmp_path / "none")


def test_a_password_of_an_index_is_in_no_error() -> None:
    assert tools._masked("at https://me:secret@index.example.org/simple") == "at https://***@index.example.org/simple"


def test_copying_has_no_other_tags(lab_: Lab) -> None:
    done = lab_.export()
    there = DirectoryStore(lab_.disk / "store")
    names = {f"{name}:{tag}" for name, tag in there.roots()}
    assert names == {*done.artifacts, *done.snapshots}
    assert copying.copy(there, MemoryStore(), ["*"])
