"""What one layer brings: dpkg's list, Python distributions, licences, and how many bytes each package takes.

It is read once, entry by entry, and what it brings is kept in the workspace by its digest: so of a role on a base only
the role's own layer is read. Nothing that is attached to an artefact in the store is believed for this: whoever can
attach things could put words into a document that we sign. Formats: OCI image specification 1.1, layer.md
("Whiteouts"); dpkg(1); core metadata of Python's packages 2.4.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from email.parser import HeaderParser
from pathlib import Path
from typing import BinaryIO, cast

from common.files import write_atomically
from naust.content import dpkg
from naust.content.dpkg import Installed
from naust.content.layers import members
from naust.manifest import Blob
from naust.store.interface import Store
from smie.licences import of_debian, of_python
from smie.workspace import Workspace

FORMAT = 1  # of what is kept; another number reads layers anew
LOOSE = 10  # files of no package that are named
LARGEST = 64 << 20  # bytes of a file that is read; dpkg's own have a few hundred KiB
RELEASE = "usr/lib/os-release"
_LIST = re.compile(r"var/lib/dpkg/info/(?P<name>[a-z0-9][a-z0-9+.-]*)(?::[a-z0-9-]+)?\.list", re.ASCII)
_METADATA = re.compile(r"(.*\.dist-info)/METADATA|(.*\.egg-info)/PKG-INFO|(.*\.egg-info)")
_COPYRIGHT = re.compile(r"usr/share/doc/([^/]+)/copyright")
_DOC = re.compile(r"usr/share/doc/([^/]+)")
# A merged /usr: packages may still list files under the links (https://wiki.debian.org/UsrMerge).
_LINKED = re.compile(r"(bin|sbin|lib|lib32|lib64|libx32)/")
_INFO = re.compile(r"var/lib/dpkg/info/([a-z0-9][a-z0-9+.-]*?)(?::[a-z0-9-]+)?\.[a-z0-9]+", re.ASCII)
_COMPILED = re.compile(r"(.*)/__pycache__/([^/]+?)\.[a-z]+-\d+(?:\.opt-\d)?\.pyc")  # PEP 3147, by packages' own scripts
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of an artefact: `name` is under what the store has it, `made_by` what brought it. `plain` is a file here
    with the same tar, not packed, which is read instead."""

    name: str
    blob: Blob
    made_by: str
    plain: Path | None = None


@dataclass(frozen=True, slots=True, order=True)
class Distribution:
    """A Python distribution; `path` is where its metadata is."""

    name: str
    version: str
    path: str
    licences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scan:
    """What one layer brings. `packages` is None if it leaves dpkg's list as it was; `sizes` are bytes by package,
    `loose` the largest files that are no package's, of `loose_size` bytes in all. `licences` are by the package's
    name, `documented` says whose documentation stands for whose. `gone` are paths that it hides, `emptied` folders of
    which it hides what is in them."""

    files: int = 0
    size: int = 0
    packages: tuple[Installed, ...] | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    loose: tuple[tuple[str, int], ...] = ()
    loose_size: int = 0
    distributions: tuple[Distribution, ...] = ()
    licences: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    documented: Mapping[str, str] = field(default_factory=dict)
    release: str = ""
    gone: tuple[str, ...] = ()
    emptied: tuple[str, ...] = ()


def brought(store: Store, workspace: Workspace, layer: Layer) -> Scan:
    """What the layer brings, as it was kept, else read now. Raises Corrupt if it is damaged; NotFound."""
    path = workspace.scan(layer.blob.digest)
    try:
        return _read(path.read_bytes())
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        found = scan(store, layer)
        write_atomically(path, json.dumps({"format": FORMAT} | asdict(found), separators=(",", ":")))
        return found


def _read(kept: bytes) -> Scan:
    said = json.loads(kept)
    if said["format"] != FORMAT:
        raise ValueError("another format")
    packages, found = said["packages"], said["distributions"]
    return Scan(
        files=said["files"],
        size=said["size"],
        packages=None if packages is None else tuple(Installed(**each) for each in packages),
        sizes=said["sizes"],
        loose=tuple((path, size) for path, size in said["loose"]),
        loose_size=said["loose_size"],
        distributions=tuple(Distribution(**{**each, "licences": tuple(each["licences"])}) for each in found),
        licences={name: tuple(each) for name, each in said["licences"].items()},
        documented=said["documented"],
        release=said["release"],
        gone=tuple(said["gone"]),
        emptied=tuple(said["emptied"]),
    )


