"""Upstream `files`: single files by URL and digest, such as released binaries; in mode local, all below a folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

from common.console import Report
from common.errors import BadInput
from common.model import Digest
from naust import manifest as oci
from naust.source.definition import LOCAL, Files, OneFile
from naust.source.interface import Item, Kept, Package, Survey
from naust.source.state import checked_path
from naust.wire.transport import Transport


class FilesUpstream:
    """The files of one block."""

    def __init__(self, block: Files) -> None:
        self._block = block

    @classmethod
    def of(cls, block: Files) -> Self:
        """The upstream of this block."""
        return cls(block)

    def survey(self, transport: Transport, previous: str, report: Report) -> Survey | None:
        """What the block names, or the folder has. Raises BadInput if there is no such folder."""
        items = tuple(self._local() if self._block.mode == LOCAL else map(_item, self._block.files))
        mark = str(Digest.of(oci.encode({"items": [[each.path, each.url, str(each.digest)] for each in items]})))
        return None if mark == previous else Survey(items, mark)

    def index(self, kept: Sequence[Kept], survey: Survey) -> Mapping[str, bytes]:
        """Clients know the paths: there is nothing to read first."""
        return {}

    def _local(self) -> Iterator[Item]:
        from naust.transfer.digests import digest_of

        folder = Path(self._block.folder)
        if not folder.is_dir():
            raise BadInput(f"there is no folder {folder}", resolution="Make it, or name another one in sources.hcl.")
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            below = checked_path(path.relative_to(folder).as_posix())
            digest = digest_of(path)
            media_type = oci.file_type(path.name)
            yield Item(
                below, path.as_uri(), path.stat().st_size, digest, media_type, Package("generic", below, digest.short)
            )


def _item(file: OneFile) -> Item:
    digest = file.digest
    assert digest is not None  # the shape requires it
    name, _, version = (file.package or file.path).partition("==")
    package = Package("generic", name, version or digest.short)
    return Item(file.path, file.url, file.size, digest, oci.file_type(file.path), package, file.may_miss)
