"""What a pull did, wherever it went to."""

from __future__ import annotations

from dataclasses import dataclass

from common.model import Digest


@dataclass(frozen=True, slots=True)
class Pulled:
    """`asked` and `stored` are digests of manifests; they differ where one platform of several was taken. `fetched`
    bytes came from the store, `reused` were here already. Manifests are not counted, indexes are."""

    place: str
    reference: str
    asked: Digest
    stored: Digest
    fetched: int = 0
    reused: int = 0
