"""One item from its upstream into the store: checked while it is written, gone on with where it broke.

What is large is brought into a part file first (`$XDG_CACHE_HOME/seter/mirror`, else ~/.cache), which outlives whoever
is killed; the next run asks for the rest of it (RFC 9110, section 14). What is small comes straight into the store.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeVar, cast, runtime_checkable
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from common.console import Report
from common.errors import Corrupt, Error, NotFound, Unavailable
from common.lock import take
from common.model import Digest, Secret
from naust.manifest import Blob
from naust.source.interface import Item, Kept, Upstream
from naust.store.incoming import explained
from naust.store.interface import Collectable, Store
from naust.store.resumed import Resumed
from naust.store.tries import Patience, Tries
from naust.transfer.verified import chunks
from naust.wire.transport import Answer, Transport, basic, shown

if TYPE_CHECKING:
    pass

T = TypeVar("T")
LARGE = 32 << 20  # bytes from which a part file is worth it
PATIENCE = Patience(tries=4)


@runtime_checkable
class Opens(Protocol):
    """An upstream that has its own way to its items, as registries have, which want a token."""

    def opened(self, transport: Transport, item: Item, start: int) -> AbstractContextManager[BinaryIO]:
        """The item's bytes from `start`, not checked. Raises as Transport.request does."""
        ...


@dataclass(frozen=True, slots=True)
class Fetching:
    """What all items of one source share. `name` is that of the source in the store; `unsound` collects what has the
    right size there and the wrong bytes, which a store alone would take for good."""

    store: Store
    name: str
    upstream: Upstream
    transport: Transport
    report: Report
    patience: Patience = PATIENCE
    unsound: set[Digest] = field(default_factory=set)

    def has(self, item: Item, sizes: Mapping[Digest, int], *, read: bool = False) -> Kept | None:
        """The item, if the store has it whole; a file that was cut off by a crash is not. Its size tells, as upstream
        says it or as the last state has it (`sizes`); where nobody knows the size, and with `read`, its bytes tell."""
        if item.digest is None:
            return None
        known = item.size if item.size >= 0 else sizes.get(item.digest, -1)
        size = self.store.stat(self.name, item.digest)
        if size is None or known not in (-1, size):
            return None
        if (read or known < 0) and not is_sound(self.store, self.name, Blob(item.digest, size)):
            self.unsound.add(item.digest)
            return None
        return Kept(item, item.digest, size)

    def fetch(self, item: Item) -> Kept:
        """Bring the item into the store.

        Raises NotFound, Denied, Unavailable; Corrupt if it is not what it should be; Unwritable if the store is to
        blame, so that no other item has to be tried.
        """
        with _Arriving(self, item) as source:
            source.begin()
            if item.digest is None:
                return Kept(item, *self._stored(lambda: self._added(source)))
            size = source.size
            if size is None:
                return self._of_unknown_size(item, item.digest, source)
            if size >= LARGE:
                return self._large(item, item.digest, size, source)
            self._write(item.digest, size, cast(BinaryIO, source), source)
            return Kept(item, item.digest, size)

    def _added(self, source: _Arriving) -> tuple[Digest, int]:
        digest, size = self.store.add(self.name, cast(BinaryIO, source))
        if not size:
            raise _corrupt(source.item, "it has no bytes")
        return digest, size

    def _of_unknown_size(self, item: Item, digest: Digest, source: _Arriving) -> Kept:
        with tempfile.TemporaryFile() as spool, explained(Path(tempfile.gettempdir())):
            size = _copied(source, spool)
            spool.seek(0)
            self._write(digest, size, cast(BinaryIO, spool), source)
        return Kept(item, digest, size)

    def _large(self, item: Item, digest: Digest, size: int, source: _Arriving) -> Kept:
        with _part_file(digest) as part:
            have = _length(part)
            if have > size:
                have = 0
            try:
                self._from_part(digest, size, source, part, have)
            except Corrupt:
                if not have:
                    raise
                self._from_part(digest, size, source, part, 0)
        return Kept(item, digest, size)

    def _from_part(self, digest: Digest, size: int, source: _Arriving, part: BinaryIO, have: int) -> None:
        part.truncate(have)
        part.seek(have)
        source.seek(have)
        _copied(source, part)
        part.seek(0)
        self._write(digest, size, part, source)

    def _write(self, digest: Digest, size: int, data: BinaryIO, source: _Arriving) -> None:
        try:
            store = self.store
            put = store.replace if digest in self.unsound and isinstance(store, Collectable) else store.write
            self._stored(lambda: put(self.name, digest, size, data))
        except Corrupt as error:
            raise _corrupt(source.item, f"{error.details or error.message}{source.suspicion}") from error

    def _stored(self, act: Callable[[], T]) -> T:
        """Do what the store does; what it says beside that bytes are wrong or do not come is its own trouble."""
        try:
            return act()
        except (Corrupt, Unavailable):
            raise
        except Error as error:
            raise Unwritable(error) from error


class Unwritable(Exception):
    """The store does not take what it is given: a full disk, a lost right. `error` says what it said."""

    def __init__(self, error: Error) -> None:
        super().__init__(str(error))
        self.error = error


