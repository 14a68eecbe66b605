"""Suites of a Debian archive as a source: what upstream signed decides what there is, and we sign what we keep of it.

The tree that is made has all suites of the source in one: `dists/<suite>/…` with our own indexes and Release files,
`pool/…` as upstream names the packages, `key.asc` for `Signed-By`, and `upstream/<suite>/InRelease`, by which anybody
can see later what upstream signed. Format: wiki.debian.org/DebianRepository/Format.

Indexes hold the kept packages alone, in an order of their own. Each Release has upstream's own date, and so has its
signature: the bytes do not depend on when they are made.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import quote

from common.console import Report
from common.errors import BadInput, Corrupt
from common.model import Digest, Event
from naust.source import apt_local, apt_machine
from naust.source.apt_archive import Archive, Data, Suite
from naust.source.apt_closure import Chosen, Universe, choose
from naust.source.apt_packages import Deb, index
from naust.source.apt_release import Listed, Release, parse, unsigned, written
from naust.source.definition import LOCAL, Apt
from naust.source.interface import Item, Kept, Package, Survey
from naust.source.openpgp import ArchiveKey, archive_key
from naust.source.state import checked_path
from naust.wire.transport import Transport

FORMAT = 1  # of what `index` makes; another one makes everything anew
MEDIA_TYPE = "application/vnd.debian.binary-package"  # IANA media types
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_LARGE = 8 << 20  # bytes of an index from which xz is told to hurry
_SECURITY = "-security"
Read = tuple[Suite, Mapping[str, Sequence[Data]]]  # a suite, and its indexes by architecture


@dataclass(frozen=True, slots=True)
class AptUpstream:
    """See the module. `key` gives the key that signs, when it is needed."""

    block: Apt
    etc: Path = apt_machine.ETC
    _key: list[ArchiveKey] = field(default_factory=list, repr=False, compare=False)

    @classmethod
    def of(cls, block: Apt) -> AptUpstream:
        """The upstream of this block. Raises BadInput."""
        for suite in block.suites:
            checked_path(f"dists/{suite}")
        for component in block.components:
            checked_path(component)
        return cls(block)

    def survey(self, transport: Transport, previous: str, report: Report) -> Survey | None:
        """What upstream has of what is wanted. See `naust.source.interface.Upstream.survey`.

        Raises BadInput if there is no such package or component, Missing if apt here knows no such suite.
        """
        if self.block.mode == LOCAL:
            return self._local(previous, report)
        now = datetime.now(UTC)
        archives = self._archives(transport, report)
        with ThreadPoolExecutor(max(1, len(archives))) as threads:
            suites = list(threads.map(lambda each: each.opened(now), archives))
            if self._mark(suites) == previous:
                return None
            read = list(threads.map(lambda each, suite: self._read(each, suite, now), archives, suites))
        urls = {each.suite: each.url for each in archives}
        found = self._survey(read, urls, report, max(suite.release.date for suite, _ in read))
        dates = {each.suite: suite.release.date for each, (suite, _) in zip(archives, read, strict=True)}
        return replace(found, dates=dates)

    def _local(self, previous: str, report: Report) -> Survey | None:
        """What is in the folder. It has no date: whoever takes a package away there means it."""
        folder = Path(self.block.folder)
        read = apt_local.suites(folder, self.block.suites, self.block.components[0], self.block.architectures)
        if self._mark([suite for suite, _ in read]) == previous:
            return None
        return self._survey(read, dict.fromkeys(self.block.suites, folder.as_uri()), report, None)

    def _survey(self, read: Sequence[Read], urls: Mapping[str, str], report: Report, date: datetime | None) -> Survey:
        suites = [suite for suite, _ in read]
        return Survey(tuple(self._items(read, urls, report)), self._mark(suites), date, _extra(suites))

    def index(self, kept: Sequence[Kept], survey: Survey) -> Mapping[str, bytes]:
        """Indexes, Release files and the key. See `naust.source.interface.Upstream.index`."""
        files: dict[str, bytes] = {"key.asc": self.key.certificate()}
        paragraphs = _paragraphs(kept)
        for suite in self.block.suites:
            upstream = _upstream_release(survey, suite)
            indexes = {
                f"{component}/binary-{each}/Packages": paragraphs.get(f"{suite} {component} {each}", b"")
                for component in self.block.components
                for each in self.block.architectures
            }
            files |= self._suite(upstream, indexes)
        return files

    @property
    def key(self) -> ArchiveKey:
        """The key that signs; made if there is none yet. Raises Denied, BadInput."""
        if not self._key:
            self._key.append(archive_key(self.block.key))
        return self._key[0]

    def _archives(self, transport: Transport, report: Report) -> list[Archive]:
        keyring = Path(self.block.keyring) if self.block.keyring else KEYRING
        urls = self._urls()
        return [Archive(urls[each], each, keyring, transport, report) for each in self.block.suites]

    def _urls(self) -> dict[str, str]:
        if not self.block.url:
            return apt_machine.places(self.block.suites, self.etc)
        security = self.block.security_url or self.block.url
        return {
            suite: (security if suite.endswith(_SECURITY) else self.block.url).rstrip("/")
            for suite in self.block.suites
        }

    def _read(self, archive: Archive, suite: Suite, now: datetime) -> Read:
        return archive.indexes(suite, self.block.components, self.block.architectures, now)

    def _mark(self, suites: Sequence[Suite]) -> str:
        """Changes with what upstream signed, with what is wanted of it, and with our key."""
        block = self.block
        words = (block.suites, block.components, block.architectures, block.packages, block.recommends, block.may_miss)
        signed = [str(Digest.of(each.signed)) for each in suites]
        return str(Digest.of(repr((FORMAT, words, self.key.fingerprint, signed)).encode()))

    def _items(self, read: Sequence[Read], urls: Mapping[str, str], report: Report) -> Iterator[Item]:
        found: dict[str, list[tuple[Deb, str]]] = {}
        unknown: list[set[str]] = []
        for architecture in self.block.architectures:
            chosen = self._chosen(read, architecture)
            unknown.append(set(chosen.unknown))
            for lost in chosen.lost:
                said = f"needs {lost.needs} for {architecture}, which no suite of {self.block.name} has"
                report(Event("unmet", lost.package, said))
            for deb in chosen.debs:
                found.setdefault(_path(deb), []).append((deb, architecture))
        self._check_unknown(set.intersection(*unknown) if unknown else set(), report)
        for path in sorted(found):
            yield self._item(path, found[path], urls)

    def _chosen(self, read: Sequence[Read], architecture: str) -> Chosen:
        indexes = [
            index(data.content, (suite.release.suite, data.component))
            for suite, by_architecture in read
            for data in by_architecture[architecture]
        ]
        return choose(Universe(indexes), self.block.packages, recommends=self.block.recommends)

    def _check_unknown(self, names: set[str], report: Report) -> None:
        for name in sorted(names):
            if self._may_miss(name):
                report(Event("missing", name, f"{self.block.name} has no such package, which it may miss"))
        lost = sorted(name for name in names if not self._may_miss(name))
        if lost:
            raise BadInput(
                f"no suite of {self.block.name} has {', '.join(lost)}",
                resolution="Correct `packages` of the source, or write the name into `may_miss` too.",
            )

    def _item(self, path: str, found: Sequence[tuple[Deb, str]], urls: Mapping[str, str]) -> Item:
        first = found[0][0]
        for deb, _ in found:
            if (deb.digest, deb.size) != (first.digest, first.size):
                raise _two_files(path, first, deb)
        # One for each index that it is in: suite, component and architecture, and its paragraph.
        facts = {f"{deb.where[0]} {deb.where[1]} {each}": deb.text.decode() for deb, each in found}
        # What is in the security archive came from there, wherever else it is by now.
        origin = next((deb for deb, _ in found if deb.where[0].endswith(_SECURITY)), first)
        return Item(
            path=path,
            url=f"{urls[first.where[0]]}/{quote(_upstream_path(first), safe='/~+')}",
            size=first.size,
            digest=first.digest,
            media_type=MEDIA_TYPE,
            package=Package("deb", first.name, first.version, first.architecture, origin.where[0]),
            may_miss=self._may_miss(first.name) or self._may_miss(path),
            facts=tuple(sorted(facts.items())),
        )

    def _may_miss(self, name: str) -> bool:
        return any(fnmatchcase(name, each) for each in self.block.may_miss)

    def _suite(self, upstream: Release, indexes: Mapping[str, bytes]) -> dict[str, bytes]:
        """All files of a suite by their paths in the tree."""
        folder = f"dists/{upstream.suite}"
        files: dict[str, bytes] = {}
        listed = []
        for path, plain in indexes.items():
            for name, data in ((path, plain), (f"{path}.xz", _packed(plain))):
                digest = Digest.of(data)
                by_hash = f"{path.rpartition('/')[0]}/by-hash/SHA256/{digest.hex}"
                files |= {f"{folder}/{name}": data, f"{folder}/{by_hash}": data}
                listed.append(Listed(name, len(data), digest))
        release = written(upstream, self.block.components, self.block.architectures, listed)
        files[f"{folder}/Release"] = release
        files[f"{folder}/Release.gpg"] = self.key.detached(release, upstream.date)
        files[f"{folder}/InRelease"] = self.key.clear_signed(release, upstream.date)
        return files


def _extra(suites: Iterable[Suite]) -> dict[str, bytes]:
    """What upstream signed, kept as it is."""
    files = {}
    for each in suites:
        folder = f"upstream/{each.release.suite}"
        files[f"{folder}/{'Release' if each.signature else 'InRelease'}"] = each.signed
        if each.signature:
            files[f"{folder}/Release.gpg"] = each.signature
    return files


def _upstream_release(survey: Survey, suite: str) -> Release:
    """The suite's Release out of what `survey` kept; its signature was checked there."""
    folder = f"upstream/{suite}"
    data = survey.extra.get(f"{folder}/InRelease") or survey.extra.get(f"{folder}/Release") or b""
    return parse(unsigned(data), suite)


