"""Sources of type terraform: providers of registries, of a network mirror, or out of a folder.

Served is a network mirror (https://developer.hashicorp.com/terraform/internals/provider-network-mirror-protocol): every
version of a provider in one index, and for every package both kinds of hash, so that a lock file fits whichever kind it
has. The same paths make a `filesystem_mirror` with packed files. The release's checksums, their signature and the key
lie beside the packages.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, Self

from common.console import Report
from common.errors import BadInput, Corrupt, Error, NotFound
from common.files import CHUNK
from common.model import Digest, Event
from naust import manifest as oci
from naust.source.definition import LOCAL, Terraform
from naust.source.interface import Item, Kept, Package, Read, Survey
from naust.source.terraform_hash import package_hashes, zip_hash
from naust.source.terraform_registry import (
    Address,
    Found,
    Mirror,
    Registry,
    Wanted,
    check_wanted,
    of_file_name,
)
from naust.transfer.parallel import each
from naust.wire.transport import Transport, shown

AT_ONCE = 4  # packages that are asked for side by side
LARGEST = 2 << 30  # bytes of a package
NOBODYS = Digest("sha256", "0" * 64)  # of an item that is not to be had: nothing ever passes for it


class TerraformUpstream:
    """Providers."""

    def __init__(self, block: Terraform) -> None:
        self._block = block
        self._wanted = tuple(sorted(set(_wanted(block))))
        self._troubles: dict[str, Error] = {}  # path of an item that is not to be had → why
        self._read: Read | None = None
        self._transport: Transport | None = None

    @classmethod
    def of(cls, block: Terraform) -> Self:
        """Raises BadInput for a provider, version or platform that is none."""
        return cls(block)

    def reads(self, read: Read) -> None:
        """As `Reads`."""
        self._read = read

    def survey(self, transport: Transport, previous: str, report: Report) -> Survey | None:
        """As naust.source.interface.Upstream. A package that is not to be had is an item that `opened` has the reason
        for: so it is named, and keeps nobody else."""
        self._troubles.clear()
        self._transport = transport
        report(Event("survey", self._block.name, f"{len(self._wanted) or 'all'} packages"))
        local = self._block.mode == LOCAL
        items, extra = (_in_folder(Path(self._block.folder)), {}) if local else self._asked(transport)
        listed = tuple(sorted(items, key=lambda item: item.path))
        known = oci.encode({"items": repr(listed), "extra": {path: str(Digest.of(extra[path])) for path in extra}})
        mark = "" if self._troubles else str(Digest.of(known))
        return None if mark and mark == previous else Survey(listed, mark, extra=extra)

    def index(self, kept: Sequence[Kept], survey: Survey) -> Mapping[str, bytes]:
        """`index.json` of each provider and a file for each version. Raises Corrupt if a package is no zip, or not
        what upstream's `h1:` says."""
        providers: dict[str, dict[str, dict[str, object]]] = {}
        for one in sorted(kept, key=lambda one: one.item.path):
            facts = dict(one.item.facts)
            archives = providers.setdefault(facts["provider"], {}).setdefault(facts["version"], {})
            name = one.item.path.rpartition("/")[2]
            archives[facts["platform"]] = {"url": name, "hashes": [*self._tree(one), zip_hash(one.digest)]}
        made: dict[str, bytes] = {}
        for provider, versions in providers.items():
            made[f"{provider}/index.json"] = oci.encode({"versions": {version: {} for version in versions}})
            made |= {f"{provider}/{version}.json": oci.encode({"archives": versions[version]}) for version in versions}
        return made

    @contextmanager
    def opened(self, transport: Transport, item: Item, start: int = 0) -> Iterator[BinaryIO]:
        """The item's bytes from `start`. Raises what the survey found wrong with it; else as Transport.part."""
        if item.path in self._troubles:
            raise self._troubles[item.path]
        if self._block.mode != LOCAL:
            with transport.part(item.url, start) as body:
                yield body
            return
        with (Path(self._block.folder) / item.path).open("rb") as file:
            file.seek(start)
            yield file

    # Upstream

    def _asked(self, transport: Transport) -> tuple[list[Item], dict[str, bytes]]:
        upstream = Mirror(transport, self._block.url) if self._block.url else Registry(transport)
        found: dict[Wanted, Found | Error] = {}

        def ask(wanted: Wanted) -> None:
            try:
                found[wanted] = upstream.find(wanted)
            except Error as error:
                found[wanted] = error

        each(ask, self._wanted, AT_ONCE)
        errors = [error for error in found.values() if isinstance(error, Error)]
        if errors and len(errors) == len(found):
            raise errors[0]
        items = [self._item(wanted, found[wanted]) for wanted in self._wanted]
        extra = {path: data for wanted in self._wanted for path, data in _proofs(wanted, found[wanted])}
        return items, extra

    def _item(self, wanted: Wanted, found: Found | Error) -> Item:
        if isinstance(found, Error):
            self._troubles[wanted.path] = found
            found = Found(self._block.url or f"https://{wanted.address.path}", NOBODYS)
        return _item(wanted, found.url, -1, found.digest, found.tree)

    # Hashes

    def _tree(self, one: Kept) -> tuple[str, ...]:
        """The package's `h1:` hashes, from its bytes."""
        with tempfile.TemporaryFile() as spool:
            with self._again(one) as source:
                _spool(source, spool, one)
            spool.seek(0)
            hashes = package_hashes(spool, one.item.path)
        stated = dict(one.item.facts).get("tree", "").split()
        if stated and not set(stated) & set(hashes):
            raise Corrupt(
                f"{one.item.path} is not what {shown(one.item.url)} should be",
                details=f"Upstream says {stated[0]}, it is {hashes[0]}.",
                resolution="Nothing was published. Tell whoever runs the mirror.",
            )
        return hashes

    def _again(self, one: Kept) -> AbstractContextManager[BinaryIO]:
        if self._read is not None:
            return self._read(one)
        return self.opened(self._transport or Transport(), one.item)


