"""`seter status --affected`: on which nodes a package runs in a version, by what really runs; and what is revoked.

What an artefact contains is naust's to know (its SBOM, or the list of its inputs), what is installed on a host the
host's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seter.revoked import KINDS, digests, revoked_of
from seter.state import InstalledPackage
from seter.survey import Survey

if TYPE_CHECKING:
    from naust.affected import Hit, Wanted

AT_ONCE = 16  # nodes that are asked
BY_HOST = "host"  # how it is known what is installed on a host: it says so itself


@dataclass(frozen=True, slots=True)
class Contains:
    """A role on a node whose process was started from something that contains it. `packages` are NAME VERSION, with a
    question mark where the versions cannot be compared; `by` says how that is known."""

    node: str
    role: str
    artifact: str
    packages: tuple[str, ...]
    by: str


@dataclass(frozen=True, slots=True)
class Affected:
    """What `--json` prints. `unknown` are (node, role) of which nobody knows what is in them: there is neither SBOM nor
    list of inputs, or the store does not have the artefact any more."""

    query: str
    affected: tuple[Contains, ...]
    unknown: tuple[tuple[str, str], ...]
    looked_at: int


def affected(seen: Survey, query: str) -> Affected:
    """Ask of every process that there is. Raises BadInput for what is no query."""
    from naust.affected import affected as search
    from naust.affected import query as parse

    wanted = parse(query)
    answers = [search(seen.store, wanted, prefix=f"{kind}/") for kind in KINDS]
    by_digest = {each.digest: each for answer in answers for each in answer.affected}
    silent = {name for answer in answers for name in (*answer.unknown, *(name for name, _ in answer.unreadable))}
    held, installed = digests(seen.store), _installed(seen)
    found, unknown, count = [], [], 0
    for node, role, digest in _running(seen):
        count += 1
        name = held.get(digest)
        if node in installed:
            contains, is_known = _on_host(seen, node, role, digest, installed[node], wanted)
            found += [contains] if contains is not None else []
            unknown += [] if contains is not None or is_known else [(node, role)]
        elif digest in by_digest:
            each = by_digest[digest]
            found.append(Contains(node, role, f"{each.name}:{each.tag}", _shown(each.hits), each.by))
        elif name is None or name in silent:
            unknown.append((node, role))
    return Affected(query, tuple(found), tuple(unknown), count)


def _shown(hits: Iterable[Hit]) -> tuple[str, ...]:
    return tuple(f"{hit.package} {hit.version}{'' if hit.certain else ' ?'}" for hit in hits)


def _installed(seen: Survey) -> dict[str, tuple[InstalledPackage, ...]]:
    """Nodes whose processes run from what is installed there, and all that is."""
    names = [name for name, state in seen.observed.nodes.items() if state.running]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        there = threads.map(seen.provisioner.packages, names)
        return {name: packages for name, packages in zip(names, there, strict=True) if packages is not None}


def _on_host(
    seen: Survey,
    node: str,
    role: str,
    artifact: str,
    installed: Iterable[InstalledPackage],
    wanted: Sequence[Wanted],
) -> tuple[Contains | None, bool]:
    """What the host says is installed, which all its processes share, and the role's own program; and whether that is
    all. Which program it was is known while the role is as the definitions have it."""
    from naust.affected import match
    from naust.proof.sbom import Package

    packages = [Package("deb", each.name, each.version, each.source, each.source_version) for each in installed]
    seat = seen.blueprint.seat.get((node, role))
    is_known = seat is not None and artifact == str(seen.image_of(seat).artifact.digest)
    if seat is not None and is_known and seat.role.software:
        kind, _, whole = seat.role.software.partition(":")
        name, _, version = whole.partition("==")
        packages.append(Package(kind, name, version))
    hits = dict.fromkeys(hit for one in packages for each in wanted if (hit := match(one, each)) is not None)
    if not hits:
        return None, is_known
    return Contains(node, role, "installed", _shown(hits), BY_HOST), is_known


def _running(seen: Survey) -> Iterable[tuple[str, str, str]]:
    """Node, role, digest of what its process was started from."""
    for node, state in seen.observed.nodes.items():
        for role, there in state.roles:
            if there.has_process:
                yield node, role, there.artifact


def revoked(seen: Survey) -> Mapping[str, str]:
    """Digests of what runs, or should, and was revoked; and the word on it. What the store lacks is not known."""
    asked = {digest for _, _, digest in _running(seen)} | {str(each.artifact.digest) for each in seen.images.values()}
    return revoked_of(seen.store, asked)
