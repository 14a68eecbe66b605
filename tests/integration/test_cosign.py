"""The real cosign accepts what naust signs, and naust what cosign signs: on a registry without referrers API, on `naust
serve` and from an OCI layout, all without any online service."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from common.model import Artifact, Reference
from naust.attest import attest
from naust.listing import resolve
from naust.proof import keys, policy
from naust.proof.proofs import gather
from naust.push import push_file
from naust.sign import sign
from naust.store.interface import Store
from naust.transfer.pull_layout import pull_layout
from naust.verify import judge
from tests.lab.images import image
from tests.lab.programs import program
from tests.lab.registries import fresh_prefix, shared
from tests.lab.serving import served

NAME = "container/web"
TAG = "1.0-20261124T221500Z"
PLAIN = ("--allow-http-registry", "--private-infrastructure")


@dataclass(frozen=True)
class Place:
    """A store, and how cosign names the same image in it."""

    store: Store
    image: str

    @property
    def artifact(self) -> Artifact:
        return resolve(self.store, f"{NAME}:{TAG}")


@pytest.fixture(params=["docker-registry", "naust serve"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "docker-registry":
        registry, prefix = shared("docker-registry"), fresh_prefix()
        yield _filled(registry.store(prefix), f"{registry.host}/{prefix}/{NAME}")
    else:
        with served(tmp_path / "store") as server:
            yield _filled(server.store(), f"{server.host}/{NAME}")


def _filled(store: Store, repository: str) -> Place:
    made = image(store, NAME, b"a layer", tag=TAG)
    return Place(store, f"{repository}@{made.digest}")


@dataclass(frozen=True)
class Pair:
    private: Path
    signing: keys.SigningKey

    @property
    def public(self) -> Path:
        return keys.public_path(self.private)


def pair(folder: Path, name: str, algorithm: str = "p256") -> Pair:
    keys.new(folder / f"{name}.key", algorithm)
    return Pair(folder / f"{name}.key", keys.load_private(folder / f"{name}.key"))


def cosign(*argv: str, folder: Path, ok: bool = True) -> str:
    """Run it with a home of its own; what it printed."""
    env = {**os.environ, "HOME": str(folder), "COSIGN_PASSWORD": "", "NO_COLOR": "1"}
    done = subprocess.run(
        [program("cosign"), *argv], env=env, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode == 0) is ok, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("algorithm", keys.ALGORITHMS)
def test_cosign_verifies_our_signature_and_its_purpose(place: Place, tmp_path: Path, algorithm: str) -> None:
    ours, other = pair(tmp_path, "release", algorithm), pair(tmp_path, "other")
    sign(place.store, place.artifact, ours.signing, "release")
    said = cosign("verify", "--key", str(ours.public), *PLAIN, place.image, folder=tmp_path)
    assert place.image.rpartition("@")[2] in said
    cosign("verify", "--key", str(ours.public), "-a", "purpose=release", *PLAIN, place.image, folder=tmp_path)
    cosign("verify", "--key", str(ours.public), "-a", "purpose=test", *PLAIN, place.image, folder=tmp_path, ok=False)
    cosign("verify", "--key", str(other.public), *PLAIN, place.image, folder=tmp_path, ok=False)


def test_cosign_verifies_our_attestations_by_their_types(place: Place, tmp_path: Path) -> None:
    ours, other = pair(tmp_path, "release"), pair(tmp_path, "other")
    bom = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": []}
    built = {
        "buildDefinition": {"buildType": "https://example.org/smie", "externalParameters": {}},
        "runDetails": {"builder": {"id": "https://ci.example.org"}},
    }
    for kind, predicate in (("cyclonedx", bom), ("slsaprovenance1", built)):
        attest(place.store, place.artifact, ours.signing, json.dumps(predicate).encode(), kind)
        check = ("verify-attestation", "--type", kind, *PLAIN, place.image, "--key")
        cosign(*check, str(ours.public), folder=tmp_path)
        cosign(*check, str(other.public), folder=tmp_path, ok=False)


def test_cosign_verifies_an_oci_layout_without_network(place: Place, tmp_path: Path) -> None:
    ours, other = pair(tmp_path, "release"), pair(tmp_path, "other")
    sign(place.store, place.artifact, ours.signing, "release")
    layout = pull_layout(place.store, place.artifact, tmp_path / "layout")
    check = ("verify", "--private-infrastructure", "--local-image", str(layout), "--key")
    cosign(*check, str(ours.public), folder=tmp_path)
    cosign(*check, str(other.public), folder=tmp_path, ok=False)


def test_naust_verifies_what_cosign_signed(place: Place, tmp_path: Path) -> None:
    ours, other = pair(tmp_path, "release"), pair(tmp_path, "other")
    cosign("import-key-pair", "--key", str(ours.private), "--output-key-prefix", "theirs", folder=tmp_path)
    offline = ("--use-signing-config=false", "--tlog-upload=false", "-y", "--allow-http-registry")
    cosign("sign", "--key", "theirs.key", *offline, "-a", "purpose=release", place.image, folder=tmp_path)
    proof = gather(place.store, place.artifact)
    assert judge(proof, policy.of_keys([ours.public])).ok
    assert not judge(proof, policy.of_keys([other.public])).ok
    (tmp_path / "policy.hcl").write_text(
        'policy "p" {\n  key "release" {\n    file = "release.pub"\n    purposes = ["release"]\n  }\n'
        '  require { purpose = "release" }\n}\n'
    )
    assert judge(proof, policy.load(tmp_path / "policy.hcl")).ok


def test_an_sbom_that_cosign_takes_for_a_signature_is_none_for_naust(place: Place, tmp_path: Path) -> None:
    ours = pair(tmp_path, "release")
    bom = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": []}
    attest(place.store, place.artifact, ours.signing, json.dumps(bom).encode(), "cyclonedx")
    cosign("verify", "--key", str(ours.public), *PLAIN, place.image, folder=tmp_path)
    assert not judge(gather(place.store, place.artifact), policy.of_keys([ours.public])).ok


def test_a_file_is_signed_as_an_image_is(place: Place, tmp_path: Path) -> None:
    ours = pair(tmp_path, "release")
    (tmp_path / "tool").write_bytes(b"#!/bin/sh\n")
    pushed = push_file(place.store, tmp_path / "tool", Reference.parse("file/tool:1.0"))
    sign(place.store, pushed, ours.signing)
    where = f"{place.image.partition('/container/')[0]}/file/tool@{pushed.digest}"
    cosign("verify", "--key", str(ours.public), *PLAIN, where, folder=tmp_path)
