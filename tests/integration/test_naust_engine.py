"""Images between a store and a real Docker engine. They are made of random bytes, so nothing else has their layers."""

from __future__ import annotations

import io
import os
import tarfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from common.errors import BadInput, Conflict, Corrupt, NotFound, Unavailable
from common.model import Artifact, Digest, Reference
from naust.content import engine
from naust.listing import resolve
from naust.manifest import Blob, ContainerImage
from naust.push import push_container, push_file
from naust.store.directory import DirectoryStore
from tests.conftest import Tools
from tests.lab.images import listed

SIZE = 3 << 20  # bytes; more than is passed at once


@dataclass(frozen=True)
class Made:
    """An image of two layers in the engine; `parent` has the lower one alone."""

    id: str
    parent: str


def tar(name: str, data: bytes) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return held.getvalue()


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


@pytest.fixture
def made(client: docker.DockerClient, name: str) -> Made:
    client.api.import_image_from_data(tar("lower", os.urandom(SIZE)), repository=name, tag="parent")
    container = client.containers.create(f"{name}:parent", ["/nothing"], name=name)
    try:
        container.put_archive("/", tar("upper", os.urandom(SIZE)))
        child = container.commit(name, "child", conf={"Env": ["A=b"]})
    finally:
        container.remove(force=True)
    return Made(child.id, client.images.get(f"{name}:parent").id)


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each load sent to the engine."""
    counts: list[int] = []
    send = engine._send

    def counting(to: docker.DockerClient, archive: Iterator[bytes]) -> None:
        counts.append(0)

        def counted() -> Iterator[bytes]:
            for piece in archive:
                counts[-1] += len(piece)
                yield piece

        send(to, counted())

    monkeypatch.setattr(engine, "_send", counting)
    return counts


def stored(store: DirectoryStore, image: str, name: str) -> Artifact:
    read = engine.save(image, lambda layer: Blob(*store.add(f"container/{name}", layer)))
    return push_container(store, read, name=name, version="1.0~rc1")


def forget(client: docker.DockerClient, *images: str) -> None:
    for image in images:
        client.images.remove(image, force=True)


def has(client: docker.DockerClient, image: str) -> bool:
    return image in {each.id for each in listed(client, all=True)}


def test_an_image_comes_back_as_exactly_the_image_that_it_was(
    client: docker.DockerClient, store: DirectoryStore, made: Made, name: str
) -> None:
    artifact = stored(store, made.id, name)
    before = client.images.get(made.id).attrs
    forget(client, f"{name}:child", f"{name}:parent")
    assert not has(client, made.id)

    assert str(engine.load(store, artifact)) == made.id
    after = client.images.get(f"naust/{name}:{artifact.reference.tag}").attrs
    for part in ("Id", "RootFS", "Config", "Created", "Architecture", "Os"):
        assert after[part] == before[part], part


def test_layers_that_the_engine_has_are_not_sent(
    client: docker.DockerClient, store: DirectoryStore, made: Made, name: str, sent: list[int]
) -> None:
    artifact = stored(store, made.id, name)
    forget(client, f"{name}:child")
    engine.load(store, artifact)
    assert SIZE < sent[0] < 2 * SIZE
    assert has(client, made.id)


def test_layers_that_vanish_from_the_engine_meanwhile_are_sent_after_all(
    client: docker.DockerClient,
    store: DirectoryStore,
    made: Made,
    name: str,
    sent: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    artifact = stored(store, made.id, name)
    forget(client, f"{name}:child", f"{name}:parent")
    monkeypatch.setattr(engine, "_layers_known", lambda *_: 1)
    engine.load(store, artifact)
    assert len(sent) == 2
    assert sent[1] > 2 * SIZE
    assert has(client, made.id)


def test_an_image_that_the_engine_has_is_not_sent(
    store: DirectoryStore, made: Made, name: str, sent: list[int]
) -> None:
    artifact = stored(store, made.id, name)
    assert engine.load(store, artifact) == engine.load(store, artifact)
    assert not sent


@pytest.mark.parametrize("at", [0, SIZE // 2, -1])
def test_a_damaged_layer_is_refused_and_the_engine_takes_nothing(
    client: docker.DockerClient, store: DirectoryStore, made: Made, name: str, at: int
) -> None:
    artifact = stored(store, made.id, name)
    forget(client, f"{name}:child", f"{name}:parent")
    layer = client_layers(store, artifact)[-1]
    path = store.root / "blobs" / "sha256" / layer.hex
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    with pytest.raises(Corrupt) as error:
        engine.load(store, artifact)
    assert str(layer) in error.value.message
    assert str(artifact.reference) in error.value.message
    assert not has(client, made.id)


def client_layers(store: DirectoryStore, artifact: Artifact) -> list[Digest]:
    from naust import manifest as oci

    read = oci.parse(store.manifest(f"container/{artifact.reference.name}", artifact.reference.tag), "it")
    return [layer.digest for layer in read.layers]


def test_a_foreign_image_keeps_its_name(
    client: docker.DockerClient, store: DirectoryStore, made: Made, name: str
) -> None:
    artifact = stored(store, made.id, name)
    client.images.get(made.parent).tag(f"naust/{name}", artifact.reference.tag)
    with pytest.raises(Conflict) as error:
        engine.load(store, artifact)
    assert f"naust/{name}:{artifact.reference.tag}" in error.value.message
    assert client.images.get(f"naust/{name}:{artifact.reference.tag}").id == made.parent


def test_an_image_is_read_into_files_that_are_its_layers(
    made: Made, client: docker.DockerClient, tmp_path: Path
) -> None:
    image = engine.save(made.id, engine.into(tmp_path))
    assert str(image.id) == made.id
    assert [str(layer.digest) for layer in image.layers] == client.images.get(made.id).attrs["RootFS"]["Layers"]
    for layer in image.layers:
        assert layer.path is not None
        assert Digest.of(layer.path.read_bytes()) == layer.digest
        assert layer.path.stat().st_size == layer.size


def test_layers_that_are_known_are_not_read(made: Made, tmp_path: Path) -> None:
    whole = engine.save(made.id, engine.into(tmp_path))
    known = {layer.digest: Blob(layer.digest, layer.size) for layer in whole.layers[:1]}
    (tmp_path / "again").mkdir()
    image = engine.save(made.id, engine.into(tmp_path / "again"), known=known.get)
    assert [layer.path is None for layer in image.layers] == [True, False]
    assert [layer.size for layer in image.layers] == [layer.size for layer in whole.layers]
    assert len(list((tmp_path / "again").iterdir())) == 1


def test_a_layer_that_occurs_twice_goes_both_ways(
    client: docker.DockerClient, store: DirectoryStore, made: Made, name: str, tmp_path: Path
) -> None:
    import json

    image = engine.save(made.id, engine.into(tmp_path))
    config = json.loads(image.config)
    layers = (*image.layers, image.layers[0])
    config["rootfs"]["diff_ids"] = [str(layer.digest) for layer in layers]
    config["history"] = [{"created_by": "test"}] * 3
    doubled = push_container(store, ContainerImage(json.dumps(config).encode(), layers), name=name, version="2")
    engine.load(store, doubled)
    (tmp_path / "again").mkdir()
    again = engine.save(engine.name_in_engine(doubled), engine.into(tmp_path / "again"))
    assert [layer.digest for layer in again.layers] == [layer.digest for layer in layers]


def test_what_is_no_image_is_refused(store: DirectoryStore, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    artifact = push_file(store, tmp_path / "f", Reference.parse("file/f:1"))
    with pytest.raises(BadInput):
        engine.load(store, resolve(store, artifact.reference))


def test_an_unknown_image_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        engine.save("naust-test-never-made:1", engine.into(tmp_path))


def test_an_engine_that_does_not_answer_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    with pytest.raises(Unavailable):
        engine.save("x", engine.into(tmp_path))


def test_push_and_pull_of_an_image_on_the_command_line(
    client: docker.DockerClient, made: Made, name: str, tmp_path: Path
) -> None:
    naust = Tools(tmp_path, {"NAUST_STORE": ""})
    first = naust("naust", "push", f"docker:{name}:child", f"container/{name}:2:1.0+b1").out
    assert naust("naust", "push", f"docker:{name}:child", f"container/{name}:2:1.0+b1").out == first
    assert naust("naust", "show", f"container/{name}", "--json").json()["annotations"]["naust.image-id"] == made.id
    forget(client, f"{name}:child", f"{name}:parent")
    loaded = naust("naust", "pull", f"container/{name}").out.strip()
    assert client.images.get(loaded).id == made.id
    assert loaded.startswith(f"naust/{name}:1.0_b1-20")
    naust("naust", "pull", f"container/{name}", "file", code=2)
