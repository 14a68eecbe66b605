"""Container images into a Docker engine and out of it, by its API. Everything that passes is checked.

`docker load` and `docker save` speak the format of moby's image/tarexport: a tar with manifest.json, configurations and
layers. An engine whose layers, from the bottom up, are known does not open their files (tried with 20.10), so they are
left out.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound

from common.errors import BadInput, Conflict, Corrupt, Error, NotFound, Unavailable
from common.files import CHUNK
from common.model import Artifact, Digest
from naust import manifest as oci
from naust.content.saved import Keep, Known, Saved, Stream
from naust.listing import name_of
from naust.manifest import Blob, ContainerImage, Manifest
from naust.revoke import check as check_revoked
from naust.store.interface import Store
from naust.transfer.verified import chunks, content

Client = docker.DockerClient
REPOSITORY = "naust"  # images from a store are naust/NAME:TAG in the engine
PATIENCE = 600  # seconds that an engine may say nothing; it reads a layer to its end first


@dataclass(frozen=True, slots=True)
class Loaded:
    """An image in the engine. `manifest` is what was loaded: of an index the manifest for the engine's platform.
    `fetched` bytes of blobs came from the store for it, `reused` the engine had."""

    id: Digest
    manifest: Digest
    name: str
    fetched: int
    reused: int


def load(store: Store, artifact: Artifact, client: docker.DockerClient | None = None) -> Digest:
    """See that the engine has this image, and return its id. As `load_image`, which says more."""
    return load_image(store, artifact, client).id


def load_image(
    store: Store, artifact: Artifact, client: docker.DockerClient | None = None, *, name: str = ""
) -> Loaded:
    """See that the engine has this image, under the name `naust/NAME:TAG` or another `name`. Twice is once. Of several
    platforms the engine gets its own.

    Constant memory; layers that the engine has are not read. Raises Corrupt, and the engine takes nothing, if a blob is
    damaged, or the image is revoked or was built from what is; Conflict if the name is another image's; BadInput if it
    is no container image; NotFound if the engine's platform is not in it; Unavailable.
    """
    image = _image(store, artifact, lambda: _platform(client))
    with _engine(client) as engine:
        there = _has(engine, image.config.digest)
        known = len(image.layers) if there else _load(engine, store, artifact, image)
        _name(engine, name or name_in_engine(artifact), image.config.digest)
    return Loaded(image.config.digest, image.manifest, name or name_in_engine(artifact), *image.moved(known))


def name_in_engine(artifact: Artifact) -> str:
    """What `load` calls it there."""
    reference = artifact.reference
    return f"{REPOSITORY}/{reference.name}:{reference.tag or f'sha256-{artifact.digest.short}'}"


def save(
    image: str, keep: Keep, *, known: Known = lambda digest: None, client: docker.DockerClient | None = None
) -> ContainerImage:
    """Read an image out of the engine. `keep` is called with each layer as a stream, reads it to its end and says what
    it was; see `into`. A layer that is `known` already comes out as that; if it is the lowest, it is not even read.

    Raises NotFound if the engine has no such image, Corrupt if what it gives is not what it says, Unavailable.
    """
    with _engine(client) as engine:
        described = _inspect(engine, image)
        layers = [Digest.parse(each) for each in _layers_of(described)]
        stream = cast(Iterator[bytes], engine.api.get_image(described["Id"], chunk_size=CHUNK))
        skip = bool(layers) and known(layers[0]) is not None
        with tarfile.open(fileobj=Stream(stream), mode="r|", bufsize=CHUNK) as archive:
            saved = Saved.read(archive, keep, skip_lowest=skip)
    return saved.image(Digest.parse(described["Id"]), layers, known)


def into(folder: Path) -> Keep:
    """For `save`: each layer becomes a file in this folder."""

    def keep(source: BinaryIO) -> Blob:
        path = folder / f"layer-{len(list(folder.glob('layer-*')))}.tar"
        total, size = hashlib.sha256(), 0
        with path.open("xb") as file:
            while chunk := source.read(CHUNK):
                total.update(chunk)
                size += file.write(chunk)
        return Blob(Digest("sha256", total.hexdigest()), size, path=path)

    return keep


# Loading


class _Image:
    """A container image in a store: what its manifest and its configuration say, which agree. `ids` are the diff ids
    of the layers, which an engine knows them by; a compressed layer has another digest."""

    def __init__(self, read: Manifest, config: Blob, configuration: bytes, ids: Sequence[Digest]) -> None:
        self.manifest, self.config, self.configuration = read.digest, config, configuration
        self.layers, self.ids = read.layers, ids

    def moved(self, known: int) -> tuple[int, int]:
        """Bytes that are fetched when the engine has so many layers from the bottom up, and bytes that are not."""
        sizes = {layer.digest: layer.size for layer in self.layers}
        reused = sum({layer.digest: layer.size for layer in self.layers[:known]}.values())
        return self.config.size + sum(sizes.values()) - reused, reused


def _image(store: Store, artifact: Artifact, platform: Callable[[], str]) -> _Image:
    check_revoked(store, artifact)
    name, whole = name_of(artifact.reference), str(artifact.reference)
    read = oci.parse(store.manifest(name, artifact.reference.tag or str(artifact.digest)), whole)
    if read.digest != artifact.digest:
        raise Corrupt(f"{whole} is {read.digest}, not {artifact.digest}", resolution="Look again with `naust show`.")
    while read.children:
        chosen = _child(read, platform(), whole)
        read = oci.parse(store.manifest(name, str(chosen.digest)), f"{whole}@{chosen.digest}")
    if read.config is None or not read.is_container:
        raise BadInput(f"{whole} is no container image", resolution="Pull it to a file: naust pull REFERENCE FILE.")
    configuration = content(store, name, read.config, whole)
    ids = oci.diff_ids(configuration, whole)
    plain = [pair for pair in zip(ids, read.layers, strict=False) if pair[1].media_type in oci.PLAIN_LAYERS]
    if len(ids) != len(read.layers) or any(stated != layer.digest for stated, layer in plain):
        raise Corrupt(
            f"the layers of {whole} are not those of its configuration",
            details="They must be tars in the order of its diff ids; the engine itself compares compressed ones.",
            resolution="Push or build the artefact again.",
        )
    return _Image(read, read.config, configuration, ids)


def _child(read: Manifest, platform: str, whole: str) -> Blob:
    """The child of an index for this platform. A variant that only one side names does not matter."""
    for child in read.children:
        if child.platform and f"{child.platform}/".startswith(f"{platform}/"):
            return child
    have = ", ".join(sorted({child.platform for child in read.children if child.platform})) or "nothing that says so"
    raise NotFound(
        f"{whole} has no image for {platform}, which the Docker engine runs on",
        details=f"It has {have}.",
        resolution="Use an engine on one of these platforms, or pull it to oci:FOLDER.",
    )


def _platform(client: docker.DockerClient | None) -> str:
    with _engine(client) as engine:
        said = engine.version()
        return f"{said['Os']}/{said['Arch']}"


def _load(engine: docker.DockerClient, store: Store, artifact: Artifact, image: _Image) -> int:
    """Have the engine load it; how many layers it had and was not sent."""
    known = _layers_known(engine, [str(each) for each in image.ids])
    try:
        _send(engine, _archive(store, artifact, image, skip=known))
    except Error as error:
        if not known or isinstance(error, Corrupt | Unavailable):
            raise
        # Somebody removed the image whose layers were counted on: send them all.
        known = 0
        _send(engine, _archive(store, artifact, image, skip=known))
    if not _has(engine, image.config.digest):
        raise Error(
            f"the Docker engine took {artifact.reference}, but has no image {image.config.digest}",
            resolution="Look into the engine's log: journalctl -u docker.",
        )
    return known


def _send(engine: docker.DockerClient, archive: Iterator[bytes]) -> None:
    api: Any = engine.api  # its stubs leave these methods untyped
    for line in api.load_image(archive):
        if "error" in line:
            raise Error(
                f"the Docker engine refuses the image: {line['error']}",
                resolution="See that it has space left (`docker system df`), then run the command again.",
            )


def _archive(store: Store, artifact: Artifact, image: _Image, *, skip: int) -> Iterator[bytes]:
    """What `docker load` reads. manifest.json comes last: without it, as when a layer turns out to be damaged, the
    engine takes nothing."""
    names = [f"{layer.digest.hex}.tar" for layer in image.layers]
    config = f"{image.config.digest.hex}.json"
    yield from _member(config, len(image.configuration), iter((image.configuration,)))
    sent = set(names[:skip])
    for name, layer in zip(names, image.layers, strict=True):
        if name not in sent:
            sent.add(name)
            with chunks(store, name_of(artifact.reference), layer, str(artifact.reference)) as pieces:
                yield from _member(name, layer.size, pieces)
    manifest = json.dumps([{"Config": config, "RepoTags": None, "Layers": names}]).encode()
    yield from _member("manifest.json", len(manifest), iter((manifest,)))
    yield bytes(2 * tarfile.BLOCKSIZE)


def _member(name: str, size: int, pieces: Iterator[bytes]) -> Iterator[bytes]:
    header = tarfile.TarInfo(name)
    header.size = size
    yield header.tobuf(tarfile.GNU_FORMAT)
    yield from pieces
    yield bytes(-size % tarfile.BLOCKSIZE)


def _layers_known(engine: docker.DockerClient, wanted: Sequence[str]) -> int:
    """How many layers, from the bottom up, the engine has in this order; then it does not want to see them."""
    best = 0
    for each in engine.api.images(all=True, quiet=True):
        try:
            layers = _layers_of(_inspect(engine, each))
        except APIError:
            continue  # gone since, or half gone: then the engine says that a layer does not exist (500)
        same = next((i for i, (a, b) in enumerate(zip(layers, wanted, strict=False)) if a != b), None)
        best = max(best, min(len(layers), len(wanted)) if same is None else same)
    return best


def _inspect(engine: docker.DockerClient, image: str) -> Mapping[str, Any]:
    api: Any = engine.api  # its stubs leave these methods untyped
    return cast(Mapping[str, Any], api.inspect_image(image))


def _layers_of(described: Mapping[str, Any]) -> list[str]:
    return list(described["RootFS"].get("Layers") or ())


def _has(engine: docker.DockerClient, image_id: Digest) -> bool:
    try:
        return bool(_inspect(engine, str(image_id))["Id"] == str(image_id))
    except ImageNotFound:
        return False


def _name(engine: docker.DockerClient, wanted: str, image_id: Digest) -> None:
    try:
        there = _inspect(engine, wanted)["Id"]
    except ImageNotFound:
        repository, _, tag = wanted.partition(":")
        engine.api.tag(str(image_id), repository, tag)
        return
    if there != str(image_id):
        raise Conflict(
            f"the Docker engine has another image named {wanted}",
            details=f"It is {there}; the store's is {image_id}.",
            resolution=f"See whose it is; `docker image rm {wanted}` takes the name away.",
        )


# The engine


@contextmanager
def _engine(client: docker.DockerClient | None) -> Iterator[docker.DockerClient]:
    """The given engine, or the one that the environment names (DOCKER_HOST), with its errors in our words."""
    try:
        engine = client or docker.from_env(timeout=PATIENCE)
        try:
            yield engine
        finally:
            if client is None:
                engine.close()
    except ImageNotFound as error:
        raise NotFound(
            "the Docker engine has no such image",
            details=str(error.explanation),
            resolution="`docker image ls` shows what it has.",
        ) from error
    except APIError as error:
        raise Error(
            "the Docker engine could not do it", details=str(error.explanation or error), resolution="See its log."
        ) from error
    except (DockerException, requests.RequestException) as error:
        raise Unavailable(
            "the Docker engine does not answer",
            details=str(error),
            resolution="See that it runs and that this user may use it: `docker version`. DOCKER_HOST names another; "
            "install one with: apt-get install docker.io.",
        ) from error
