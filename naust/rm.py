"""Tags away. What they stood for stays until `naust gc` finds that nothing refers to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from common.console import amount
from common.errors import BadInput, Conflict, Corrupt, Denied, NotFound
from common.model import Artifact, Digest
from naust import gc
from naust.address import parse
from naust.listing import artifacts, name_of
from naust.promote import stands_for
from naust.store.interface import Collectable, Store
from naust.version import is_dated, split


@dataclass(frozen=True, slots=True)
class Removal:
    """A tag that is to go. `channels` are those that stand for the same manifest and would still keep it; `digest` is
    None if the manifest is damaged, so that nobody knows."""

    name: str
    tag: str
    digest: Digest | None
    channels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Free:
    """What gc will be able to take once the tags are gone. Not `exact`: only tags of the same names were looked at, as
    other names of a store far away would take long, and blobs that those share stay; so it is at most this."""

    blobs: int
    size: int
    exact: bool


def plan(store: Store, wanted: Sequence[str], *, force: bool = False) -> tuple[Removal, ...]:
    """Which tags are meant: each by its own name, as a version that was published once, or as a channel. Looks only.

    Raises NotFound; BadInput if a version is not one tag alone; Conflict if a channel stands for a version that is to
    go, Corrupt if it is damaged, and `force` is not given; Denied if the store cannot take names away.
    """
    if not store.traits().deletes_names:
        raise Denied(f"{store.url} cannot take a name away", resolution="Use the tools of that registry.")
    found = tuple(dict.fromkeys(_removal(store, text, force) for text in wanted))
    going = {(each.name, each.tag) for each in found}
    for each in found:
        held = [channel for channel in each.channels if (each.name, channel) not in going]
        if held and is_dated(each.tag) and not force:
            raise Conflict(
                f"{each.name}:{each.tag} is what {', '.join(held)} stands for",
                resolution="Promote another version first, or give --force: the channel then keeps the content, "
                "without its version.",
            )
    return found


def remove(store: Store, removals: Sequence[Removal]) -> None:
    """Take the tags away. Raises Conflict, before the others, if one moved since it was looked at."""
    for each in removals:
        store.delete_tag(each.name, each.tag, expected=each.digest)


def free(store: Store, removals: Sequence[Removal]) -> Free | None:
    """What gc could delete without these tags and cannot with them; None if the store collects by itself or something
    in it is damaged, so that nobody knows."""
    if not isinstance(store, Collectable):
        return None
    exact = store.url.startswith(("file://", "memory://"))
    names = frozenset(each.name for each in removals)
    try:
        going = gc.mark(store, damaged=_refuse, names=names)
        staying = gc.mark(
            store,
            damaged=_refuse,
            without=frozenset((each.name, each.tag) for each in removals),
            names=None if exact else names,
        )
    except Corrupt:
        return None
    sizes = [_size(store, names, digest) for digest in going.digests() if digest not in staying]
    return Free(len(sizes), sum(sizes), exact)


def _size(store: Store, names: frozenset[str], digest: Digest) -> int:
    found = (store.stat(name, digest) for name in names)
    return next((size for size in found if size is not None), 0)


def _removal(store: Store, text: str, force: bool) -> Removal:
    address = parse(text)
    name, tag = name_of(address.reference), address.reference.tag
    if not tag:
        raise BadInput(
            f"{text!r} names no tag", resolution=f"Write {name}:VERSION or {name}:CHANNEL; `naust list` shows them."
        )
    every = artifacts(store, address.reference.kind, address.reference.name, damaged=lambda error: None)
    if tag not in store.tags(name):
        tag = _only(store, name, tag, every)
    digest = _digest(store, name, tag, force)
    if address.digest not in (None, digest):
        raise Conflict(f"{name}:{tag} is {digest}, not {address.digest}", resolution="Look with `naust show`.")
    channels = [each.reference.tag for each in every if each.digest == digest and not is_dated(each.reference.tag)]
    return Removal(name, tag, digest, tuple(sorted(set(channels) - {tag})))


def _only(store: Store, name: str, version: str, every: Sequence[Artifact]) -> str:
    tags = [each.reference.tag for each in every if (split(each.reference.tag) or ("",))[0] == version]
    if not tags:
        raise NotFound(f"{store.url} has no {name}:{version}", resolution="`naust list` shows what there is.")
    if len(tags) > 1:
        raise BadInput(
            f"{name}:{version} was published {len(tags)} times",
            details="\n".join(f"{name}:{tag}" for tag in tags),
            resolution="Name the one that you mean with its date.",
        )
    return tags[0]


def _digest(store: Store, name: str, tag: str, force: bool) -> Digest | None:
    try:
        found = stands_for(store, name, tag)
    except Corrupt as error:
        if force:
            return None
        raise Corrupt(
            error.message,
            details=error.details,
            resolution="Mend it with `naust fsck --repair OTHER-STORE`, or give --force to take its name away unread.",
        ) from error
    if found is None:
        raise NotFound(f"{store.url} has no {name}:{tag}", resolution="Somebody took it away meanwhile.")
    return found


def _refuse(error: Corrupt) -> None:
    raise error


def said(free: Free | None) -> str:
    """What gc would free, as a line."""
    if free is None:
        return "what becomes free is not known here"
    return f"`naust gc` can then free {'' if free.exact else 'at most '}{amount(free.size)} in {free.blobs} blobs"
