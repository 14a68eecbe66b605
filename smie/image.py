"""The configuration of a container image: computed from the parent's and the role's, never read back from a build.

Format: OCI image specification 1.1, config.md; `Healthcheck` and others that Docker adds are carried over as they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from common.model import Digest
from common.role import Image

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # as Docker sets it when nobody does


def base_config(layer: Digest, created: datetime, architecture: str, title: str) -> bytes:
    """The configuration of an image that consists of one layer."""
    return _config(
        {"Env": [PATH], "Cmd": ["/bin/bash"]}, [str(layer)], [_history(title, created)], created, architecture
    )


def role_config(parent: bytes, image: Image, layers: Sequence[Digest], created: datetime, title: str) -> bytes:
    """The parent's configuration with what the role says, and these layers on top of the parent's."""
    below = json.loads(parent)
    return _config(
        changed(below.get("config") or {}, image),
        [*below["rootfs"]["diff_ids"], *map(str, layers)],
        [*below.get("history", []), *(_history(title, created) for _ in layers)],
        created,
        below["architecture"],
    )


def changed(config: Mapping[str, object], image: Image) -> dict[str, object]:
    """What runs a container, with the role's part: everything that the role does not name stays as it is."""
    result = dict(config)
    if image.environment:
        result["Env"] = merged(_texts(config.get("Env")), image.environment)
    if image.labels:
        labels = config.get("Labels")
        result["Labels"] = {**(labels if isinstance(labels, dict) else {}), **dict(image.labels)}
    for key, words in (("Entrypoint", image.entrypoint), ("Cmd", image.command)):
        if words is not None:
            result[key] = list(words)
    return {key: value for key, value in result.items() if key not in ("Entrypoint", "Cmd") or value}


def merged(environment: Iterable[str], more: Iterable[tuple[str, str]]) -> list[str]:
    """`NAME=value` texts, where later ones replace earlier ones of the same name in place."""
    variables = dict(text.split("=", 1) for text in environment) | dict(more)
    return [f"{name}={value}" for name, value in variables.items()]


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else ()


def _history(title: str, created: datetime) -> dict[str, str]:
    return {"created": _date(created), "created_by": f"smie build {title}"}


def _date(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _config(
    config: Mapping[str, object], layers: Sequence[str], history: Sequence[object], created: datetime, architecture: str
) -> bytes:
    whole = {
        "architecture": architecture,
        "config": config,
        "created": _date(created),
        "history": history,
        "os": "linux",
        "rootfs": {"diff_ids": layers, "type": "layers"},
    }
    return json.dumps(whole, sort_keys=True, separators=(",", ":")).encode()
