"""What is on a disk: MANIFEST, its signature, and SHA256SUMS, written last and checked first.

MANIFEST is text: a line that names the format, then for each file its path, size in bytes and SHA-256 between tabs,
sorted by path. SHA256SUMS is what sha256sum(1) reads. The signature is a Sigstore bundle around a DSSE envelope, an
in-toto statement about the digest of MANIFEST, as naust signs artefacts.
"""

from __future__ import annotations

import os
import re
import stat
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.console import Report
from common.errors import Corrupt
from common.files import file_digest, write_atomically
from common.model import Digest, Event
from naust.proof import bundle
from naust.proof.bundle import Subject
from naust.proof.keys import PublicKey, SigningKey
from naust.sign import sealed
from naust.transfer.parallel import each

MANIFEST, SIGNATURE, SUMS, INCOMPLETE = "MANIFEST", "MANIFEST.sigstore.json", "SHA256SUMS", "INCOMPLETE"
PURPOSE = "export"
_HEAD = "naust-export 1"
_OURS = (MANIFEST, SIGNATURE, SUMS, INCOMPLETE)
_LINE = re.compile(r"([^\t]+)\t([0-9]{1,18})\t([0-9a-f]{64})")
_BLOB = re.compile(r"store/blobs/sha256/([0-9a-f]{64})")
# What whoever reads a store leaves in it: its index and its locks. All of it is checked where it is used, or empty.
_PASSING = re.compile(r"store/\.(?:index-[^/]*|incoming|locks|holds)(?:/.*)?")
_LARGEST = 1 << 30  # bytes of MANIFEST: some millions of files
_SHOWN = 200
_THREADS = 2


@dataclass(frozen=True, slots=True)
class Entry:
    """One file."""

    path: str
    size: int
    digest: Digest


@dataclass(frozen=True, slots=True)
class Checked:
    """A disk that is whole. `size` in bytes; `signer` is the key that signed it, '' if no key was asked for, and
    `is_signed` says only that a signature is there."""

    files: int
    size: int
    signer: str
    is_signed: bool


def is_passing(path: str) -> bool:
    """Whether a file below the disk is only what a reader of the store left."""
    return _PASSING.fullmatch(path) is not None


def finish(folder: Path, key: SigningKey | None) -> tuple[Entry, ...]:
    """Write MANIFEST, its signature and, last, SHA256SUMS. Blobs of the store are taken to be what they are called:
    the store looked when it wrote them, and whoever checks the disk looks again."""
    found = tuple(_entry(folder, path) for path in _files(folder))
    text = _written(found)
    write_atomically(folder / MANIFEST, text)
    others = [Entry(MANIFEST, len(text), Digest.of(text))]
    (folder / SIGNATURE).unlink(missing_ok=True)
    if key is not None:
        signature = _signature(key, text)
        write_atomically(folder / SIGNATURE, signature)
        others.append(Entry(SIGNATURE, len(signature), Digest.of(signature)))
    write_atomically(folder / SUMS, _sums((*found, *others)))
    return found


def begin(folder: Path) -> None:
    """From now on the disk is none, until `finish`."""
    for name in (SUMS, MANIFEST, SIGNATURE):
        (folder / name).unlink(missing_ok=True)


def check(folder: Path, keys: Sequence[PublicKey] = (), *, quick: bool = False, report: Report) -> Checked:
    """See that everything is there, unchanged, and nothing else; with keys, that one of them signed it. `quick` looks
    at names and sizes alone. Raises Corrupt, naming every file that is wrong."""
    text = _read(folder, MANIFEST)
    entries = _parsed(text)
    signer, signature = _signed_by(folder, text, keys)
    total = sum(entry.size for entry in entries)
    report(Event("check", str(folder), f"{len(entries)} files, {total} bytes"))
    wrong = _wrong_sums(folder, entries, text, signature)
    wrong += _differences(folder, {entry.path: entry for entry in entries}, quick)
    if wrong:
        raise _damaged(folder, wrong)
    return Checked(len(entries), total, signer, signature is not None)


# MANIFEST


def _files(folder: Path) -> Iterator[str]:
    """Paths of all files but ours, sorted. Raises Corrupt for what is neither file nor folder."""
    found: list[str] = []
    for where, folders, files in os.walk(folder):
        below = os.path.relpath(where, folder)
        for name in (*files, *(name for name in folders if (Path(where) / name).is_symlink())):
            path = name if below == "." else f"{below}/{name}"
            if path in _OURS or is_passing(path):
                continue
            if not stat.S_ISREG((folder / path).lstat().st_mode) or not path.isprintable() or "\\" in path:
                raise Corrupt(f"{path!r} is no plain file", resolution=f"Take it away from {folder}.")
            found.append(path)
    return iter(sorted(found))


def _entry(folder: Path, path: str) -> Entry:
    called = _BLOB.fullmatch(path)
    digest = Digest("sha256", called[1]) if called else file_digest(folder / path)
    return Entry(path, (folder / path).stat().st_size, digest)


