"""What definitions come to, for fleets of any size."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from common.system import Deployment, Node, Target
from seter.blueprint import read_blueprint
from tests.conftest import ROOT

MANY = 200
NODE = '    node "w{number}" {{ networks = ["front"] }}\n'
TARGET = """target "container" {{
  kind  = "container"
  image = "debian-13"
  network "front" {{}}
  nodes "servers" {{
{nodes}  }}
  nodes "extra" {{
    node "x1" {{ networks = ["front"] }}
  }}
}}
"""


def test_each_node_is_looked_at_a_few_times_however_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it was asked of all nodes, for each role of each, of which kinds they are: 1,000 nodes took 2 s more."""
    shutil.copytree(ROOT / "tests/integration/small", tmp_path / "systems", symlinks=True)
    nodes = "".join(NODE.format(number=number) for number in range(1, MANY))
    (tmp_path / "systems/small/targets/container.hcl").write_text(TARGET.format(nodes=nodes))
    asked = 0
    original = Target.kind_of

    def counted(self: Target, node: Node) -> str:
        nonlocal asked
        asked += 1
        return original(self, node)

    monkeypatch.setattr(Target, "kind_of", counted)
    found = read_blueprint(Deployment("small", "container", "many"), tmp_path / "systems", str(tmp_path / "state"))
    assert len(found.target.nodes) == MANY
    assert asked <= 10 * len(found.seats)
