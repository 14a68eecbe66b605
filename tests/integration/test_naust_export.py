"""A system on a disk and off again, with the commands that a person types, on a machine without any network.

The long test is the whole way: s3-lb onto a disk, the tools from the disk, the deployment from the disk.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from common.files import file_digest
from naust.proof import keys
from naust.store.directory import DirectoryStore
from tests.conftest import ROOT, Ended, Tools
from tests.lab import exports
from tests.lab.programs import program

INSTANCE = f"disk-{os.getpid()}"
# What `naust import` loads; the whole list, with Ansible, is for the long test.
SLIM = ("typer", "rich", "markdown-it-py", "mdurl", "pygments", "shellingham", "typing-extensions", "annotated-doc",
        "cryptography", "cffi", "pycparser")  # fmt: skip


@dataclass(frozen=True)
class Site:
    """A machine on the other side: no network but a loopback that is down, an empty home, nothing of our tree."""

    folder: Path

    def __call__(self, *argv: str | Path, code: int = 0, timeout: float = 300) -> Ended:
        home = self.folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        ended = subprocess.run(
            ["unshare", "--net", *map(str, argv)],
            cwd=home,
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(home)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert ended.returncode == code, f"{argv} ended with {ended.returncode}\n{ended.stdout}\n{ended.stderr}"
        return Ended(ended.returncode, ended.stdout, ended.stderr)


@dataclass(frozen=True)
class Here:
    """The side with the network: a store with the system `tiny`, its definitions, a key."""

    folder: Path
    made: exports.Furnished

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def argv(self, disk: Path, *words: str | Path) -> list[str]:
        where = ["--from", str(self.store), "--systems", str(self.folder / "systems"), "--key", str(self.key)]
        return ["export", str(disk), "--system", "tiny", *where, *map(str, words)]

    @property
    def key(self) -> Path:
        return self.folder / "release.key"

    @property
    def public(self) -> Path:
        return self.folder / "release.pub"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Here:
    folder = tmp_path_factory.mktemp("here")
    exports.definitions(folder / "systems")
    keys.new(folder / "release.key")
    return Here(folder, exports.furnish(DirectoryStore(folder / "store")))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")


@pytest.fixture(scope="module")
def slim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our wheel and what `naust import` loads, as an earlier export has them. The versions are those of the lock."""
    folder = tmp_path_factory.mktemp("slim")
    source = tmp_path_factory.mktemp("source")
    for name in ("common", "smie", "naust", "seter"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "requirements.in", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, source / name)
    pip(folder, "wheel", "--no-build-isolation", str(source))
    blocks = (ROOT / "requirements.txt").read_text().split("\n\n")
    lock = folder / "wanted.txt"
    lines = "\n".join(blocks).splitlines()
    lock.write_text("\n".join(chosen(lines)))
    pip(folder, "download", "--require-hashes", "--only-binary=:all:", "-r", str(lock))
    lock.unlink()
    pins = (f"{n}=={v} --hash={file_digest(p)}\n" for p in folder.glob("*.whl") for n, v in [p.name.split("-")[:2]])
    (folder / "requirements.txt").write_text("".join(pins))
    (folder / "pythons").write_text(f"{sys.version_info.major}.{sys.version_info.minor}\n")
    return folder


def chosen(lines: list[str]) -> Iterator[str]:
    """The lines of the lock about the projects in SLIM."""
    ours = False
    for line in lines:
        if line and not line.startswith((" ", "#")):
            ours = line.partition("==")[0] in SLIM
        if ours:
            yield line


