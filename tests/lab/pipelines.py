"""The pipelines of systems/ci, as the commands that they run, stage by stage."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import ROOT

FOLDER = ROOT / "systems" / "ci"
GITHUB, GITLAB = FOLDER / "github.yml", FOLDER / "gitlab.yml"
STAGES = ("build", "verify", "lab", "promote", "deploy")


@dataclass(frozen=True)
class Stage:
    """`lasting` are the commands that run whatever became of the others."""

    name: str
    commands: tuple[str, ...]
    lasting: tuple[str, ...] = ()


def github() -> list[Stage]:
    """The jobs, in the order of the file, each after the one that it needs."""
    stages = []
    for name, job in _read(GITHUB)["jobs"].items():
        assert job.get("needs") == (stages[-1].name if stages else None)
        steps = [step for step in job["steps"] if "run" in step]
        usual = [line for step in steps if step.get("if") != "always()" for line in step["run"].splitlines()]
        lasting = [line for step in steps if step.get("if") == "always()" for line in step["run"].splitlines()]
        stages.append(Stage(name, tuple(usual), tuple(lasting)))
    return stages


def gitlab() -> list[Stage]:
    """The jobs, in the order of the stages."""
    read = _read(GITLAB)
    jobs = {job["stage"]: job for name, job in read.items() if name in STAGES}
    return [
        Stage(name, tuple(jobs[name]["script"]), tuple(jobs[name].get("after_script", ()))) for name in read["stages"]
    ]


def is_chaos(command: str) -> bool:
    """It breaks the lab on purpose, which takes a system with a client and routers."""
    return shlex.split(command, comments=True)[:2] == ["seter", "chaos"]


def _read(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(path.read_text())
    return read
