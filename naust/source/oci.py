"""Sources of type oci: container images of registries, as one OCI image layout (image specification 1.1,
image-layout.md): every manifest, configuration and layer under the digest that it has upstream, so that signatures and
pins by digest hold.

Indexes stay as they are also where only some platforms are kept: what is left out of them is not in the layout. What
refers to an image or to one of its platforms (signatures, SBOMs, attestations) comes with it, and what refers to that;
`index.json` lists it without a name, as oras does.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import BinaryIO, Self

from common.console import Report
from common.errors import BadInput, Corrupt, Denied, Error, NotFound
from common.model import Digest, Event
from naust import manifest as oci
from naust.content.layout import REF_NAME
from naust.manifest import Blob
from naust.promote import HISTORY
from naust.source.definition import Oci
from naust.source.interface import Item, Kept, Package, Survey
from naust.transfer.parallel import each
from naust.wire.connections import is_loopback
from naust.wire.distribution import Distribution
from naust.wire.distribution_referrers import Referrers
from naust.wire.transport import Transport

AT_ONCE = 4  # images that are asked for side by side
ATTESTED = "vnd.docker.reference.digest"  # annotation of BuildKit's attestations: the manifest that they are about
LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
NOBODYS = Digest("sha256", "0" * 64)  # of an item that is not to be had: nothing ever passes for it
_MOST = 2000  # manifests of one image
_DEEPEST = 4  # indexes within indexes
_HUB = ("docker.io", "registry-1.docker.io")  # the name in references, and where Docker's own registry is
_IMAGE = re.compile(
    r"docker://(?P<host>[A-Za-z0-9.-]+(?::[0-9]{1,5})?|\[[0-9a-fA-F:.]+\](?::[0-9]{1,5})?)/"
    r"(?P<name>[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@(?P<digest>sha(?:256|512):[0-9a-f]{64,128}))?"
)  # distribution specification 1.1, "Pulling manifests"


@dataclass(frozen=True, slots=True, order=True)
class Image:
    """An image in a registry. With a digest, that is what counts, and the tag is only a name."""

    host: str
    name: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `docker://HOST/NAME:TAG`, `…@DIGEST`, or both. Raises BadInput."""
        found = _IMAGE.fullmatch(text)
        if found is None or not (found["tag"] or found["digest"]):
            raise BadInput(f"{text!r} names no image", resolution="Write docker://HOST/NAME:TAG or …@sha256:….")
        if found["digest"]:
            Digest.parse(found["digest"])
        name = found["name"]
        if found["host"] == _HUB[0] and "/" not in name:
            name = f"library/{name}"
        return cls(found["host"], name, found["tag"] or "", found["digest"] or "")

    @property
    def repository(self) -> str:
        """Registry and repository."""
        return f"{self.host}/{self.name}"

    @property
    def reference(self) -> str:
        """What the registry is asked for."""
        return self.digest or self.tag

    def __str__(self) -> str:
        """As the layout names it."""
        return f"{self.repository}{f':{self.tag}' if self.tag else f'@{self.digest}'}"


@dataclass(frozen=True, slots=True)
class _Read:
    """An image as the registry has it: its own manifest first, then those below it that are wanted."""

    image: Image
    manifests: tuple[tuple[Blob, bytes], ...]
    blobs: tuple[Blob, ...]  # configurations and layers, each once
    attached: tuple[tuple[Blob, bytes], ...] = ()  # manifests that refer to those, or to one another

    @property
    def top(self) -> Blob:
        return self.manifests[0][0]

    @property
    def digests(self) -> frozenset[Digest]:
        return frozenset(blob.digest for blob in self.blobs)