def pip(folder: Path, verb: str, *words: str) -> None:
    argv = [sys.executable, "-m", "pip", verb, "--quiet", "--disable-pip-version-check", "--no-deps"]
    where = "--wheel-dir" if verb == "wheel" else "--dest"
    ended = subprocess.run([*argv, where, str(folder), *words], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def sums(disk: Path) -> subprocess.CompletedProcess[str]:
    argv = ["sha256sum", "--check", "--quiet", "--strict", "SHA256SUMS"]
    return subprocess.run(argv, cwd=disk, capture_output=True, text=True)


def test_a_disk_is_installed_checked_and_taken_over_without_a_network(
    here: Here, slim: Path, site: Site, tools: Tools, tmp_path: Path
) -> None:
    disk, prefix = tmp_path / "disk", site.folder / "prefix"
    ended = tools("naust", *here.argv(disk, "--tools", slim))
    assert "are free" in ended.err
    assert "signed by release" in ended.err
    assert sums(disk).returncode == 0
    site("sh", disk / "install", prefix, "--key", here.public)
    assert all((prefix / "bin" / name).is_file() for name in ("smie", "naust", "seter"))
    naust = prefix / "bin" / "naust"
    site(naust, "import", disk, "--to", site.folder / "store", "--key", here.public)
    listed = json.loads(site(naust, "list", "--store", site.folder / "store", "--json").out)
    assert {each["digest"] for each in listed} >= {str(here.made.web.digest), str(here.made.note.digest)}
    # A byte of a source changes: whoever looks finds it, with our tools and without.
    victim = next(path for path in (disk / "store/blobs/sha256").iterdir() if path.read_bytes() == exports.DEB)
    victim.chmod(0o644)
    victim.write_bytes(exports.DEB[:-1] + b"E")
    assert victim.name in site(naust, "import", disk, "--check", code=8).err
    assert victim.name in sums(disk).stdout
    site("sh", disk / "install", site.folder / "other", code=8)
    assert not (site.folder / "other" / "bin").exists()


def test_a_disk_that_another_key_signed_is_not_installed(
    here: Here, slim: Path, site: Site, tools: Tools, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    tools("naust", *here.argv(disk, "--tools", slim))
    for algorithm in keys.ALGORITHMS:
        keys.new(tmp_path / f"{algorithm}.key", algorithm)
        argv = ("sh", disk / "install", site.folder / "prefix", "--key", tmp_path / f"{algorithm}.pub")
        assert "none of the keys" in site(*argv, code=8).err
    with (disk / "MANIFEST").open("a") as file:
        file.write("x\t1\t0\n")
    argv = ("sh", disk / "install", site.folder / "prefix", "--key", here.public)
    assert "another MANIFEST" in site(*argv, code=8).err
    assert not (site.folder / "prefix").exists()


def test_cosign_accepts_the_signature_of_a_disk(here: Here, tools: Tools, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    tools("naust", *here.argv(disk, "--without-tools"))
    argv = [program("cosign"), "verify-blob-attestation", "--bundle", "MANIFEST.sigstore.json"]
    argv += ["--insecure-ignore-tlog", "--type", "https://sigstore.dev/cosign/sign/v1", "--key", str(here.public)]
    for file, code in (("MANIFEST", 0), ("README", 1)):
        ended = subprocess.run([*argv, file], cwd=disk, capture_output=True, text=True, timeout=60)
        assert (ended.returncode != 0) == code, ended.stderr


@pytest.mark.parametrize("seconds", [0.25, 0.45, 0.7, 1.0])
def test_an_export_that_was_killed_does_not_verify_and_is_finished_by_the_next(
    here: Here, tools: Tools, tmp_path: Path, seconds: float
) -> None:
    disk = tmp_path / "disk"
    argv = [str(ROOT / ".venv/bin/naust"), *here.argv(disk, "--without-tools")]
    cut = subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(seconds)
    cut.send_signal(signal.SIGKILL)
    cut.wait()
    if cut.returncode == -signal.SIGKILL and (disk / "INCOMPLETE").exists():
        assert "not complete" in tools("naust", "import", str(disk), "--check", code=8).err
    tools("naust", *here.argv(disk, "--without-tools"))
    tools("naust", "import", str(disk), "--check", "--key", str(here.public))


def test_a_disk_that_is_full_is_said_before_anything_is_written(here: Here, tools: Tools, tmp_path: Path) -> None:
    disk = tmp_path / "small"
    disk.mkdir()
    script = 'mount -t tmpfs -o size=1m none "$1" && shift && exec "$@"'
    argv = ["unshare", "--mount", "sh", "-c", script, "sh", str(disk), str(ROOT / ".venv/bin/naust")]
    ended = subprocess.run(
        [*argv, *here.argv(disk, "--without-tools")], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 1
    assert "bytes are needed, 1048576 are free" in ended.stderr
    assert "Nothing was written" in ended.stderr


def test_a_snapshot_alone_is_written_as_plain_files(here: Here, tools: Tools, tmp_path: Path) -> None:
    tools("naust", "export", str(tmp_path / "www"), "--snapshot", here.made.snapshot, "--from", str(here.store))
    assert (tmp_path / "www/latest/debian/pool/deb.deb").read_bytes() == exports.DEB
    said = tools("naust", "export", str(tmp_path / "www"), "--from", str(here.store), code=2).err
    assert "--system NAME" in said


def test_what_an_artefact_was_made_of_is_answered_on_both_sides(here: Here, tools: Tools, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    tools("naust", *here.argv(disk, "--without-tools"))
    answers = []
    for store in (here.store, disk / "store"):
        asked = ("affected", "--sources-of", "container/web", "--store", str(store), "--json", "--exit-code")
        answers.append(tools("naust", *asked).json())
    assert answers[0]["nowhere"] == answers[1]["nowhere"] == 0
    assert {each["name"]: each["digest"] for each in answers[0]["materials"]} == {
        each["name"]: each["digest"] for each in answers[1]["materials"]
    }
    assert tools("naust", "affected", "deb", "--sources-of", "container/web", code=2).err


@pytest.mark.long
def test_s3_lb_is_deployed_from_a_disk_alone(built: Tools, site: Site, tmp_path: Path) -> None:
    """Nothing of it was mirrored in this store, so it goes without sources; what they add is tested above."""
    disk, prefix = tmp_path / "disk", site.folder / "prefix"
    built("naust", "export", str(disk), "--system", "s3-lb", "--snapshot", "none", timeout=900)
    began = time.monotonic()
    site("sh", disk / "install", prefix, timeout=600)
    installed = time.monotonic() - began
    where = ("s3-lb", "--target", "container", "--instance", INSTANCE, "--systems", disk / "systems")
    seter, store = prefix / "bin" / "seter", ("--store", disk / "store")
    try:
        site(seter, "deploy", *where, *store, "--yes", timeout=600)
        site(seter, "verify", *where, *store)
        assert "no change" in site(seter, "deploy", *where, *store, "--yes").out
        proof = json.loads(site(seter, "prove", *where, *store, "--json").out)
        assert proof["held"], proof
    finally:
        site(seter, "destroy", *where, "--yes", "--forget")
    site(prefix / "bin" / "naust", "import", disk, "--check")
    print(f"installed in {installed:.1f} s, all in {time.monotonic() - began:.1f} s")
