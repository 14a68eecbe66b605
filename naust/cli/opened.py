"""What the verbs share: the store that is meant, and what is meant in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.errors import BadInput, NotFound

if TYPE_CHECKING:
    from common.model import Kind
    from naust.address import Address
    from naust.store.interface import Store as OpenStore


def opened(store: str | None, reference: str) -> tuple[OpenStore, Address]:
    """The store and what is meant in it; a URI names both. Raises BadInput if they disagree."""
    from naust.address import parse
    from naust.store import open_store

    address = parse(reference)
    found = open_store(address.store or store)
    if address.store and store and open_store(store).url != found.url:
        raise BadInput(f"{reference} is not in {store}", resolution="Leave out --store: the URI names its store.")
    return found, address


def bare(address: Address) -> str:
    """What is meant, without the store."""
    return f"{address.reference}{f'@{address.digest}' if address.digest else ''}"


def said(texts: list[str] | None, revision: str = "", *, own: bool = False) -> dict[str, str]:
    """KEY=VALUE texts as a mapping; keys of naust's own only for asking. Raises BadInput."""
    from naust.manifest import REVISION

    found = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not equals or not key or (key.startswith("naust.") and not own) or not text.isprintable():
            raise BadInput(f"{text!r} is no annotation", resolution="Write KEY=VALUE; keys in naust.* are naust's own.")
        found[key] = value
    return found | ({REVISION: revision} if revision else {})


def kind_of(text: str) -> Kind | None:
    """The kind, or None for all. Raises NotFound."""
    from common.model import Kind

    if text and text not in set(Kind):
        raise NotFound(f"there is no kind {text!r}", resolution=f"Kinds are {', '.join(Kind)}.")
    return Kind(text) if text else None
