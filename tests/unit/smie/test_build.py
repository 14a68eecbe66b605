"""What is said after all has been tried."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from common.errors import BadInput, Corrupt, Error, Partial
from common.model import Kind
from smie.build import failure
from smie.builder import builder
from smie.disk import DiskFull, explained, is_full
from smie.outcome import Outcome
from smie.workspace import Workspace
from tests.unit.smie.conftest import Kitchen


def test_nothing_is_raised_when_nothing_failed(kitchen: Kitchen) -> None:
    assert failure([Outcome(kitchen.recipe(), "built"), Outcome(kitchen.base_recipe(), "present")]) is None


def test_the_only_failure_speaks_for_itself(kitchen: Kitchen) -> None:
    error = Error("no", resolution="")
    outcomes = [Outcome(kitchen.base_recipe(), "present"), Outcome(kitchen.recipe(), "failed", error=error)]
    assert failure(outcomes) is error


def test_a_failure_beside_successes_is_partial(kitchen: Kitchen) -> None:
    outcomes = [
        Outcome(kitchen.base_recipe(), "built"),
        Outcome(kitchen.recipe(), "failed", error=Error("the cause", resolution="")),
    ]
    raised = failure(outcomes)
    assert isinstance(raised, Partial)
    assert raised.message == "container/bird could not be built"
    assert "the cause" in raised.details


def test_what_was_not_tried_is_named(kitchen: Kitchen) -> None:
    outcomes = [
        Outcome(kitchen.base_recipe(), "failed", error=Error("the cause", resolution="")),
        Outcome(kitchen.recipe(), "skipped"),
    ]
    raised = failure(outcomes)
    assert type(raised) is Error
    assert raised.message == "container/debian-13 could not be built; not tried because of that: container/bird"


def test_a_full_disk_is_said_whoever_met_it(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "not there yet")
    met = OSError(errno.ENOSPC, "No space left on device")
    wrapped = Error("packer failed", details="write: no space left on device", resolution="")
    for error in (met, wrapped):
        said = explained(error, "container/bird", workspace)
        assert isinstance(said, DiskFull)
        assert "are free where" in said.details
        assert str(workspace.root) in said.resolution


def test_a_full_disk_is_seen_through_other_errors() -> None:
    outer = Error("could not be written", resolution="")
    outer.__cause__ = OSError(errno.ENOSPC, "x")
    assert is_full(outer)
    assert not is_full(Error("other", resolution=""))


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    error = BadInput("x", resolution="")
    assert explained(error, "container/bird", Workspace(tmp_path)) is error
    assert isinstance(explained(ValueError("x"), "container/bird", Workspace(tmp_path)), Corrupt)


def test_a_kind_that_cannot_be_built_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match="cannot build artefacts of kind snapshot") as caught:
        builder(Kind.SNAPSHOT)
    assert "container" in caught.value.resolution
