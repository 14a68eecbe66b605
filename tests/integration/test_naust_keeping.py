"""Keeping between real servers and by the real command line: copies that go round, channels, garbage, damage."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest

from common.errors import Denied
from common.model import Digest
from naust import fsck, gc, promote, rm
from naust import manifest as oci
from naust.copy import Options, copy
from naust.manifest import Blob
from naust.store.directory import DirectoryStore
from naust.store.interface import Store
from naust.store.registry import RegistryStore
from tests.conftest import Tools
from tests.lab.images import blob, image, put, two_platforms
from tests.lab.programs import program
from tests.lab.registries import docker_registry
from tests.lab.s3servers import fresh_prefix, shared_versitygw
from tests.lab.serving import served

NAME = "container/thing"
DATED = "1.0-20261124T221500Z"
NEXT = "1.1-20261125T221500Z"


@pytest.fixture
def naust(tmp_path: Path) -> Tools:
    for number in (1, 2):
        (tmp_path / f"f{number}").write_bytes(b"content %d" % number * 1000)
    return Tools(tmp_path, {"NAUST_STORE": ""})


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with docker_registry(tmp_path_factory.mktemp("registry")) as started:
        yield started.host


def fresh(host: str) -> RegistryStore:
    """A part of the registry that nobody has used."""
    return RegistryStore.from_url(f"docker://{host}/t{os.urandom(4).hex()}")


# Between servers


def test_the_digest_is_the_same_all_the_way_round(tmp_path: Path, registry: str) -> None:
    """NA-05: registry → directory → S3 → HTTPS → another registry, two platforms, referrers of referrers."""
    with ExitStack() as stack:
        first, last = fresh(registry), fresh(registry)
        server = stack.enter_context(served(tmp_path / "served"))
        bucket = shared_versitygw().store(fresh_prefix())
        way: list[Store] = [first, DirectoryStore(tmp_path / "a"), bucket, server.store(), last]
        top, one, *_, referrers = two_platforms(first, NAME, DATED)
        for source, dest in pairwise(way):
            (done,) = copy(source, dest, ["*"])
            assert (done.error, done.asked, done.digest, done.referrers) == ("", top.digest, top.digest, 3)
        assert last.manifest(NAME, DATED) == first.manifest(NAME, DATED)
        assert {each.digest for each in last.referrers(NAME, one.digest)} == {each.digest for each in referrers[:2]}
        assert all(fsck.check(store).damage == () for store in way)
        (again,) = copy(last, first, ["*"])
        assert (again.sent, again.there) == (0, done.sent)
        (child,) = copy(first, DirectoryStore(tmp_path / "b"), ["*"], Options(platform="linux/amd64"))
        assert (child.asked, child.digest) == (top.digest, one.digest)


def test_other_peoples_programs_read_what_was_copied(tmp_path: Path, registry: str) -> None:
    store, dest = DirectoryStore(tmp_path), fresh(registry)
    top, *_ = two_platforms(store, NAME, DATED)
    copy(store, dest, ["*"])
    where = f"{dest.url.removeprefix('docker://')}/{NAME}:{DATED}"
    printed = subprocess.run([program("crane"), "digest", where], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == str(top.digest)
    read = subprocess.run([program("crane"), "manifest", where], capture_output=True, check=True).stdout
    assert read == store.manifest(NAME, DATED)


def test_what_a_registry_cannot_keep_is_said_before_a_byte_moves(tmp_path: Path, registry: str) -> None:
    store, dest = DirectoryStore(tmp_path), fresh(registry)
    data = b"named by another digest"
    store.write(NAME, Digest.of(data, "sha512"), len(data), io.BytesIO(data))
    layer = Blob(Digest.of(data, "sha512"), len(data)).described()
    config = blob(store, NAME, oci.EMPTY_CONFIG, oci.EMPTY).described()
    put(store, NAME, {"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": config, "layers": [layer]}, DATED)
    (done,) = copy(store, dest, ["*"])
    assert "does not keep digests of sha512" in done.error
    assert dest.stat(NAME, Digest.of(data, "sha512")) is None
    assert not list(dest.tags(NAME))


def test_a_registry_keeps_channels_with_the_weaker_promise_and_collects_by_itself(registry: str) -> None:
    store = fresh(registry)
    first, second = image(store, NAME, b"1", tag=DATED), image(store, NAME, b"2", tag=NEXT)
    for tag, who in ((DATED, "ann"), (NEXT, "bob")):
        promote.promote(store, f"{NAME}:{tag}", "production", who=who)
    promote.undo(store, NAME, "production", who="cyd")
    past = promote.history(store, NAME, "production")
    assert [(each.who, each.to) for each in past] == [
        ("ann", first.digest),
        ("bob", second.digest),
        ("cyd", first.digest),
    ]
    with pytest.raises(Denied, match="which blobs it has"):
        gc.collect(store)
    with pytest.raises(Denied):  # docker-registry 2.8 takes no tag away alone, and says so when it is asked
        rm.remove(store, rm.plan(store, [f"{NAME}:production"]))
    assert sorted(store.tags(NAME)) == [DATED, NEXT, "production"]


def test_collecting_through_a_server_spares_a_push_that_goes_through_it(tmp_path: Path) -> None:
    with served(tmp_path / "served") as server:
        store = server.store()
        half = image(store, NAME, b"half-way")
        image(store, NAME, b"garbage", tag="gone")
        store.delete_tag(NAME, "gone")
        time.sleep(0.1)
        assert gc.collect(store, grace=gc.timedelta(0)).deleted == 0
        store.put_manifest(NAME, DATED, store.manifest(NAME, str(half.digest)))
        time.sleep(0.1)
        assert gc.collect(store, grace=gc.timedelta(0)).deleted == 3
        assert fsck.check(store).whole


# By the command line


def test_copy_as_a_person_types_it(naust: Tools, tmp_path: Path) -> None:
    uri = naust("naust", "push", "f1", "file/thing:1").out.strip()
    naust("naust", "push", "f2", "file/thing:2")
    (done,) = naust("naust", "copy", "file/thing:1", "--to", "b", "--json").json()
    assert (done["reference"], done["sent"], done["error"]) == (
        uri.rpartition(".naust/")[2].replace("thing/", "thing:"),
        9002,
        "",
    )
    assert naust("naust", "list", "--store", "./b").out.count("\n") == 1
    assert naust("naust", "copy", uri, "c").out.startswith("file/thing:1-")
    assert naust("naust", "copy", "--all", "c").out.count("\n") == 2
    assert naust("naust", "copy", "file/thing:1", "file/thing:2", "--from", "c", "--to", "d").out.count("\n") == 2
    dry = naust("naust", "copy", "file/*", "file/none", "--to", "e", "--dry-run", code=4)
    assert "file/none" in dry.err
    assert not (tmp_path / "e").exists()
    assert "has no file/none" in naust("naust", "copy", "file/none", "e", code=2).err
    for wrong in (
        ["copy"],
        ["copy", "b"],
        ["copy", "--all", "file/x", "b"],
        ["copy", "file/x", "b", "--platform", "x"],
    ):
        naust("naust", *wrong, code=2)


def test_an_interrupted_copy_ends_at_once_and_goes_on_later(naust: Tools, tmp_path: Path) -> None:
    """Two transfers run that would take a minute."""
    server = shared_versitygw()
    assert server.access.secret_key
    settings = f"""store "there" {{
      url        = "s3://naust-test/{fresh_prefix()}"
      endpoint   = "{server.endpoint}"
      access_key = "{server.access.access_key}"
      secret_key = "env:LAB_KEY"
      limit      = "%s"
    }}"""
    (tmp_path / "naust.hcl").write_text(settings % "1GiB")
    more = {"NAUST_CONFIG": str(tmp_path / "naust.hcl"), "LAB_KEY": server.access.secret_key.value}
    for number in (1, 2):
        (tmp_path / f"large{number}").write_bytes(os.urandom(30 << 20))
        naust("naust", "push", f"large{number}", f"file/large:{number}", "--store", "there", **more)
    (tmp_path / "naust.hcl").write_text(settings % "1MiB")
    argv = [program("naust"), "copy", "--all", "--from", "there", "--to", "./b"]
    with subprocess.Popen(argv, cwd=tmp_path, env=os.environ | more, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert all(process.stderr.readline() for _ in range(2))
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        process.communicate(timeout=30)
    assert (process.returncode, time.monotonic() - begun < 10) == (130, True)
    assert naust("naust", "list", "--store", "./b").out == "" and not list((tmp_path / "b/.incoming").iterdir())
    (tmp_path / "naust.hcl").write_text(settings % "1GiB")
    assert naust("naust", "copy", "--all", "--from", "there", "--to", "./b", **more).out.count("\n") == 2


def test_promote_undo_and_history_as_a_person_types_them(naust: Tools) -> None:
    for number in (1, 2):
        naust("naust", "push", f"f{number}", f"file/thing:{number}")
        said = naust("naust", "promote", f"file/thing:{number}", "production", "--reason", f"step {number}").out
        assert said.startswith(f"file/thing:production moved: {number}-")
    assert "stands there already" in naust("naust", "promote", "file/thing:2", "production").out
    assert "would move" in naust("naust", "promote", "file/thing:1", "production", "--dry-run").out
    undone = naust("naust", "promote", "file/thing", "production", "--undo", "--json").json()
    assert (undone["move"]["version"][0], undone["move"]["undoes"]) == ("1", 2)
    past = naust("naust", "promote", "file/thing", "production", "--history", "--json").json()
    assert [each["reason"] for each in past] == ["step 1", "step 2", ""]
    assert [
        line[0] for line in naust("naust", "promote", "file/thing", "production", "--history").out.splitlines()
    ] == list("321")
    assert naust("naust", "list").out.count("\n") == 2
    naust("naust", "promote", "file/thing", "production", "--undo", code=2)
    naust("naust", "promote", "file/thing:1", "latest", code=2)
    naust("naust", "promote", "file/thing:1", "production", "--undo", code=2)


def test_rm_and_gc_as_a_person_types_them(naust: Tools, tmp_path: Path) -> None:
    for number in (1, 2):
        naust("naust", "push", f"f{number}", f"file/thing:{number}")
    naust("naust", "promote", "file/thing:2", "production")
    assert "needs a yes" in naust("naust", "rm", "file/thing:1", code=2).err
    assert "is what production stands for" in naust("naust", "rm", "file/thing:2", "--yes", code=7).err
    gone = naust("naust", "rm", "file/thing:1", "--yes", "--json").json()
    assert (gone["removed"][0]["name"], gone["free"]["blobs"], gone["free"]["exact"]) == ("file/thing", 2, True)
    dry = naust("naust", "gc", "--grace", "0", "--dry-run", "--json").json()
    assert (dry["deleted"], dry["freed"]) == (2, gone["free"]["size"])
    assert naust("naust", "gc", "--json").json()["young"] == 2
    assert naust("naust", "gc", "--grace", "0s").out.splitlines()[1].startswith("deleted\t2\t")
    assert naust("naust", "list").out.count("\n") == 1
    naust("naust", "gc", "--grace", "soon", code=2)


def test_gc_and_fsck_tell_of_damage_and_mend_it(naust: Tools, tmp_path: Path) -> None:
    uri = naust("naust", "push", "f1", "file/thing:1").out.strip()
    naust("naust", "copy", "--all", "b")
    assert "0 damaged" in naust("naust", "fsck").out
    for damaged in (
        Path(uri.removeprefix("file://")),
        max((tmp_path / ".naust/blobs/sha256").iterdir(), key=lambda p: p.stat().st_size),
    ):
        damaged.chmod(0o644)
        damaged.write_bytes(damaged.read_bytes()[::-1])
    said = naust("naust", "fsck", code=8)
    assert "damaged in 2 places" in said.err
    assert "nothing was deleted" in naust("naust", "gc", "--grace", "0", code=8).err
    found = naust("naust", "fsck", "--json", code=8)
    assert {one["what"] for one in json.loads(found.out)["damage"]} == {"bytes", "manifest"}
    mended = naust("naust", "fsck", "--repair", "./b", "--json").json()
    assert mended["whole"] and all(one["repaired"] for one in mended["damage"])
    naust("naust", "fsck")
    naust("naust", "pull", "file/thing", "out")
    assert (tmp_path / "out").read_bytes() == (tmp_path / "f1").read_bytes()


def test_diff_as_a_person_types_it(naust: Tools, tmp_path: Path) -> None:
    for number in (1, 2):
        folder = tmp_path / f"d{number}"
        folder.mkdir()
        (folder / "same").write_text("same")
        (folder / "changed").write_text("x" * number)
        (folder / f"only{number}").write_text("")
        subprocess.run(["tar", "-cf", f"t{number}.tar", "-C", f"d{number}", "."], cwd=tmp_path, check=True)
        naust("naust", "push", f"t{number}.tar", f"rootfs/thing:{number}", "--annotation", f"k={number}")
    found = naust("naust", "diff", "rootfs/thing:1", "rootfs/thing:2", "--json").json()
    assert {(each["how"], each["path"]) for each in found["files"]} >= {
        ("changed", "changed"),
        ("added", "only2"),
        ("removed", "only1"),
    }
    assert ("changed", "k", "1", "2") in [tuple(each.values()) for each in found["annotations"]]
    table = naust("naust", "diff", "rootfs/thing:1", "rootfs/thing:2").out
    assert "added\tfile only2" in table
    naust("naust", "diff", "rootfs/thing:1", "rootfs/thing:2", "--exit-code", "--no-files", code=3)
    naust("naust", "diff", "rootfs/thing:1", "rootfs/thing:1", "--exit-code")
    naust("naust", "diff", "rootfs/thing:1", "rootfs/none", code=2)
