"""Sources of type pypi: distributions of a Python package index, from lock files, from names, or from a folder.

From a lock file come all files that fit the platforms and have a hash that it names; from names, all that fit of the
versions that pip itself takes. Source distributions come only where no wheel fits. Served are our own pages over the
same files (naust.source.pypi_index).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from common.console import Report
from common.errors import BadInput, Corrupt, Error, NotFound
from common.model import Digest, Event
from naust.source import pypi_page
from naust.source.definition import LOCAL, Pypi
from naust.source.interface import Item, Kept, Package, Survey
from naust.source.pypi_index import FOLDER, METADATA, Offered, pages
from naust.source.pypi_lock import Pin, pins
from naust.source.pypi_page import Listed
from naust.source.pypi_tags import Target, targets
from naust.transfer.parallel import each
from naust.wire.connections import Origin
from naust.wire.transport import Transport, shown

if TYPE_CHECKING:
    from packaging.version import Version

    from naust.source.pypi_resolve import Index

AT_ONCE = 8  # pages that are asked for side by side
NOBODYS = Digest("sha256", "0" * 64)  # of an item that is not to be had: nothing ever passes for it
_TYPES = {".whl": "application/zip", ".zip": "application/zip", ".gz": "application/gzip"}
_MACHINES = ("x86_64", "aarch64", "i686", "armv7l", "ppc64le", "s390x", "arm64", "amd64", "win32", "universal2")
_Found = tuple["Index", tuple[Listed, ...] | None]  # None: the index does not know the project


class PypiUpstream:
    """An index of Python packages."""

    def __init__(self, block: Pypi) -> None:
        self._block = block
        self._targets = targets(block.python, block.platforms)
        self._indexes: tuple[Index, ...] = ()
        self._troubles: dict[str, Error] = {}  # path of an item that is not to be had → why

    @classmethod
    def of(cls, block: Pypi) -> Self:
        """Raises BadInput."""
        return cls(block)

    def survey(self, transport: Transport, previous: str, report: Report) -> Survey | None:
        """As naust.source.interface.Upstream. A project that the index does not have, or without any file that fits, is
        an item that `opened` has the reason for: so it is named, and keeps nobody else.

        Raises BadDefinition for what is wrong in lock files; BadInput if pip finds no solution.
        """
        self._troubles.clear()
        if self._block.mode == LOCAL:
            items = _in_folder(Path(self._block.folder))
        else:
            wanted = self._pins(report)
            found = self._pages(transport, wanted, report)
            items = [item for pin in wanted for item in self._items(pin, found[pin.project])]
            self._tell_of_sources(items, report)
        unique = {item.path: item for item in reversed(items)}  # the first index that has a file counts
        listed = tuple(unique[path] for path in sorted(unique))
        mark = "" if self._troubles else str(Digest.of(repr(listed).encode()))
        return None if mark and mark == previous else Survey(listed, mark)

    def index(self, kept: Sequence[Kept], survey: Survey) -> Mapping[str, bytes]:
        """The pages. What is not among `kept` is not in them."""
        digests = {each.item.path: each.digest for each in kept}
        return pages([_offered(each, digests) for each in kept if not each.item.path.endswith(METADATA)])

    def opened(self, transport: Transport, item: Item, start: int = 0) -> AbstractContextManager[BinaryIO]:
        """The item's bytes from `start`, with the password that pip has for this index.

        Raises what the survey found wrong with it; else as Transport.part.
        """
        if item.path in self._troubles:
            raise self._troubles[item.path]
        if self._block.mode == LOCAL:
            return _opened_here(Path(self._block.folder) / item.path.removeprefix(f"{FOLDER}/"), start)
        origin = Origin.of(item.url)
        known = (each.credential for each in self._indexes if Origin.of(each.url) == origin)
        return transport.part(item.url, start, credential=next(known, None))

    def _tell_of_sources(self, items: Sequence[Item], report: Report) -> None:
        """What is built where it is installed needs what builds it, and no lock file names that (PEP 518)."""
        names = {item.package.name for item in items if item.package}
        built = {item.package.name for item in items if item.package and item.media_type == _TYPES[".gz"]}
        if built and "setuptools" not in names:
            what = f"{', '.join(sorted(built))}: only as source; name what builds it, such as setuptools, in packages"
            report(Event("note", self._block.name, what))

    # What is wanted

    def _pins(self, report: Report) -> tuple[Pin, ...]:
        from naust.source.pypi_resolve import indexes, resolved

        self._indexes = indexes(self._block.url)
        environments = [each for target in self._targets for each in target.environments()]
        wanted = list(pins(self._block.lock, environments))
        for target in self._targets if self._block.packages else ():
            report(Event("resolve", self._block.name, f"{len(self._block.packages)} requirements, {target.platform}"))
            wanted += resolved(self._block.packages, target, self._block.url)
        return tuple(dict.fromkeys(wanted))

    # What there is

    def _pages(
        self, transport: Transport, wanted: Sequence[Pin], report: Report
    ) -> Mapping[str, tuple[_Found, ...] | Error]:
        """What the indexes have of each project, or why that is not known. Raises that if it is so of all."""
        versions: dict[str, set[Version]] = {}
        for pin in wanted:
            versions.setdefault(pin.project, set()).add(pin.version)
        report(Event("survey", self._block.name, f"{len(versions)} projects"))
        found: dict[str, tuple[_Found, ...] | Error] = {}

        def ask(project: str) -> None:
            try:
                asked = (_asked(transport, index, project, versions[project]) for index in self._indexes)
                found[project] = tuple(asked)
            except Error as error:
                found[project] = error

        each(ask, sorted(versions), AT_ONCE)
        errors = [error for error in found.values() if isinstance(error, Error)]
        if errors and len(errors) == len(found):
            raise errors[0]
        return found

    def _items(self, pin: Pin, found: tuple[_Found, ...] | Error) -> Iterator[Item]:
        try:
            if isinstance(found, Error):
                raise found
            for index, file in self._chosen(pin, found):
                yield from _items_of(pin, index, file)
        except Error as error:
            path = f"{FOLDER}/{pin.project}-{pin.version}"
            self._troubles[path] = error
            package = Package("pypi", pin.project, str(pin.version))
            yield Item(path, f"{self._indexes[0].url}/{pin.project}/", digest=NOBODYS, package=package)

    def _chosen(self, pin: Pin, found: tuple[_Found, ...]) -> Iterator[tuple[Index, Listed]]:
        """The files that fit, of the first index that has any. Raises NotFound, Corrupt."""
        for index, listed in found:
            if listed is None or (pin.chosen and not any(file.digest == pin.chosen for file in listed)):
                continue
            files = _wanted(pin, listed, self._targets)
            if files:
                yield from ((index, file) for file in files)
                return
        raise _no_file(pin, found, self._targets)


def _asked(transport: Transport, index: Index, project: str, versions: Container[Version]) -> _Found:
    """A project's files of these versions in an index."""
    url = f"{index.url}/{project}/"
    asked = transport.request(
        "GET", url, headers={"Accept": pypi_page.ACCEPT}, credential=index.credential, accept=(200, 404, 410)
    )
    with asked as answer:
        if answer.status != 200:
            return index, None
        data = answer.content(pypi_page.LARGEST)
        return index, pypi_page.page(project, data, answer.header("Content-Type"), answer.url, versions)


