"""The pictures of the manual are what `seter simulate` draws, to the byte. `SETER_GOLDEN=write` draws them anew."""

from __future__ import annotations

import os
from pathlib import Path

from common.entry import start

FOLDER = Path(__file__).parents[3] / "systems" / "simulation"


def test_the_pictures_of_the_manual_are_what_the_command_draws(tmp_path: Path) -> None:
    to = FOLDER if os.environ.get("SETER_GOLDEN") == "write" else tmp_path
    assert start("seter", ["simulate", "s3-lb", "--pictures", str(to)]) == 0
    drawn = {file.name: file.read_text() for file in to.iterdir()}
    assert drawn == {file.name: file.read_text() for file in FOLDER.iterdir()}
    assert all(f"simulation/{name}" in (FOLDER.parent / "README.md").read_text() for name in drawn)
