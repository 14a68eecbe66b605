"""Stores, and which class stands behind which kind of URL."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Protocol, cast

from common.errors import BadInput
from naust.store.interface import Store

# scheme → module:class; imported on use, so that a listing does not pay for what it does not need.
STORES = {
    "file": "naust.store.directory:DirectoryStore",
}


class _StoreClass(Protocol):
    def from_url(self, url: str) -> Store: ...


def open_store(url: str | None = None) -> Store:
    """The store at a URL or path; None stands for $NAUST_STORE, else `.naust` in the working folder. Makes nothing yet.

    Raises BadInput for a URL that no store understands.
    """
    wanted = url or os.environ.get("NAUST_STORE") or str(Path.cwd() / ".naust")
    scheme, separator, _ = wanted.partition("://")
    if not separator:
        scheme, wanted = "file", Path(wanted).absolute().as_uri()
    if scheme not in STORES:
        raise BadInput(
            f"no store understands {scheme}://",
            resolution=f"Write a path, or a URL that begins with {', '.join(f'{known}://' for known in STORES)}.",
        )
    module, _, name = STORES[scheme].partition(":")
    return cast(_StoreClass, getattr(importlib.import_module(module), name)).from_url(wanted)
