"""The three tools with all that they need, as wheels that pip installs without a network, every one with its hash.

Where they come from: the locked ones (requirements.txt beside the source) that the disk has already or that a pypi
source of the snapshot has; the rest by pip as this machine has it configured, held against the lock's hashes. What is
published as source alone becomes a wheel here, by the locked setuptools; so does our own, from the source that runs.
Where the tools run without their source, as they do when they were installed from a disk, that disk's folder `tools`
has all of it.

Wheels: https://packaging.python.org/en/latest/specifications/binary-distribution-format/; requirements files in
hash-checking mode: https://pip.pypa.io/en/stable/topics/secure-installs/.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import common
from common.console import Report
from common.errors import BadInput, Corrupt, Error, Unavailable
from common.files import file_digest, write_atomically
from common.model import Digest, Event
from common.run import CommandFailed, run
from naust.source import snapshot as snapshots
from naust.source.pypi_lock import Pin, pins
from naust.source.pypi_tags import Target, targets
from naust.source.snapshot import State
from naust.source.state import File
from naust.store.interface import Store
from naust.transfer.verified import chunks

LOCK = "requirements.txt"
PYTHONS = "pythons"  # file of the versions of Python that the wheels are for, a line each
_ROOMS = ("common", "smie", "naust", "seter")
_FILES = ("pyproject.toml", "requirements.in", "README.md", "LICENSE")
_BUILD = ("--no-deps", "--no-build-isolation")
_EPOCH = "315532800"  # 1980-01-01, before which a zip knows no time: the same source makes the same wheel


@dataclass(frozen=True, slots=True)
class Places:
    """Where wheels may be found: `old` is the disk's own folder, `states` the pypi sources of snapshots in `store`."""

    store: Store
    states: tuple[State, ...]
    old: Path


def gather(
    folder: Path, places: Places, given: Path | None, python: Sequence[str] = (), report: Report = lambda event: None
) -> None:
    """Bring all wheels and `requirements.txt` into an empty folder, from `given` if it is one that an earlier export
    made. `python`: versions such as 3.13 to bring wheels for, beside the one that runs.

    Raises BadInput if the source is not there or a requirement has no wheel; Corrupt if a given wheel is not what its
    hash says; Unavailable if pip cannot get at its index.
    """
    if given is not None:
        _copy(given, folder)
        return
    source = _source()
    versions = tuple(dict.fromkeys((_own_python(), *python)))
    own = _own_wheel(source, folder, report)
    for version in versions:
        (target,) = targets(version, ())
        _locked(folder, source / LOCK, target, places, report)
    _write_lock(folder, own)
    write_atomically(folder / PYTHONS, "".join(f"{version}\n" for version in versions))


def _own_python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _source() -> Path:
    root = Path(common.__file__).resolve().parents[1]
    if not all((root / name).is_file() for name in (*_FILES, LOCK)):
        raise BadInput(
            "these tools run without their source, so no wheel can be made of them",
            resolution="Give --tools DIR/tools of the disk that they were installed from.",
        )
    return root


def _copy(given: Path, folder: Path) -> None:
    """The wheels of an earlier export, each held against the lock there."""
    try:
        text = (given / LOCK).read_text()
        shutil.copyfile(given / PYTHONS, folder / PYTHONS)
    except OSError as error:
        raise BadInput(
            f"{given} is no folder of tools", details=str(error), resolution="Name DIR/tools of an earlier export."
        ) from error
    for path in sorted(given.glob("*.whl")):
        shutil.copyfile(path, folder / path.name)
        if file_digest(folder / path.name).hex not in text:
            raise Corrupt(f"{path} is not in {given / LOCK}", resolution="Use a disk that verifies: naust import.")
    write_atomically(folder / LOCK, text)


# Ours


