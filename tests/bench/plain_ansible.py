"""What one runs without seter: ansible-playbook that sees to it that the same containers are started."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


def plain_playbook(deployment: str) -> float:
    """Seconds that a play takes which finds nothing to do: one docker_container task for each container."""
    names = subprocess.run(
        ["docker", "ps", "--filter", f"label=seter.deployment={deployment}", "--format", "{{.Names}}"],
        check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    play = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [_task(n) for n in names]}]
    with tempfile.TemporaryDirectory() as work:
        (Path(work) / "play.json").write_text(json.dumps(play))
        started = time.perf_counter()
        ended = subprocess.run(
            [str(ROOT / ".venv/bin/ansible-playbook"), "-i", "localhost,", "play.json"],
            cwd=work, env=os.environ | {"HOME": work}, capture_output=True, text=True,
        )  # fmt: skip
        taken = time.perf_counter() - started
    if ended.returncode != 0 or "changed=0" not in ended.stdout:
        raise SystemExit(f"bench: the plain play did something\n{ended.stdout[-2000:]}")
    return taken


def _task(name: str) -> dict[str, object]:
    return {
        "name": f"See that {name} runs",
        "community.docker.docker_container": {
            "name": name,
            "state": "started",
            "comparisons": {"*": "ignore"},
            "image_name_mismatch": "ignore",
        },
        "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
    }
