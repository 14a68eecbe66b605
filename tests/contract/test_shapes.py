"""Every shape through every store: what comes out is what went in, and its digest is the same everywhere (NA-05)."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import docker
import pytest

from common.errors import BadInput, Corrupt, Error, NotFound
from common.model import Digest, Reference
from naust import manifest as oci
from naust.address import Address
from naust.listing import resolve
from naust.pull import get_file
from naust.push import push_file, push_stream
from naust.store.interface import Store
from naust.store.memory import MemoryStore
from naust.transfer.pull_any import How, pull
from naust.transfer.pull_folder import get_folder, get_member
from naust.transfer.pull_layout import pull_layout
from naust.transfer.push_any import push
from naust.transfer.push_folder import push_folder
from naust.transfer.push_layout import push_layout
from tests.lab.images import listed
from tests.lab.shapes import Made, blobs, full_tree, layer, sparse, state, two_platforms
from tests.lab.stores import STORES

NOW = datetime(2026, 11, 24, 22, 15, tzinfo=UTC)
FILE = Reference.parse("file/thing:1.0")
TREE = Reference.parse("rootfs/tree:1.0")
IMAGE = Reference.parse("container/image:1.0")


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    (tmp_path / "of-the-store").mkdir()
    with STORES[request.param](tmp_path / "of-the-store") as opened:
        yield opened


@pytest.fixture
def client() -> Iterator[docker.DockerClient]:
    client = docker.from_env(timeout=120)
    yield client
    client.close()


@pytest.fixture
def image(client: docker.DockerClient) -> Iterator[str]:
    """An image of one layer that nobody else has; all of that name go at the end."""
    name = f"naust-test-{os.urandom(6).hex()}"
    try:
        client.api.import_image_from_data(layer("f", 2 << 20) + os.urandom(512), repository=name, tag="made")
        yield name
    finally:
        for each in listed(client, all=True):
            for tag in each.tags:
                if name in tag:
                    client.images.remove(tag, force=True)


def test_a_file_comes_back_and_its_digest_is_the_same_everywhere(store: Store, tmp_path: Path) -> None:
    (tmp_path / "f.txt").write_bytes(os.urandom(100) * 50_000)
    pushed = push_file(store, tmp_path / "f.txt", FILE, now=NOW)
    assert pushed.digest == push_file(MemoryStore(), tmp_path / "f.txt", FILE, now=NOW).digest
    done = get_file(store, resolve(store, FILE), tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == (tmp_path / "f.txt").read_bytes()
    assert (done.asked, done.stored, done.fetched, done.reused) == (pushed.digest, pushed.digest, 5_000_000, 0)


def test_a_sparse_disk_comes_back_sparse(store: Store, tmp_path: Path) -> None:
    sparse(tmp_path / "disk.raw", 40 << 20, {0: b"boot", 9_999_999: b"x" * 300_000, (40 << 20) - 1: b"e"})
    push_file(store, tmp_path / "disk.raw", Reference.parse("vm/disk:1"))
    get_file(store, resolve(store, "vm/disk"), tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == (tmp_path / "disk.raw").read_bytes()
    assert (tmp_path / "out").stat().st_blocks * 512 < 1 << 20


def test_a_directory_comes_back_with_all_that_it_is(store: Store, tmp_path: Path) -> None:
    tree = full_tree(tmp_path / "tree")
    pushed = push_folder(store, tree, TREE, now=NOW)
    assert pushed.digest == push_folder(MemoryStore(), tree, TREE, now=NOW).digest
    get_folder(store, resolve(store, TREE), tmp_path / "out")
    assert state(tmp_path / "out") == state(tree)
    # And what came out is the same artefact again.
    again = push_folder(MemoryStore(), tmp_path / "out", TREE, title="tree", now=NOW)
    assert again.digest == pushed.digest


def test_one_file_of_a_directory_comes_without_the_rest(store: Store, tmp_path: Path) -> None:
    tree = full_tree(tmp_path / "tree")
    (tree / "large").write_bytes(os.urandom(1 << 20))
    push_folder(store, tree, TREE)
    found = resolve(store, TREE)
    for path in ("plain", "hard", "sub/deep/sparse", "./empty", "sub/script"):
        done = get_member(store, found, path, tmp_path / "out")
        assert (tmp_path / "out").read_bytes() == (tree / path).read_bytes()
        assert done.fetched < 1 << 20
        assert bool((tmp_path / "out").stat().st_mode & 0o100) == bool((tree / path).stat().st_mode & 0o100)
        (tmp_path / "out").unlink()
    with pytest.raises(NotFound):
        get_member(store, found, "none", tmp_path / "out")
    with pytest.raises(BadInput):
        get_member(store, found, "sym", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_image_for_two_platforms_keeps_every_digest_and_every_referrer(store: Store, tmp_path: Path) -> None:
    layout, digest = two_platforms(tmp_path / "layout")
    pushed = push_layout(store, str(layout), IMAGE, now=NOW)
    assert pushed.digest == digest
    done = pull(store, resolve(store, IMAGE), f"oci:{tmp_path / 'out'}")
    assert blobs(tmp_path / "out") == blobs(layout)
    sizes = sum(path.stat().st_size for path in (layout / "blobs" / "sha256").iterdir())
    assert (done.asked, done.stored) == (digest, digest) and 0 < done.fetched < sizes  # manifests are not counted
    entries = json.loads((tmp_path / "out" / "index.json").read_text())["manifests"]
    assert entries[0]["digest"] == str(digest)
    assert {each["digest"] for each in entries} == {
        each["digest"] for each in json.loads((layout / "index.json").read_text())["manifests"]
    }
    pull_layout(store, resolve(store, IMAGE), tmp_path / "bare", referrers=False)
    assert len(json.loads((tmp_path / "bare" / "index.json").read_text())["manifests"]) == 1
    # Through a second store, and back.
    other = MemoryStore()
    assert push_layout(other, str(tmp_path / "out"), IMAGE, now=NOW).digest == digest
    pull_layout(other, resolve(other, IMAGE), tmp_path / "again")
    assert blobs(tmp_path / "again") == blobs(layout)


def test_an_image_of_the_engine_comes_back_into_it(store: Store, image: str, client: docker.DockerClient) -> None:
    address = Address(Reference.parse(f"container/{image}:1"), version="1")
    pushed = push(store, f"docker:{image}:made", address)
    assert pushed.digest == push(MemoryStore(), f"docker:{image}:made", address).digest
    layers = oci.parse(store.manifest(f"container/{image}", str(pushed.digest)), "it").layers
    here = pull(store, pushed, "docker:")
    assert here.fetched < 1000 and here.reused == sum(each.size for each in layers)
    made = client.images.get(f"{image}:made").id
    for name in (f"{image}:made", here.place):
        client.images.remove(name)
    again = pull(store, pushed, "docker:")
    assert again.fetched > sum(each.size for each in layers) and again.reused == 0
    assert client.images.get(again.place).id == made


def test_what_comes_in_a_stream_has_the_digest_that_the_file_has(
    store: Store, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    data = os.urandom(3 << 20)
    (tmp_path / "thing").write_bytes(data)
    streamed = push_stream(store, io.BytesIO(data), FILE, now=NOW)
    assert streamed.digest == push_file(MemoryStore(), tmp_path / "thing", FILE, now=NOW).digest
    pull(store, resolve(store, FILE), "-")
    assert capfdbinary.readouterr().out == data


def test_pushing_what_is_there_makes_nothing_new(store: Store, tmp_path: Path) -> None:
    tree = full_tree(tmp_path / "tree")
    layout, _ = two_platforms(tmp_path / "layout")
    first = [push_folder(store, tree, TREE), push_layout(store, str(layout), IMAGE)]
    assert [push_folder(store, tree, TREE), push_layout(store, str(layout), IMAGE)] == first
    assert [len(list(store.tags(name))) for name in ("rootfs/tree", "container/image")] == [1, 1]


def test_a_manifest_of_more_than_4_mib_is_refused_at_once(store: Store) -> None:
    blob = descriptor(b"x")
    listed = ",".join([json.dumps(blob)] * 60_000)
    data = ('{"schemaVersion":2,"layers":[' + listed + "]}").encode()
    assert len(data) > oci.LARGEST
    with pytest.raises(Error):
        store.put_manifest("file/thing", "1", data)
    assert not list(store.tags("file/thing"))


def test_a_layer_that_a_layout_lacks_is_named_and_nothing_is_published(store: Store, tmp_path: Path) -> None:
    layout, _ = two_platforms(tmp_path / "layout")
    (lost,) = [path for path in (layout / "blobs" / "sha256").iterdir() if path.read_bytes() == b"sbom"]
    lost.unlink()
    with pytest.raises(BadInput) as error:
        push_layout(store, str(layout), IMAGE)
    assert lost.name in error.value.message
    assert not list(store.tags("container/image"))
    lost.write_bytes(b"SBOM")
    with pytest.raises(Corrupt):
        push_layout(store, str(layout), IMAGE)
    assert not list(store.tags("container/image"))


def test_an_image_with_one_platform_comes_out_of_a_layout_in_a_tar(store: Store, tmp_path: Path) -> None:
    import tarfile

    made = Made(tmp_path / "layout")
    image = made.image("amd64", layer("a"), zipped=False)
    made.write(image)
    with tarfile.open(tmp_path / "layout.tar", "w") as archive:
        archive.add(tmp_path / "layout", arcname=".")
    pushed = push_layout(store, str(tmp_path / "layout.tar"), IMAGE)
    assert pushed.digest == Digest.parse(image["digest"])
    done = pull(store, resolve(store, IMAGE), f"oci:{tmp_path / 'out'}", How(referrers=False))
    assert blobs(Path(done.place)) == blobs(tmp_path / "layout")


def descriptor(data: bytes) -> dict[str, object]:
    return {"mediaType": "text/plain", "digest": str(Digest.of(data)), "size": len(data)}