def scan(store: Store, layer: Layer) -> Scan:
    """Read a layer: the file that is here, else out of the store, where its digest is checked. Raises Corrupt."""
    found = Scanner(f"{layer.made_by} ({layer.blob.digest})")
    if layer.plain is None:
        for _ in members(store, layer.name, layer.blob, found.take):
            pass
        return found.result()
    with tarfile.open(layer.plain, "r:") as archive:
        while (member := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # else it remembers all of them
            data = archive.extractfile(member) if member.isreg() else None
            found.take(member.name.removeprefix("./").strip("/"), member, cast("BinaryIO | None", data))
    return found.result()


class Scanner:
    """Is shown every entry of a layer, and says then what the layer brings."""

    def __init__(self, what: str) -> None:
        """`what` names the layer in errors."""
        self._what = what
        self._sizes: dict[str, int] = {}
        self._owners: dict[str, str] = {}
        self._status: bytes | None = None
        self._distributions: dict[str, Distribution] = {}
        self._licences: dict[str, tuple[str, ...]] = {}
        self._documented: dict[str, str] = {}
        self._release = ""
        self._gone: list[str] = []
        self._emptied: list[str] = []

    def take(self, path: str, member: tarfile.TarInfo, data: BinaryIO | None) -> None:
        """One entry: its path without a leading slash, and what is in it if it is a file."""
        folder, _, last = path.rpartition("/")
        if last == _OPAQUE:
            self._emptied.append(folder)
        elif last.startswith(_WHITEOUT):
            self._gone.append(f"{folder}/{last[len(_WHITEOUT) :]}".lstrip("/"))
        elif data is not None:
            self._sizes[path] = member.size
            self._file(path, member, data)
        elif not member.isdir():
            self._emptied.append(path)  # it may have taken the place of a folder
            if (match := _DOC.fullmatch(path)) and member.issym():
                self._documented[match[1]] = member.linkname.rstrip("/").rpartition("/")[2]

    def _file(self, path: str, member: tarfile.TarInfo, data: BinaryIO) -> None:
        if path == dpkg.PATH:
            self._status = data.read(LARGEST)
        elif path == RELEASE:
            self._release = _text(data)
        elif match := _LIST.fullmatch(path):
            for line in _text(data).splitlines():
                self._owners[_merged(line.lstrip("/"))] = match["name"]
        elif match := _METADATA.fullmatch(path):
            self._distribution(match[1] or match[2] or match[3], _text(data))
        elif match := _COPYRIGHT.fullmatch(path):
            self._licences[match[1]] = of_debian(_text(data))

    def _distribution(self, path: str, metadata: str) -> None:
        head = metadata.partition("\n\n")[0]
        said = HeaderParser().parsestr(head)
        name, version = (" ".join(str(said.get(key) or "").split()) for key in ("Name", "Version"))
        if name and version:
            self._distributions[path] = Distribution(name, version, path, of_python(head))

    def result(self) -> Scan:
        """What the layer brings. Raises Corrupt if dpkg's list cannot be read."""
        sizes: dict[str, int] = {}
        loose: dict[str, int] = {}
        for path, size in self._sizes.items():
            owner = self._owner(_merged(path))
            if owner is None:
                loose[path] = size
            else:
                sizes[owner] = sizes.get(owner, 0) + size
        status = self._status
        return Scan(
            files=len(self._sizes),
            size=sum(self._sizes.values()),
            packages=None if status is None else dpkg.installed(status, f"{dpkg.PATH} of {self._what}"),
            sizes=dict(sorted(sizes.items())),
            loose=tuple(sorted(loose.items(), key=lambda each: (-each[1], each[0]))[:LOOSE]),
            loose_size=sum(loose.values()),
            distributions=tuple(sorted(self._distributions.values())),
            licences=dict(sorted(self._licences.items())),
            documented=dict(sorted(self._documented.items())),
            release=self._release,
            gone=tuple(sorted(self._gone)),
            emptied=tuple(sorted(self._emptied)),
        )

    def _owner(self, path: str) -> str | None:
        """The package that a file is of: it lists it, or dpkg's notes on it, or what it was compiled from."""
        if match := _INFO.fullmatch(path):
            return match[1]
        if match := _COMPILED.fullmatch(path):
            path = f"{match[1]}/{match[2]}.py"
        return self._owners.get(path)


def _text(data: BinaryIO) -> str:
    return data.read(LARGEST).decode("utf-8", "replace")


def _merged(path: str) -> str:
    return f"usr/{path}" if _LINKED.match(path) else path
