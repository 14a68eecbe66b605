"""The conformance suite of the OCI distribution specification against `naust serve`, with nothing left out:
also what is off by default (upload cancel, tags as parameters, digest headers, sparse manifests)."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from tests.lab.programs import program
from tests.lab.serving import process, token

LEAST = 1032  # tests of the suite that bin/setup builds
EXTRA = (
    "API_BLOBS_UPLOAD_CANCEL",
    "API_BLOBS_DIGEST_HEADER",
    "API_MANIFESTS_TAG_PARAM",
    "API_MANIFESTS_DIGEST_HEADER",
    "DATA_SPARSE",
)


def test_every_test_of_the_suite_passes(tmp_path: Path) -> None:
    held = token(tmp_path / "tokens", "suite", "admin:container/*")
    options = ("--tokens", str(tmp_path / "tokens"), "--sparse")
    with process(tmp_path / "store", *options, log=tmp_path / "log") as server:
        wanted = {
            "REGISTRY": server.host,
            "TLS": "disabled",
            "VERSION": "1.1",
            "REPO1": "container/conformance",
            "REPO2": "container/conformance-2",
            "USERNAME": "suite",
            "PASSWORD": held,
            "RESULTS_DIR": str(tmp_path / "results"),
        } | dict.fromkeys(EXTRA, "true")
        env = {key: value for key, value in os.environ.items() if not key.startswith("OCI_")}
        ended = subprocess.run(
            [program("conformance")],
            env=env | {f"OCI_{key}": value for key, value in wanted.items()},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )
    counts = {name: int(count) for name, count in re.findall(r"^  (\w+)\.+: +(\d+)$", ended.stdout, re.M)}
    failed = [line.strip()[:200] for line in ended.stdout.splitlines() if line.endswith(": FAIL")]
    print(counts)
    assert not failed
    assert {name: counts[name] for name in ("FAIL", "Error", "Skip", "Disabled")} == dict.fromkeys(
        ("FAIL", "Error", "Skip", "Disabled"), 0
    )
    assert counts["Pass"] >= LEAST
    assert ended.returncode == 0
    assert "Traceback" not in (tmp_path / "log").read_text()
