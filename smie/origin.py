"""Where packages and programs come from: the Debian mirror and the package index of this machine, or a snapshot.

One recipe from either has the same fingerprint, because only what came counts. Where smie asks is decided here and in
`smie.snapshot`, and nowhere else.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from common.errors import Error, Unavailable
from common.run import CommandFailed, environment, run
from smie.mirror import KEYRING, machine_sources
from smie.packages import Package
from smie.workspace import Workspace


class Origin(Protocol):
    """One place that has all. `key` is a part of the name of apt's root: '' or different for each state of it, so that
    an index that was read once stays what it was."""

    @property
    def key(self) -> str: ...

    def sources(self, root: Path, suite: str, components: Sequence[str], architecture: str) -> Sequence[str]:
        """The lines of sources.list(5); what they name below `root` is written. Raises BadInput, Missing, Corrupt."""
        ...

    def unreadable(self, error: CommandFailed) -> Error:
        """What to say when apt could not read the index."""
        ...

    def packages(self, root: Path, packages: Sequence[Package], halt: threading.Event | None) -> None:
        """Put these into `root`/pool, each only when it is whole and was checked. What is not to be had may be left
        out. Raises Unavailable, Corrupt; KeyboardInterrupt once `halt` is set."""
        ...

    def wheel(self, folder: Path, software: str, sha256: str, halt: threading.Event | None) -> Path:
        """Fetch the wheel of a role into an empty folder, checked. Raises Corrupt, Unavailable, BadInput, and
        KeyboardInterrupt once `halt` is set."""
        ...

    def materials(self) -> tuple[Mapping[str, object], ...]:
        """What an artefact's provenance has to say of the place (SLSA provenance 1.0, ResourceDescriptor)."""
        ...


@dataclass(frozen=True, slots=True)
class Online:
    """The mirror that apt uses on this machine, and the index that pip uses."""

    @property
    def key(self) -> str:
        return ""

    def sources(self, root: Path, suite: str, components: Sequence[str], architecture: str) -> Sequence[str]:
        return [source.line(KEYRING) for source in machine_sources(suite, components)]

    def unreadable(self, error: CommandFailed) -> Error:
        return Unavailable(
            "the Debian mirror of this machine does not give what is needed",
            details=without_passwords(error.details),
            resolution="See that `apt-get update` works here, then run the command again.",
        )

    def packages(self, root: Path, packages: Sequence[Package], halt: threading.Event | None) -> None:
        specs, incoming = [f"{package.name}={package.version}" for package in packages], root / "incoming"
        try:
            apt(root, "apt-get", "download", "-qq", *specs, cwd=incoming, halt=halt)
        except CommandFailed as error:
            raise self.unreadable(error) from error
        # These alone were checked: beside them may lie what a fetch that was cut off left, half of a package.
        for package in packages:
            if (incoming / package.file).exists():
                (incoming / package.file).replace(root / "pool" / package.file)

    def wheel(self, folder: Path, software: str, sha256: str, halt: threading.Event | None) -> Path:
        from smie.software import downloaded

        return downloaded(folder, software, sha256, halt)

    def materials(self) -> tuple[Mapping[str, object], ...]:
        return ()


def apt(root: Path, *argv: str, cwd: Path | None = None, halt: threading.Event | None = None) -> str:
    """What one of apt's programs prints, run in a private root."""
    env = environment({"APT_CONFIG": str(root / "apt.conf"), "LC_ALL": "C.UTF-8"})
    return run(argv, env=env, cwd=cwd, halt=halt).stdout


def without_passwords(text: str) -> str:
    """The text with what stands between `//` and `@` in URLs taken out."""
    return re.sub(r"//[^/\s@]+@", "//***@", text)


def place(workspace: Workspace, suite: str, components: Sequence[str], origin: Origin) -> Path:
    """The folder of apt's root for a suite from this origin."""
    return workspace.index("+".join((suite, *components)) + (f"@{origin.key}" if origin.key else ""))
