"""What one builds without smie: Packer's docker builder with Packer's own ansible provisioner, one small role."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]

PLAY = [
    {
        "hosts": "all",
        "gather_facts": False,
        "tasks": [
            {"name": "Make the group", "ansible.builtin.group": {"name": "small", "gid": 990}},
            {"name": "Make the user", "ansible.builtin.user": {"name": "small", "uid": 990, "group": "small"}},
            {"name": "Make a folder", "ansible.builtin.file": {"path": "/srv/small", "state": "directory"}},
            {"name": "Write a file", "ansible.builtin.copy": {"content": "one\n", "dest": "/srv/small/one"}},
            {"name": "Write another", "ansible.builtin.copy": {"content": "two\n", "dest": "/srv/small/two"}},
        ],
    }
]


def plain_build() -> float:
    """Seconds that it takes. Nothing is kept."""
    image = _base()
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        (folder / "play.json").write_text(json.dumps(PLAY))
        (folder / "build.json").write_text(json.dumps(_template(image, folder)))
        started = time.perf_counter()
        subprocess.run(["packer", "build", "build.json"], cwd=folder, env=_environment(folder), check=True,
                       capture_output=True)  # fmt: skip
        return time.perf_counter() - started


def _template(image: str, folder: Path) -> dict[str, object]:
    return {
        "builders": [{"type": "docker", "image": image, "pull": False, "discard": True}],
        "provisioners": [
            {
                "type": "ansible",
                "playbook_file": str(folder / "play.json"),
                "command": str(ROOT / ".venv/bin/ansible-playbook"),
                "user": "root",
                # Packer's proxy offers an ssh-rsa key alone, which OpenSSH has not taken since 8.8.
                "ansible_env_vars": [
                    "ANSIBLE_SSH_COMMON_ARGS=-o HostKeyAlgorithms=+ssh-rsa -o PubkeyAcceptedAlgorithms=+ssh-rsa",
                    "ANSIBLE_PIPELINING=1",
                ],
            }
        ],
    }


def _base() -> str:
    listed = subprocess.run(
        ["docker", "images", "--format", "{{.Repository}}:{{.Tag}}", "naust/debian-13"],
        check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    return listed[0]


def _environment(folder: Path) -> dict[str, str]:
    return os.environ | {
        "HOME": str(folder),
        "PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}",
        "CHECKPOINT_DISABLE": "1",
    }
