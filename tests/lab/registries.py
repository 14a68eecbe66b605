"""Registries of others for tests: docker-registry 2.8 (Debian), which has no referrers API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.programs import free_port, program, running


@contextmanager
def docker_registry(folder: Path, port: int = 0) -> Iterator[str]:
    """docker-registry 2.8 over plain HTTP, with deletion; gives HOST:PORT."""
    port = port or free_port()
    with running(_docker_registry(folder, port, {}), port=port, log=folder / "registry.log"):
        yield f"127.0.0.1:{port}"


def _docker_registry(folder: Path, port: int, more: dict[str, object]) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "http": {"addr": f"127.0.0.1:{port}", "secret": "lab"},
    }
    path = folder / "registry.json"
    path.write_text(json.dumps(document | more))  # JSON is YAML
    return [program("docker-registry"), "serve", str(path)]
