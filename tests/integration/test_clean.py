"""`make clean` takes away what is ours and nothing else: tried on an engine of its own, in a folder of its own."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

LABEL = "seter.deployment=s3-lb/container/main"


class Engine:
    """A second Docker engine, with a folder, a socket and a network of its own."""

    def __init__(self, folder: Path) -> None:
        self.socket = f"unix://{folder}/docker.sock"
        self._log = (folder / "log").open("wb")
        self.process = subprocess.Popen(
            # In a network of its own: with --bridge none, dockerd removes the docker0 that it finds, whoever made it.
            ["unshare", "--net", "dockerd", "--data-root", str(folder / "data"), "--exec-root", str(folder / "exec"),
             "--pidfile", str(folder / "pid"), "--host", self.socket, "--bridge", "none", "--iptables=false",
             "--ip-forward=false", "--ip-masq=false"],
            stdout=self._log, stderr=self._log,
        )  # fmt: skip

    def __call__(self, *argv: str, data: bytes | None = None) -> str:
        ended = subprocess.run(
            ["docker", *argv], env=os.environ | {"DOCKER_HOST": self.socket}, input=data, capture_output=True
        )
        assert ended.returncode == 0, ended.stderr.decode()
        return ended.stdout.decode().strip()

    def wait(self) -> None:
        deadline = time.monotonic() + 60
        while subprocess.run(["docker", "-H", self.socket, "info"], capture_output=True).returncode != 0:
            assert time.monotonic() < deadline and self.process.poll() is None
            time.sleep(0.2)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)
        self._log.close()


@pytest.fixture
def engine() -> Iterator[Engine]:
    folder = Path(f"/tmp/clean-{os.getpid()}")  # a socket's path must be short
    folder.mkdir()
    started = Engine(folder)
    try:
        started.wait()
        yield started
    finally:
        started.stop()
        shutil.rmtree(folder)


def archive(content: str) -> bytes:
    """A tar of one file."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        entry = tarfile.TarInfo("content")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content.encode()))
    return data.getvalue()


def test_clean_removes_what_is_ours_and_nothing_else(engine: Engine, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    shutil.copytree(ROOT / "bin", clone / "bin")
    ours = engine("import", "-", "naust/ours:1", data=archive("ours"))
    engine("import", "-", "naust/foreign:1", data=archive("foreign"))
    manifest = clone / ".naust" / "container" / "ours" / "1-20261125T000000Z"
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"config": {"digest": ours}}))
    for folder in (".venv", ".smie", ".seter", ".bench", "kept"):
        (clone / folder).mkdir()
    for name, label in (("ours", LABEL), ("foreign", "somebody=else"), ("building", "smie.build=1")):
        engine("create", "--label", label, "--network", "none", "--name", name, "naust/foreign:1", "true")
        engine("volume", "create", "--label", label, name)
        engine("network", "create", "--label", label, name)

    subprocess.run([str(clone / "bin" / "clean")], env=os.environ | {"DOCKER_HOST": engine.socket}, check=True)

    assert engine("ps", "--all", "--format", "{{.Names}}").split() == ["foreign"]
    assert engine("volume", "ls", "--format", "{{.Name}}").split() == ["foreign"]
    networks = set(engine("network", "ls", "--format", "{{.Name}}").split())
    assert networks & {"ours", "foreign", "building"} == {"foreign"}
    assert engine("images", "--format", "{{.Repository}}").split() == ["naust/foreign"]
    assert sorted(path.name for path in clone.iterdir()) == ["bin", "kept"]
