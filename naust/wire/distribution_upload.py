"""Blobs into a registry: OCI distribution specification 1.1, "Pushing Blobs" (end-4 to end-6, end-11, end-13).

What is small is sent by one PUT. What is large is sent by one PATCH, so that an upload that breaks goes on where the
registry says it got to: the next `write` of the same blob asks. Some registries (docker-registry 2.8) forget an upload
that broke; then it begins anew. A stream whose digest nobody knows is sent in pieces, each kept until it is there.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import urlencode, urljoin, urlsplit

from common.errors import Corrupt, Denied, Error, NotFound, Unavailable
from common.files import CHUNK
from common.model import Digest
from naust.store.interface import mismatch
from naust.wire.bodies import filled, is_file
from naust.wire.distribution import Distribution, codes, push_scope, refused_digest
from naust.wire.transport import Answer, Outgoing, refusal, shown

_Key = tuple[int, int, int, int, int]  # of a file: device, inode, size, time of change in ns; and where it begins
SMALL = 1 << 20  # bytes; up to this, a blob is read, checked and sent at once
PIECE = 16 << 20  # bytes of a stream that are kept until the registry has them
_TRIES = 6  # of a piece
_SETTLED = 0.2  # seconds without a byte more, after which what the registry has is what it will have
_LOOKS = 10  # at most, for that
_REFUSED = ("DIGEST_INVALID", "SIZE_INVALID", "BLOB_UPLOAD_INVALID")


@dataclass(slots=True)
class _Upload:
    """An upload that the registry knows: where it goes on, and how many bytes are there."""

    location: str
    offset: int = 0
    lost: bool = False  # no use in going on with it


class Uploads:
    """Uploads to one registry, with the memory of those that broke. Any number of threads may use it."""

    def __init__(self, client: Distribution, sleep: Callable[[float], object] = time.sleep) -> None:
        self._client, self._sleep = client, sleep
        self._broken: dict[tuple[str, Digest], _Upload] = {}
        self._hashed: dict[_Key, Digest] = {}  # files that broke on their way while nobody knew their digest
        self._lock = threading.Lock()

    def write(self, repository: str, digest: Digest, size: int, source: BinaryIO, mount_from: str = "") -> None:
        """Send a blob that is not there. Raises Corrupt if `source` holds something else, Unavailable if it broke:
        then the same call, with the source where it was, goes on."""
        if size <= SMALL:
            self._write_small(repository, digest, size, source, mount_from)
            return
        begin = source.tell() if source.seekable() else None
        upload = self._taken_up(repository, digest, begin is not None) or self._begun(repository, digest, mount_from)
        if upload is None:
            return
        try:
            self._send_rest(repository, upload, size, source, begin)
            _check_end(source, digest, size, begin)
            self._put(repository, upload, digest, b"")
        except Unavailable:
            self._remember(repository, digest, upload)
            raise
        except Error as error:
            self._cancel(repository, upload)
            raise _explained(error, digest, size, source, begin) from error

    def add(self, repository: str, source: BinaryIO) -> tuple[Digest, int]:
        """Send bytes whose digest nobody knows, hashed while they are sent, in constant memory; a small amount, and a
        file that broke on its way before, only if it is not there. Returns digest and size."""
        if is_file(source):
            return self._add_file(repository, source)
        kept = memoryview(bytearray(PIECE))
        count = filled(source, kept)
        if count < PIECE:
            return self._add_small(repository, bytes(kept[:count]))
        upload = self._begun(repository)
        assert upload is not None
        total, size = hashlib.sha256(), 0
        try:
            while count:
                total.update(kept[:count])
                self._send_piece(repository, upload, kept[:count], size)
                size += count
                count = filled(source, kept)
            digest = Digest("sha256", total.hexdigest())
            self._put(repository, upload, digest, b"")
        except Error:
            self._cancel(repository, upload)
            raise
        return digest, size

    def _add_file(self, repository: str, source: BinaryIO) -> tuple[Digest, int]:
        status, begin = os.fstat(source.fileno()), source.tell()
        size, key = status.st_size - begin, (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, begin)
        with self._lock:
            known = self._hashed.pop(key, None)
        if known is not None:
            if self._client.blob_size(repository, known) != size:
                self._noted(key, known, lambda: self.write(repository, known, size, source))
            return known, size
        if size <= SMALL:
            return self._add_small(repository, source.read())
        return self._add_hashing(repository, source, size, key), size

    def _add_hashing(self, repository: str, source: BinaryIO, size: int, key: _Key) -> Digest:
        begin, total = source.tell(), hashlib.sha256()
        upload = self._begun(repository)
        assert upload is not None
        try:
            self._patch(repository, upload, Outgoing(source, size, total.update), 0, size)
            digest = Digest("sha256", total.hexdigest())
            _check_end(source, digest, size, begin)
            if upload.offset != size:
                raise _took_less(self._client.base, upload, size)
            self._put(repository, upload, digest, b"")
        except Unavailable:
            # To go on where it broke it must have a name, which only its digest is.
            source.seek(begin)
            digest, _ = _measured(source, "sha256")
            with self._lock:
                self._hashed[key] = digest
            self._remember(repository, digest, upload)
            raise
        except Error:
            self._cancel(repository, upload)
            raise
        return digest

    def _noted(self, key: _Key, digest: Digest, act: Callable[[], None]) -> None:
        """Do it, and keep the file's digest in mind if it breaks again."""
        try:
            act()
        except Unavailable:
            with self._lock:
                self._hashed[key] = digest
            raise

    def _add_small(self, repository: str, content: bytes) -> tuple[Digest, int]:
        digest, size = Digest.of(content), len(content)
        if self._client.blob_size(repository, digest) != size:
            self.write(repository, digest, size, io.BytesIO(content))
        return digest, size

    def _write_small(self, repository: str, digest: Digest, size: int, source: BinaryIO, mount_from: str) -> None:
        data = bytearray(size + 1)
        count = filled(source, memoryview(data))
        content = bytes(data[:count])
        if (Digest.of(content, digest.algorithm), count) != (digest, size):
            raise mismatch(digest, size, Digest.of(content, digest.algorithm), count)
        upload = self._begun(repository, digest, mount_from)
        if upload is not None:
            self._put(repository, upload, digest, content)

    def _begun(self, repository: str, digest: Digest | None = None, mount_from: str = "") -> _Upload | None:
        """A new upload; None if the registry had the blob elsewhere and mounted it."""
        path = f"/v2/{repository}/blobs/uploads/"
        if digest and mount_from:
            query = urlencode({"mount": str(digest), "from": mount_from})
            try:
                return self._asked(f"{path}?{query}", push_scope(repository, mount_from), mounts=True)
            except (Denied, NotFound):
                pass  # it does not know the other repository, or we may not read there: then the blob is sent
        return self._asked(path, push_scope(repository))

    def _asked(self, path: str, scope: str, *, mounts: bool = False) -> _Upload | None:
        with self._client.request("POST", path, scope=scope, body=b"", accept=(201, 202)) as answer:
            return None if answer.status == 201 and mounts else _Upload(_location(answer, self._client.base))

    def _taken_up(self, repository: str, digest: Digest, seekable: bool) -> _Upload | None:
        """The upload that broke, if the registry still knows it."""
        with self._lock:
            upload = self._broken.pop((repository, digest), None)
        if upload is None or not seekable:
            return None
        try:
            self._settle(repository, upload)
        except Unavailable:
            self._remember(repository, digest, upload)
            raise
        except Error:
            return None
        if upload.offset == 0:
            # It has nothing, or one byte: both are told as `0-0`.
            self._cancel(repository, upload)
            return None
        return upload

    def _remember(self, repository: str, digest: Digest, upload: _Upload) -> None:
        if not upload.lost:
            with self._lock:
                self._broken[(repository, digest)] = upload

    def _ask(self, repository: str, upload: _Upload) -> None:
        """How far an upload got (end-13). Raises NotFound if the registry has forgotten it."""
        with self._client.request("GET", upload.location, scope=push_scope(repository), accept=(200, 204)) as answer:
            upload.offset = _offset(answer)
            upload.location = _location(answer, self._client.base) if answer.header("Location") else upload.location

    def _settle(self, repository: str, upload: _Upload) -> None:
        """How far it got, when that no longer grows: a busy registry may still be reading what came before the line
        broke, and would put it behind what is sent now."""
        self._ask(repository, upload)
        for _ in range(_LOOKS):
            before = upload.offset
            self._sleep(_SETTLED)
            self._ask(repository, upload)
            if upload.offset == before:
                return

    def _send_rest(self, repository: str, upload: _Upload, size: int, source: BinaryIO, begin: int | None) -> None:
        while upload.offset < size:
            if begin is not None:
                source.seek(begin + upload.offset)
            before = upload.offset
            self._patch(repository, upload, Outgoing(source, size - before), before, size)
            if upload.offset <= before or (upload.offset < size and begin is None):
                raise _took_less(self._client.base, upload, size)

    def _patch(self, repository: str, upload: _Upload, body: bytes | Outgoing, start: int, end: int) -> None:
        headers = {"Content-Type": "application/octet-stream", "Content-Range": f"{start}-{end - 1}"}
        sent = self._client.request(
            "PATCH",
            upload.location,
            scope=push_scope(repository),
            headers=headers,
            body=body,
            accept=(202, 204, 404, 416),
        )
        with sent as answer:
            if answer.status == 404:
                raise _forgotten(self._client.base, upload)
            if answer.status == 416:
                upload.lost = start == 0  # else it is asked again where it is
                raise Unavailable(
                    f"{self._client.base} is at another place of the upload than {start}",
                    details=answer.header("Range")[:80],
                    resolution="Try again.",
                )
            upload.location = _location(answer, self._client.base)
            # Range is what there is; a registry that does not say has taken all.
            upload.offset = _offset(answer) if answer.header("Range") not in ("", f"0-{end - 1}") else end

    def _send_piece(self, repository: str, upload: _Upload, piece: memoryview, start: int) -> None:
        """One piece of a stream, as often as it needs; a break is mended here because the stream cannot go back."""
        end, tries = start + len(piece), 0
        upload.offset = max(upload.offset, start)
        while upload.offset < end:
            body = Outgoing(io.BytesIO(piece[upload.offset - start :]), end - upload.offset)
            try:
                self._patch(repository, upload, body, upload.offset, end)
            except Unavailable as error:
                tries += 1
                if tries == _TRIES:
                    raise
                self._sleep(error.retry_after.total_seconds() if error.retry_after else 0.2 * 2**tries)
                self._ask_again(repository, upload, start, end)

    def _ask_again(self, repository: str, upload: _Upload, start: int, end: int) -> None:
        if start == 0:
            begun = self._begun(repository)
            assert begun is not None
            upload.location, upload.offset, upload.lost = begun.location, 0, False
            return
        try:
            self._ask(repository, upload)
        except NotFound as error:
            raise _unrepeatable(self._client.base) from error
        except Unavailable:
            return
        if upload.lost or not start <= upload.offset <= end:
            raise _unrepeatable(self._client.base)

    def _put(self, repository: str, upload: _Upload, digest: Digest, content: bytes) -> None:
        """Say that it is whole, and send the content if that was not done yet."""
        url = f"{upload.location}{'&' if urlsplit(upload.location).query else '?'}{urlencode({'digest': str(digest)})}"
        # Content is never sent twice to one upload: what came the first time may be there.
        body = Outgoing(io.BytesIO(content), len(content)) if content else b""
        headers = {"Content-Type": "application/octet-stream"}
        sent = self._client.request(
            "PUT", url, scope=push_scope(repository), headers=headers, body=body, accept=(201, 204, 400, 404)
        )
        with sent as answer:
            if answer.status == 400:
                raise refused_digest(digest, answer) or _refused_blob(answer, digest)
            missing = answer.status == 404
        # It may have done it before, and its answer was lost.
        if missing and self._client.blob_size(repository, digest) is None:
            raise _forgotten(self._client.base, upload)

    def _cancel(self, repository: str, upload: _Upload) -> None:
        """Give it up (end-14 of newer specifications); a registry that does not know how clears it away in time."""
        try:
            with self._client.request("DELETE", upload.location, scope=push_scope(repository)):
                pass
        except Error:
            pass


