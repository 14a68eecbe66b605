"""`naust export --system`: bring a system and all that belongs to it onto a disk.

First everything is looked up and counted, and held against the room that there is; then only what the disk lacks is
written; what it has from an earlier export and does not belong to it any more goes. MANIFEST goes first and comes last,
so that a disk on which something broke does not pass for one that is whole.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from common.catalog import Catalog
from common.console import Report, amount
from common.errors import BadInput, Error
from common.files import write_atomically
from common.lock import lease
from common.model import Artifact, Digest, Event
from naust import copy as copying
from naust import reach
from naust.export import contents, texts
from naust.export.tools import PYTHONS, Places, gather
from naust.export.wanted import Wanted
from naust.gc import collect
from naust.listing import name_of
from naust.proof.keys import SigningKey
from naust.proof.revocations import LISTS_NAME, LISTS_TAG
from naust.source import snapshot as snapshots
from naust.store.directory import DirectoryStore
from naust.store.interface import Store
from naust.transfer.parallel import AT_ONCE, each

STORE, SYSTEMS, TOOLS = "store", "systems", "tools"
_BLOCK = 4096  # bytes that a file system rounds up to
_SPARE = 16 << 20  # bytes for lists and folders
_HIDDEN = shutil.ignore_patterns(".*", "__pycache__", "*.pyc")


@dataclass(frozen=True, slots=True)
class Options:
    """What goes with the artefacts. `tools` is a folder with the tools of an earlier export, None to make them;
    without `with_tools` the disk has none."""

    with_tools: bool = True
    tools: Path | None = None
    python: tuple[str, ...] = ()
    at_once: int = AT_ONCE


@dataclass(frozen=True, slots=True)
class Exported:
    """What is on the disk. `sent` bytes of artefacts and sources were not there before; `removed` names and blobs were
    there and are not part of it; `nowhere` sources are not on it."""

    folder: str
    files: int
    size: int
    sent: int
    removed: int
    artifacts: tuple[str, ...]
    snapshots: tuple[str, ...]
    nowhere: tuple[str, ...]
    unknown: tuple[str, ...]
    signed_by: str


def export(
    store: Store,
    catalog: Catalog,
    systems: Sequence[str],
    wanted: Wanted,
    folder: Path,
    options: Options = Options(),
    *,
    key: SigningKey | None = None,
    report: Report = lambda event: None,
) -> Exported:
    """Make the disk what is wanted. Run again it adds what is missing, and finishes what broke off.

    Raises BadInput if the folder holds something else; Conflict if another export writes there; Error if there is no
    room, with how much is needed, before anything is written; Partial or Corrupt if artefacts cannot be copied.
    """
    _check_ours(folder)
    with _explained(folder), tempfile.TemporaryDirectory(prefix="naust-export-") as work:
        tools = Path(work) / TOOLS
        tools.mkdir()
        if options.with_tools:
            gather(tools, _places(store, wanted, folder), options.tools, options.python, report)
        definitions = Path(work) / SYSTEMS
        _definitions(catalog, systems, definitions)
        _check_room(store, wanted, folder, (tools, definitions), report)
        with _under_way(folder):
            contents.begin(folder)
            sent, removed = _artifacts(store, wanted, DirectoryStore((folder / STORE).absolute()), options, report)
            _replace(folder / SYSTEMS, definitions)
            _replace(folder / TOOLS, tools if options.with_tools else None)
            _texts(folder, systems, wanted, options.with_tools)
            _swept(folder)
            found = contents.finish(folder, key)
    return Exported(
        folder=str(folder),
        files=len(found),
        size=sum(entry.size for entry in found),
        sent=sent,
        removed=removed,
        artifacts=tuple(str(each.reference) for each in wanted.artifacts),
        snapshots=tuple(str(each.reference) for each in wanted.snapshots),
        nowhere=tuple(f"{each.part} {each.name} {each.version}" for each in wanted.nowhere),
        unknown=wanted.unknown,
        signed_by=key.public.name if key else "",
    )


def _check_ours(folder: Path) -> None:
    """Raises BadInput for a folder in which there is something that no export made: it would go."""
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is no folder", resolution="Name a folder, or one to be made.")
    ours = any((folder / name).exists() for name in (contents.MANIFEST, contents.INCOMPLETE, contents.SUMS))
    names = sorted(path.name for path in folder.iterdir() if path.name != "lost+found") if folder.is_dir() else []
    if names and not ours:
        raise BadInput(
            f"{folder} holds something that is no export: {', '.join(names[:5])}",
            resolution="Name an empty folder, or one with an earlier export. Nothing was changed.",
        )


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """What the operating system says, as something that a person can act on."""
    try:
        yield
    except (OSError, shutil.Error) as error:
        raise Error(
            f"{folder} could not be written",
            details=str(error),
            resolution=f"See that there is room there and in {tempfile.gettempdir()}, and that both may be written; "
            "then run the same export again, which goes on where it was.",
        ) from error


@contextmanager
def _under_way(folder: Path) -> Iterator[None]:
    """One export at a time; the mark goes when it is done, and stays when it breaks."""
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / contents.INCOMPLETE
    with lease(mark, "naust export"):
        yield
        mark.unlink()


def _places(store: Store, wanted: Wanted, folder: Path) -> Places:
    found = (snapshots.named(store, str(each.reference)) for each in wanted.snapshots)
    states = {state.manifest.digest: state for one in found for state in one.states if state.type == "pypi"}
    return Places(store, tuple(states.values()), folder / TOOLS)


# Room


def _check_room(store: Store, wanted: Wanted, folder: Path, more: Sequence[Path], report: Report) -> None:
    """Say how much is needed and how much there is. Raises Error if that is not enough."""
    dest = DirectoryStore((folder / STORE).absolute())
    blobs = {digest: size for one in (*wanted.artifacts, *wanted.snapshots) for digest, size in _blobs(store, one)}
    sizes = [size for digest, size in blobs.items() if dest.stat(LISTS_NAME, digest) != size]
    files = [path for top in more for path in top.rglob("*") if path.is_file()]
    sizes += [_growth(path, folder / path.relative_to(more[0].parent)) for path in files]
    needed = sum(-(-size // _BLOCK) * _BLOCK for size in sizes) + _SPARE
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    room = os.statvfs(there)
    free = room.f_bavail * room.f_frsize
    report(Event("needs", str(folder), f"{amount(needed)} ({needed} bytes); {amount(free)} are free"))
    if needed > free:
        raise Error(
            f"there is no room for it in {folder}",
            details=f"{needed} bytes are needed, {free} are free: {amount(needed - free)} too little.",
            resolution="Nothing was written. Use a larger disk, or make room there.",
        )


def _growth(path: Path, there: Path) -> int:
    size = path.stat().st_size
    return 0 if there.is_file() and there.stat().st_size == size else size


def _blobs(store: Store, artifact: Artifact) -> Iterator[tuple[Digest, int]]:
    """Everything that goes with it, manifests too. Raises Corrupt."""
    name = name_of(artifact.reference)
    for node in reach.around(store, name, reach.node(store, name, artifact.digest)):
        yield node.digest, len(node.data)
        yield from ((blob.digest, blob.size) for blob in node.read.blobs)


# Writing


def _artifacts(store: Store, wanted: Wanted, dest: DirectoryStore, options: Options, report: Report) -> tuple[int, int]:
    """Copy what is wanted and take away what is not: bytes sent, names and blobs removed."""
    references = list(wanted.references)
    if LISTS_TAG in store.tags(LISTS_NAME):
        references.append(f"{LISTS_NAME}:{LISTS_TAG}")
    found = copying.copy(store, dest, references, copying.Options(at_once=options.at_once), report)
    copying.check(found, dest)
    keep = set(references)
    stale = [(name, tag) for name, tag in dest.roots() if f"{name}:{tag}" not in keep]
    for name, tag in stale:
        report(Event("remove", f"{name}:{tag}", "is not part of it any more"))
        dest.delete_tag(name, tag)
    gone = collect(dest, grace=timedelta(0)).deleted if stale else 0
    return sum(each.sent for each in found), len(stale) + gone


def _definitions(catalog: Catalog, systems: Sequence[str], target: Path) -> None:
    """The named systems, all roles and bases, and what lies beside them, such as the definition of sources."""
    others = set(catalog.systems()) - set(systems)
    target.mkdir()
    for path in sorted(catalog.folder.iterdir()):
        if path.name in others or path.name.startswith(".") or path.name == "__pycache__":
            continue
        if path.is_dir():
            shutil.copytree(path, target / path.name, ignore=_HIDDEN)
        else:
            shutil.copyfile(path, target / path.name)


def _replace(target: Path, source: Path | None) -> None:
    """Let a folder of the disk have what the other one has, nothing if there is none; what is the same stays."""
    wanted = {path.relative_to(source): path for path in source.rglob("*") if path.is_file()} if source else {}
    for path in sorted(target.rglob("*"), reverse=True):  # what is in a folder before the folder
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.relative_to(target) not in wanted or path.is_symlink():
            path.unlink()
    new: dict[Path, None] = {}
    for name, path in sorted(wanted.items()):
        there = target / name
        if not there.is_file() or not filecmp.cmp(path, there, shallow=False):
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, there)
            new |= {there: None, there.parent: None}
    each(_durable, new, 8)


def _durable(path: Path) -> None:
    """On the disk, not only on its way there (fsync(2)): sync(2) would wait for whatever else this machine writes."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _texts(folder: Path, systems: Sequence[str], wanted: Wanted, with_tools: bool) -> None:
    pythons = (folder / TOOLS / PYTHONS).read_text().split() if with_tools else []
    artifacts = [f"{each.reference}  {each.digest}" for each in wanted.artifacts]
    dated = [f"{each.reference}  {each.digest}" for each in wanted.snapshots]
    write_atomically(folder / "README", texts.readme(systems, artifacts, dated, pythons))
    (folder / "install").unlink(missing_ok=True)
    if with_tools:
        write_atomically(folder / "install", texts.install(systems, pythons), 0o755)


def _swept(folder: Path) -> None:
    """Nothing of what passes stays, nor anything that an earlier, broken export left."""
    known = {STORE, SYSTEMS, TOOLS, "README", "install", contents.INCOMPLETE, "lost+found"}
    for path in folder.iterdir():
        if path.name not in known:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for path in (folder / STORE).iterdir():
        if contents.is_passing(f"{STORE}/{path.name}"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