def offered(fetching: Fetching, item: Item) -> None:
    """See that upstream has the item, without fetching it. Raises NotFound and so on; Corrupt if its size differs."""
    url, credential = bare(item.url)
    if isinstance(fetching.upstream, Opens) or url.startswith("file:"):
        with _Arriving(fetching, item) as source:
            source.begin()
        return
    tries = Tries(fetching.patience, shown(url), fetching.report)
    while True:
        try:
            with fetching.transport.request("HEAD", url, credential=credential) as answer:
                _check_length(item, _stated(answer))
                return
        except Unavailable as error:
            tries.failed(error)


def bare(url: str) -> tuple[str, Secret | None]:
    """A URL without user and password, and these as a credential for Transport.request."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url, None
    login, _, host = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    return parts._replace(netloc=host).geturl(), basic(unquote(user), Secret(unquote(password)))


class _Arriving(Resumed):
    """An item's bytes as they come."""

    def __init__(self, fetching: Fetching, item: Item) -> None:
        super().__init__(Tries(fetching.patience, item.path, fetching.report), shown(item.url))
        self.item = item
        self.size: int | None = item.size if item.size >= 0 else None
        self.suspicion = ""
        self._fetching = fetching

    def end(self) -> int | None:
        return self.size

    def opened_at(self, position: int) -> AbstractContextManager[BinaryIO]:
        upstream, transport = self._fetching.upstream, self._fetching.transport
        if isinstance(upstream, Opens):
            return upstream.opened(transport, self.item, position)
        url, credential = bare(self.item.url)
        if url.startswith("file:"):
            return _local(url, position)
        if position:
            return transport.part(url, position, credential=credential)
        return self._asked(url, credential)

    @contextmanager
    def _asked(self, url: str, credential: Secret | None) -> Iterator[BinaryIO]:
        with self._fetching.transport.request("GET", url, credential=credential) as answer:
            self._look(answer)
            yield cast(BinaryIO, answer.body)

    def _look(self, answer: Answer) -> None:
        """What the head says: a size that cannot be right, a page instead of a file."""
        page = answer.header("Content-Type").partition(";")[0].strip().lower() in ("text/html", "application/xhtml+xml")
        if page and not self.item.path.endswith((".html", ".htm")):
            self.suspicion = f"; what came is a web page, from {shown(answer.url)}"
            if self.item.digest is None:
                raise _corrupt(self.item, self.suspicion.removeprefix("; "))
        stated = _stated(answer)
        _check_length(self.item, stated, self.suspicion)
        self.size = stated if self.size is None else self.size


def _stated(answer: Answer) -> int | None:
    length = answer.header("Content-Length")
    return int(length) if length.isdecimal() else None


def _check_length(item: Item, stated: int | None, suspicion: str = "") -> None:
    if stated is not None and item.size >= 0 and stated != item.size:
        raise _corrupt(item, f"upstream has {stated} bytes, its index says {item.size}{suspicion}")


def _corrupt(item: Item, details: str) -> Corrupt:
    return Corrupt(
        f"{item.path} from {shown(item.url)} is not what it should be",
        details=details,
        resolution="Nothing of it is used. Mirror again later: upstream may have changed meanwhile.",
    )


@contextmanager
def _local(url: str, start: int) -> Iterator[BinaryIO]:
    path = Path(url2pathname(urlsplit(url).path))
    try:
        file = path.open("rb", buffering=0)
    except OSError as error:
        raise NotFound(
            f"{path} cannot be read", details=str(error), resolution="See that the file is there."
        ) from error
    with file:
        file.seek(start)
        yield cast(BinaryIO, file)


def _copied(source: _Arriving, target: BinaryIO | tempfile._TemporaryFileWrapper[bytes]) -> int:
    buffer = memoryview(bytearray(1 << 20))
    while count := source.readinto(buffer):
        target.write(buffer[:count])
    return target.tell()


@contextmanager
def _part_file(digest: Digest) -> Iterator[BinaryIO]:
    """The part file of a blob, locked. It goes unless upstream did not answer or somebody interrupted."""
    home = os.environ.get("XDG_CACHE_HOME") or ""
    folder = (Path(home) if Path(home).is_absolute() else Path.home() / ".cache") / "seter" / "mirror"
    path = folder / f"{digest.hex}.part"
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("a+b", buffering=0) as file:
            take(file.fileno(), path)
            try:
                yield cast(BinaryIO, file)
            except (Unavailable, KeyboardInterrupt):
                raise
            except BaseException:
                _gone(path)
                raise
            _gone(path)


def _gone(path: Path) -> None:
    with suppress(FileNotFoundError):
        path.unlink()


def _length(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def is_sound(store: Store, name: str, blob: Blob) -> bool:
    """Whether the store has the blob, byte for byte."""
    try:
        with chunks(store, name, blob, name) as pieces:
            return all(map(bool, pieces))
    except Corrupt:
        return False


def blob_of(kept: Kept) -> Blob:
    """Its descriptor."""
    return Blob(kept.digest, kept.size, kept.item.media_type)