def _paragraphs(kept: Sequence[Kept]) -> dict[str, bytes]:
    """`suite component architecture` → its index, sorted by name, version and path."""
    every: dict[str, list[tuple[str, str, str, str]]] = {}
    for each in kept:
        package = each.item.package
        if package is not None:
            for where, text in each.item.facts:
                every.setdefault(where, []).append((package.name, package.version, each.item.path, text))
    return {where: _joined(sorted(found)) for where, found in every.items()}


def _joined(found: Sequence[tuple[str, str, str, str]]) -> bytes:
    return b"".join(_paragraph(path, text) for _, _, path, text in found)


def _paragraph(path: str, text: str) -> bytes:
    """A paragraph as upstream wrote it, but with the path that the package has here."""
    if f"\nFilename: {path}\n" not in f"{text}\n":
        lines = text.split("\n")
        text = "\n".join(f"Filename: {path}" if line.lower().startswith("filename:") else line for line in lines)
    return text.strip("\n").encode() + b"\n\n"


def _upstream_path(deb: Deb) -> str:
    return checked_path(deb.path.removeprefix("./"))


def _path(deb: Deb) -> str:
    """Where the package is in our tree: below pool/, as upstream has it in all but the smallest archives."""
    path = _upstream_path(deb)
    return path if path.startswith("pool/") else f"pool/{path}"


def _packed(data: bytes) -> bytes:
    """xz of a fixed preset: the same bytes from the same version of liblzma."""
    return lzma.compress(data, check=lzma.CHECK_CRC64, preset=1 if len(data) > _LARGE else 6)


def _two_files(path: str, one: Deb, other: Deb) -> Corrupt:
    return Corrupt(
        f"{path} is one file in {one.where[0]} and another in {other.where[0]}",
        details=f"{one.digest} and {other.digest}.",
        resolution="Make a source of its own of each of the two archives: they do not share a pool.",
    )
