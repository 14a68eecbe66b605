"""The pipeline of systems/ci, carried out command by command on the small system: from a change to production."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

import pytest

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


@pytest.fixture(scope="module")
def project(built: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The small system, with images of its roles' own, and a target of the name `production` beside that of the lab."""
    folder = tmp_path_factory.mktemp("pipeline")
    with deployment(built, folder, LAB) as small:
        system = small.folder / "systems" / "small" / "system.hcl"
        system.write_text(system.read_text().replace('      artifact = "container/debian-13"\n', ""))
        target = (small.folder / "systems" / "small" / "targets" / "container.hcl").read_text()
        renamed = target.replace('target "container"', 'target "production"')
        (small.folder / "systems" / "small" / "targets" / "production.hcl").write_text(renamed)
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

    assert "none" in project.run("naust list container/web --store $RELEASES || echo none").stdout or not json.loads(
        project.run("naust list container/web --store $RELEASES --json").stdout
    )
    project.stage(promote)
    project.stage(deploy)
    status = json.loads(project.run("seter status small --target production --store $RELEASES --json").stdout)
    assert status["converged"] and status["last"]["reason"] == "commit 4711"


def test_what_nobody_signed_does_not_get_to_production(project: Project) -> None:
    deploy = github()[-1]
    verify = deploy.commands[0]
    project.run("naust key new other.key")
    other = Project(project.small, project.env | {"RELEASE_PUBLIC": str(project.small.folder / "other.pub")})
    assert other.run(verify, code=None).returncode != 0
