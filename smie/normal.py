"""Everything that makes two builds from the same inputs equal, and takes out what only the build needed.

A layer is copied in the order of its names: caches, logs, back-ups, host keys and smie's own mount points are left
out, times are clamped to one date, names of users go (numbers stay), of extended headers only extended attributes
(capabilities among them) are kept. Of hard links to one file the first by name carries the content. Whiteouts (OCI
image specification, layer.md) are entries like others. Memory is for the names; contents pass through.
"""

from __future__ import annotations

import copy
import io
import re
import tarfile
from collections.abc import Callable, Container, Iterable, Iterator
from typing import BinaryIO

# Below these nothing is kept; the folder itself is.
_EMPTIED = ("run", "tmp", "var/cache/apt", "var/lib/apt/lists", "var/log/apt", "var/tmp")
# These are not kept at all. The first group is smie's and its tools', the second what programs remember of a build,
# the third what must differ between machines, or belongs to the machine that built.
_GONE = re.compile(
    r"smie(/.*)?|packer-files(/.*)?|root/\.(ansible|cache|pip|bash_history)(/.*)?|(usr/local|opt|etc|root)/(.*/)?__pycache__(/.*)?"
    r"|var/cache/ldconfig/aux-cache|var/cache/debconf/.*-old|var/lib/dpkg/.*-old|var/log/[^/]*\.log|etc/[^/]*-"
    r"|etc/ssh/ssh_host_[^/]*|etc/hostname|etc/resolv\.conf|etc/machine-id|var/lib/dbus/machine-id"
    r"|etc/\.resolv\.conf\.systemd-resolved\.bak"
    r"|etc/nvme/host(id|nqn)|var/lib/systemd/random-seed|etc/apt/sources\.list\.d/0000.*|etc/apt/apt\.conf\.d/99mmdebstrap"
)


def kept(path: str) -> bool:
    """Whether the entry of this path, without a leading slash, belongs into an artefact."""
    if _GONE.fullmatch(path):
        return False
    return not any(path.startswith(folder + "/") for folder in _EMPTIED)


def normal(member: tarfile.TarInfo, epoch: int) -> tarfile.TarInfo:
    """The entry as it would be at any other time, on any other machine. `epoch` is in seconds."""
    member.name = member.name.removeprefix("./").strip("/")
    member.mtime = min(int(member.mtime), epoch)
    member.uname = member.gname = ""
    member.pax_headers = {key: text for key, text in member.pax_headers.items() if key.startswith("SCHILY.xattr.")}
    if member.islnk():
        member.linkname = member.linkname.removeprefix("./")
    if member.type == tarfile.GNUTYPE_SPARSE:  # its holes are read as zeros, and written so
        member.type = tarfile.REGTYPE
    return member


def dated(shadow: bytes, epoch: int) -> bytes:
    """A shadow file, shadow(5), in which every password was last changed on one day."""
    lines = []
    for line in shadow.decode().splitlines():
        fields = line.split(":")
        if len(fields) > 2 and fields[2].isdigit():
            fields[2] = str(epoch // 86400)
        lines.append(":".join(fields))
    return ("\n".join(lines) + "\n").encode()


_REWRITTEN: dict[str, Callable[[bytes, int], bytes]] = {"etc/shadow": dated}


def normalise(
    source: BinaryIO,
    target: BinaryIO,
    epoch: int,
    *,
    added: Iterable[tuple[tarfile.TarInfo, bytes]] = (),
    watched: Container[str] = (),
) -> dict[str, bytes]:
    """Copy a layer from one tar file to another, in the order of names and with `added`, and return the content of
    `watched` files. Of two entries of one name the last counts, as when a tar is unpacked.

    Raises tarfile.TarError, OSError.
    """
    seen: dict[str, bytes] = {}
    with (
        tarfile.open(fileobj=source, mode="r:") as reader,
        tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8") as writer,
    ):
        found = {member.name: (member, origin) for member, origin in _linked(list(_members(reader, epoch)))}
        made = {entry.name: (entry, content) for entry, content in added}
        for name in sorted((*found.keys() - made.keys(), *made), key=in_order):
            if name in made:
                entry, content = made[name]
                writer.addfile(entry, io.BytesIO(content))
                continue
            entry, origin = found[name]
            data = reader.extractfile(origin) if entry.isreg() else None
            if data is not None and (name in _REWRITTEN or name in watched):
                seen[name] = _REWRITTEN.get(name, _as_it_is)(data.read(), epoch)
                entry.size, data = len(seen[name]), io.BytesIO(seen[name])
            writer.addfile(entry, data)
    return seen


def in_order(name: str) -> list[bytes]:
    """The key by which entries are sorted: each folder, then what is in it, as `tar --sort=name` has it."""
    return [part.encode("utf-8", "surrogateescape") for part in name.split("/")]


def _members(reader: tarfile.TarFile, epoch: int) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarInfo]]:
    """Each entry as it will be, with the one whose content it has."""
    for member in reader:
        entry = normal(copy.copy(member), epoch)
        if entry.name:
            yield entry, member


def _linked(
    members: list[tuple[tarfile.TarInfo, tarfile.TarInfo]],
) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarInfo]]:
    """What is kept of the entries; of files that are one, the first kept by name is the file, others link to it."""
    files = {entry.name: (entry, origin) for entry, origin in members if not entry.islnk()}
    first: dict[str, str] = {}  # by what the links lead to in the source
    for entry, _ in members:
        if entry.islnk() and entry.linkname in files:
            names = (first.get(entry.linkname, entry.linkname), entry.name)
            first[entry.linkname] = min((n for n in names if kept(n)), key=in_order, default=entry.linkname)
    for entry, origin in members:
        of = entry.linkname if entry.islnk() else entry.name
        if not kept(entry.name):
            continue
        if of not in first:
            yield entry, origin
            continue
        file, content = files[of]
        one = copy.copy(file)
        one.name = entry.name
        if entry.name != first[of]:
            one.type, one.linkname, one.size = tarfile.LNKTYPE, first[of], 0
        yield one, content


def file(name: str, content: str, epoch: int, mode: int = 0o644) -> tuple[tarfile.TarInfo, bytes]:
    """A file of root's to be added to a layer."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = len(content.encode()), mode, epoch
    return entry, content.encode()


def link(name: str, target: str, epoch: int) -> tuple[tarfile.TarInfo, bytes]:
    """A symbolic link of root's to be added to a layer."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.mtime, entry.linkname = tarfile.SYMTYPE, 0o777, epoch, target
    return entry, b""


def deleted(changes: str) -> list[str]:
    """The paths, without a leading slash, that `docker diff` says are gone and a layer has to hide."""
    paths = (line.removeprefix("D /") for line in changes.splitlines() if line.startswith("D /"))
    return [path for path in paths if kept(path)]


def whiteout(name: str, epoch: int) -> tuple[tarfile.TarInfo, bytes]:
    """The entry that hides a path of a lower layer (OCI image specification 1.1, layer.md, "Whiteouts")."""
    folder, _, last = name.rpartition("/")
    return file(f"{folder}/.wh.{last}".removeprefix("/"), "", epoch, 0)


def _as_it_is(content: bytes, epoch: int) -> bytes:
    return content
