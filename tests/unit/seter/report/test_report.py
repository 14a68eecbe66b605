from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import BadInput
from seter.report.model import Outcome
from seter.report.report import report
from seter.report.stored import runs_of, to_json
from tests.conftest import ROOT, Tools
from tests.lab.runs import make_earlier, make_run


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    new, old = tmp_path / "new.json", tmp_path / "old.json"
    new.write_text(to_json(make_run()))
    old.write_text(to_json(make_earlier()))
    return new, old


def test_the_newest_is_reported_on_whatever_the_order(files: tuple[Path, Path], tmp_path: Path) -> None:
    page, xml, merged = tmp_path / "page.html", tmp_path / "x.xml", tmp_path / "all.json"
    found = report(files, html=page, xml=xml, merge=merged)
    assert (found.runs, found.outcome, found.began) == (2, Outcome.BROKEN, "2026-11-30T01:00:00+00:00")
    assert "Comparison" in page.read_text() and "<testsuites" in xml.read_text()
    assert runs_of(merged.read_text(), "x") == (make_earlier(), make_run())
    again = report([merged, *files])
    assert again == found


def test_what_is_no_saved_run_is_refused_by_name(tmp_path: Path) -> None:
    missing, binary, empty = tmp_path / "missing", tmp_path / "binary", tmp_path / "empty.json"
    binary.write_bytes(b"\xff\xfe")
    empty.write_text('{"format": "seter-runs/1", "runs": []}')
    for file in (missing, binary):
        with pytest.raises(BadInput, match=file.name):
            report([file])
    with pytest.raises(BadInput, match="no run"):
        report([empty])


def test_ci_gets_the_verdict_as_exit_code_and_json(files: tuple[Path, Path], tmp_path: Path) -> None:
    seter, words = Tools(tmp_path), ("report", str(files[0]), str(files[1]), "--html", "page.html")
    said = seter("seter", *words, "--json", "--exit-code", code=1).json()
    assert said["outcome"] == "broken" and said["experiments"][0] == {
        "name": "gateway-power",
        "outcome": "held",
        "reason": "all of 2 allowances kept",
    }
    assert seter("seter", "report", str(files[1]), "--exit-code").out.startswith("s3-lb/container/main, 2026-11-29")
    assert (tmp_path / "report.html").exists() and (tmp_path / "page.html").exists()
    assert "cannot be read" in seter("seter", "report", "nothing.json", code=2).err


def test_a_page_needs_no_network_engine_or_store() -> None:
    loaded = "import sys; from seter.report import report; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, cwd=ROOT, check=True)
    assert not {"docker", "boto3", "ansible_runner", "hcl2", "typer"} & set(ended.stdout.split())