def _check_end(source: BinaryIO, digest: Digest, size: int, begin: int | None) -> None:
    """That the source has nothing more. Raises Corrupt."""
    if begin is not None:
        source.seek(begin + size)
    if source.read(1):
        raise mismatch(digest, size, digest, size + 1)


def _explained(error: Error, digest: Digest, size: int, source: BinaryIO, begin: int | None) -> Error:
    """What is wrong with a source that holds something else than it should, if it can be read again; or with what the
    registry made of it."""
    if not isinstance(error, Corrupt) or begin is None:
        return error
    source.seek(begin)
    found = _measured(source, digest.algorithm)
    if found != (digest, size):
        return mismatch(digest, size, *found)
    # The source is right: what arrived is not, as when a registry counted bytes of a line that broke. It is sent anew.
    return Unavailable(
        f"the registry has put together something else than {digest}, which was sent to it",
        details=error.details,
        resolution="Run the command again. If it stays so, the line or the registry damages what passes through it.",
    )


def _measured(source: BinaryIO, algorithm: str) -> tuple[Digest, int]:
    total, size, buffer = hashlib.new(algorithm), 0, memoryview(bytearray(CHUNK))
    while count := filled(source, buffer):
        total.update(buffer[:count])
        size += count
    return Digest(algorithm, total.hexdigest()), size


