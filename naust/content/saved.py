"""What `docker save` writes, read as a stream: moby's image/tarexport, and since Docker 25 an OCI layout beside it.

An engine that keeps its images in containerd knows an image by the digest of its manifest or index, and its layers may
be compressed; they stay so.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, cast

from common.errors import Corrupt
from common.model import Digest
from naust import manifest as oci
from naust.manifest import Blob, ContainerImage, Manifest
from naust.transfer.streams import filler

_SMALL = 1 << 20  # bytes; configurations and manifests are smaller
_BLOBS = "blobs/sha256"

Keep = Callable[[BinaryIO], Blob]
Known = Callable[[Digest], Blob | None]


class Saved:
    """What such a stream held."""

    def __init__(self) -> None:
        self.small: dict[str, bytes] = {}
        self.kept: dict[str, Blob] = {}
        self.links: dict[str, str] = {}
        self._keep: Keep | None = None

    @classmethod
    def read(cls, archive: tarfile.TarFile, keep: Keep, *, skip_lowest: bool) -> Saved:
        """Hand each large member to `keep`; the lowest layer is left out if it is known already."""
        saved = cls()
        saved._keep = keep
        for member in archive:
            folder, _, file = member.name.rpartition("/")
            if member.issym():
                # Engines up to 24 write a layer that occurs twice as a link: ../ID/layer.tar
                saved.links[member.name] = member.linkname.removeprefix("../")
            elif member.isreg() and not (skip_lowest and file == "layer.tar" and saved._is_lowest(folder)):
                saved._take(member, cast(BinaryIO, archive.extractfile(member)))
        return saved

    def _take(self, member: tarfile.TarInfo, source: BinaryIO) -> None:
        if member.size <= _SMALL:
            self.small[member.name] = source.read()
        elif self._keep is not None:
            self.kept[member.name] = self._keep(cast(BinaryIO, _Once(source)))

    def _is_lowest(self, folder: str) -> bool:
        """Engines up to 24 put a description before each layer, which names the layer below."""
        described = self.small.get(f"{folder}/json")
        return described is not None and "parent" not in json.loads(described)

    def image(self, image_id: Digest, layers: Sequence[Digest], known: Known) -> ContainerImage:
        """The image, all of it checked; `layers` are the diff ids that the engine told. Raises Corrupt."""
        try:
            (listed,) = json.loads(self.small["manifest.json"])
            config, files = self.small[listed["Config"]], listed["Layers"]
        except (KeyError, ValueError) as error:
            raise _bad_save(f"There is no manifest of one image in it: {error!r}.") from error
        if len(files) != len(layers):
            raise _bad_save(f"It is of {len(files)} layers, not of {len(layers)}.")
        if Digest.of(config) == image_id:
            wanted = [Blob(digest, 0) for digest in layers]
        else:
            wanted = list(self._described(image_id, Digest.of(config)).layers)
        return ContainerImage(
            config, tuple(self._layer(file, blob, known) for file, blob in zip(files, wanted, strict=True))
        )

    def _described(self, image_id: Digest, config: Digest) -> Manifest:
        """The manifest with this configuration that the id stands for, itself or as a child of an index."""
        waiting = [image_id]
        while waiting:
            data = self.small.get(f"{_BLOBS}/{(digest := waiting.pop()).hex}")
            if data is not None and Digest.of(data) == digest:
                read = oci.parse(data, "what docker save wrote")
                if read.config is not None and read.config.digest == config:
                    return read
                waiting += [child.digest for child in read.children]
        raise _bad_save(f"It is of {config}, and {image_id} does not lead there.")

    def _layer(self, file: str, wanted: Blob, known: Known) -> Blob:
        file = self.links.get(file, file)
        already = known(wanted.digest)
        if already is not None:
            return Blob(already.digest, already.size, wanted.media_type, already.path)
        if file in self.small and self._keep is not None:
            self.kept[file] = self._keep(io.BytesIO(self.small[file]))
        blob = self.kept.get(file)
        if blob is None or blob.digest != wanted.digest:
            raise _bad_save(f"Layer {wanted.digest} is {blob.digest if blob else 'missing'}.")
        return Blob(blob.digest, blob.size, wanted.media_type, blob.path)


class Stream(io.RawIOBase):
    """Pieces of bytes as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed says WriteableBuffer, private
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


class _Once(io.RawIOBase):
    """A member of a tar that comes as a stream. tarfile's own object fails when it is asked whether one can go back
    in it, which whoever wants to send it again does."""

    def __init__(self, source: BinaryIO) -> None:
        self._fill = filler(source)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed says WriteableBuffer, private
        return self._fill(memoryview(buffer))


def _bad_save(details: str) -> Corrupt:
    return Corrupt(
        "the Docker engine gave an image that is not what it should be", details=details, resolution="Build it anew."
    )
