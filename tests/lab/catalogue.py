"""A small store with something of everything that a page can show."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from common.model import Artifact, Digest, Reference
from naust import manifest as oci
from naust import promote, revoke
from naust.proof import bundle
from naust.proof.attached import attach
from naust.push import push_container, push_file
from naust.store.interface import Store

NAME = "container/traefik"
START = datetime(2026, 11, 20, 22, 15, tzinfo=UTC)
HINT = "a2V5IG9mIHRoZSBidWlsZCBzZXJ2ZXI="
INPUTS = (
    {"name": "base debian-12", "version": "12.9", "digest": f"sha256:{'ab' * 32}"},
    {"name": "file roles/traefik/tasks/install.yml", "version": "0644", "digest": f"sha256:{'cd' * 32}"},
    {"name": "package libc6", "version": "2.36-9+deb12u9", "digest": f"sha256:{'ef' * 32}"},
)


@dataclass(frozen=True, slots=True)
class Furnished:
    """What is in the store: three versions of `container/traefik`, oldest first, and a disk image. The oldest version
    is revoked, `production` was moved from the newest back to the middle one."""

    versions: tuple[Artifact, ...]
    disk: Artifact


def furnish(store: Store, folder: Path, packages: int = 3) -> Furnished:
    """Fill the store; `folder` is for files that are pushed."""
    made = tuple(
        _version(store, count, version, packages) for count, version in enumerate(("3.7.12", "3.7.14", "3.7.15"))
    )
    for goal, reason in ((made[2], "passed the soak"), (made[1], "p99 grew")):
        later = START + timedelta(days=4 + (goal is made[1]))
        promote.promote(store, goal.reference, "production", who="anna@build1", reason=reason, now=later)
    revoke.revoke(store, made[0], "CVE-2026-1234 in its TLS stack", by="ben@build2", now=START + timedelta(days=6))
    file = folder / "disk image.qcow2"
    file.write_bytes(b"disk" * 1000)
    return Furnished(made, push_file(store, file, Reference.parse("vm/gateway"), version="1:12.9+b1~rc2", now=START))


def image(store: Store, name: str, layers: Sequence[bytes]) -> oci.ContainerImage:
    """An image whose layers are in the store."""
    blobs = [oci.Blob(*store.add(name, io.BytesIO(layer))) for layer in layers]
    root = {"type": "layers", "diff_ids": [str(blob.digest) for blob in blobs]}
    config = {"created": "2026-11-20T10:00:00Z", "architecture": "amd64", "os": "linux", "rootfs": root}
    return oci.ContainerImage(json.dumps(config).encode(), tuple(blobs))


def attest(store: Store, name: str, subject: Digest, kind: str, said: Mapping[str, object], about: str = "") -> Digest:
    """Attach a bundle whose signature nobody can verify. `about` is the digest it names, else the subject's."""
    about = about or str(subject)
    statement = {"_type": bundle.STATEMENTS[0], "predicateType": kind, "predicate": said}
    statement |= {"subject": [{"digest": dict([about.split(":", 1)])}]}
    # In ASCII, so that it can say what UTF-8 cannot: a lone surrogate.
    document = bundle.bundle(json.dumps(statement).encode(), b"no signature", HINT)
    return attach(store, name, subject, document, media_type=bundle.BUNDLE, artifact_type=bundle.BUNDLE)


def bom(versions: Mapping[str, str]) -> Mapping[str, object]:
    """A CycloneDX document of Debian packages."""
    listed = [
        {"type": "library", "name": name, "version": version, "purl": f"pkg:deb/debian/{name}@{version}?arch=amd64"}
        for name, version in versions.items()
    ]
    return {"bomFormat": "CycloneDX", "specVersion": "1.5", "components": listed}


def _version(store: Store, count: int, version: str, packages: int) -> Artifact:
    layers = [b"base" * 50_000, f"software {version}".encode() * 3_000]
    said = {
        oci.INPUTS: json.dumps(INPUTS),
        oci.REVISION: "v1.4-12-g0a1b2c3",
        "org.opencontainers.image.source": "https://git.example.org/team/traefik",
        "org.opencontainers.image.description": "Reverse proxy <b>with</b> TLS & ACME",
    }
    recipe = Digest("sha256", "77" * 32)
    made = push_container(
        store,
        image(store, NAME, layers),
        name="traefik",
        version=version,
        annotations=said,
        made_from=recipe,
        now=START + timedelta(days=count),
    )
    listed = {f"libexample{number}": "1.2-3" for number in range(packages)}
    listed |= {"openssl": f"3.0.{15 + count}-1"} | ({"libold": "1.0"} if count < 2 else {"libnew": "2.0"})
    attest(store, NAME, made.digest, bundle.SIGNATURE, {})
    attest(store, NAME, made.digest, bundle.PROVENANCE, {"buildDefinition": {}})
    attest(store, NAME, made.digest, bundle.SBOM, bom(listed))
    return made