class OciUpstream:
    """Images of any registries."""

    def __init__(self, block: Oci) -> None:
        self._block = block
        self._images = tuple(dict.fromkeys(map(Image.parse, block.images)))
        self._clients: dict[str, Distribution] = {}
        self._troubles: dict[str, Error] = {}  # path of an item that is not to be had → why
        self._where: dict[str, Image] = {}  # path of a blob → an image that has it
        self._read: tuple[_Read, ...] = ()

    @classmethod
    def of(cls, block: Oci) -> Self:
        """Raises BadInput for what names no image."""
        return cls(block)

    def survey(self, transport: Transport, previous: str, report: Report) -> Survey | None:
        """As naust.source.interface.Upstream; registries are asked with what `docker login` left behind. An image that
        is not to be had is an item that `opened` has the reason for: so it is named, and keeps nobody else."""
        self._troubles.clear()
        self._where.clear()
        report(Event("survey", self._block.name, f"{len(self._images)} images"))
        read = self._readings(report)
        self._read = tuple(one for one in read.values() if isinstance(one, _Read))
        mark = "" if self._troubles else self._mark()
        if mark and mark == previous:
            return None
        items = [item for image in self._images for item in self._items(image, read[image])]
        extra = {_path(blob.digest): data for one in self._read for blob, data in (*one.manifests, *one.attached)}
        return Survey(tuple(_once(items)), mark, extra=extra)

    def index(self, kept: Sequence[Kept], survey: Survey) -> Mapping[str, bytes]:
        """The layout's own two files. An image that lacks anything is not in them."""
        there = {one.digest for one in kept}
        whole = [one for one in self._read if one.digests <= there]
        listed = [
            {**one.top.described(), "annotations": {REF_NAME: str(one.image)}}
            for one in sorted(whole, key=lambda one: one.image)
        ]
        attached = {blob.digest: _described(blob, data) for one in whole for blob, data in one.attached}
        listed += [attached[digest] for digest in sorted(attached, key=str)]
        document = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": listed}
        return {"oci-layout": LAYOUT, "index.json": oci.encode(document)}

    def opened(self, transport: Transport, item: Item, start: int = 0) -> AbstractContextManager[BinaryIO]:
        """The item's bytes from `start`. Raises what the survey found wrong with it; else as Distribution.blob."""
        if item.path in self._troubles:
            raise self._troubles[item.path]
        image = self._where[item.path]
        assert item.digest is not None
        return self._client(image.host).blob(image.name, item.digest, start)

    def _readings(self, report: Report) -> dict[Image, _Read | Error]:
        """Every image, or why it is not to be had. Raises that where none is."""
        found: dict[Image, _Read | Error] = {}
        for image in self._images:
            self._client(image.host)

        def ask(image: Image) -> None:
            try:
                found[image] = _Reading(self._client(image.host), image, self._block.platforms, report).read()
            except Error as error:
                found[image] = error

        each(ask, self._images, AT_ONCE)
        errors = [one for one in found.values() if isinstance(one, Error)]
        if errors and len(errors) == len(found):
            raise errors[0]
        self._troubles |= {f"images/{image}": one for image, one in found.items() if isinstance(one, Error)}
        return found

    def _mark(self) -> str:
        """Of what the images stand for, and which parts of them are wanted."""
        said = {str(one.image): [str(blob.digest) for blob, _ in (*one.manifests, *one.attached)] for one in self._read}
        return str(Digest.of(oci.encode({"images": said, "may_miss": self._block.may_miss})))

    def _items(self, image: Image, read: _Read | Error) -> Iterator[Item]:
        may_miss = any(fnmatchcase(name, pattern) for name in _names(image) for pattern in self._block.may_miss)
        base = f"{self._client(image.host).base}/v2/{image.name}"
        if isinstance(read, Error):
            package = Package("oci", image.repository, image.tag or image.digest, "", image.host)
            url = f"{base}/manifests/{image.reference}"
            yield Item(f"images/{image}", url, digest=NOBODYS, package=package, may_miss=may_miss)
            return
        configs = {blob.digest: platform for blob, platform in _configs(read)}
        for blob in read.blobs:
            path = _path(blob.digest)
            self._where.setdefault(path, image)
            what = _package(read, configs[blob.digest]) if blob.digest in configs else None
            yield Item(path, f"{base}/blobs/{blob.digest}", blob.size, blob.digest, blob.media_type, what, may_miss)

    def _client(self, host: str) -> Distribution:
        if host not in self._clients:
            name = host.rpartition(":")[0].strip("[]") if re.search(r":[0-9]+$", host) else host.strip("[]")
            scheme = "http" if is_loopback(name) else "https"
            self._clients[host] = Distribution(f"{scheme}://{_HUB[1] if host == _HUB[0] else host}")
        return self._clients[host]


