"""A deployment of a small system, with definitions that a test may change."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT, Ended, Tools

SMALL = ROOT / "tests" / "integration" / "small"
TARGET = "small/targets/container.hcl"


@dataclass(frozen=True)
class Small:
    """A deployment of the small system, with definitions that may be changed."""

    tools: Tools
    folder: Path
    instance: str
    engine: str = ""  # another one than the machine's, as DOCKER_HOST names it

    @property
    def prefix(self) -> str:
        return f"small.container.{self.instance}"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "SETER_SYSTEMS": str(self.folder / "systems"),
            "SETER_STATE": str(self.folder / "state"),
            "SETER_IDENTITY": str(self.folder / "identity"),
            **({"DOCKER_HOST": self.engine} if self.engine else {}),
        }

    def with_environment(self, **more: str) -> Tools:
        return Tools(self.tools.cwd, self.environment | more)

    def argv(self, verb: str, *words: str) -> list[str]:
        return ["seter", verb, "small", "--target", "container", "--instance", self.instance, *words]

    def seter(self, verb: str, *words: str, code: int | None = 0) -> Ended:
        return self.with_environment()(*self.argv(verb, *words), code=code)

    def steps(self) -> set[tuple[str, str, str]]:
        plan = self.seter("plan", "--json").json()
        return {(step["act"], step["node"], step["role"]) for step in plan["steps"]}

    def start(self, verb: str, *words: str, listening: bool = False) -> subprocess.Popen[bytes]:
        argv = self.argv(verb, *words)
        return subprocess.Popen(
            [str(ROOT / ".venv" / "bin" / argv[0]), *argv[1:]],
            cwd=self.tools.cwd,
            env=os.environ | self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE if listening else subprocess.DEVNULL,
        )

    def containers(self) -> dict[str, str]:
        """Name without prefix → id and time of start, so that a restart shows too."""
        label = f"label=seter.deployment=small/container/{self.instance}"
        ids = docker("ps", "--all", "--quiet", "--filter", label).split()
        found = json.loads(docker("inspect", *ids)) if ids else []
        return {
            each["Name"].removeprefix(f"/{self.prefix}."): f"{each['Id']} {each['State']['StartedAt']}"
            for each in found
        }

    def put_definitions_back(self) -> None:
        shutil.rmtree(self.folder / "systems", ignore_errors=True)
        shutil.copytree(SMALL, self.folder / "systems")

    def edit(self, file: str, before: str, after: str) -> None:
        path = self.folder / "systems" / file
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after, 1))


def docker(*argv: str) -> str:
    return subprocess.run(["docker", *argv], capture_output=True, text=True, check=True, timeout=120).stdout.strip()


@contextmanager
def deployment(tools: Tools, folder: Path, instance: str, engine: str = "") -> Iterator[Small]:
    """One that is not deployed yet, and goes at the end."""
    made = Small(tools, folder, instance, engine)
    made.put_definitions_back()
    try:
        yield made
    finally:
        made.seter("destroy", "--yes", "--forget", code=None)