def _wanted(block: Terraform) -> Iterator[Wanted]:
    for provider in block.providers:
        address = Address.parse(provider.name)
        for version in provider.versions:
            for platform in provider.platforms:
                check_wanted(version, platform)
                yield Wanted(address, version, platform)


def _item(wanted: Wanted, url: str, size: int, digest: Digest | None, tree: Sequence[str] = ()) -> Item:
    facts = [("provider", wanted.address.path), ("version", wanted.version), ("platform", wanted.platform)]
    facts += [("tree", " ".join(tree))] if tree else []
    package = Package("terraform", str(wanted.address), wanted.version, wanted.platform, wanted.address.host)
    return Item(wanted.path, url, size, digest, "application/zip", package, facts=tuple(facts))


def _proofs(wanted: Wanted, found: Found | Error) -> Iterator[tuple[str, bytes]]:
    """Named after the version, as releases do it, so that those of several lie side by side."""
    if isinstance(found, Found):
        for name, data in found.proofs.items():
            yield f"{wanted.address.path}/terraform-provider-{wanted.address.type}_{wanted.version}_{name}", data


def _spool(source: BinaryIO, spool: BinaryIO, one: Kept) -> None:
    """Copy the package, checked. Raises Corrupt."""
    total, size = hashlib.sha256(), 0
    while piece := source.read(CHUNK):
        size += len(piece)
        if size > min(one.size, LARGEST):
            break
        total.update(piece)
        spool.write(piece)
    if (size, total.hexdigest()) != (one.size, one.digest.hex):
        raise Corrupt(
            f"{one.item.path} is not what it was when it was fetched",
            details=f"It should have {one.size} bytes and {one.digest}, and at most {LARGEST} bytes.",
            resolution="Run `naust fsck`, then mirror again.",
        )


# What we publish ourselves --------------------------------------------------------------------------------------------


def _in_folder(folder: Path) -> list[Item]:
    """All packages below HOST/NAMESPACE/TYPE/. Raises BadInput if there is no such folder."""
    if not folder.is_dir():
        raise BadInput(f"there is no folder {folder}", resolution="Make it, or name another one in sources.hcl.")
    from naust.transfer.digests import digest_of

    found: list[Item] = []
    for path in sorted(folder.glob("*/*/*/*.zip")):
        wanted = _here(path.relative_to(folder))
        if wanted is not None and path.is_file():
            found.append(_item(wanted, path.as_uri(), path.stat().st_size, digest_of(path)))
    if not found:
        raise NotFound(
            f"{folder} has no packages of providers",
            resolution="They lie in HOST/NAMESPACE/TYPE/terraform-provider-TYPE_VERSION_OS_ARCH.zip.",
        )
    return found


def _here(path: Path) -> Wanted | None:
    try:
        found = of_file_name(Address.parse(path.parent.as_posix()), path.name)
    except BadInput:
        return None
    return found if found is not None and found.path == path.as_posix() else None
