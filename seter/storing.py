"""Whether state and artefacts can be reached and kept, for `seter doctor`."""

from __future__ import annotations

import secrets as random_source
import shutil
import ssl
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from common.errors import Conflict, Error
from seter.finding import Finding, Question, clock, fail, failed, good, warn
from seter.keep import Keep
from seter.keep.folder import FolderCells
from seter.keep.interface import SECRETS, Cells
from seter.secrets import identity_file, open_vault
from seter.workplace import private

if TYPE_CHECKING:
    from naust.store.interface import Store

ANSWER_WITHIN = 10  # seconds
STATE, STORE = "state", "store"


def questions(keep: Keep, store: str | None) -> Mapping[str, Question]:
    """About the deployment's state and about the store of its artefacts."""
    return {STATE: lambda: tuple(_state(keep)), STORE: lambda: tuple(_store(store))}


def _state(keep: Keep) -> Iterator[Finding]:
    """Read, written with compare-and-swap, and decrypted."""
    try:
        with _cells(keep) as cells:
            yield swapped(cells, str(keep))
        yield from _vault(keep)
    except Error as error:
        yield failed(STATE, str(keep), error)
    except OSError as error:
        fix = "See that there is space and that the folder can be written, or name another with --state."
        yield fail(STATE, str(keep), f"cannot be written: {error.strerror}", fix)
    if keep.is_shared:
        yield from _clock(STATE, keep.state)


@contextmanager
def _cells(keep: Keep) -> Iterator[Cells]:
    """Where a value of ours can be tried: in a store under a name of its own, else in a folder of its own that goes."""
    if keep.is_shared:
        from seter.keep.store import StoreCells

        yield StoreCells(_impatient(keep.state), f"{keep.name}.state")
        return
    there = next(folder for folder in (keep.folder, *keep.folder.parents) if folder.is_dir())
    folder = Path(tempfile.mkdtemp(prefix=".doctor-", dir=there))
    try:
        yield FolderCells(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def swapped(cells: Cells, where: str) -> Finding:
    """Write a value, and try to write another as if the first were not there: that has to be refused."""
    name = f"doctor-{random_source.token_hex(4)}"
    try:
        cells.swap(name, b"first", "")
        try:
            cells.swap(name, b"second", "")
        except Conflict:
            return good(STATE, where, "can be written, with compare-and-swap")
        return fail(
            STATE, where, "two writers of one value both believe to have won",
            "Keep the state elsewhere: two operators could both hold the lease.",
        )  # fmt: skip
    finally:
        cells.remove(name)


def _vault(keep: Keep) -> Iterator[Finding]:
    """Our identity, and whether it opens the secrets. One that is not there yet is made by the first deploy."""
    file, there = identity_file(), bool(keep.cells.read(SECRETS).data)
    if not file.exists() and not there:
        yield good(STATE, "identity", f"{file} is made by the first deploy")
    elif file.exists() and (wrong := private("identity", file, STATE)) is not None:
        yield wrong
    else:
        open_vault(keep.cells, str(keep.deployment), keep.earlier)
        yield good(STATE, "identity", f"{file} opens the secrets" if there else f"{file}, and no secrets yet")


def _store(wanted: str | None) -> Iterator[Finding]:
    store = _impatient(wanted)
    if store.url.startswith("file://") and not Path(urlsplit(store.url).path).is_dir():
        yield warn(STORE, store.url, "is not there yet", "smie build fills it; or name another with --store.")
        return
    try:
        first = next(store.names(), None)
    except Error as error:
        yield failed(STORE, store.url, error)
    else:
        empty = warn(STORE, store.url, "is reached, and holds nothing", "smie build fills it, or naust copy.")
        yield good(STORE, store.url, "can be read") if first is not None else empty
    yield from _clock(STORE, store.url)


def _impatient(wanted: str | None) -> Store:
    """The store without the wrapper that asks again and again: what does not answer now is to be said now."""
    from naust.store import open_store
    from naust.store.passing import Passing

    store = open_store(wanted)
    while isinstance(store, Passing):
        store = store.inner
    return store


def _clock(subject: str, url: str) -> Sequence[Finding]:
    """By the Date of its answers (RFC 9110, 6.6.1), which has whole seconds. S3 needs no such line: it refuses who is
    far off. The certificate is not looked at, since a wrong clock is what may make it look invalid; nothing is sent."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https", "docker") or not parts.hostname:
        return ()
    unseen = ssl.create_default_context()
    unseen.check_hostname, unseen.verify_mode = False, ssl.CERT_NONE
    if parts.scheme == "http":
        connection = HTTPConnection(parts.netloc, timeout=ANSWER_WITHIN)
    else:
        connection = HTTPSConnection(parts.netloc, timeout=ANSWER_WITHIN, context=unseen)
    try:
        before = time.time()
        connection.request("HEAD", "/")
        said = connection.getresponse().getheader("Date")
        after = time.time()
        moment = parsedate_to_datetime(said or "").replace(tzinfo=UTC).timestamp()
    except (OSError, HTTPException, ValueError):
        return ()  # the line about the store itself says that it does not answer
    finally:
        connection.close()
    return (clock(subject, moment + 0.5 - (before + after) / 2, 0.5 + (after - before) / 2),)
