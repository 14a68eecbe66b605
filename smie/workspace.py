"""Where smie keeps what it can make again: package indexes, resolutions, downloads, logs and the folders of builds.

Everything lies below `.smie` in the working directory, or below `$SMIE_CACHE`. Removing it costs time, nothing else.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from common.model import Digest


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folders below one root; none of them need exist."""

    root: Path

    @classmethod
    def open(cls) -> Workspace:
        """`$SMIE_CACHE`, else `.smie` here."""
        return cls(Path(os.environ.get("SMIE_CACHE") or ".smie").resolve())

    def index(self, name: str) -> Path:
        """apt's root for what is named so: a suite, from somewhere."""
        return self.root / "index" / name

    def resolution(self, key: Digest) -> Path:
        """The packages that a list of names was resolved to."""
        return self.root / "resolutions" / f"{key.hex}.json"

    def software(self, sha256: str) -> Path:
        """A wheel, by its content."""
        return self.root / "software" / sha256

    def package(self, sha256: str) -> Path:
        """A Debian package out of a snapshot, by its content; pools have it as a hard link."""
        return self.root / "packages" / sha256

    def tree(self, fingerprint: Digest) -> Path:
        """Tools that lie unpacked, by their recipe."""
        return self.root / "trees" / fingerprint.hex

    def scan(self, digest: Digest) -> Path:
        """What a layer brings, by its content."""
        return self.root / "layers" / f"{digest.hex}.json"

    def part(self, name: str, key: Digest) -> Path:
        """The first part of a role, by what it is made from."""
        return self.root / "parts" / name / key.hex

    def log(self, kind: str, name: str) -> Path:
        """The log of the newest build of an artefact."""
        return self.root / "logs" / kind / f"{name}.log"

    def lock(self, name: str) -> Path:
        """A lease of this workspace."""
        return self.root / "locks" / f"{name}.lock"

    @property
    def work(self) -> Path:
        """Holds one folder for each build that runs."""
        return self.root / "work"

    @contextmanager
    def build(self, identity: str, *, keep_failed: bool = False) -> Iterator[Path]:
        """The folder of one build; it is gone afterwards, however the build ends. With `keep_failed` it stays when the
        build fails, not when it is interrupted."""
        folder, kept = self.work / identity, False
        folder.mkdir(parents=True, mode=0o700)
        try:
            yield folder
        except Exception:
            kept = keep_failed
            raise
        finally:
            if not kept:
                shutil.rmtree(folder, ignore_errors=True)
