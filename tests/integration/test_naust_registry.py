"""naust and registries of others: what naust wrote is read by docker, skopeo, crane and oras, and the other way round.

Each test runs on docker-registry without TLS, on docker-registry with TLS and a password, and on a registry of another
make, which has the referrers API.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from common.errors import Denied
from common.model import Digest, Secret
from naust.store.registry import RegistryStore
from naust.wire import distribution
from tests.conftest import Tools
from tests.contract.test_store import NAME, put
from tests.lab.faults import FaultProxy
from tests.lab.programs import program
from tests.lab.registries import MAKES, PASSWORD, USER, Registry, fresh_prefix, shared
from tests.lab.shapes import blobs, layer, two_platforms


@dataclass(frozen=True)
class Desk:
    """Somebody who works with a registry by naust and by the programs of others, all logged in."""

    folder: Path
    registry: Registry
    prefix: str
    env: dict[str, str]

    @property
    def url(self) -> str:
        return f"docker://{self.repository}"

    @property
    def repository(self) -> str:
        return f"{self.registry.host}/{self.prefix}"

    @property
    def secure(self) -> bool:
        return self.registry.access.ca is not None

    def naust(self, *argv: str, code: int = 0) -> str:
        """Run naust; what it prints."""
        return Tools(self.folder, self.env)("naust", *argv, code=code).out

    def ran(self, *argv: str) -> str:
        """Run another program; what it prints."""
        env = os.environ | self.env
        words = [program(argv[0]), *argv[1:]]
        ended = subprocess.run(words, cwd=self.folder, env=env, capture_output=True, text=True, timeout=120)
        assert ended.returncode == 0, f"{argv}\n{ended.stdout}\n{ended.stderr}"
        return ended.stdout

    def plain(self, option: str) -> tuple[str, ...]:
        """The option by which a program is told that there is no TLS; nothing where there is."""
        return () if self.secure else (option,)

    def skopeo(self, verb: str, *words: str, side: str = "") -> str:
        """skopeo, told whom to trust; of two sides, which one the registry is on."""
        ca = self.registry.access.ca
        return self.ran("skopeo", verb, f"--{side}cert-dir={ca.parent}" if ca else f"--{side}tls-verify=false", *words)

    def pushed(self, *argv: str) -> dict[str, str]:
        """Push by naust; what it says of the artefact."""
        return dict(json.loads(self.naust("push", *argv, "--json")))


@pytest.fixture(params=MAKES)
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    registry, prefix = shared(request.param), fresh_prefix()
    (tmp_path / "docker").mkdir()
    found = Desk(tmp_path, registry, prefix, environment(tmp_path, registry, prefix))
    if found.secure:
        found.ran("docker", "login", "-u", USER, "-p", PASSWORD, registry.host)
    yield found


def environment(folder: Path, registry: Registry, prefix: str) -> dict[str, str]:
    """Where a desk keeps its things; the registry is naust's default store."""
    ca = registry.access.ca
    settings, password = folder / "naust.hcl", folder / "password"
    password.write_text(PASSWORD)
    password.chmod(0o600)
    login = f'user = "{USER}"\n password = "file:{password}"\n ca = "{ca}"' if ca else ""
    settings.write_text(f'default = "lab"\nstore "lab" {{\n url = "docker://{registry.host}/{prefix}"\n {login}\n}}\n')
    trust = {"SSL_CERT_FILE": str(ca)} if ca else {}
    return trust | {
        "DOCKER_CONFIG": str(folder / "docker"),
        "REGISTRY_AUTH_FILE": str(folder / "docker" / "config.json"),
        "NAUST_CONFIG": str(settings),
        "NAUST_STORE": "",
        "XDG_CACHE_HOME": str(folder / "cache"),
        "HOME": str(folder),
    }


@pytest.fixture
def image(tmp_path: Path) -> Iterator[str]:
    """An image in the engine; it and all that has its name go at the end."""
    name = f"naust-test-{uuid.uuid4().hex[:12]}"
    (tmp_path / "layer.tar").write_bytes(layer(name))
    try:
        subprocess.run(["docker", "import", str(tmp_path / "layer.tar"), f"{name}:1"], check=True, capture_output=True)
        yield f"{name}:1"
    finally:
        forget(f"*{name}*")
        forget(f"*/{name}")