def _wanted(pin: Pin, listed: Iterable[Listed], where: Sequence[Target]) -> list[Listed]:
    """The files of the pin that fit any of the targets: wheels, and where none fits a target, source distributions."""
    files = [file for file in listed if file.version == pin.version and _may(pin, file)]
    files = [file for file in files if file.yanked is None] or ([] if _any_kept(pin, listed) else files)
    found: dict[str, Listed] = {}
    for target in where:
        tags = target.wheels
        fitting = [file for file in files if fits_python(file, target)]
        wheels = [file for file in fitting if file.tags & tags]
        for file in wheels or [file for file in fitting if not file.tags]:
            found[file.filename] = file
    return list(found.values())


def _any_kept(pin: Pin, listed: Iterable[Listed]) -> bool:
    """Whether the version has files that were not withdrawn, though none that is meant."""
    return not pin.hashes and any(file.yanked is None for file in listed if file.version == pin.version)


def _may(pin: Pin, file: Listed) -> bool:
    return not pin.hashes or file.digest in pin.hashes or (file.digest is None and len(pin.hashes) == 1)


def fits_python(file: Listed, target: Target) -> bool:
    """Whether the file is for this Python. A specifier that nobody can read excludes nothing, as with pip."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        allowed = SpecifierSet(file.requires_python)
    except InvalidSpecifier:
        return True
    return any(allowed.contains(each["python_full_version"], prereleases=True) for each in target.environments())


def _items_of(pin: Pin, index: Index, file: Listed) -> Iterator[Item]:
    digest = file.digest or next(iter(pin.hashes), None)
    if digest is None and not file.url.startswith("https:") and index.url.startswith("https:"):
        raise Corrupt(
            f"{file.filename} has no hash and comes over plain HTTP",
            details=f"So says the page of {pin.project} at {shown(index.url)}.",
            resolution="Use a lock file with hashes.",
        )
    package = Package("pypi", pin.project, str(file.version), architecture(file), Origin.of(index.url).authority)
    facts = [("requires_python", file.requires_python), ("uploaded", file.uploaded)]
    facts += [("yanked", file.yanked)] if file.yanked is not None else []
    said = tuple(pair for pair in facts if pair[1] or pair[0] == "yanked")
    path = f"{FOLDER}/{file.filename}"
    media_type = _TYPES.get(Path(file.filename).suffix, "application/octet-stream")
    yield Item(path, file.url, file.size, digest, media_type, package, facts=said)
    if file.metadata:
        yield _metadata_of(file, path)


def _metadata_of(file: Listed, path: str) -> Item:
    """A wheel's metadata beside it. It may always be missing: pip does without."""
    url = f"{file.url}{METADATA}"
    return Item(f"{path}{METADATA}", url, -1, file.metadata_digest, "text/plain", may_miss=True)


