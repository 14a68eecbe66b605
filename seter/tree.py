"""The files of a node: what goes there as one tar, and what lies there read back from one.

Below /etc/seter of a node:
  trees/D/ROLE/…  rendered files, D from their digest       now      → trees/D, switched by rename
  vault/K/ROLE/…  secrets, K from their keyed digest        secrets  → vault/K, switched by rename
  loaded/ROLE     what a process read at its last reload    cluster/ROLE  the mark of the last cluster step
  before/         while a roll-out lasts: what it can go back to
"""

from __future__ import annotations

import hashlib
import hmac
import io
import shutil
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from common.errors import NotFound
from seter.state import digest_of

ROOT = "/etc/seter"
STATE = "/var/lib/seter"
BEFORE = "before"
LIFE = "life"  # left when a node that was made anew goes back
ALONE = f"{BEFORE}/alone"  # the node went back by itself
KEPT_LIST = f"{BEFORE}/containers"  # written last
KEPT = 3  # trees of files that stay on a node, to go back to
_SHORT = 16  # digits of a digest that name a folder
# Runs on the node: both links are switched by rename, then all but the last trees go; what the node can go back to
# stays. $1 tree, $2 vault, $3 how many trees stay.
SWITCH = f"""cd {ROOT} && touch "$1" && mv -T now.next now && mv -T secrets.next secrets || exit
tree=$(readlink {BEFORE}/now); vault=$(readlink {BEFORE}/secrets)
[ ! -d "$tree" ] || touch "$tree"
ls -dt trees/* | tail -n +"$(($3 + 1))" | xargs -r rm -rf &&
for old in vault/*; do [ "$old" = "$2" ] || [ "$old" = "$vault" ] || rm -rf "$old"; done"""


@dataclass(frozen=True, slots=True)
class File:
    """One file: `path` is relative to its role's folder, owners are numeric."""

    path: str
    data: bytes = field(repr=False)
    mode: int = 0o644
    uid: int = 0


Files = Mapping[str, tuple[File, ...]]  # role → its files


def files_digest(files: Iterable[File], key: bytes = b"") -> str:
    """Digest over path, mode, owner and content; with a key the contents are only covered as HMAC-SHA-256."""
    lines = sorted((file.path, file.mode, file.uid, _content_digest(file.data, key)) for file in files)
    return digest_of("files 1", lines)


_NO_FILES = files_digest(())


def _content_digest(data: bytes, key: bytes) -> str:
    return hmac.new(key, data, "sha256").hexdigest() if key else hashlib.sha256(data).hexdigest()


def tree_digest(files: Files, key: bytes = b"") -> str:
    """Digest over the files of all roles of a node. Roles without files do not count."""
    return roles_digest({role: files_digest(content, key) for role, content in files.items()})


def roles_digest(digests: Mapping[str, str]) -> str:
    """The same, from the digest of each role's files."""
    return digest_of("tree 1", {role: digest for role, digest in digests.items() if digest != _NO_FILES})


def read_folder(folder: Path) -> tuple[File, ...]:
    """The rendered files below a folder, as they will lie on a node: owned by root, readable by all."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    return tuple(File(path.relative_to(folder).as_posix(), path.read_bytes()) for path in paths)


@dataclass(frozen=True, slots=True)
class NodeTree:
    """Everything that seter lays on one node."""

    files: Files
    secrets: Files
    files_digest: str
    secrets_digest: str
    state: tuple[tuple[str, int], ...]  # (role, uid): who owns its folder below /var/lib/seter
    run: tuple[tuple[str, int], ...] = ()  # (folder, uid): who owns what below /run
    digests: Mapping[str, str] = field(default_factory=dict)  # role → digest of its files, where that is known already

    def trees_name(self) -> str:
        """Folder of the files, relative to /etc/seter."""
        return f"trees/{self.files_digest[:_SHORT]}"

    def vault_name(self) -> str:
        """Folder of the secrets, relative to /etc/seter."""
        return f"vault/{self.secrets_digest[:_SHORT]}"

    def archive(self, *, suffix: str = "") -> bytes:
        """A tar for /etc/seter. The two links come last, named with `suffix`, so a cut transfer shows as none."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name in ("trees", "vault", "loaded", "cluster"):
                _add_folder(tar, name)
            _add_files(tar, self.trees_name(), self.files)
            _add_files(tar, self.vault_name(), self.secrets)
            _add_link(tar, "secrets" + suffix, self.vault_name())
            _add_link(tar, "now" + suffix, self.trees_name())
        return buffer.getvalue()

    def state_archive(self) -> bytes:
        """A tar for /var/lib/seter: one folder for each role, owned by its user."""
        return folders_archive(self.state, 0o750)

    def run_archive(self) -> bytes:
        """A tar for /run: sockets and the like, gone when the node stops."""
        return folders_archive(self.run, 0o770)


