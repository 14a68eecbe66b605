"""How it went with one artefact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from common.errors import Error
from common.model import Artifact
from naust.address import uri
from smie.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Outcome:
    """`act` is present, built, taken (from another smie), failed or skipped. `steps` are in seconds."""

    recipe: Recipe
    act: str
    artifact: Artifact | None = None
    steps: Mapping[str, float] = field(default_factory=dict)
    error: Error | None = None

    @property
    def seconds(self) -> float:
        """How long it took in all."""
        return sum(self.steps.values())

    def shown(self, store_url: str) -> dict[str, object]:
        """As `--json` prints it."""
        there = self.artifact
        return {
            "artifact": self.recipe.title,
            "act": self.act,
            "uri": uri(store_url, there) if there else None,
            "version": self.recipe.version,
            "digest": there.digest if there else None,
            "size": there.size if there else None,
            "made_from": self.recipe.fingerprint,
            "seconds": self.seconds,
            "steps": self.steps,
            "error": str(self.error) if self.error else None,
        }
