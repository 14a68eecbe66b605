"""All that can be wrong in definitions, in one folder, and what is said about it, in `bad.txt`.

After a message was changed on purpose: `SETER_GOLDEN=write pytest tests/golden/definitions`, and read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from common.catalog import Catalog
from common.errors import BadDefinition

HERE = Path(__file__).parent
EXPECTED = HERE / "bad.txt"


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(HERE)


def told() -> str:
    with pytest.raises(BadDefinition) as caught:
        Catalog.open(Path("bad")).definition("lb", "lab")
    assert caught.value.exit_code == 2
    return f"{caught.value.message}\n{caught.value.details}\n{caught.value.resolution}\n"


def test_every_fault_of_every_file_is_told_at_once_with_file_line_and_fix() -> None:
    if os.environ.get("SETER_GOLDEN") == "write":
        EXPECTED.write_text(told())
    assert told() == EXPECTED.read_text()


def test_a_warm_cache_changes_no_message() -> None:
    assert told() == told()
