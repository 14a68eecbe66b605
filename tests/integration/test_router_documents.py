"""What routers of others are told, judged by their own parsers."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT, Running

FRR = ROOT / ".tools" / "frr"
PACKAGES = ("frr", "libyang2", "libprotobuf-c1", "libc-ares2", "libjson-c5")  # Debian 12's, unpacked and not installed
TEXT = ROOT / "tests" / "golden" / "systems" / "document-frr.txt"
EACH = TEXT.with_name("document-frr-each.txt")  # a system of its own for each gateway


@pytest.fixture(scope="module")
def vtysh(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """FRR's shell, which checks a configuration without a daemon. Its package would start some."""
    program = FRR / "usr" / "bin" / "vtysh"
    if not program.exists():
        folder = tmp_path_factory.mktemp("frr")
        folder.chmod(0o755)  # apt's own user writes there
        subprocess.run(["apt-get", "download", *PACKAGES], cwd=folder, check=True, capture_output=True, timeout=120)
        for path in folder.glob("*.deb"):
            subprocess.run(["dpkg", "-x", path, FRR], check=True, timeout=60)
    return [str(program), "-C", "-f"]


def judged(vtysh: list[str], path: Path) -> subprocess.CompletedProcess[str]:
    libraries = os.pathsep.join(sorted({str(found.parent) for found in FRR.rglob("*.so*")}))
    env = os.environ | {"LD_LIBRARY_PATH": libraries}
    return subprocess.run([*vtysh, str(path)], env=env, capture_output=True, text=True, timeout=60)


def test_frr_takes_all_of_it_and_not_everything(vtysh: list[str], tmp_path: Path) -> None:
    for text in (TEXT, EACH):
        ended = judged(vtysh, text)
        assert ended.returncode == 0 and "Unknown" not in ended.stdout + ended.stderr
    (tmp_path / "wrong").write_text(TEXT.read_text().replace("maximum-paths", "most-paths"))
    assert judged(vtysh, tmp_path / "wrong").returncode != 0


def test_bird_takes_what_a_deployment_prints(running: Running) -> None:
    names = {row["name"] for row in running.seter("document", "--json").json()}
    assert names == {"bind", "bird", "eos", "frr", "junos"}
    text = running.seter("document", "bird").out
    for node in ("gw1", "gw2", "gw3"):
        assert f"protocol bgp {node}_4" in text and f"protocol bgp {node}_6" in text
    argv = [
        "docker",
        "exec",
        "-i",
        f"s3-lb.container.{running.instance}.rt1.bird-router",
        "bird",
        "-p",
        "-c",
        "/dev/stdin",
    ]
    for whole, code in ((f"router id 192.0.2.1; protocol device {{}}\n{text}", 0), (f"{text}\nnonsense;", 1)):
        ended = subprocess.run(argv, input=whole, capture_output=True, text=True, timeout=60)
        assert ended.returncode == code, ended.stderr
    assert "Did you mean junos?" in running.seter("document", "junoss", code=2).err


def test_the_secret_is_not_in_what_is_printed(running: Running) -> None:
    found = running.docker(
        "exec", "--user", "bird", f"s3-lb.container.{running.instance}.gw1.bird-gateway",
        "cat", "/etc/seter/secrets/bird-gateway/bgp-password",
    )  # fmt: skip
    every = running.seter("document", "--json").out
    assert len(found) > 20 and found not in every and "SECRET" in every
