"""Container images out of a snapshot, for docker, crane, skopeo and others that speak the distribution API:

    /v2/snapshot/<set>/<when>/<image>/(manifests|blobs|tags|referrers)/…

A source of images is an OCI image layout (image specification 1.1, image-layout.md): its `index.json` says which name
stands for which manifest. `<image>` is that name without its registry (`library/debian`), or with it
(`docker.io/library/debian`; a port as `host_5000`), or as people write it (`debian`). Read only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from common.errors import Corrupt, NotFound
from common.model import Digest, Kind
from naust import manifest as oci
from naust.content.layout import REF_NAME
from naust.manifest import Blob
from naust.serve.answer import BYTES, Answer, as_json
from naust.serve.blobs import sent
from naust.serve.call import Call, digest_in, name_in
from naust.serve.manifests import media_type
from naust.serve.served import ServedStore
from naust.serve.snapshots import Snapshots
from naust.serve.snapshots_tables import Bounded, Found, Snapshot, State
from naust.serve.snapshots_views import View
from naust.serve.tokens import Right
from naust.store.interface import check_tag

T = TypeVar("T")
_DOCKER = ("docker.io", "index.docker.io", "registry-1.docker.io")
_LARGEST = 4 << 20  # bytes of an index.json
_REMEMBERED = 128  # of them


@dataclass(frozen=True, slots=True)
class Image:
    """One entry of an `index.json`. `names` are those that it is found under, `tag` is '' for one without."""

    names: tuple[str, ...]
    tag: str
    blob: Blob


class Images:
    """The images of all snapshots of a store."""

    def __init__(self, store: ServedStore, snapshots: Snapshots) -> None:
        self._store = store
        self._snapshots = snapshots
        self._indexes: Bounded[Digest, tuple[Image, ...]] = Bounded(_REMEMBERED)
        self._referring: Bounded[Digest, tuple[tuple[Digest, Mapping[str, object]], ...]] = Bounded(_REMEMBERED)

    def handler(self, name: str, start: str, part: str, last: str) -> tuple[dict[str, Callable[[Call], Answer]], str]:
        """What can be done with a path below `/v2/snapshot/<set>/<when>/<image>`, and the code if it is not there."""
        whole = _Named.of(name)
        if start or "uploads" in (part or "") or last == "uploads":
            return {}, "UNSUPPORTED"
        if part == "manifests":
            return {"GET": lambda call: self._manifest(call, whole, last)}, "MANIFEST_UNKNOWN"
        if part == "blobs":
            return {"GET": lambda call: self._blob(call, whole, last)}, "BLOB_UNKNOWN"
        if part == "referrers":
            return {"GET": lambda call: self._referrers(call, whole, last)}, "NAME_UNKNOWN"
        return {"GET": lambda call: self._tags(call, whole)}, "NAME_UNKNOWN"

    def names(self, snapshot: Snapshot) -> Iterator[tuple[str, Image]]:
        """Source and image, for each that a snapshot has. Raises Corrupt."""
        for state in snapshot.states:
            if state.type in ("oci", ""):
                yield from ((state.source, each) for each in self._of(snapshot, state))

    def _manifest(self, call: Call, named: _Named, reference: str) -> Answer:
        view = self._view(call, named)
        if ":" in reference:
            digest = digest_in(reference)
            self._known(view, named)
            kind = self._type_of(view, digest)
        else:
            image = self._tagged(view, named, check_tag(named.name, reference))
            digest, kind = image.blob.digest, image.blob.media_type
            kind = kind if kind in oci.MANIFESTS else self._type_of(view, digest)
        answer = sent(self._store, call.head, digest, kind)
        return answer.having(
            Docker_Content_Digest=str(digest), **_caching(call, view if ":" not in reference else None)
        )

    def _blob(self, call: Call, named: _Named, last: str) -> Answer:
        view, digest = self._view(call, named), digest_in(last)
        if self._found(view, digest) is None:
            raise NotFound(f"{named} has no blob {digest}", resolution=_NEXT)
        answer = sent(self._store, call.head, digest, BYTES)
        return answer.having(Docker_Content_Digest=str(digest), **_caching(call, None))

    def _tags(self, call: Call, named: _Named) -> Answer:
        view = self._view(call, named)
        tags = sorted({each.tag for each in self._known(view, named) if each.tag})
        return as_json({"name": str(named), "tags": tags})

    def _referrers(self, call: Call, named: _Named, last: str) -> Answer:
        """Signatures and the like, which the layout lists without names (distribution specification, "Listing
        Referrers")."""
        view, subject, kind = self._view(call, named), digest_in(last), call.head.asked("artifactType")
        self._known(view, named)
        snapshot = self._snapshots.tables.snapshot(view.name, view.digest)
        every = [each for state in snapshot.states for each in self._attached(snapshot, state) if each[0] == subject]
        found = {str(entry["digest"]): entry for _, entry in every if kind in ("", entry.get("artifactType"))}
        document = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [found[key] for key in sorted(found)]}
        filters = {"OCI_Filters_Applied": "artifactType"} if kind else {}
        return as_json(document, media_type=oci.INDEX).having(**filters)

    # Looking things up

    def _view(self, call: Call, named: _Named) -> View:
        call.need(Right.READ, named.name)
        return self._snapshots.views.view(named.name, named.when)

    def _known(self, view: View, named: _Named) -> list[Image]:
        snapshot = self._snapshots.tables.snapshot(view.name, view.digest)
        every = [image for _, image in self.names(snapshot)]
        found = [image for image in every if named.image in image.names]
        if not found:
            known = ", ".join(dict.fromkeys(image.names[0] for image in every)) or "no images"
            raise NotFound(
                f"{named} is not there", resolution=f"{view.name}:{view.tag or view.when} has {known[:500]}."
            )
        return found

    def _tagged(self, view: View, named: _Named, tag: str) -> Image:
        every = self._known(view, named)
        for image in every:
            if image.tag == tag:
                return image
        known = ", ".join(sorted({image.tag for image in every if image.tag}))
        raise NotFound(f"{named} has no tag {tag}", resolution=f"It has {known[:500] or 'digests alone'}.")

    def _found(self, view: View, digest: Digest) -> Found | None:
        snapshot = self._snapshots.tables.snapshot(view.name, view.digest)
        for state in snapshot.states:
            path = f"{state.source}/" if snapshot.is_set else ""
            found = self._snapshots.find(view, f"{path}blobs/{digest.algorithm}/{digest.hex}")
            if found is not None:
                return found
        return None

    def _type_of(self, view: View, digest: Digest) -> str:
        """The type that a manifest says of itself. Raises NotFound, also for a blob that is none."""
        if self._found(view, digest) is None:
            raise NotFound(f"{view.name} has no manifest {digest}", resolution=_NEXT)
        data = self._store.read_manifest(view.name, str(digest))
        try:
            return media_type(data)
        except (ValueError, AttributeError, TypeError, RecursionError):
            raise NotFound(f"{digest} is no manifest", resolution="That digest is a blob's.") from None

    def _of(self, snapshot: Snapshot, state: State) -> tuple[Image, ...]:
        tables = self._snapshots.tables
        found = tables.find(snapshot.name, state, "index.json")
        if found is None or tables.find(snapshot.name, state, "oci-layout") is None:
            return ()
        return self._indexes.get(found.digest, lambda: self._read(snapshot.name, found.digest))

    def _attached(self, snapshot: Snapshot, state: State) -> tuple[tuple[Digest, Mapping[str, object]], ...]:
        """What refers to manifests of a source: subject and descriptor. Raises Corrupt."""
        found = self._snapshots.tables.find(snapshot.name, state, "index.json")
        if found is None or state.type not in ("oci", ""):
            return ()
        return self._referring.get(found.digest, lambda: tuple(self._subjects(snapshot.name, found.digest)))

    def _subjects(self, name: str, digest: Digest) -> Iterator[tuple[Digest, Mapping[str, object]]]:
        for entry in unnamed(self._index(name, digest)):
            manifest = self._store.read_manifest(name, str(entry["digest"]))
            subject = oci.parse(manifest, str(entry["digest"])).subject
            if subject is not None:
                yield subject, entry

    def _read(self, name: str, digest: Digest) -> tuple[Image, ...]:
        return images(self._index(name, digest))

    def _index(self, name: str, digest: Digest) -> bytes:
        with self._store.read(name, digest) as source:
            data = source.read(_LARGEST)
        if Digest.of(data, digest.algorithm) != digest:
            raise Corrupt(f"an index of images of {name} is damaged", resolution="Run `naust fsck --repair`.")
        return data


