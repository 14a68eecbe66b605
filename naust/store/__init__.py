"""Stores, and which class stands behind which kind of URL."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Protocol, cast

from common.console import Report, reporter
from common.errors import BadInput
from common.model import Secret
from naust.store.access import Access
from naust.store.interface import Store

# scheme → module:class; imported on use, so that a listing does not pay for what it does not need.
STORES = {
    "file": "naust.store.directory:DirectoryStore",
    "https": "naust.store.https:HttpsStore",
    "http": "naust.store.https:HttpsStore",
    "s3": "naust.store.s3:S3Store",
    "docker": "naust.store.registry:RegistryStore",
}
_NEAR = ("file",)  # what needs neither patience nor a limit


class _StoreClass(Protocol):
    def from_url(self, url: str, access: Access) -> Store: ...


def open_store(wanted: str | None = None, report: Report | None = None) -> Store:
    """The store of this name, at this URL or path; None stands for $NAUST_STORE, else the default of the configuration
    file, else `.naust` in the working folder. Makes nothing yet. What is not a folder is asked again when it does not
    answer, of which `report` hears (None: a line on stderr), and is spared as its settings say.

    Raises BadInput for what no store understands, BadDefinition if the configuration file is wrong.
    """
    url, access = _located(wanted or os.environ.get("NAUST_STORE") or "")
    scheme = url.partition("://")[0]
    if scheme not in STORES:
        raise BadInput(
            f"no store understands {scheme}://",
            resolution=f"Write a path, or a URL that begins with {', '.join(f'{known}://' for known in STORES)}.",
        )
    module, _, name = STORES[scheme].partition(":")
    store = cast(_StoreClass, getattr(importlib.import_module(module), name)).from_url(url.rstrip("/"), access)
    return store if scheme in _NEAR else _gently(store, access, report or reporter())


def _gently(store: Store, access: Access, report: Report) -> Store:
    from naust.store.limiting import limiting
    from naust.store.retrying import retrying

    return limiting(retrying(store, report), access.at_once, access.limit)


def _located(wanted: str) -> tuple[str, Access]:
    """URL and access of what was asked for."""
    if _is_path(wanted):
        return Path(wanted).absolute().as_uri(), Access()
    path = settings_file()
    if path is None:
        return _unnamed(wanted)
    from naust.configuration import configuration

    known = configuration(path)
    found = known.at(wanted) if "://" in wanted else known.named(wanted or known.default)
    if found is not None:
        return (wanted if "://" in wanted else found.url), found.access()
    return _unnamed(wanted)


def _unnamed(wanted: str) -> tuple[str, Access]:
    if "://" in wanted:
        return wanted, Access(token=_token())
    return (Path.cwd() / (wanted or ".naust")).as_uri(), Access()


def settings_file() -> Path | None:
    """The first that is there of $NAUST_CONFIG, ~/.config/naust.hcl (XDG base directory specification), /etc/naust.hcl.

    Raises BadInput if the variable names no file.
    """
    chosen = os.environ.get("NAUST_CONFIG", "")
    if chosen:
        if not Path(chosen).is_file():
            raise BadInput(f"$NAUST_CONFIG names {chosen}, which is no file", resolution="Mend or unset the variable.")
        return Path(chosen)
    home = os.environ.get("XDG_CONFIG_HOME", "")
    own = Path(home) if Path(home).is_absolute() else Path.home() / ".config"
    return next((path for path in (own / "naust.hcl", Path("/etc/naust.hcl")) if path.is_file()), None)


def _is_path(wanted: str) -> bool:
    return "/" in wanted.partition("://")[0] or wanted in (".", "..")


def _token() -> Secret | None:
    token = os.environ.get("NAUST_TOKEN", "")
    return Secret(token) if token else None
