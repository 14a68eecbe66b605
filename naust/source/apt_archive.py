"""An archive of upstream: one suite's Release, checked, and the indexes that it vouches for.

While upstream changes, Release and indexes may not fit together. Where the archive keeps its indexes by digest
(`Acquire-By-Hash`) that hardly ever shows; where not, the Release is fetched anew until they do.
"""

from __future__ import annotations

import gzip
import lzma
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from common.console import Report
from common.errors import Corrupt, Error, NotFound, Unavailable
from common.model import Digest, Event
from naust.source.apt_release import LARGEST, Listed, Release, check_date, parse, unsigned, unusable
from naust.source.fetch import bare
from naust.source.openpgp import signed_text
from naust.store.tries import Patience, Tries
from naust.wire.transport import Transport, shown

PATIENCE = Patience(tries=4)
LARGEST_INDEX = 1 << 30  # bytes; Debian's has 57 MB
ROUNDS = 3  # times that a Release is fetched while it does not fit its indexes


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite's Release as upstream signed it. `signed` is the file, `signature` that of a Release.gpg beside it."""

    release: Release
    signed: bytes = field(repr=False)
    signature: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Data:
    """What is in an index, uncompressed, and the component that it is of."""

    component: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Archive:
    """One suite at one place. `url` may hold a login."""

    url: str = field(repr=False)
    suite: str
    keyring: Path
    transport: Transport = field(repr=False)
    report: Report = field(repr=False)
    patience: Patience = PATIENCE

    def opened(self, now: datetime) -> Suite:
        """Its Release. Raises NotFound, Unavailable; Corrupt if the signature, the suite or the date is wrong."""
        what = f"{shown(self.url)}/dists/{self.suite}/InRelease"
        signature = None
        try:
            signed = self._get("InRelease", LARGEST)
        except NotFound:  # some archives have the older pair of files alone
            signed, signature = self._get("Release", LARGEST), self._get("Release.gpg", LARGEST)
        release = parse(signed_text(signed, self.keyring, what, signature), self.suite)
        # Whoever reads it later without gpgv must read the same.
        if parse(unsigned(signed), self.suite) != release:
            raise unusable(self.suite, "There is text around what was signed.")
        check_date(release, now)
        return Suite(release, signed, signature)

    def indexes(
        self, suite: Suite, components: Sequence[str], architectures: Sequence[str], now: datetime
    ) -> tuple[Suite, dict[str, tuple[Data, ...]]]:
        """What its indexes say for each architecture, and the Release that they belong to, which is a newer one if
        upstream changed meanwhile. Raises as `opened` does; Corrupt if they do not fit together in the end."""
        known: dict[Digest, bytes] = {}
        for left in reversed(range(ROUNDS)):
            try:
                return suite, {each: self._of(suite, components, each, known) for each in architectures}
            except (Corrupt, NotFound) as error:
                newer = self.opened(now)
                if not left or newer.signed == suite.signed:
                    raise self._unfit(error) from error
                self.report(Event("changed", self.suite, "upstream changed meanwhile; looking again"))
                suite = newer
        raise AssertionError("there is a round that returns or raises")

    def _of(
        self, suite: Suite, components: Sequence[str], architecture: str, known: dict[Digest, bytes]
    ) -> tuple[Data, ...]:
        found = []
        for component, forms in suite.release.indexes(components, architecture):
            whole = next((each for each in forms if each.path.endswith("/Packages")), None)
            chosen = forms[0]
            if chosen.digest not in known:
                known[chosen.digest] = self._index(suite.release, chosen, whole)
            found.append(Data(component, known[chosen.digest]))
        return tuple(found)

    def _index(self, release: Release, chosen: Listed, whole: Listed | None) -> bytes:
        if chosen.size > LARGEST_INDEX or (whole and whole.size > LARGEST_INDEX):
            raise _unlike(self.suite, chosen, f"it would have more than {LARGEST_INDEX} bytes")
        folder, _, _ = chosen.path.rpartition("/")
        path = f"{folder}/by-hash/SHA256/{chosen.digest.hex}" if release.by_hash else chosen.path
        packed = self._get(path, chosen.size)
        if len(packed) != chosen.size or Digest.of(packed) != chosen.digest:
            raise _unlike(self.suite, chosen, f"its {len(packed)} bytes have {Digest.of(packed)}")
        content = unpacked(packed, chosen, whole.size if whole else LARGEST_INDEX, self.suite)
        if whole and Digest.of(content) != whole.digest:
            raise _unlike(self.suite, whole, f"unpacked, it has {Digest.of(content)}")
        return content

    def _get(self, path: str, at_most: int) -> bytes:
        """A file below the suite's folder."""
        url, credential = bare(f"{self.url}/dists/{self.suite}/{path}")
        tries = Tries(self.patience, shown(url), self.report)
        while True:
            try:
                with self.transport.request("GET", url, credential=credential) as answer:
                    return answer.content(at_most)
            except Unavailable as error:
                tries.failed(error)

    def _unfit(self, error: Error) -> Corrupt:
        return Corrupt(
            f"{self.suite} at {shown(self.url)} does not fit together",
            details="\n".join(filter(None, (error.message, error.details))),
            resolution="Nothing of it was used. Upstream may be in the middle of a change, or a cache between has old "
            "files: mirror again later.",
        )


def unpacked(packed: bytes, listed: Listed, at_most: int, suite: str) -> bytes:
    """An index uncompressed. Raises Corrupt if it is cut off or becomes larger than it may."""
    if listed.path.endswith("/Packages"):
        return packed
    try:
        if listed.path.endswith(".xz"):
            xz = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=1 << 29)
            data, ended = xz.decompress(packed, at_most + 1), xz.eof
        else:
            gz = zlib.decompressobj(zlib.MAX_WBITS | 16)
            data, ended = gz.decompress(packed, at_most + 1), gz.eof
    except (lzma.LZMAError, zlib.error, gzip.BadGzipFile, EOFError) as error:
        raise _unlike(suite, listed, f"it cannot be unpacked: {error}") from error
    if len(data) > at_most or not ended:
        raise _unlike(suite, listed, "it is cut off" if len(data) <= at_most else f"it has more than {at_most} bytes")
    return data


def _unlike(suite: str, listed: Listed, details: str) -> Corrupt:
    return Corrupt(
        f"{listed.path} of {suite} is not what its Release says",
        details=f"It has {listed.size} bytes with {listed.digest} there; {details}.",
        resolution="Mirror again later.",
    )