def forget(pattern: str) -> None:
    """Take the images of that name out of the engine."""
    words = ["docker", "image", "ls", "--quiet", "--filter", f"reference={pattern}"]
    found = subprocess.run(words, capture_output=True, text=True).stdout.split()
    subprocess.run(["docker", "image", "rm", "--force", *found], capture_output=True) if found else None


def image_id(image: str) -> str:
    words = ["docker", "image", "inspect", "--format", "{{.Id}}", image]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


# What naust wrote


def test_an_image_that_naust_wrote_is_read_by_all(desk: Desk, image: str) -> None:
    wanted = image_id(image)
    pushed = desk.pushed(f"docker:{image}", "container/app:1.0")
    reference, digest = f"{desk.repository}/container/app:{pushed['tag']}", pushed["digest"]
    desk.ran("docker", "image", "rm", image)
    try:
        assert digest in desk.ran("docker", "pull", reference)
        assert image_id(reference) == wanted
    finally:
        subprocess.run(["docker", "image", "rm", "--force", reference], capture_output=True)
    assert json.loads(desk.skopeo("inspect", f"docker://{reference}"))["Digest"] == digest
    desk.skopeo("copy", "--preserve-digests", f"docker://{reference}", "oci:by-skopeo", side="src-")
    insecure = desk.plain("--insecure")
    assert desk.ran("crane", "digest", *insecure, reference).strip() == digest
    desk.ran("crane", "validate", *insecure, "--fast", "--remote", reference)
    assert desk.ran("crane", "export", *insecure, reference, "-").rstrip("\0").endswith(image[:-2].ljust(1000, "."))
    desk.ran("crane", "pull", *insecure, "--format=oci", reference, "by-crane")
    desk.ran("oras", "copy", *desk.plain("--from-plain-http"), "--to-oci-layout", reference, "by-oras:1")
    desk.naust("pull", "container/app", "oci:by-naust")
    every = blobs(desk.folder / "by-naust")
    assert (
        every == blobs(desk.folder / "by-skopeo") == blobs(desk.folder / "by-crane") == blobs(desk.folder / "by-oras")
    )
    assert {wanted, digest} <= {f"sha256:{each}" for each in every}


def test_a_file_that_naust_wrote_is_read_by_all(desk: Desk) -> None:
    content = os.urandom(3 << 20)
    (desk.folder / "disk.raw").write_bytes(content)
    pushed = desk.pushed("disk.raw", "vm/disk:1.0")
    reference = f"{desk.repository}/vm/disk:{pushed['tag']}"
    desk.ran("oras", "pull", *desk.plain("--plain-http"), "-o", "out", reference)
    assert (desk.folder / "out" / "disk.raw").read_bytes() == content
    manifest = json.loads(desk.ran("crane", "manifest", *desk.plain("--insecure"), reference))
    assert manifest == json.loads(desk.skopeo("inspect", "--raw", f"docker://{reference}"))
    blob = f"{desk.repository}/vm/disk@{manifest['layers'][0]['digest']}"
    words = [program("crane"), "blob", *desk.plain("--insecure"), blob]
    got = subprocess.run(words, env=os.environ | desk.env, capture_output=True, check=True)
    assert got.stdout == content
    (desk.folder / "disk.raw").unlink()
    desk.naust("pull", "vm/disk", "disk.raw")
    assert (desk.folder / "disk.raw").read_bytes() == content


def test_referrers_that_naust_wrote_are_found_by_others_also_without_the_api(desk: Desk) -> None:
    layout, digest = two_platforms(desk.folder / "made")
    pushed = desk.pushed(f"oci:{layout}", "container/app:1.0")
    assert pushed["digest"] == str(digest)
    reference = f"{desk.repository}/container/app:{pushed['tag']}"
    found = desk.ran("oras", "discover", *desk.plain("--plain-http"), "--format", "json", reference)
    assert "test/signature" in found
    desk.ran("oras", "copy", "-r", *desk.plain("--from-plain-http"), "--to-oci-layout", reference, "out:1")
    assert blobs(desk.folder / "out") >= blobs(layout)  # and the index that stands for the API
    tags = json.loads(desk.naust("list", "--json"))
    assert [each["digest"] for each in tags] == [str(digest)]


# What others wrote