def _location(answer: Answer, base: str) -> str:
    """Where the upload goes on. Raises Corrupt if that is nowhere, Denied if it is not encrypted any more."""
    location = answer.header("Location")
    if not location:
        raise Corrupt(f"{shown(answer.url)} begins no upload", resolution="See that the URL is that of a registry.")
    url = urljoin(answer.url, location)
    if urlsplit(base).scheme == "https" and urlsplit(url).scheme != "https":
        raise Denied(
            f"{base} wants the upload at {shown(url)}, which is not encrypted",
            resolution="Nothing was sent there. Tell whoever runs the registry that it must know its own URL.",
        )
    return url


def _offset(answer: Answer) -> int:
    """How many bytes there are: `0-41` are 42. `0-0` is what registries say of nothing."""
    found = re.fullmatch(r"(?:bytes=)?0-([0-9]{1,18})", answer.header("Range").strip())
    return int(found[1]) + 1 if found and found[1] != "0" else 0


def _refused_blob(answer: Answer, digest: Digest) -> Error:
    text, found = codes(answer)
    if not set(_REFUSED) & set(found):
        return refusal(answer, "PUT")
    return Corrupt(
        f"what was to be stored as {digest} is something else, the registry says",
        details="".join(mark if mark.isprintable() else " " for mark in text[:500]),
        resolution="Nothing was stored. The source changed or is damaged: make it anew.",
    )


def _took_less(base: str, upload: _Upload, size: int) -> Unavailable:
    return Unavailable(
        f"{base} took only {upload.offset} of {size} bytes",
        resolution="Try again; if it does so again, tell whoever runs the registry.",
    )


def _forgotten(base: str, upload: _Upload) -> Unavailable:
    upload.lost = True
    return Unavailable(f"{base} has forgotten an upload", resolution="Run the command again: it begins anew.")


def _unrepeatable(base: str) -> Unavailable:
    return Unavailable(
        f"{base} has forgotten an upload that broke, and what was sent cannot be read twice",
        resolution="Put it into a file and push that, or run the command again from the beginning.",
    )
