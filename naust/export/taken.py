"""`naust import`: what an export brought, checked byte by byte, into a store of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from common.console import Report
from naust import copy as copying
from naust.copy import Copied
from naust.export import contents
from naust.export.contents import Checked
from naust.export.disk import STORE
from naust.proof.keys import PublicKey
from naust.store.directory import DirectoryStore
from naust.store.interface import Store
from naust.transfer.parallel import AT_ONCE


def take(
    folder: Path,
    dest: Store,
    keys: Sequence[PublicKey] = (),
    *,
    at_once: int = AT_ONCE,
    report: Report = lambda event: None,
) -> tuple[Checked, tuple[Copied, ...]]:
    """Check the whole disk, then copy everything of its store. Twice is once.

    Raises Corrupt, with nothing copied, if the disk is not what was exported; what `naust.copy.check` raises otherwise.
    """
    checked = contents.check(folder, keys, report=report)
    source = DirectoryStore((folder / STORE).absolute())
    return checked, copying.copy(source, dest, ["*"], copying.Options(at_once=at_once), report)
