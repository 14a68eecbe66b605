"""An OCI image layout into a store, unchanged: every platform and every referrer keeps its digest."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from common.console import Report
from common.errors import BadInput
from common.model import Artifact, Event, Reference
from naust.content.layout import Layout, Node, open_layout, split
from naust.manifest import Blob
from naust.push import Target, publish
from naust.store.interface import Store
from naust.transfer.parallel import each
from naust.transfer.push_blobs import put, silent


def push_layout(
    store: Store,
    source: str,
    reference: Reference,
    *,
    version: str = "",
    now: datetime | None = None,
    report: Report = silent,
) -> Artifact:
    """Store the artefact of a layout: `FOLDER` or `FILE.tar`, with `:NAME` or `@DIGEST` where it has several.

    Layers, children and referrers come first, the name last. Raises BadInput if it is no layout or it is unclear what
    is meant, Corrupt if it is damaged.
    """
    target = Target.of(reference, version)
    path, wanted = split(source)
    with open_layout(path) as layout:
        root = layout.root(wanted)
        nodes = list({node.blob.digest: node for node in layout.below(root)}.values())
        attached = list(layout.referrers(iter(nodes)))
        _put_blobs(store, target.name, layout, [*nodes, *attached], report)
        for node in (*(node for node in nodes if node is not root), *attached):
            _put_manifest(store, target.name, node, report)
        return publish(store, target.reference, target.version, root.data, now, report)


def _put_blobs(store: Store, name: str, layout: Layout, nodes: Iterable[Node], report: Report) -> None:
    # What is a manifest of its own is put as one; the rest of what they name are blobs.
    wanted = {blob.digest: blob for node in nodes for blob in (node.read.config, *node.read.layers) if blob}

    def one(blob: Blob) -> None:
        if not layout.has(blob.digest) and store.stat(name, blob.digest) != blob.size:
            raise BadInput(
                f"{layout.place} has no blob {blob.digest}, and {store.url} neither",
                resolution="Nothing was named. Make the layout with all of its platforms and layers: for example "
                "skopeo copy --all, or crane pull --format=oci.",
            )
        if layout.has(blob.digest):
            with layout.open(blob.digest) as source:
                put(store, name, blob, source, report)

    each(one, wanted.values())


def _put_manifest(store: Store, name: str, node: Node, report: Report) -> None:
    digest = node.blob.digest
    report(Event("store", f"manifest {digest.short}", node.read.media_type))
    store.put_manifest(name, str(digest), node.data)
    report(Event("stored", f"manifest {digest.short}", node.read.artifact_type or node.read.media_type))
