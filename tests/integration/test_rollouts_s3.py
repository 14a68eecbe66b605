"""A change of s3-lb that breaks only large uploads is found through the first gateway that gets it, and goes back."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT, Running

LIMIT = """
- name: Refuse parts of more than 1 MiB
  ansible.builtin.lineinfile:
    path: "{{ root }}/radosgw/ceph.conf"
    insertafter: '^\\[global\\]'
    line: "rgw max put size = 1048576"
"""


@pytest.fixture
def definitions(tmp_path: Path) -> Path:
    """A copy that may be changed."""
    shutil.copytree(ROOT / "systems", tmp_path / "systems")
    return tmp_path / "systems"


def test_a_canary_that_breaks_only_large_uploads_goes_back_before_a_second_node_is_touched(
    running: Running, definitions: Path
) -> None:
    before = running.containers()
    with (definitions / "roles/radosgw/tasks/configure.yml").open("a") as tasks:
        tasks.write(LIMIT)
    ended = running.seter("deploy", "--yes", "--systems", str(definitions), code=6)
    assert "through gw1: each-gateway: cl1: 25165824 bytes by 10.213." in ended.err
    assert "EntityTooLarge" in ended.err
    assert "put back: gw1" in ended.err
    assert "gw2: starting" not in ended.err
    assert running.containers() == before
    assert "no change" in running.seter("deploy", "--yes").out


@pytest.mark.long
def test_a_rolling_update_under_load_breaks_nothing_and_a_long_upload_arrives(
    running: Running, definitions: Path
) -> None:
    name = f"s3-lb.container.{running.instance}.cl1.s3-client"
    argv = ["docker", "exec", name, "/usr/local/lib/seter/s3-client", "load", "--seconds", "100", "--rate", "20"]
    with subprocess.Popen([*argv, "--json"], stdout=subprocess.PIPE, text=True) as load:
        system = definitions / "s3-lb/system.hcl"
        system.write_text(system.read_text().replace("local_weight  = 10", "local_weight  = 20"))
        ended = running.seter("deploy", "--yes", "--systems", str(definitions))
        found = json.loads(load.communicate(timeout=180)[0])
    assert "long-upload: unbroken" in ended.err
    assert [ended.err.count(f"done      {node}: after") for node in ("gw1", "gw2", "gw3")] == [1, 1, 1]
    assert found["failed"] == 0, found["failures"][:5]
    running.seter("deploy", "--yes")