def architecture(file: Listed) -> str:
    """What machine a wheel is for, '' if for all."""
    ends = {name for name in _MACHINES for tag in file.tags if tag.platform.endswith(name)}
    return min(ends, default="")


def _no_file(pin: Pin, found: tuple[_Found, ...], where: Sequence[Target]) -> Error:
    versions = [file for _, listed in found for file in listed or () if file.version == pin.version]
    if all(listed is None for _, listed in found):
        details = "No index has this project."
    elif not versions:
        details = "No index has this version."
    elif pin.hashes and not any(_may(pin, file) for file in versions):
        details = f"None of its {len(versions)} files has one of the {len(pin.hashes)} hashes of the lock file."
    else:
        details = "No file fits " + ", ".join(f"{each.platform} and Python {each.python}" for each in where) + "."
    return NotFound(
        f"there is nothing of {pin.project} {pin.version} to be had",
        details=details,
        resolution="See `platforms` and `python` of the source, and write the lock file anew.",
    )


def _offered(kept: Kept, digests: Mapping[str, Digest]) -> Offered:
    item = kept.item
    facts = dict(item.facts)
    assert item.package is not None
    return Offered(
        project=item.package.name,
        version=item.package.version,
        filename=item.path.rpartition("/")[2],
        digest=kept.digest,
        size=kept.size,
        requires_python=facts.get("requires_python", ""),
        yanked=facts.get("yanked"),
        metadata=digests.get(f"{item.path}{METADATA}"),
        uploaded=facts.get("uploaded", ""),
    )


@contextmanager
def _opened_here(path: Path, start: int) -> Iterator[BinaryIO]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise NotFound(f"{path} cannot be read", details=str(error), resolution="See that it is there.") from error
    with file:
        file.seek(start)
        yield file


# What we publish ourselves --------------------------------------------------------------------------------------------


def _in_folder(folder: Path) -> list[Item]:
    """All distributions that lie in a folder. Raises BadInput if it cannot be read."""
    try:
        names = sorted(each.name for each in folder.iterdir() if each.is_file())
        return [item for name in names if (item := _local(folder / name)) is not None]
    except OSError as error:
        raise BadInput(
            f"the folder {folder} cannot be read", details=str(error), resolution="Name a folder with wheels."
        ) from error


def _local(path: Path) -> Item | None:
    from naust.transfer.digests import digest_of

    parsed = pypi_page.names(path.name)
    if parsed is None:
        return None
    project, version, tags = parsed
    digest, size = digest_of(path), path.stat().st_size
    file = Listed(path.name, path.as_uri(), version, tags, digest, size)
    package = Package("pypi", project, str(version), architecture(file), "local")
    return Item(f"{FOLDER}/{path.name}", file.url, size, digest, _TYPES.get(path.suffix, ""), package)