@dataclass(frozen=True, slots=True)
class _Named:
    """What stands between /v2/ and the last parts of a path."""

    name: str  # snapshot/<set>
    when: str
    image: str

    @classmethod
    def of(cls, text: str) -> _Named:
        """Raises Failed if the set cannot be one."""
        kind, source, when, image = text.split("/", 3)
        return cls(name_in(f"{kind}/{source}"), when, image)

    def __str__(self) -> str:
        return f"{self.name}/{self.when}/{self.image}"


def is_image(name: str) -> bool:
    """Whether a name of the distribution API is that of an image within a snapshot."""
    return name.startswith(f"{Kind.SNAPSHOT}/") and name.count("/") >= 3


def images(index: bytes) -> tuple[Image, ...]:
    """The entries of an `index.json` that have names. Raises Corrupt."""
    return tuple(_entries(index, lambda each: _image(each) if _ref(each) else None))


def unnamed(index: bytes) -> tuple[dict[str, object], ...]:
    """The entries that have none: what refers to others. Raises Corrupt."""
    return tuple(_entries(index, lambda each: dict[str, object](each) if not _ref(each) and each["digest"] else None))


def _entries(index: bytes, take: Callable[[dict[str, dict[str, str]]], T | None]) -> list[T]:
    try:
        return [found for each in json.loads(index)["manifests"] if (found := take(each)) is not None]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Corrupt(
            "an index of images cannot be read",
            details=f"{type(error).__name__}: {error}",
            resolution="Mirror the source again.",
        ) from error


def _ref(entry: dict[str, dict[str, str]]) -> str:
    return str((entry.get("annotations") or {}).get(REF_NAME, ""))


def _image(entry: dict[str, dict[str, str]]) -> Image:
    path = _ref(entry).partition("@")[0]
    before, colon, tag = path.rpartition(":")
    if not colon or "/" in tag:
        before, tag = path, ""
    return Image(names_of(before), tag, oci.descriptor(entry))


def names_of(path: str) -> tuple[str, ...]:
    """What an image is found under: with its registry, without, and as people write those of Docker's."""
    host, _, rest = path.partition("/")
    if not rest or not (set(host) & set(".:") or host == "localhost"):
        host, rest = "", path
    short = (rest.removeprefix("library/"),) if not host or host in _DOCKER else ()
    whole = (f"{host.replace(':', '_')}/{rest}",) if host else ()
    return tuple(dict.fromkeys((rest, *whole, *short)))


def _caching(call: Call, view: View | None) -> dict[str, str]:
    """A digest never changes, nor does a tag in a snapshot that does not."""
    lasting = view is None or view.fixed
    whose = "public" if call.anonymous else "private"
    return {"Cache_Control": f"{whose}, max-age=31536000, immutable" if lasting else "no-cache"}


_NEXT = "Pull by a tag or a digest that the snapshot has; `tags/list` shows its tags."
