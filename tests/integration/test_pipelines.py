"""The pipeline of systems/ci, carried out command by command on the small system: from a change to production."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from tests.conftest import ROOT, Tools
from tests.lab.pipelines import Stage, github, is_chaos
from tests.lab.small import Small, deployment, docker

LAB, PRODUCTION = f"lab{os.getpid()}", "main"
TIMEOUT = 300  # seconds


@dataclass(frozen=True)
class Project:
    """A repository with definitions, its stores, and what the pipeline's variables say."""

    small: Small
    env: dict[str, str]

    def run(self, command: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """One line of a script, as a runner does it."""
        ended = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", command], cwd=self.small.folder, env=os.environ | self.env,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT,
        )  # fmt: skip
        assert code is None or ended.returncode == code, f"{command}\n{ended.stdout}\n{ended.stderr}"
        return ended

    def stage(self, stage: Stage) -> None:
        try:
            for command in stage.commands:
                if not is_chaos(command):  # tests/integration/test_chaos.py has a system for that
                    self.run(command)
        finally:
            for command in stage.lasting:
                self.run(command)


CHECK = """\
from __future__ import annotations

from testinfra.host import Host


def test_python_is_there(host: Host) -> None:
    assert host.exists("python3")
"""


def finish(systems: Path) -> None:
    """The small system as one that somebody would keep in a repository: its roles have images of their own, on the base
    that is built already, checks and generated files; there is a target `production` beside that of the lab."""
    shutil.copytree(ROOT / "systems" / "bases", systems / "bases", dirs_exist_ok=True)
    system = systems / "small" / "system.hcl"
    system.write_text(system.read_text().replace('      artifact = "container/debian-13"\n', ""))
    target = (systems / "small" / "targets" / "container.hcl").read_text()
    renamed = target.replace('target "container"', 'target "production"')
    (systems / "small" / "targets" / "production.hcl").write_text(renamed)
    for name in ("note", "setup", "web"):
        role = systems / "roles" / name
        parts = [part for part in ("install", "configure", "service") if (role / "tasks" / f"{part}.yml").exists()]
        steps = [
            {"name": f"{part} {name}", "ansible.builtin.import_role": {"name": name, "tasks_from": part}}
            for part in parts
        ]
        (role / "tasks" / "main.yml").write_text(f"---\n{yaml.safe_dump(steps)}")
        (role / "checks").mkdir()
        (role / "checks" / f"test_{name}.py").write_text(CHECK)


@pytest.fixture(scope="module")
def project(built: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A repository with the small system, stores of candidates and releases, and keys."""
    folder = tmp_path_factory.mktemp("pipeline")
    with deployment(built, folder, LAB) as small:
        finish(small.folder / "systems")
        env = small.environment | {
            "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}",
            "SYSTEM": "small",
            "LAB": "container",
            "PRODUCTION": "production",
            "INSTANCE": LAB,
            "REASON": "commit 4711",
            "SMIE_CACHE": os.environ.get("SMIE_CACHE", str(built.cwd / ".smie")),
            "NAUST_STORE": str(small.folder / "candidates"),
            "RELEASES": str(small.folder / "releases"),
            "RELEASE_KEY": str(small.folder / "release.key"),
            "RELEASE_PUBLIC": str(small.folder / "release.pub"),
        }
        made = Project(small, env)
        built("naust", "copy", "container/debian-13", "--to", env["NAUST_STORE"])
        made.run("naust key new release.key")
        made.run(f"{sys.executable} -m common.specs --systems {small.folder / 'systems'}")
        try:
            yield made
        finally:
            made.run("seter destroy small --target production --yes --forget", code=None)


def test_a_change_goes_from_the_definitions_to_production_as_the_pipeline_says(project: Project) -> None:
    build, verify, lab, promote, deploy = github()
    folder = project.small.folder
    project.stage(build)
    assert len((folder / "built.txt").read_text().split()) >= 4, "a base, and an image of each role"
    project.stage(verify)
    assert ElementTree.parse(folder / "checks.xml").getroot().tag == "testsuites"

    project.stage(lab)
    label = "label=seter.deployment=small/container/" + LAB
    assert docker("ps", "--all", "--quiet", "--filter", label) == "", "the lab is gone"

    assert not (folder / "releases").exists(), "nothing is released before the lab was well"
    project.stage(promote)
    names = {line.partition(":")[0] for line in (folder / "released.txt").read_text().split()}
    assert {"container/debian-13", "container/web", "container/setup", "container/note"} <= names
    project.stage(deploy)
    status = json.loads(project.run("seter status small --target production --store $RELEASES --json").stdout)
    assert status["converged"] and status["last"]["reason"] == "commit 4711"


def test_what_nobody_signed_does_not_get_to_production(project: Project) -> None:
    deploy = github()[-1]
    verify = deploy.commands[0]
    project.run("naust key new other.key")
    other = Project(project.small, project.env | {"RELEASE_PUBLIC": str(project.small.folder / "other.pub")})
    assert other.run(verify, code=None).returncode != 0
