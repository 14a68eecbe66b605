"""The configuration of a container image: computed from the parent's and the role's, never read back from a build.

Format: OCI image specification 1.1, config.md; `Healthcheck` and others that Docker adds are carried over as they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from common.model import Digest
from common.role import Image
from naust.manifest import CREATED, TITLE, VERSION

NOTHING: Mapping[str, str] = {}
BASE_NAME = "org.opencontainers.image.base.name"
BASE_DIGEST = "org.opencontainers.image.base.digest"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # as Docker sets it when nobody does


def labels(title: str, version: str, created: datetime, below: tuple[str, Digest] | None = None) -> dict[str, str]:
    """What an image says of itself to whoever has nothing but the image; `below` is what it stands on. No revision: the
    same inputs out of another commit are the same image. (OCI image specification 1.1, annotations.md)"""
    own = {TITLE: title, VERSION: version, CREATED: _date(created)}
    return own | ({BASE_NAME: below[0], BASE_DIGEST: str(below[1])} if below else {})


def base_config(
    layer: Digest, created: datetime, architecture: str, title: str, said: Mapping[str, str] = NOTHING
) -> bytes:
    """The configuration of an image that consists of one layer. `said` are labels."""
    config: dict[str, object] = {"Env": [PATH], "Cmd": ["/bin/bash"]}
    config |= {"Labels": dict(said)} if said else {}
    return _config(config, [str(layer)], [_history(title, created)], created, architecture)


def role_config(
    parent: bytes,
    image: Image,
    layers: Sequence[Digest],
    created: datetime,
    title: str,
    said: Mapping[str, str] = NOTHING,
) -> bytes:
    """The parent's configuration with these labels and what the role says, and these layers on top of the parent's."""
    below = json.loads(parent)
    config = dict(below.get("config") or {})
    if said:
        there = config.get("Labels")
        config["Labels"] = {**(there if isinstance(there, dict) else {}), **said}
    return _config(
        changed(config, image),
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
        there = config.get("Labels")
        result["Labels"] = {**(there if isinstance(there, dict) else {}), **dict(image.labels)}
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
