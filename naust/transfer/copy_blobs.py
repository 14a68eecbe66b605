"""Blobs on their way from one store into another, each once, whoever asks for it and how often."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import BinaryIO, cast

from common.errors import Corrupt, NotFound
from common.model import Digest
from naust.manifest import Blob
from naust.store.interface import Store
from naust.store.resumed import Reopened


class Blobs:
    """Sends blobs. Any number of threads."""

    def __init__(self, source: Store, dest: Store) -> None:
        self._source, self._dest = source, dest
        self._lock = threading.Lock()
        self._sent: dict[Digest, tuple[str, Future[None]]] = {}  # the name that it is sent for, and its end

    def send(self, name: str, blob: Blob, whole: str) -> int:
        """See that the destination has the blob under this name; how many bytes that took. `whole` names the artefact
        in errors.

        Raises Corrupt, naming the source, if it is damaged there; nothing of it is left at the destination then.
        """
        with self._lock:
            known = self._sent.get(blob.digest)
            if known is None:
                known = self._sent[blob.digest] = (name, Future())
                ours = True
            else:
                ours = False
        first, end = known
        if ours:
            self._first(name, blob, whole, end)
            return blob.size
        end.result()
        if first != name and self._dest.stat(name, blob.digest) != blob.size:
            with _Lazy(self._source, name, blob) as source:
                self._write(name, blob, whole, source, mount_from=first)
                return source.tell()
        return 0

    def _first(self, name: str, blob: Blob, whole: str, end: Future[None]) -> None:
        try:
            with self._source.read(name, blob.digest) as source:
                self._write(name, blob, whole, source)
            end.set_result(None)
        except NotFound as error:
            told = self._damaged(blob, whole, "It is not there.")
            self._failed(blob, end, told)
            raise told from error
        except BaseException as error:
            self._failed(blob, end, error)
            raise

    def _failed(self, blob: Blob, end: Future[None], error: BaseException) -> None:
        with self._lock:
            del self._sent[blob.digest]  # who comes later may try again
        end.set_exception(error)

    def _write(self, name: str, blob: Blob, whole: str, source: BinaryIO, mount_from: str | None = None) -> None:
        try:
            self._dest.write(name, blob.digest, blob.size, source, mount_from=mount_from)
        except Corrupt as error:
            raise self._damaged(blob, whole, error.details or error.message) from error

    def _damaged(self, blob: Blob, whole: str, details: str) -> Corrupt:
        return Corrupt(
            f"blob {blob.digest} of {whole} in {self._source.url} is damaged",
            details=details,
            resolution="It was not copied. Mend the source with `naust fsck --repair OTHER-STORE`.",
        )


class _Lazy(Reopened):
    """A blob of which a store that mounts it from another name reads nothing."""

    def __init__(self, store: Store, name: str, blob: Blob) -> None:
        super().__init__()
        self._store, self._name, self._blob = store, name, blob

    def __enter__(self) -> BinaryIO:  # type: ignore[override]  # what a store reads from is any binary file
        return cast(BinaryIO, self)

    def opened_at(self, position: int) -> AbstractContextManager[BinaryIO]:
        return self._store.read(self._name, self._blob.digest, position)
