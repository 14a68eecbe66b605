"""Images that were mirrored keep their signatures: the real cosign accepts the copy in a snapshot, and finds what is
attached to it, from registries with the referrers API and without."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from naust.listing import resolve
from naust.manifest import Blob
from naust.proof import keys
from naust.sign import sign
from naust.source import mirror, snapshot
from naust.source.definition import Oci
from naust.source.oci import OciUpstream
from naust.store.directory import DirectoryStore
from naust.wire.transport import Transport
from tests.lab import images
from tests.lab.programs import program
from tests.lab.registries import fresh_prefix, shared
from tests.lab.serving import Served, ask, served

NAME, TAG = "container/web", "1.0-20261124T221500Z"
PLAIN = ("--allow-http-registry", "--private-infrastructure")


@dataclass(frozen=True)
class Mirrored:
    """An image in a snapshot, how cosign names it, and the keys of its owner and of somebody else."""

    server: Served
    path: str
    top: Blob
    attached: list[Blob]
    key: Path
    other: Path

    def cosign(self, key: Path, *argv: str) -> subprocess.CompletedProcess[str]:
        """`cosign verify` of the copy."""
        image = f"{self.server.host}/{self.path}@{self.top.digest}"
        words = [program("cosign"), "verify", "--key", str(key), *argv, *PLAIN, image]
        env = os.environ | {"HOME": str(self.server.root.parent), "NO_COLOR": "1"}
        return subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(params=["docker-registry", "ociserver"])
def mirrored(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mirrored]:
    origin = shared(request.param).store(fresh_prefix())
    top, _, _, attached = images.two_platforms(origin, NAME, TAG)
    for name in ("release", "other"):
        keys.new(tmp_path / f"{name}.key", "p256")
    sign(origin, resolve(origin, f"{NAME}:{TAG}"), keys.load_private(tmp_path / "release.key"), "release")
    store = DirectoryStore(tmp_path / "store")
    block = Oci("images", (f"{origin.url}/{NAME}:{TAG}",))
    mirror.check(mirror.mirror(store, [(block, lambda: OciUpstream.of(block))], Transport()))
    snapshot.make(store, "build", ["images"], check=True)
    path = f"snapshot/build/latest/{origin.url.removeprefix('docker://').partition('/')[2]}/{NAME}"
    public = [keys.public_path(tmp_path / f"{name}.key") for name in ("release", "other")]
    with served(tmp_path / "store") as server:
        yield Mirrored(server, path, top, attached, *public)


def test_cosign_accepts_the_copy_with_the_right_key_alone(mirrored: Mirrored) -> None:
    done = mirrored.cosign(mirrored.key, "-a", "purpose=release")
    assert done.returncode == 0, done.stderr
    assert mirrored.cosign(mirrored.other).returncode != 0


def test_what_is_attached_is_listed_for_the_image_and_its_platforms(mirrored: Mirrored) -> None:
    def referring(digest: object, query: str = "") -> set[str]:
        answer = ask(mirrored.server.port, "GET", f"/v2/{mirrored.path}/referrers/{digest}{query}")
        assert answer.status == 200, answer.body
        return {each["digest"] for each in json.loads(answer.body)["manifests"]}

    signature, sbom, of_the_sbom = (str(each.digest) for each in mirrored.attached)
    index = json.loads(ask(mirrored.server.port, "GET", f"/v2/{mirrored.path}/manifests/{mirrored.top.digest}").body)
    first, second = (each["digest"] for each in index["manifests"])
    assert referring(first) == {signature, sbom}
    assert referring(first, f"?artifactType={quote(images.SBOM, safe='')}") == {sbom}
    assert referring(sbom) == {of_the_sbom}
    assert referring(second) == set()
    assert len(referring(mirrored.top.digest)) == 1