class _Reading:
    """One image being read."""

    def __init__(self, client: Distribution, image: Image, platforms: Sequence[str], report: Report) -> None:
        self._client, self._image, self._platforms, self._report = client, image, platforms, report
        self._manifests: dict[Digest, tuple[Blob, bytes]] = {}
        self._blobs: dict[Digest, Blob] = {}
        self._fitting = not platforms

    def read(self) -> _Read:
        """All of it that is wanted. Raises NotFound if no platform fits, Corrupt."""
        self._take(self._image.reference, "", 0)
        if not self._fitting:
            raise NotFound(
                f"{self._image} is not for {', '.join(self._platforms)}",
                resolution="See `platforms` of the source: `skopeo inspect --raw` shows what the image is for.",
            )
        own = tuple(self._manifests.values())
        attached = tuple(sorted(self._attached(), key=lambda pair: str(pair[0].digest)))
        return _Read(self._image, own, tuple(self._blobs.values()), attached)

    def _attached(self) -> Iterator[tuple[Blob, bytes]]:
        """What refers to the manifests that were taken, and what refers to that."""
        referrers = Referrers(self._client)
        waiting, seen = deque(self._manifests), set(self._manifests)
        while waiting:
            for digest in self._referring(referrers, waiting.popleft()):
                if digest in seen:
                    continue
                if len(seen) >= _MOST:
                    raise self._refused("without end, other manifests refer to it")
                seen.add(digest)
                waiting.append(digest)
                held = self._client.manifest(self._image.name, str(digest))
                read = oci.parse(held.data, f"{self._image}@{digest}")
                self._blobs |= {each.digest: each for each in read.blobs if each.media_type not in oci.MANIFESTS}
                yield Blob(digest, len(held.data), read.media_type), held.data

    def _referring(self, referrers: Referrers, digest: Digest) -> list[Digest]:
        try:
            found = referrers.of(self._image.name, digest)
            return [each.digest for each in found if each.artifact_type != HISTORY]  # that is its own store's
        except Denied as error:
            self._report(
                Event("note", str(self._image), f"its registry does not tell what is attached: {error.message}")
            )
            return []

    def _take(self, reference: str, platform: str, depth: int) -> None:
        held = self._client.manifest(self._image.name, reference)
        read = oci.parse(held.data, f"{self._image}@{held.digest}")
        if not read.config and not read.children:
            raise self._refused("a manifest of it has neither layers nor platforms, as a form that is out of use has")
        if len(self._manifests) >= _MOST or depth > _DEEPEST:
            raise self._refused("it has manifests without end")
        kind = held.media_type if held.media_type in oci.MANIFESTS else read.media_type
        self._manifests[held.digest] = Blob(held.digest, len(held.data), kind, platform=platform), held.data
        self._fitting = self._fitting or self._fits(platform)
        for blob in (*((read.config,) if read.config else ()), *read.layers):
            if blob in read.blobs:
                self._blobs[blob.digest] = blob
        for child in self._children(read, held.data):
            if child.digest not in self._manifests:
                self._take(str(child.digest), child.platform, depth + 1)

    def _children(self, read: oci.Manifest, data: bytes) -> list[Blob]:
        """Those that are wanted: of the platforms, and what is attested of these."""
        children = [child for child in read.children if child.media_type in oci.MANIFESTS]
        if not self._platforms:
            return children
        about = _attested(data)
        fitting = [child for child in children if self._fits(child.platform)]
        kept = {str(child.digest) for child in fitting}
        return [child for child in children if child in fitting or about.get(child.digest) in kept]

    def _fits(self, platform: str) -> bool:
        """`linux/arm64` stands for its variants too."""
        return any(platform == each or platform.startswith(f"{each}/") for each in self._platforms)

    def _refused(self, why: str) -> Corrupt:
        return Corrupt(f"{self._image} cannot be kept: {why}", resolution="Name another image.")


def _described(blob: Blob, data: bytes) -> dict[str, object]:
    read = oci.parse(data, str(blob.digest))
    said = blob.described() | ({"artifactType": read.artifact_type} if read.artifact_type else {})
    return said | ({"annotations": dict(read.annotations)} if read.annotations else {})


def _attested(data: bytes) -> dict[Digest, str]:
    """Child of an index → digest of the child that it says something about."""
    from naust.source.state import children_of

    return {blob.digest: said[ATTESTED] for blob, said in children_of(data, "the index") if ATTESTED in said}


def _configs(read: _Read) -> Iterator[tuple[Blob, str]]:
    """The configuration of each platform's image."""
    for blob, data in read.manifests:
        found = oci.parse(data, str(read.image))
        if found.config is not None and found.is_container:
            yield found.config, "" if blob.platform == "unknown/unknown" else blob.platform


def _package(read: _Read, platform: str) -> Package:
    """A tag says little of what an image is today; so the version has the digest as well."""
    image = read.image
    version = f"{image.tag}@{read.top.digest.short}" if image.tag else str(read.top.digest)
    return Package("oci", image.repository, version, platform, image.host)


def _names(image: Image) -> tuple[str, ...]:
    return str(image), image.repository, image.name, f"{image.name}:{image.tag}"


def _once(items: Sequence[Item]) -> Iterator[Item]:
    """Each path once, sorted: it may be missing only where nobody needs it."""
    found: dict[str, Item] = {}
    for item in items:
        before = found.setdefault(item.path, item)
        if before.may_miss and not item.may_miss:
            found[item.path] = item
    yield from (found[path] for path in sorted(found))


def _path(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.hex}"