def test_an_image_that_docker_wrote_goes_through_unchanged(desk: Desk, image: str) -> None:
    wanted, reference = image_id(image), f"{desk.repository}/container/app:1"
    desk.ran("docker", "tag", image, reference)
    desk.ran("docker", "push", reference)
    desk.ran("docker", "image", "rm", reference, image)
    digest = desk.ran("crane", "digest", *desk.plain("--insecure"), reference).strip()
    (listed,) = json.loads(desk.naust("list", "--json"))
    assert (listed["tag"], listed["digest"]) == ("1", digest)
    desk.naust("pull", "container/app:1", "oci:out")
    assert digest[7:] in blobs(desk.folder / "out")
    got = json.loads(desk.naust("pull", "container/app:1", "docker:", "--json"))
    try:
        assert image_id(got["place"]) == wanted
    finally:
        subprocess.run(["docker", "image", "rm", "--force", got["place"]], capture_output=True)
    # Through another store and back, it is still the same.
    desk.naust("copy", "container/app:1", "--from", desk.url, "--to", str(desk.folder / "store"))
    desk.naust("copy", "container/app:1", "--from", str(desk.folder / "store"), "--to", f"{desk.url}/again")
    again = f"{desk.repository}/again/container/app:1"
    assert desk.ran("crane", "digest", *desk.plain("--insecure"), again).strip() == digest


def test_what_oras_wrote_and_attached_is_read(desk: Desk) -> None:
    (desk.folder / "hello.txt").write_text("hello\n")
    reference, plain = f"{desk.repository}/file/hello:1", desk.plain("--plain-http")
    desk.ran("oras", "push", *plain, reference, "hello.txt:text/plain")
    desk.ran("oras", "attach", *plain, "--artifact-type", "example/signature", reference, "hello.txt")
    store = desk.registry.store(desk.prefix)
    digest = Digest.of(store.manifest("file/hello", "1"))
    assert [each.artifact_type for each in store.referrers("file/hello", digest)] == ["example/signature"]
    desk.naust("pull", "file/hello:1", "got.txt")
    assert (desk.folder / "got.txt").read_text() == "hello\n"


# Who we are


def test_the_login_of_docker_is_ours_too(desk: Desk) -> None:
    (desk.folder / "naust.hcl").write_text(
        f'store "lab" {{\n url = "{desk.url}"\n'
        + (f' ca = "{desk.registry.access.ca}"\n' if desk.secure else "")
        + "}\n"
    )
    (desk.folder / "x").write_text("x")
    desk.naust("push", "x", "file/x:1", "--store", "lab")
    assert [each["name"] for each in json.loads(desk.naust("list", "--store", "lab", "--json"))] == ["x"]


def test_a_wrong_password_is_denied_and_shows_nowhere(tmp_path: Path) -> None:
    registry = shared("docker-registry-tls")
    wrong = replace(registry.access, password=Secret("wrong-password"))
    store = RegistryStore.from_url(f"docker://{registry.host}", wrong)
    for act in (
        lambda: list(store.names()),
        lambda: store.add(NAME, io.BytesIO(b"x")),
        lambda: store.manifest(NAME, "1"),
    ):
        with pytest.raises(Denied) as error:
            act()
        assert "wrong-password" not in str(error.value) + repr(error.value) + error.value.details
        assert "user and password" in error.value.resolution


# Bytes that need not move, lists that come in pages


@pytest.mark.parametrize("make", ["docker-registry", "ociserver"])
def test_a_blob_of_another_repository_is_mounted_and_not_sent(make: str) -> None:
    registry, prefix, data = shared(make), fresh_prefix(), os.urandom(2 << 20)
    digest = Digest.of(data)
    with FaultProxy(registry.host) as proxy:
        store = replace(registry, host=proxy.address).store(prefix)
        store.write("vm/one", digest, len(data), io.BytesIO(data))
        assert proxy.up == len(data)
        store.write("vm/two", digest, len(data), io.BytesIO(data), mount_from="vm/one")
        assert proxy.up == len(data)
        with store.read("vm/two", digest) as source:
            assert source.read() == data
        # Of what is not there nothing is mounted, and all is sent.
        store.write("vm/three", digest, len(data), io.BytesIO(data), mount_from="vm/none")
        assert proxy.up in (len(data), 2 * len(data))
        assert store.stat("vm/three", digest) == len(data)


def test_a_long_list_comes_in_pages(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distribution, "_PAGE", 2)
    store = desk.registry.store(desk.prefix)
    manifest = put(store, b"content")
    for number in range(5):
        put(store, b"content", f"{number}", name=f"file/n{number}")
        store.put_manifest(NAME, str(number), manifest)
    assert list(store.names()) == [f"file/n{number}" for number in range(5)] + [NAME]
    assert list(store.tags(NAME)) == [str(number) for number in range(5)]
