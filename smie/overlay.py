"""Files that a base gets beside its packages: the folder of its name beside its definition, copied over the root.

They are there before the packages are set up, so that what packages make (an initial RAM disk) follows them. What
counts is path, content, target of a link and whether it may be executed; who owns the files here does not.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

from common.errors import BadInput
from common.model import Digest
from common.role import Base


def folder(base: Base) -> Path:
    """Where the files of a base are; it need not exist."""
    return base.file.with_suffix("") if base.file.name else Path()


def files(base: Base) -> tuple[Path, ...]:
    """The paths of all files and links, sorted. Raises BadInput for anything else."""
    if not base.file.name:
        return ()
    found = sorted(path for path in folder(base).rglob("*") if path.is_symlink() or not path.is_dir())
    for path in found:
        if not path.is_symlink() and not path.is_file():
            raise BadInput(f"{path} is neither file nor link", resolution="Take it out of the base's folder.")
    return tuple(found)


def described(base: Base) -> Iterator[tuple[str, str, Digest]]:
    """Path below the root, mode in octal (of a link `link`) and digest of the content, or of where a link leads."""
    for path in files(base):
        name = path.relative_to(folder(base)).as_posix()
        if path.is_symlink():
            yield name, "link", Digest.of(str(path.readlink()).encode())
        else:
            yield name, f"{_mode(path):o}", Digest.of(path.read_bytes())


def write(base: Base, target: Path, epoch: int) -> bool:
    """Write the files as a tar of root's, with the folders above them; whether there are any. `epoch` in seconds."""
    found, made = files(base), set[Path]()
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        for path in found:
            name = path.relative_to(folder(base))
            for above in reversed(name.parents[:-1]):
                if above not in made:
                    made.add(above)
                    archive.addfile(_entry(above, epoch, tarfile.DIRTYPE, 0o755))
            if path.is_symlink():
                entry = _entry(name, epoch, tarfile.SYMTYPE, 0o777)
                entry.linkname = str(path.readlink())
                archive.addfile(entry)
            else:
                entry, content = _entry(name, epoch, tarfile.REGTYPE, _mode(path)), path.read_bytes()
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return bool(found)


def _entry(name: Path, epoch: int, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name.as_posix())
    entry.type, entry.mode, entry.mtime = kind, mode, epoch
    return entry


def _mode(path: Path) -> int:
    return 0o755 if path.stat().st_mode & 0o100 else 0o644
