"""Every source that push takes and every place that pull knows, with the programs of others on the other side."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from common.model import Digest, Reference
from naust.content import engine
from naust.content.saved import Saved
from naust.listing import resolve
from naust.manifest import INDEX
from naust.store.directory import DirectoryStore
from naust.transfer.push_layout import push_layout
from tests.conftest import Tools
from tests.lab.images import listed
from tests.lab.programs import program
from tests.lab.registries import Registry, docker_registry
from tests.lab.shapes import Made, blobs, full_tree, layer, ran, sparse, state, two_platforms

Save = Callable[[Registry, str, Path], str]
NAUST = str(Path(__file__).parents[2] / ".venv" / "bin" / "naust")


@pytest.fixture
def naust(tmp_path: Path) -> Tools:
    return Tools(tmp_path, {"NAUST_STORE": str(tmp_path / "store"), "XDG_CACHE_HOME": str(tmp_path / "cache")})


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with docker_registry(tmp_path_factory.mktemp("registry")) as started:
        yield started


@pytest.fixture
def client() -> Iterator[docker.DockerClient]:
    client = docker.from_env(timeout=120)
    yield client
    client.close()


@pytest.fixture
def name(client: docker.DockerClient) -> Iterator[str]:
    """A name for this test alone; images of that name go at the end."""
    name = f"naust-test-{uuid.uuid4().hex[:12]}"
    try:
        yield name
    finally:
        for image in listed(client, all=True):
            for each in image.tags:
                if name in each:
                    client.images.remove(each, force=True)


# Layouts that others wrote


def saved_by_skopeo(registry: Registry, reference: str, out: Path) -> str:
    ran(
        "skopeo", "copy", "--all", "--preserve-digests", "--src-tls-verify=false", f"docker://{reference}", f"oci:{out}"
    )
    return str(out)


def saved_by_crane(registry: Registry, reference: str, out: Path) -> str:
    ran(program("crane"), "pull", "--insecure", "--format=oci", reference, out)
    return str(out)


def saved_by_oras(registry: Registry, reference: str, out: Path) -> str:
    ran(program("oras"), "copy", "-r", "--from-plain-http", "--to-oci-layout", reference, f"{out}:1.0")
    return f"{out}:1.0"


def saved_by_cosign(registry: Registry, reference: str, out: Path) -> str:
    ran(program("cosign"), "save", "--allow-http-registry", "--dir", out, reference)
    return str(out)


@pytest.mark.parametrize("save", [saved_by_skopeo, saved_by_crane, saved_by_oras, saved_by_cosign])
def test_a_layout_that_others_wrote_goes_in_unchanged(
    naust: Tools, registry: Registry, tmp_path: Path, save: Save
) -> None:
    layout, digest = two_platforms(tmp_path / "made")
    reference = f"{registry.host}/{uuid.uuid4().hex[:12]}:1.0"
    ran(program("oras"), "copy", "-r", "--from-oci-layout", "--to-plain-http", f"{layout}:1.0", reference)
    source = save(registry, reference, tmp_path / "saved")
    pushed = naust("naust", "push", f"oci:{source}", "container/image:1.0", "--json").json()
    assert pushed["digest"] == str(digest)
    naust("naust", "pull", "container/image", "oci:out")
    assert blobs(tmp_path / "out") == blobs(tmp_path / "saved")
    if save is saved_by_oras:
        assert blobs(tmp_path / "out") == blobs(layout)  # with all referrers


def test_a_layout_that_naust_wrote_is_read_by_others(naust: Tools, registry: Registry, tmp_path: Path) -> None:
    layout, digest = two_platforms(tmp_path / "made")
    naust("naust", "push", f"oci:{layout}", "container/image:1.0")
    naust("naust", "pull", "container/image", "oci:plain", "--no-referrers")
    naust("naust", "pull", "container/image", "oci:whole")
    tag = json.loads((tmp_path / "plain" / "index.json").read_text())["manifests"][0]["annotations"]
    name = next(iter(tag.values()))
    fetch = (program("oras"), "manifest", "fetch", "--oci-layout", "--descriptor")
    assert json.loads(ran(*fetch, f"{tmp_path}/plain:{name}"))["digest"] == str(digest)
    reference = f"{registry.host}/{uuid.uuid4().hex[:12]}:1.0"
    whole = f"{tmp_path}/whole:{name}"
    copy = ("skopeo", "copy", "--all", "--preserve-digests", "--dest-tls-verify=false")
    ran(*copy, f"oci:{whole}", f"docker://{reference}")
    assert ran(program("crane"), "digest", "--insecure", reference).strip() == str(digest)
    ran(program("oras"), "copy", "-r", "--from-oci-layout", "--to-plain-http", whole, f"{reference}-2")
    found = json.loads(ran(program("oras"), "discover", "--plain-http", "--format", "json", f"{reference}-2"))
    assert "test/signature" in json.dumps(found)


def test_cosign_verifies_offline_what_naust_brought_out(
    naust: Tools, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSIGN_PASSWORD", "")
    monkeypatch.chdir(tmp_path)
    made = Made(tmp_path / "made")
    image = made.image("amd64", layer("a"))
    made.write(image)
    repository = f"{registry.host}/{uuid.uuid4().hex[:12]}"
    source = ("container/image:1.0", "--store", f"docker://{repository}")
    naust("naust", "push", f"oci:{made.folder}", *source)
    ran(program("cosign"), "generate-key-pair")
    plain = ("--use-signing-config=false", "--tlog-upload=false", "-y", "--allow-http-registry")
    signed = f"{repository}/container/image@{image['digest']}"
    ran(program("cosign"), "sign", "--key", "cosign.key", *plain, signed)
    naust("naust", "pull", source[0], "oci:out", *source[1:])
    verify = (program("cosign"), "verify", "--key", "cosign.pub", "--insecure-ignore-tlog=true", "--local-image")
    ran(*verify, "out")
    # Through another store as well.
    naust("naust", "push", "oci:out", "container/image:1.0")
    naust("naust", "pull", "container/image", "oci:again")
    ran(*verify, "again")


def test_one_image_pushed_through_a_registry_and_back_is_the_same(
    naust: Tools, registry: Registry, tmp_path: Path
) -> None:
    layout, digest = two_platforms(tmp_path / "made")
    url = f"docker://{registry.host}/{uuid.uuid4().hex[:12]}"
    naust("naust", "push", f"oci:{layout}", "container/image:1.0", "--store", url)
    naust("naust", "pull", "container/image", "oci:out", "--store", url)
    assert blobs(tmp_path / "out") == blobs(layout)
    tags = naust("naust", "list", "--store", url, "--json").json()
    assert [each["digest"] for each in tags] == [str(digest)]


# The Docker engine


def test_of_two_platforms_the_engine_gets_its_own_and_the_result_says_so(
    naust: Tools, client: docker.DockerClient, name: str, tmp_path: Path
) -> None:
    made = Made(tmp_path / "made")
    own = client.version()["Arch"]
    images = [made.image(each, layer(f"{name}-{each}", 5000)) for each in ("riscv64", own)]
    index = made.document(INDEX, manifests=images)
    naust("naust", "push", f"oci:{made.write(index)}", f"container/{name}:1.0")
    done = naust("naust", "pull", f"container/{name}", "docker:", "--json").json()
    assert (done["asked"], done["stored"]) == (index["digest"], images[1]["digest"])
    loaded = client.images.get(done["place"])
    config = json.loads((made.folder / "blobs" / "sha256" / images[1]["digest"][7:]).read_text())["config"]["digest"]
    assert loaded.id == config
    assert loaded.attrs["Architecture"] == own
    foreign = Made(tmp_path / "foreign")
    foreign.write(foreign.document(INDEX, manifests=[foreign.image("riscv64", layer("x"))]))
    naust("naust", "push", f"oci:{foreign.folder}", f"container/{name}-foreign:1.0")
    ended = naust("naust", "pull", f"container/{name}-foreign", "docker:", code=2)
    assert "linux/riscv64" in ended.err


def test_what_an_engine_with_compressed_layers_saves_keeps_them(tmp_path: Path) -> None:
    """As Docker 25 and later write it with the containerd image store; no such engine is here to ask."""
    made = Made(tmp_path / "made")
    plain = [layer("a"), layer("b")]
    image = made.image("amd64", *plain)
    manifest = json.loads((made.folder / "blobs" / "sha256" / image["digest"][7:]).read_text())
    index = made.document(INDEX, manifests=[image])
    made.write(image)
    listed = {
        "Config": f"blobs/sha256/{manifest['config']['digest'][7:]}",
        "Layers": [f"blobs/sha256/{each['digest'][7:]}" for each in manifest["layers"]],
    }
    (made.folder / "manifest.json").write_text(json.dumps([listed]))
    with tarfile.open(tmp_path / "saved.tar", "w") as archive:
        archive.add(made.folder, arcname="")
    (tmp_path / "kept").mkdir()
    for known_as in (image["digest"], index["digest"]):
        with tarfile.open(tmp_path / "saved.tar") as archive:
            saved = Saved.read(archive, engine.into(tmp_path / "kept"), skip_lowest=False)
        found = saved.image(Digest.parse(known_as), [Digest.of(each) for each in plain], lambda digest: None)
        assert [str(each.digest) for each in found.layers] == [each["digest"] for each in manifest["layers"]]
        assert {each.media_type for each in found.layers} == {"application/vnd.oci.image.layer.v1.tar+gzip"}
        assert str(found.id) == manifest["config"]["digest"]


def test_an_image_with_compressed_layers_is_loaded(client: docker.DockerClient, name: str, tmp_path: Path) -> None:
    made, store = Made(tmp_path / "made"), DirectoryStore(tmp_path / "store")
    image = made.image(client.version()["Arch"], layer(f"{name}-a"), layer(f"{name}-b"))
    push_layout(store, str(made.write(image)), Reference.parse(f"container/{name}:1"))
    loaded = engine.load_image(store, resolve(store, f"container/{name}"))
    assert client.images.get(loaded.name).id == str(loaded.id)
    assert str(loaded.manifest) == image["digest"]


# Files, directories, streams


def test_a_directory_on_the_command_line(naust: Tools, tmp_path: Path) -> None:
    tree = full_tree(tmp_path / "tree")
    uri = naust("naust", "push", "tree", "rootfs/debian:13").out
    assert naust("naust", "push", "tree", "rootfs/debian:13").out == uri
    assert naust("naust", "pull", "rootfs/debian", "out").out == "out\n"
    assert state(tmp_path / "out") == state(tree)
    done = naust("naust", "pull", "rootfs/debian", "one", "--file", "sub/script", "--json").json()
    assert (tmp_path / "one").read_text() == "#!/bin/sh\n"
    assert done["fetched"] < 10_000
    (tmp_path / "files").mkdir()
    for path in ("plain", "hard"):  # two names of one file
        assert naust("naust", "pull", "rootfs/debian", "files", "--file", path).out == f"files/{path}\n"
        assert (tmp_path / "files" / path).read_text() == "plain\n"
    ended = naust("naust", "push", "tree", "file/debian:13", code=2)
    assert "kind rootfs" in ended.err


def test_an_ordinary_user_unpacks_without_owners(naust: Tools, tmp_path: Path) -> None:
    full_tree(tmp_path / "tree", devices=False)
    naust("naust", "push", "tree", "file/tree:1")
    naust("naust", "pull", "file/tree", "out", "--no-same-owner")
    plain = (tmp_path / "out" / "plain").stat()
    assert plain.st_mode & 0o7777 == 0o755
    assert (tmp_path / "out" / "sub").stat().st_uid == os.geteuid()
    assert os.listxattr(tmp_path / "out" / "plain") == ["user.octets"]


def test_a_stream_goes_in_and_comes_out(naust: Tools, tmp_path: Path) -> None:
    env = os.environ | naust.env
    data = os.urandom(3 << 20)
    subprocess.run([NAUST, "push", "-", "file/stream:1", "--quiet"], input=data, env=env, check=True, cwd=tmp_path)
    out = subprocess.run([NAUST, "pull", "file/stream", "-"], capture_output=True, env=env, check=True, cwd=tmp_path)
    assert out.stdout == data
    (blob,) = [path for path in (tmp_path / "store" / "blobs" / "sha256").iterdir() if path.stat().st_size == len(data)]
    blob.chmod(0o644)
    with blob.open("r+b") as file:
        file.seek(1000)
        file.write(b"damage")
    ended = subprocess.run([NAUST, "pull", "file/stream", "-"], capture_output=True, env=env, cwd=tmp_path)
    assert ended.returncode == 8
    assert b"is damaged" in ended.stderr
    assert b"must not be used" in ended.stderr


def test_an_unchanged_file_is_neither_read_nor_sent(naust: Tools, tmp_path: Path) -> None:
    sparse(tmp_path / "disk.raw", 256 << 20, {0: b"boot"})
    time.sleep(2.1)  # until then a later change could leave the same times
    said, used = set(), []
    for _ in range(4):
        before = os.times()
        said.add(naust("naust", "push", "disk.raw", "vm/disk:1").out)
        after = os.times()
        used.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert len(said) == 1
    assert min(used[1:]) < used[0] / 2, used  # seconds of CPU; the first one reads and hashes


def test_a_killed_pull_goes_on_on_the_command_line(naust: Tools, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(os.urandom(96 << 20))
    naust("naust", "push", "big", "file/big:1")
    part = None
    process = subprocess.Popen([NAUST, "pull", "file/big", "out", "--quiet"], cwd=tmp_path, env=os.environ | naust.env)
    while process.poll() is None and part is None:
        part = next((each for each in tmp_path.glob(".out.*.part") if each.stat().st_blocks * 512 > 40 << 20), None)
    process.kill()
    process.wait()
    done = naust("naust", "pull", "file/big", "out", "--json").json()
    assert (tmp_path / "out").read_bytes() == (tmp_path / "big").read_bytes()
    assert done["fetched"] + done["reused"] >= 96 << 20
    assert not list(tmp_path.glob(".out*"))
