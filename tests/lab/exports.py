"""A system of two roles, its definitions, artefacts and sources, small enough to be exported in no time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from common.catalog import Catalog
from common.model import Artifact, Digest
from naust import manifest as oci
from naust.promote import promote
from naust.push import push_container
from naust.store.interface import Store
from tests.lab import catalogue, snapshots

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
LATER = datetime(2026, 11, 21, 12, tzinfo=UTC)
DEB, SOURCE, OTHER = b"a package of Debian", b"a program of PyPI", b"a package that nobody mirrored"
BASE, WEB = Digest("sha256", "ba" * 32), Digest("sha256", "3e" * 32)  # fingerprints of recipes

_ROLE = """role "{name}" {{
  type    = "component"
  summary = "For tests"
  image "container" {{
    base = "debian-13"
  }}
}}
"""
_SYSTEM = """system "{name}" {{
  summary = "For tests"
  group "servers" {{
    role "web" {{}}
    role "note" {{}}
  }}
}}
"""
_TARGET = """target "container" {
  kind  = "container"
  image = "debian-13"
  network "front" {}
  nodes "servers" {
    node "w1" {
      networks = ["front"]
    }
  }
}
"""
_FOUND = """base "debian-13" {
  summary  = "For tests"
  suite    = "trixie"
  packages = ["tini"]
}
"""


@dataclass(frozen=True, slots=True)
class Furnished:
    """What there is: base, web and note, web built from the snapshot `build`."""

    base: Artifact
    web: Artifact
    note: Artifact
    snapshot: str  # set:tag


def definitions(folder: Path) -> Catalog:
    """Systems `tiny` and `other`, with a file of rubbish that is not to go along."""
    files = {f"roles/{name}/role.hcl": _ROLE.format(name=name) for name in ("web", "note")}
    files |= {f"roles/{name}/tasks/install.yml": "[]\n" for name in ("web", "note")}
    files |= {f"{name}/system.hcl": _SYSTEM.format(name=name) for name in ("tiny", "other")}
    files |= {"tiny/targets/container.hcl": _TARGET, "bases/debian-13.hcl": _FOUND, "sources.hcl": "# none\n"}
    files |= {".hidden": "rubbish", "roles/web/__pycache__/x.pyc": "rubbish"}
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return Catalog(folder)


def furnish(store: Store) -> Furnished:
    """Artefacts and a snapshot of all that they were made of."""
    snapshots.published(store, "debian", {"pool/deb.deb": DEB, "dists/x/Release": b"release"}, "apt", START)
    snapshots.published(store, "programs", {"packages/program-1.tar.gz": SOURCE}, "pypi", START)
    tag = snapshots.snapshot(store, "build", ["debian", "programs"], START)
    base = built(store, "debian-13", BASE, ("package deb", "1", DEB))
    web = built(store, "web", WEB, ("base debian-13", "1", BASE), ("software pypi:program", "1", SOURCE))
    note = built(store, "note", Digest("sha256", "0e" * 32), ("base debian-13", "1", BASE), ("file x", "644", b"x"))
    return Furnished(base, web, note, f"build:{tag}")


def built(
    store: Store,
    name: str,
    made_from: Digest,
    *inputs: tuple[str, str, bytes | Digest],
    now: datetime = START,
    content: bytes = b"",
) -> Artifact:
    """An image as smie records it."""
    listed = [
        {"name": title, "version": version, "digest": str(what if isinstance(what, Digest) else Digest.of(what))}
        for title, version, what in inputs
    ]
    layers = [b"base" * 5000, content or name.encode() * 1000]
    image = catalogue.image(store, f"container/{name}", layers)
    said = {oci.INPUTS: json.dumps(listed)}
    return push_container(store, image, name=name, version="1", annotations=said, made_from=made_from, now=now)


def newer_web(store: Store) -> Artifact:
    """Another web, of a package that is mirrored nowhere; `production` goes on to stand for the first ones."""
    for name in ("debian-13", "web", "note"):
        promote(store, f"container/{name}", "production")
    inputs = (("base debian-13", "1", BASE), ("package other", "2", OTHER))
    return built(store, "web", Digest("sha256", "2e" * 32), *inputs, now=LATER, content=b"newer")
