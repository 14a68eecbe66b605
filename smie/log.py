"""The log of a build as it goes with the artefact: without secrets, and without what only this machine calls so."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from smie.origin import without_passwords
from smie.workspace import Workspace

LONGEST = 8 << 20  # bytes that are kept, the end of it
SHORTEST = 6  # characters of a secret; what is shorter stands everywhere by chance
_SECRET = re.compile(r"PASS|SECRET|TOKEN|CREDENTIAL|API_?KEY|PRIVATE|NAUST_KEY", re.I)
_CONTAINER = re.compile(r"^Container ID: ([0-9a-f]{64})$", re.M)  # as Packer says it
_CHANCE = re.compile(r"\b(tmp|packer-shell)\d{6,}\b")  # files that Packer names by chance


def told(path: Path, workspace: Workspace, identity: str, roles: Path | None) -> bytes:
    """The log in this file; b"" if there is none, or it is empty. `identity` is the build's (`smie.leftovers`)."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LONGEST))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return b""
    return plain(text, _places(workspace, identity, roles), os.environ).encode()


def plain(text: str, places: Mapping[str, str], environment: Mapping[str, str]) -> str:
    """The text without secrets of URLs and of the environment, and with other names for places."""
    text = without_passwords(text)
    for secret in sorted(_secrets(environment), key=len, reverse=True):
        text = text.replace(secret, "***")
    for place, name in sorted(places.items(), key=lambda each: -len(each[0])):
        text = text.replace(place, name)
    for container in set(_CONTAINER.findall(text)):
        text = text.replace(container, "CONTAINER")
    text = _CHANCE.sub(r"\1N", text)
    return "".join(each for each in text if each.isprintable() or each in "\n\t")


def _secrets(environment: Mapping[str, str]) -> Iterator[str]:
    for name, value in environment.items():
        if _SECRET.search(name) and len(value) >= SHORTEST:
            yield value


def _places(workspace: Workspace, identity: str, roles: Path | None) -> dict[str, str]:
    parts = identity.split(".")
    machine = ".".join(parts[:4])  # machine, boot, process and its start
    found = {
        str(workspace.root): ".smie",
        identity: "BUILD",
        machine: "BUILD",
        str(Path.cwd()): ".",
        sys.prefix: ".venv",
    }
    found[f"{machine}.t.{parts[-1]}"] = "BUILD"  # the scratch folder
    if roles is not None:
        found[str(roles)] = "roles"
    if (home := str(Path.home())) != "/":
        found[home] = "~"
    return {place: name for place, name in found.items() if len(place) > 1}