def _written(entries: Sequence[Entry]) -> bytes:
    return "".join((f"{_HEAD}\n", *(f"{e.path}\t{e.size}\t{e.digest.hex}\n" for e in entries))).encode()


def _parsed(text: bytes) -> tuple[Entry, ...]:
    """The entries, if writing them gives the same text again."""
    try:
        head, *lines = text.decode().removesuffix("\n").split("\n")
        entries = tuple(map(_read_line, lines))
        if head != _HEAD or text != _written(entries):
            raise ValueError(f"it does not begin with {_HEAD!r}, or is not as we write it")
    except ValueError as error:
        raise Corrupt(
            f"{MANIFEST} cannot be read", details=str(error), resolution="Export again, or use a newer naust."
        ) from error
    return entries


def _read_line(line: str) -> Entry:
    read = _LINE.fullmatch(line)
    if read is None or not _is_below(read[1]):
        raise ValueError(f"{line[:200]!r} is no line of it")
    return Entry(read[1], int(read[2]), Digest("sha256", read[3]))


def _is_below(path: str) -> bool:
    return not any(part in ("", ".", "..") for part in path.split("/"))


def _sums(entries: Sequence[Entry]) -> bytes:
    return "".join(f"{e.digest.hex}  {e.path}\n" for e in sorted(entries, key=lambda e: e.path)).encode()


def _signature(key: SigningKey, text: bytes) -> bytes:
    subject = Subject((str(Digest.of(text)),), MANIFEST, ((bundle.PURPOSE, PURPOSE),))
    return sealed(key, bundle.statement(subject, bundle.SIGNATURE, {}))


# Checking


def _read(folder: Path, name: str) -> bytes:
    if (folder / INCOMPLETE).exists():
        raise Corrupt(
            f"{folder} is not complete: an export broke off, or is under way",
            resolution="Run the same export again; what is there is not copied twice.",
        )
    try:
        if (folder / name).stat().st_size > _LARGEST:
            raise Corrupt(f"{folder / name} is larger than any list", resolution="Export again.")
        return (folder / name).read_bytes()
    except OSError as error:
        raise Corrupt(
            f"{folder} is no export: {name} cannot be read", details=str(error), resolution="Name another folder."
        ) from error


def _signed_by(folder: Path, text: bytes, keys: Sequence[PublicKey]) -> tuple[str, bytes | None]:
    """Name of the key that signed it, and the signature's file. Raises Corrupt if keys were given and none of them
    did."""
    there = (folder / SIGNATURE).is_file()
    data = _read(folder, SIGNATURE) if there else None
    if not keys:
        return "", data
    if data is None:
        raise Corrupt(f"{folder} is not signed", resolution="Ask for one that is: naust export --key FILE.")
    read = bundle.read_bundle(data, SIGNATURE)
    about = read.statement.about(Digest.of(text))
    key = next((key for key in keys if key.verifies(read.signature, read.signed)), None)
    if key is None or about is None or about.annotation(bundle.PURPOSE) != PURPOSE:
        what = "by none of the keys" if key is None else f"about another {MANIFEST}"
        raise Corrupt(f"the signature of {folder} is {what}", resolution="Do not use it; ask whoever sent it.")
    return key.name, data


def _wrong_sums(folder: Path, entries: Sequence[Entry], text: bytes, signature: bytes | None) -> list[str]:
    others = [Entry(MANIFEST, len(text), Digest.of(text))]
    others += [Entry(SIGNATURE, len(signature), Digest.of(signature))] if signature is not None else []
    same = _read(folder, SUMS) == _sums((*entries, *others))
    return [] if same else [f"{SUMS}: is not what {MANIFEST} and {SIGNATURE} make it"]


def _differences(folder: Path, entries: Mapping[str, Entry], quick: bool) -> list[str]:
    wrong: list[str] = []
    lock = threading.Lock()
    there = dict.fromkeys(_files(folder))
    wrong += [f"{path}: is not in {MANIFEST}" for path in there if path not in entries]

    def look(entry: Entry) -> None:
        fault = "is missing" if entry.path not in there else _fault(folder / entry.path, entry, quick)
        if fault:
            with lock:
                wrong.append(f"{entry.path}: {fault}")

    each(look, entries.values(), 1 if quick else _THREADS)
    return sorted(wrong)


def _fault(path: Path, entry: Entry, quick: bool) -> str:
    try:
        size = path.stat().st_size
        if size != entry.size:
            return f"has {size} bytes, not {entry.size}"
        digest = entry.digest if quick else file_digest(path)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return "" if digest == entry.digest else f"has {digest}, not {entry.digest}"


def _damaged(folder: Path, wrong: Sequence[str]) -> Corrupt:
    more = [f"and {len(wrong) - _SHOWN} more"] if len(wrong) > _SHOWN else []
    return Corrupt(
        f"{folder} is damaged: {len(wrong)} file{'' if len(wrong) == 1 else 's'}",
        details="\n".join([*wrong[:_SHOWN], *more]),
        resolution="Nothing was taken from it. Export to it again, which writes only what is missing or wrong "
        "(take the files named above away first), or use another copy.",
    )
