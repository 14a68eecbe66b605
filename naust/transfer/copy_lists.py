"""The list of revocations when it is copied: it may only grow, so that no copy makes a store forget that something is
revoked there."""

from __future__ import annotations

from collections.abc import Iterable

from common.errors import Conflict
from naust.proof.revocations import LISTS_NAME, LISTS_TAG, REVOCATION
from naust.reach import Node
from naust.store.interface import Store


def is_list(name: str, tag: str) -> bool:
    """Whether this is where a store keeps its list."""
    return (name, tag) == (LISTS_NAME, LISTS_TAG)


def check_grows(source: Store, dest: Store) -> None:
    """Raises Conflict if the destination's list has what the source's lacks or had later."""
    from naust.revoke import the_list

    known = {each.digest: each.at for each in the_list(source).listing.entries}
    own = [each for each in the_list(dest).listing.entries if each.digest not in known or each.at > known[each.digest]]
    if own:
        raise Conflict(
            f"{dest.url} has {len(own)} revocations of its own, which the list of {source.url} lacks",
            details="\n".join(each.told() for each in own[:20]),
            resolution="What is attached to artefacts was copied with them: `naust revoke --refresh` at the "
            "destination enters it into its list.",
        )


def enter(dest: Store, name: str, beside: Iterable[Node]) -> None:
    """Revocations that were copied with an artefact count for what was built from it too, at the destination."""
    from naust.revoke import adopt

    revoked = (node.refers_to for node in beside if node.read.artifact_type == REVOCATION)
    for subject in dict.fromkeys(revoked):
        if subject is not None:
            adopt(dest, name, subject)
