"""Directories out of a store: unpacked, or one file of them."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, cast

from common.console import Report, amount
from common.errors import BadInput, Conflict, Corrupt, NotFound
from common.files import CHUNK, sync_folder
from common.model import Artifact, Event
from naust.content.tree import FILE, HARDLINK, Entry, read_index
from naust.content.tree_unpack import Rules, remove, unpack
from naust.listing import name_of
from naust.manifest import TAR, Blob, Manifest
from naust.pull import manifest_of
from naust.push import checked_title
from naust.store.incoming import explained, incoming
from naust.store.interface import Store
from naust.transfer import delta
from naust.transfer.partial import Partial, partial
from naust.transfer.pulled import Pulled
from naust.transfer.push_blobs import silent
from naust.transfer.verified import fetch

_MOST_PARTS = 100_000  # pieces of a sparse file


def get_folder(
    store: Store,
    artifact: Artifact,
    target: Path,
    *,
    owners: bool | None = None,
    seed: Path | None = None,
    report: Report = silent,
) -> Pulled:
    """Unpack a directory, or another artefact that is one uncompressed tar, as `target`, or into it under its own name
    if that is there already and not empty. `owners` as in naust.content.tree_unpack; None: for root.

    The tar is fetched first and checked, so a pull that was broken off is gone on with; then it is unpacked beside the
    target, checked, and renamed. Raises Conflict if something is there; Corrupt, with nothing left, if the content is
    damaged or unsafe; BadInput if it is no directory; Denied for devices without being root.
    """
    read, whole = manifest_of(store, artifact), str(artifact.reference)
    tar = _tar(artifact, read)
    path = _place(target, read, whole)
    if os.path.lexists(path) and not (path.is_dir() and not path.is_symlink() and not any(path.iterdir())):
        raise Conflict(f"{path} is there already", resolution="Move it away, or name another place.")
    with explained(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial(path, tar) as part, _index(store, artifact, read) as index:
            report(Event("fetch", f"blob {tar.digest.short}", amount(tar.size)))
            moved, _ = delta.bring(store, artifact, tar, part, sparse=False, seed=seed)
            report(Event("unpack", str(path)))
            rules = Rules(whole, artifact.reference.kind, os.geteuid() == 0 if owners is None else owners)
            _unpack(part, path, rules, read_index(index, whole) if index else None)
            part.path.unlink()
    delta.pulled(artifact, path, None)
    report(Event("unpacked", str(path)))
    size = read.config.size if index is not None and read.config else 0
    return Pulled(str(path), whole, artifact.digest, read.digest, moved.fetched + size, moved.reused)


def get_member(store: Store, artifact: Artifact, wanted: str, target: Path) -> Pulled:
    """One file of a directory, by its path in it, to `target`, or into it under its own name if that is a folder. Only
    the index and the file's bytes are fetched (Range).

    Raises NotFound if there is no such file, Corrupt if the bytes are not its own, Conflict if something is there.
    """
    read, whole = manifest_of(store, artifact), str(artifact.reference)
    with _index(store, artifact, read) as index:
        if index is None:
            raise BadInput(f"{whole} is no directory", resolution="Leave out --file: it is one file itself.")
        entry = _find(index, wanted, whole)
    tar, name = read.layers[0], name_of(artifact.reference)
    path = target / checked_title(wanted.rstrip("/").rpartition("/")[2], whole) if target.is_dir() else target
    with explained(path.parent), incoming(path.parent, prefix=".naust-", mode=0o666) as file:
        stored = _copy(store, name, tar, entry, file.file, whole)
        if entry.mode & 0o100:
            readable = os.fstat(file.file.fileno()).st_mode & 0o444
            os.fchmod(file.file.fileno(), 0o200 | readable | readable >> 2)
        try:
            file.become_new(path)
        except FileExistsError as error:
            raise Conflict(f"{path} is there already", resolution="Move it away, or name another place.") from error
    assert read.config is not None
    return Pulled(str(path), whole, artifact.digest, read.digest, read.config.size + stored)


def _copy(store: Store, name: str, tar: Blob, entry: Entry, file: IO[bytes], whole: str) -> int:
    """The bytes of a file out of the tar, holes as holes; how many were read. Raises Corrupt."""
    parts = entry.map or ((0, entry.size),)
    total, at, offset = hashlib.sha256(), 0, entry.offset
    if len(parts) > _MOST_PARTS or offset < 0 or sum(length for _, length in parts) + offset > tar.size:
        raise _wrong(entry, whole)
    length = sum(length for _, length in parts)
    with store.read(name, tar.digest, offset, length) as source:
        for start, count in parts:
            if start < at or count < 0 or start + count > entry.size:
                raise _wrong(entry, whole)
            _zeros(total, start - at)
            file.seek(start)
            _pass(source, count, file, total)
            at = start + count
    _zeros(total, entry.size - at)
    file.truncate(entry.size)
    if total.hexdigest() != entry.sha256:
        raise _wrong(entry, whole)
    return length


def _pass(source: BinaryIO, count: int, file: IO[bytes], total: hashlib._Hash) -> None:
    while count:
        piece = source.read(min(count, CHUNK))
        if not piece:
            return  # the hash will say so
        total.update(piece)
        file.write(piece)
        count -= len(piece)


def _zeros(total: hashlib._Hash, count: int) -> None:
    zeros = bytes(min(count, CHUNK))
    while count > 0:
        total.update(zeros[:count])
        count -= CHUNK


def _find(index: BinaryIO, wanted: str, whole: str) -> Entry:
    """The file at this path; for another name of a file, that file. Raises NotFound, BadInput."""
    path = "/".join(part for part in wanted.split("/") if part not in ("", "."))
    found = _look(index, path, whole)
    if found is not None and found.type == HARDLINK:
        found = _look(index, found.target, whole)
    if found is None:
        raise NotFound(f"{whole} has no {wanted}", resolution="Pull all of it to see what it holds.")
    if found.type != FILE:
        leads = f", which leads to {found.target}" if found.target else ""
        raise BadInput(f"{wanted} of {whole} is a {found.type}{leads}", resolution="Name a file.")
    return found


def _look(index: BinaryIO, path: str, whole: str) -> Entry | None:
    index.seek(0)
    return next((entry for entry in read_index(index, whole) if entry.path == path), None)


def _tar(artifact: Artifact, read: Manifest) -> Blob:
    if len(read.layers) != 1 or not (read.is_folder or read.layers[0].media_type == TAR):
        raise BadInput(
            f"{artifact.reference} is neither a directory nor one uncompressed tar",
            resolution="Pull it to a file, or a container image to docker: or oci:FOLDER.",
        )
    return read.layers[0]


def _place(target: Path, read: Manifest, whole: str) -> Path:
    if not target.is_dir() or not any(target.iterdir()):
        return target
    return target / checked_title(read.title.removesuffix(".tar"), whole)


@contextmanager
def _index(store: Store, artifact: Artifact, read: Manifest) -> Iterator[BinaryIO | None]:
    """A directory's index, checked, in a file that goes at the end; None for a tar without one."""
    if not read.is_folder or read.config is None:
        yield None
        return
    whole = str(artifact.reference)
    with tempfile.TemporaryFile(prefix="naust-index-") as file:
        fetch(store, name_of(artifact.reference), read.config, file.fileno(), whole)
        yield cast(BinaryIO, file)


def _unpack(part: Partial, path: Path, rules: Rules, index: Iterator[Entry] | None) -> None:
    work = Path(tempfile.mkdtemp(prefix=".naust-", dir=path.parent))
    try:
        tree = work / "tree"  # in a folder that nobody else may enter
        tree.mkdir()
        with io.FileIO(part.descriptor, "rb", closefd=False) as source:
            source.seek(0)
            unpack(cast(BinaryIO, source), tree, rules, index)
        _sync_all(work)
        tree.rename(path)
        sync_folder(path.parent)
    finally:
        remove(work)


def _sync_all(folder: Path) -> None:
    """Make all that was unpacked durable at once (syncfs(2)); one fsync for each file takes far longer."""
    from ctypes import CDLL

    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if CDLL(None, use_errno=True).syncfs(descriptor):
            os.sync()
    finally:
        os.close(descriptor)


def _wrong(entry: Entry, whole: str) -> Corrupt:
    return Corrupt(
        f"{entry.path!r} of {whole} is damaged",
        details=f"Its bytes are not those of sha256:{entry.sha256}.",
        resolution="Nothing was written. Push the directory again.",
    )
