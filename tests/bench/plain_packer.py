"""What one builds without smie: Packer's docker builder with Packer's own ansible provisioner, which speaks SSH through
a proxy of Packer's; a small play, or roles of ours on images of each other."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
REPOSITORY = "smie-bench"  # images of the peer are smie-bench/NAME in the engine

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


@dataclass(frozen=True)
class Image:
    """One image of a role: its play, the image that it is put on, and what the container sees of this machine."""

    name: str
    play: object
    parent: str
    mounts: Mapping[Path, str]


def plain_build() -> float:
    """Seconds that the small play takes. Nothing is kept."""
    builder = {"type": "docker", "image": _base(), "pull": False, "discard": True}
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        (folder / "play.json").write_text(json.dumps(PLAY))
        template = {"builders": [builder], "provisioners": [_ansible(folder / "play.json")]}
        return _timed(template, folder, {})


def plain_images(images: Sequence[Image], roles: Path) -> float:
    """Seconds for images that do not stand on each other, side by side as Packer does it. They are in the engine
    afterwards, by REPOSITORY; the roles are read where they are."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        for image in images:
            (folder / f"{image.name}.json").write_text(json.dumps(image.play))
        template = {
            "builders": [_builder(image) for image in images],
            "provisioners": [_ansible(folder / f"{image.name}.json") | {"only": [image.name]} for image in images],
            "post-processors": [
                {"type": "docker-tag", "repository": f"{REPOSITORY}/{image.name}", "only": [image.name]}
                for image in images
            ],
        }
        return _timed(template, folder, {"ANSIBLE_ROLES_PATH": str(roles)})


def _builder(image: Image) -> dict[str, object]:
    return {
        "type": "docker",
        "name": image.name,
        "image": image.parent,
        "pull": False,
        "commit": True,
        "run_command": [
            "-d", "-i", "-t", "--network=none", "--user=0:0", "--workdir=/", "--entrypoint=/bin/sh",
            "--env=APT_CONFIG=/smie/apt/apt.conf", "--tmpfs=/smie/tmp:exec",
            *(f"--volume={here}:{there}:ro" for here, there in image.mounts.items()), "{{.Image}}",
        ],
    }  # fmt: skip


def _ansible(play: Path) -> dict[str, object]:
    return {
        "type": "ansible",
        "playbook_file": str(play),
        "command": str(ROOT / ".venv/bin/ansible-playbook"),
        "user": "root",
        # Packer's proxy offers an ssh-rsa key alone, which OpenSSH has not taken since 8.8.
        "ansible_env_vars": [
            "ANSIBLE_SSH_COMMON_ARGS=-o HostKeyAlgorithms=+ssh-rsa -o PubkeyAcceptedAlgorithms=+ssh-rsa",
            "ANSIBLE_PIPELINING=1",
        ],
    }


def _timed(template: Mapping[str, object], folder: Path, env: Mapping[str, str]) -> float:
    (folder / "build.json").write_text(json.dumps(template))
    started = time.perf_counter()
    argv = ["packer", "build", "build.json"]
    ended = subprocess.run(argv, cwd=folder, env=_environment(folder) | env, capture_output=True, text=True)
    taken = time.perf_counter() - started
    if ended.returncode:
        raise SystemExit(f"bench: packer failed\n{ended.stdout[-3000:]}")
    return taken


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