def folders_archive(owners: Iterable[tuple[str, int]], mode: int) -> bytes:
    """A tar with empty folders of these names and owners."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, uid in owners:
            _add_folder(tar, name, mode=mode, uid=uid)
    return buffer.getvalue()


def _add_folder(tar: tarfile.TarFile, name: str, *, mode: int = 0o755, uid: int = 0) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.uid, info.gid = tarfile.DIRTYPE, mode, uid, uid
    tar.addfile(info)


def _add_files(tar: tarfile.TarFile, root: str, files: Files) -> None:
    _add_folder(tar, root)
    for role, content in files.items():
        _add_folder(tar, f"{root}/{role}")
        for folder in sorted({str(parent) for file in content for parent in Path(file.path).parents} - {"."}):
            _add_folder(tar, f"{root}/{role}/{folder}")
        for file in content:
            add_file(tar, f"{root}/{role}/{file.path}", file.data, mode=file.mode, uid=file.uid)


def add_file(tar: tarfile.TarFile, name: str, data: bytes, *, mode: int = 0o644, uid: int = 0) -> None:
    """One file into an open tar."""
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.uid, info.gid = len(data), mode, uid, uid
    tar.addfile(info, io.BytesIO(data))


def _add_link(tar: tarfile.TarFile, name: str, to: str) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = tarfile.SYMTYPE, to, 0o777
    tar.addfile(info)


def add_stream(archive: BinaryIO, name: str, source: BinaryIO, size: int, *, uid: int) -> None:
    """Write a tar with one file, readable by its owner alone, of `size` bytes from `source`."""
    with tarfile.open(fileobj=archive, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.uid = size, 0o400, uid
        tar.addfile(info, source)


def read_stream(pieces: Iterable[bytes], sink: BinaryIO) -> int:
    """Copy the one file of a tar, which comes in pieces, into `sink`; its bytes. Raises NotFound if there is none."""
    with tarfile.open(fileobj=cast(BinaryIO, _Joined(iter(pieces))), mode="r|") as tar:
        for member in tar:
            if (file := tar.extractfile(member)) is not None:
                shutil.copyfileobj(file, sink)
                return member.size
    raise NotFound("no file came", resolution="See what lies there on the node.")


class _Joined:
    """Pieces, read as one stream: all that tarfile asks of one."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._left = pieces, b""

    def read(self, size: int) -> bytes:
        """So many bytes, fewer only at the end."""
        parts, wanted = [], size
        while wanted and (self._left or (following := next(self._pieces, b""))):
            piece = self._left or following
            parts.append(piece[:wanted])
            self._left = piece[wanted:]
            wanted -= len(parts[-1])
        return b"".join(parts)


@dataclass(frozen=True, slots=True)
class Lying:
    """What lies on a node, read back: the files behind `now`, the secrets behind `secrets`, and the marks."""

    files: Files
    secrets: Files
    loaded: Mapping[str, str]
    cluster: Mapping[str, str]
    kept: bool = False
    alone: bool = False
    life: str = ""  # this life of the node and the earlier one that it goes on with


def read_archive(data: bytes, top: str = "seter") -> Lying:
    """Read the tar of /etc/seter, whose names start with `top`/. A missing link reads as nothing lying there."""
    contents: dict[str, tuple[tarfile.TarInfo, bytes]] = {}
    links: dict[str, str] = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            name = member.name.removeprefix(f"{top}/")
            if member.issym():
                links[name] = member.linkname
            elif member.isreg() and (file := tar.extractfile(member)) is not None:
                contents[name] = (member, file.read())
    return Lying(
        files=_below(contents, links.get("now", "")),
        secrets=_below(contents, links.get("secrets", "")),
        loaded=_marks(contents, "loaded/"),
        cluster=_marks(contents, "cluster/"),
        kept=KEPT_LIST in contents,
        alone=ALONE in contents,
        life=contents[LIFE][1].decode(errors="replace").strip() if LIFE in contents else "",
    )


def _below(contents: Mapping[str, tuple[tarfile.TarInfo, bytes]], root: str) -> Files:
    found: dict[str, list[File]] = {}
    for name, (member, data) in contents.items():
        if root and name.startswith(f"{root}/"):
            role, _, path = name.removeprefix(f"{root}/").partition("/")
            found.setdefault(role, []).append(File(path, data, member.mode & 0o7777, member.uid))
    return {role: tuple(sorted(files, key=lambda file: file.path)) for role, files in found.items()}


def _marks(contents: Mapping[str, tuple[tarfile.TarInfo, bytes]], prefix: str) -> dict[str, str]:
    return {
        name.removeprefix(prefix): data.decode(errors="replace").strip()
        for name, (_, data) in contents.items()
        if name.startswith(prefix)
    }


def mark_archive(folder: str, role: str, text: str) -> bytes:
    """A tar for /etc/seter that holds one mark."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        add_file(tar, f"{folder}/{role}", text.encode())
    return buffer.getvalue()
