"""Keys, artefacts, signatures and policies for tests of proof."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from common.model import Artifact, Digest, Kind
from naust import manifest as oci
from naust.attest import attest
from naust.listing import resolve
from naust.manifest import Blob
from naust.proof import keys
from naust.proof.keys import SigningKey
from naust.proof.policy import KeyRule, Policy, Requirements
from naust.store.interface import Store
from tests.lab.images import blob, put

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
TAG = "1.0-20261124T221500Z"
BUILDER = "https://ci.example.org/smie/7"
SOURCE = "git+https://git.example.org/web@refs/heads/main"


@cache
def key(name: str, algorithm: str = "p256") -> SigningKey:
    """A key that is the same throughout a run."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.key"
        keys.new(path, algorithm)
        return keys.load_private(path)


def rule(name: str, **more: object) -> KeyRule:
    """A policy's rule for that key."""
    return replace(KeyRule(name, public=key(name).public), **more)  # type: ignore[arg-type]


def asking(*rules: KeyRule, **require: object) -> Policy:
    """A policy that asks for this."""
    return Policy("test", rules or (rule("release"),), Requirements(**require))  # type: ignore[arg-type]


def file(
    store: Store,
    name: str = "file/tool",
    content: bytes = b"content",
    *,
    tag: str = TAG,
    inputs: Sequence[tuple[str, str, str]] = (),
    made_from: Digest | None = None,
) -> Artifact:
    """An artefact that is one file, with these inputs (name, version, digest)."""
    said = oci.annotated(Kind(name.partition("/")[0]), "1.0", created="2026-11-23T00:00:00+00:00", made_from=made_from)
    listed = [{"name": title, "version": version, "digest": digest} for title, version, digest in inputs]
    said |= {oci.INPUTS: json.dumps(listed)} if listed else {}
    blob(store, name, oci.EMPTY_CONFIG)
    part = replace(blob(store, name, content), media_type="text/plain")
    put(store, name, json.loads(oci.file_manifest(Kind.FILE, part, "tool", said)), tag)
    return resolve(store, f"{name}:{tag}")


def container(store: Store, name: str, *layers: bytes, tag: str = TAG, note: str = "") -> Artifact:
    """A container image of these layers."""
    config = oci.encode({"os": "linux", "architecture": "amd64", "comment": note})
    document = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": replace(blob(store, name, config), media_type=oci.CONFIG).described(),
        "layers": [Blob(blob(store, name, each).digest, len(each)).described() for each in layers],
        "annotations": {"naust.kind": "container"},
    }
    put(store, name, document, tag)
    return resolve(store, f"{name}:{tag}")


def provenance(
    *materials: Mapping[str, object], builder: str = BUILDER, finished: str = "2026-11-24T22:00:00Z"
) -> bytes:
    """A SLSA v1 predicate."""
    sources = materials or ({"uri": SOURCE, "digest": {"gitCommit": "ab" * 20}},)
    return json.dumps(
        {
            "buildDefinition": {
                "buildType": "https://example.org/smie",
                "externalParameters": {},
                "resolvedDependencies": list(sources),
            },
            "runDetails": {"builder": {"id": builder}, "metadata": {"finishedOn": finished}},
        }
    ).encode()


def bom(*packages: tuple[str, str], source: str = "") -> bytes:
    """A CycloneDX document that names these Debian packages."""
    upstream = f"?upstream={source}" if source else ""
    return json.dumps(
        {
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "components": [
                {"type": "library", "name": n, "version": v, "purl": f"pkg:deb/debian/{n}@{v}{upstream}"}
                for n, v in packages
            ],
        }
    ).encode()


def with_bom(store: Store, artifact: Artifact, *packages: tuple[str, str], source: str = "") -> Artifact:
    """The artefact, with an SBOM that the key release signed."""
    attest(store, artifact, key("release"), bom(*packages, source=source), "cyclonedx")
    return artifact
