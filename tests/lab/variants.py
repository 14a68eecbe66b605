"""Definitions of a test's own: ours, with some lines changed. Roles and bases are ours, so nothing is built anew."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.conftest import ROOT

OURS = ROOT / "systems"


def shared(folder: Path) -> Path:
    """A folder for `--systems` with roles and bases, and no system yet."""
    made = folder / "systems"
    made.mkdir()
    for name in ("roles", "bases", "sources.hcl"):
        (made / name).symlink_to(OURS / name)
    return made


def variant(folder: Path, system: str, changes: Iterable[tuple[str, str, str]]) -> Path:
    """A folder for `--systems` with this system; a change is a file of it, a text that is there, and one to follow."""
    made = shared(folder)
    files = [*(OURS / system).rglob("*.hcl"), *(OURS / system).rglob("*.yaml")]
    texts = {path.relative_to(OURS / system): path.read_text() for path in files}
    for name, line, more in changes:
        assert texts[Path(name)].count(line) == 1, f"{line!r} is not once in {name}"
        texts[Path(name)] = texts[Path(name)].replace(line, line + more)
    for file, text in texts.items():
        path = made / system / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return made
