"""Nodes whose root file system is written to a slot of their disk: the steps `write slot` and `keep slot` of a plan.

What runs goes on while the idle slot is written. That one is then booted once, gets the node's files, and is kept when
all checks of the node hold; until then the node is told, again and again, that it can be reached.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from common.console import Report
from common.errors import Corrupt
from common.model import Event
from seter.artifacts import Image
from seter.hearing import Hearing
from seter.plan import Act
from seter.state import Written
from seter.survey import Survey


class Slots:
    """Of one roll-out."""

    def __init__(self, survey: Survey, hearing: Hearing, report: Report) -> None:
        self._survey, self._hearing, self._report = survey, hearing, report
        self._provisioner = survey.provisioner

    def write(self, node: str, acts: Collection[Act], order: Sequence[tuple[str, int]], *, keep: bool) -> None:
        """The node runs the root file system of its group, on trial, and holds its files."""
        image = self._survey.image_of(self._survey.blueprint.seats_of(node)[0])
        shape, tree = self._survey.shapes[node], self._survey.trees[node]
        self._provisioner.ready_slot(node)
        if Act.MAKE_NODE in acts:
            self._provisioner.ensure(shape, tree)
        self._report(Event("slot", node, f"writing {image.artifact.reference}"))
        with _opened(self._survey, image) as (system, pieces):
            self._provisioner.write_slot(node, system, pieces, self._survey.blueprint.system.rollout.confirm)
        self._report(Event("slot", node, "booting it"))
        self._provisioner.boot_slot(node, system, order, keep=keep)
        self.tried(node)
        self._provisioner.ensure(shape, tree)

    def tried(self, node: str) -> None:
        """Its slot is on trial."""
        self._hearing.expect(node)

    def confirm(self, node: str) -> None:
        """All is well there, if it is on trial."""
        if self._hearing.expects(node):
            self._provisioner.confirm_slot(node)
            self._hearing.release(node)
            self._report(Event("slot", node, "kept"))


@contextmanager
def _opened(survey: Survey, image: Image) -> Iterator[tuple[Written, Iterator[bytes]]]:
    """The artefact, and its bytes, checked on their way. Raises Corrupt for one that is not one packed tar."""
    from naust.listing import name_of
    from naust.transfer.verified import chunks

    reference, manifest = image.artifact.reference, image.manifest
    if manifest is None or len(manifest.layers) != 1:
        raise Corrupt(f"{reference} is no root file system", resolution="Build it with smie build.")
    (blob,) = manifest.layers
    with chunks(survey.store, name_of(reference), blob, str(reference)) as pieces:
        yield Written(str(image.artifact.digest), blob.digest.hex), pieces
