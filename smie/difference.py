"""What differs between two artefacts, file by file: of tars each entry with owner, mode, dates, links, attributes and
content; of configurations each key; of other files where they part.
"""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import IO, cast

from common.errors import Corrupt
from common.model import Artifact, Digest
from common.run import run
from naust import manifest
from naust.listing import name_of
from naust.manifest import Blob, Manifest
from naust.store.interface import Store

CHUNK = 1 << 16
LONGEST = 160  # characters of a line that is shown
PACKED = "application/x-tar+zstd", "application/x-zstd-compressed-tar"
_FIELDS = ("type", "mode", "uid", "gid", "uname", "gname", "size", "mtime", "linkname", "devmajor", "devminor")


@dataclass(frozen=True, slots=True)
class Difference:
    """Where (a path in the artefact, or a part of it), in what, and what the two have there."""

    path: str
    what: str
    one: str
    two: str

    def __str__(self) -> str:
        return f"{self.path}: {self.what}: {self.one} ≠ {self.two}"


def differences(one: tuple[Store, Artifact], two: tuple[Store, Artifact], scratch: Path) -> Iterator[Difference]:
    """What differs between two artefacts of the same kind; nothing if they are the same. `scratch` is a folder."""
    first, second = (_manifest(*each) for each in (one, two))
    if first.digest == second.digest:
        return
    yield from _mapping("manifest", dict(one[1].annotations), dict(two[1].annotations))
    if first.config and second.config and first.config.digest != second.config.digest:
        yield from _mapping("configuration", *(_config(*each) for each in (one, two)))
    for number, (left, right) in enumerate(zip_longest(first.layers, second.layers), 1):
        place = f"layer {number}: " if first.is_container else ""
        if left is None or right is None:
            yield Difference(f"{place}all of it", "is there", _there(left), _there(right))
        elif left.digest != right.digest:
            here, there = _file(one, left, scratch), _file(two, right, scratch)
            found = _of_files(here, there, left.media_type)
            yield from (Difference(place + each.path, each.what, each.one, each.two) for each in found)


def blobs(store: Store, artifact: Artifact) -> tuple[Digest, ...]:
    """What an artefact consists of, without what its manifest says about it."""
    return tuple(blob.digest for blob in _manifest(store, artifact).blobs)


def tars(one: IO[bytes], two: IO[bytes]) -> Iterator[Difference]:
    """What differs between two tars, by path; then whether the order of equal entries does."""
    with tarfile.open(fileobj=one) as left, tarfile.open(fileobj=two) as right:
        mine, others = ({member.name: member for member in archive} for archive in (left, right))
        before = False
        for name in sorted(mine | others):
            for found in _entry(name, mine.get(name), others.get(name), left, right):
                before = True
                yield found
        if not before and list(mine) != list(others):
            here, there = next(pair for pair in zip(mine, others, strict=True) if pair[0] != pair[1])
            yield Difference("all of it", "order of the entries", here, there)


def contents(one: IO[bytes], two: IO[bytes]) -> tuple[str, str, str] | None:
    """Where two files part: the first line that differs if both are text there, else the offset; None if nowhere."""
    offset, line = 0, 1
    while True:
        here, there = one.read(CHUNK), two.read(CHUNK)
        if here == there:
            if not here:
                return None
            offset, line = offset + len(here), line + here.count(b"\n")
            continue
        at = next((n for n, (a, b) in enumerate(zip(here, there, strict=False)) if a != b), min(len(here), len(there)))
        texts = [_line(data, at) for data in (here, there)]
        if all(text is not None for text in texts):
            return f"line {line + here[:at].count(bytes([10]))}", str(texts[0]), str(texts[1])
        bytes_here, bytes_there = (data[at : at + 8].hex(" ") or "its end" for data in (here, there))
        return f"byte {offset + at}", bytes_here, bytes_there


def _entry(
    name: str, one: tarfile.TarInfo | None, two: tarfile.TarInfo | None, left: tarfile.TarFile, right: tarfile.TarFile
) -> Iterator[Difference]:
    if one is None or two is None:
        yield Difference(name, "is there", "no" if one is None else "yes", "no" if two is None else "yes")
        return
    for what in _FIELDS:
        if getattr(one, what) != getattr(two, what):
            yield Difference(name, what, _shown(what, one), _shown(what, two))
    yield from (
        Difference(name, f"attribute {d.path}", d.one, d.two) for d in _mapping("", one.pax_headers, two.pax_headers)
    )
    if one.isreg() and two.isreg():
        mine, other = left.extractfile(one), right.extractfile(two)
        if mine and other and (found := contents(mine, other)):
            yield Difference(name, *found)


def _shown(what: str, member: tarfile.TarInfo) -> str:
    value = getattr(member, what)
    return f"{value:04o}" if what == "mode" else value.decode() if isinstance(value, bytes) else str(value)


def _mapping(place: str, one: object, two: object) -> Iterator[Difference]:
    """The leaves in which two JSON values differ."""
    if isinstance(one, dict) and isinstance(two, dict):
        for key in sorted(one | two):
            yield from _mapping(f"{place} {key}".strip(), one.get(key), two.get(key))
    elif one != two:
        yield Difference(place, "is", *(_short(json.dumps(value, default=str)) for value in (one, two)))


def _line(data: bytes, at: int) -> str | None:
    """The line around a place in a chunk; None unless it is text."""
    start, end = data.rfind(b"\n", 0, at) + 1, data.find(b"\n", at)
    try:
        text = data[start : end if end >= 0 else len(data)].decode()
    except UnicodeDecodeError:
        return None
    return repr(_short(text)) if text.isprintable() or text.replace("\t", "").isprintable() else None


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _there(blob: Blob | None) -> str:
    return "no" if blob is None else str(blob.digest)


def _manifest(store: Store, artifact: Artifact) -> Manifest:
    name = name_of(artifact.reference)
    return manifest.parse(store.manifest(name, str(artifact.digest)), name)


def _config(store: Store, artifact: Artifact) -> object:
    config = _manifest(store, artifact).config
    assert config is not None, "looked at before"
    with store.read(name_of(artifact.reference), config.digest) as file:
        return cast(object, json.load(file))


def _file(where: tuple[Store, Artifact], blob: Blob, scratch: Path) -> Path:
    """A blob as a file; a tar that is packed with zstd unpacked. Raises Corrupt."""
    store, artifact = where
    path = scratch / f"{blob.digest.hex}"
    if not path.exists():
        with store.read(name_of(artifact.reference), blob.digest) as source, path.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
    if blob.media_type not in PACKED:
        return path
    plain = path.with_suffix(".tar")
    if not plain.exists():
        run(("zstd", "-dqf", str(path), "-o", str(plain)))
    return plain


def _of_files(one: Path, two: Path, media_type: str) -> Iterator[Difference]:
    with ExitStack() as stack:
        left, right = (stack.enter_context(path.open("rb")) for path in (one, two))
        if media_type in (*manifest.PLAIN_LAYERS, *PACKED):
            try:
                yield from tars(left, right)
            except tarfile.TarError as error:
                raise Corrupt(f"a layer cannot be read: {error}", resolution="Run the check again.") from error
        elif found := contents(left, right):
            yield Difference("all of it", *found)