def _own_wheel(source: Path, folder: Path, report: Report) -> Path:
    """Built beside the source: setuptools leaves its own things where it builds."""
    report(Event("build", "the wheel of smie, naust and seter"))
    work = folder / ".source"
    for room in _ROOMS:
        shutil.copytree(source / room, work / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in _FILES:
        shutil.copyfile(source / name, work / name)
    try:
        _pip(["wheel", *_BUILD, "--wheel-dir", str(folder), str(work)], SOURCE_DATE_EPOCH=_EPOCH)
    except CommandFailed as error:
        raise Error(
            "no wheel can be made of these tools", details=error.details, resolution="Run `make setup`, then try again."
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    (made,) = folder.glob("seter-*.whl")
    return made


# What they need


def _locked(folder: Path, lock: Path, target: Target, places: Places, report: Report) -> None:
    wanted = pins([str(lock)], target.environments())
    there = {(name, version) for name, version, _ in map(_named, _wheels(folder, target))}
    left = [pin for pin in wanted if (pin.project, str(pin.version)) not in there]
    left = list(_from_folder(left, target, places.old, folder))
    left = list(_from_states(left, target, places, folder, report))
    if left:
        report(Event("download", f"{len(left)} packages", f"for Python {target.python}, by pip"))
        _download(left, target, folder)


def _wheels(folder: Path, target: Target) -> list[Path]:
    return [path for path in sorted(folder.glob("*.whl")) if _fits(path.name, target)]


def _from_folder(wanted: Sequence[Pin], target: Target, old: Path, folder: Path) -> Iterator[Pin]:
    """Take what the disk has already; what it has not."""
    by_digest = {file_digest(path): path for path in _wheels(old, target)}
    for pin in wanted:
        found = next((by_digest[digest] for digest in pin.hashes if digest in by_digest), None)
        if found is None:
            yield pin
        else:
            shutil.copyfile(found, folder / found.name)


def _from_states(wanted: Sequence[Pin], target: Target, places: Places, folder: Path, report: Report) -> Iterator[Pin]:
    """Take what the snapshots have, wheels first; what they have not."""
    hashes = {digest for pin in wanted for digest in pin.hashes}
    there: dict[Digest, tuple[State, File]] = {}
    for state in places.states if wanted else ():
        there |= {
            file.blob.digest: (state, file)
            for file in snapshots.files_of(places.store, state)
            if file.blob.digest in hashes and (_fits(_name(file), target) or not _name(file).endswith(".whl"))
        }
    for pin in wanted:
        found = [there[digest] for digest in pin.hashes if digest in there]
        if not found:
            yield pin
            continue
        state, file = min(found, key=lambda each: not _name(each[1]).endswith(".whl"))
        report(Event("take", _name(file), f"from {state.source}"))
        _take(places.store, state, file, folder)


def _take(store: Store, state: State, file: File, folder: Path) -> None:
    path = folder / _name(file)
    with chunks(store, state.name, file.blob, file.path) as pieces, path.open("wb") as target:
        for piece in pieces:
            target.write(piece)
    if path.suffix != ".whl":
        try:
            _pip(["wheel", *_BUILD, "--no-index", "--wheel-dir", str(folder), str(path)], SOURCE_DATE_EPOCH=_EPOCH)
        except CommandFailed as error:
            raise _no_wheels(path.name, error, BadInput) from error
        finally:
            path.unlink()


def _name(file: File) -> str:
    return file.path.rpartition("/")[2]


def _named(path: Path) -> tuple[str, str, str]:
    from packaging.utils import parse_wheel_filename

    name, version, _, _ = parse_wheel_filename(path.name)
    return name, str(version), path.name


def _fits(name: str, target: Target) -> bool:
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    with suppress(InvalidWheelFilename):
        return bool(parse_wheel_filename(name)[3] & target.wheels)
    return False


def _download(wanted: Iterable[Pin], target: Target, folder: Path) -> None:
    """By pip; for another Python than ours only what is a wheel already."""
    lock = folder / ".wanted.txt"
    lines = (f"{pin.project}=={pin.version} {' '.join(f'--hash={each}' for each in sorted(pin.hashes))}\n"
             for pin in wanted)  # fmt: skip
    lock.write_text("".join(lines))
    argv = ["--require-hashes", "--requirement", str(lock)]
    if target.python == _own_python():
        argv = ["wheel", *_BUILD, "--wheel-dir", str(folder), *argv]
    else:
        platforms = [word for tag in target.tags for word in ("--platform", tag)]
        only = ["--no-deps", "--only-binary=:all:", f"--python-version={target.python}", "--implementation=cp"]
        argv = ["download", *only, *platforms, "--dest", str(folder), *argv]
    try:
        _pip(argv, SOURCE_DATE_EPOCH=_EPOCH)
    except CommandFailed as error:
        lost = any(word in error.details for word in ("Could not fetch", "Connection", "Retrying"))
        raise _no_wheels(f"Python {target.python}", error, Unavailable if lost else BadInput) from error
    finally:
        lock.unlink()


def _no_wheels(what: str, error: CommandFailed, kind: type[Error]) -> Error:
    return kind(
        f"pip cannot get wheels of what the tools need, for {what}",
        details=_masked(error.details),
        resolution="See that pip's index answers and has them; or mirror them by a pypi source whose lock is "
        f"{LOCK}, and export with that snapshot; or give --tools DIR/tools of an earlier export.",
    )


def _masked(text: str) -> str:
    """Without what stands between :// and @: an index's URL may hold a password."""
    import re

    return re.sub(r"://[^/@\s]+@", "://***@", text)


def _write_lock(folder: Path, own: Path) -> None:
    """What pip is told on the other side: each project in its version, with the hashes of the wheels that are here."""
    projects: dict[tuple[str, str], list[str]] = {}
    for path in sorted(folder.glob("*.whl")):
        name, version, _ = _named(path)
        projects.setdefault((name, version), []).append(f"--hash={file_digest(path)}")
    head = f"# What `sh install` installs; {own.name} is smie, naust and seter.\n"
    lines = (f"{name}=={version} {' '.join(sorted(hashes))}\n" for (name, version), hashes in sorted(projects.items()))
    write_atomically(folder / LOCK, head + "".join(lines))


def _pip(argv: Sequence[str], **more: str) -> None:
    from common.run import environment

    quiet = ("--quiet", "--disable-pip-version-check", "--no-input", "--no-color")
    extra: Mapping[str, str] = {"PYTHONDONTWRITEBYTECODE": "1", **more}
    own = {name: os.environ[name] for name in ("PIP_NO_INDEX", "PIP_CACHE_DIR") if name in os.environ}
    run([sys.executable, "-m", "pip", argv[0], *quiet, *argv[1:]], env=environment(own | dict(extra)))
