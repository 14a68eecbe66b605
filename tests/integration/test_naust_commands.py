"""naust as a person runs it: what it prints, how it ends, what it loads."""

from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from common.model import Kind, Reference
from naust import manifest as oci
from naust.listing import artifacts
from naust.manifest import Blob
from naust.push import publish
from naust.store import open_store
from naust.store.index import FILE
from tests.conftest import Tools

ROOT = Path(__file__).parents[2]
# What a listing must not pay for. `typer` loads some of the standard library by itself.
DEAR = {
    "boto3", "botocore", "docker", "requests", "urllib3", "rich", "asyncio", "hcl2", "lark", "ssl", "http.client",
    "cryptography", "ansible", "ansible_runner", "yaml", "jinja2", "socketserver", "email", "xml",
    "importlib.metadata", "naust.push", "naust.pull", "naust.content.engine", "naust.transfer.verified",
    "naust.store.memory",
    "common.hcl", "common.run", "common.role",
}  # fmt: skip


@pytest.fixture
def naust(tmp_path: Path) -> Tools:
    (tmp_path / "f").write_bytes(b"content")
    return Tools(tmp_path, {"NAUST_STORE": ""})


def test_push_list_show_pull_as_the_manual_has_them(naust: Tools, tmp_path: Path) -> None:
    uri = naust("naust", "push", "f", "file/thing:1:1.0+b1", "--revision", "abc", "--annotation", "k=v").out.strip()
    assert uri.startswith(f"file://{tmp_path}/.naust/file/thing/1.0_b1-20")
    assert (
        naust("naust", "push", "f", "file/thing:1:1.0+b1", "--revision", "abc", "--annotation", "k=v").out.strip()
        == uri
    )
    assert json.loads(Path(uri.removeprefix("file://")).read_text())["annotations"]["k"] == "v"

    (listed,) = naust("naust", "list", "--json").json()
    assert (listed["uri"], listed["version"], listed["kind"], listed["name"]) == (uri, "1:1.0+b1", "file", "thing")
    assert naust("naust", "list").out.split("\t")[1] == "1:1.0+b1"
    assert naust("naust", "list", "vm/*").out == ""

    shown = naust("naust", "show", "file/thing", "--json").json()
    assert shown == naust("naust", "show", uri, "--json").json()
    assert (shown["uri"], shown["digest"], shown["revision"]) == (uri, listed["digest"], "abc")
    assert f"digest\t{listed['digest']}\n" in naust("naust", "show", "file/thing").out

    assert naust("naust", "pull", f"file/thing@{listed['digest']}", "out").out == "out\n"
    assert (tmp_path / "out").read_bytes() == b"content"
    assert naust("naust", "pull", uri, "oci:layout").out == "layout\n"
    assert (tmp_path / "layout" / "oci-layout").exists()


def test_a_store_is_named_by_option_environment_or_folder(naust: Tools, tmp_path: Path) -> None:
    naust("naust", "push", "f", "file/a:1", "--store", str(tmp_path / "one"))
    naust("naust", "push", "f", "file/b:1", NAUST_STORE=f"file://{tmp_path}/two")
    naust("naust", "push", "f", "file/c:1")
    assert [len(artifacts(open_store(str(tmp_path / each)))) for each in ("one", "two", ".naust")] == [1, 1, 1]


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["show", "file/thing"], 2, "error: file://{store} has no file/thing\n"),
        (["show", "nothing"], 2, "names no artefact"),
        (["push", "none", "file/thing:1"], 2, "none cannot be read"),
        (["push", "f", "file/thing"], 2, "Write KIND/NAME:VERSION"),
        (["push", "f", "file/../../x:1"], 2, "names no artefact"),
        (["push", "f", "file/x:1", "--annotation", "naust.kind=vm"], 2, "no annotation"),
        (["push", "docker:x", "file/x:1"], 2, "Write container/NAME:VERSION"),
        (["push", "docker:naust-test-none:1", "container/x:1"], 2, "no such image"),
        (["list", "--kind", "boat"], 2, "Kinds are container"),
        (["list", "--store", "gopher://x"], 2, "no store understands gopher://"),
        (["list", "--store", "f"], 2, "is no directory"),
    ],
)
def test_bad_input_is_said_in_one_message_and_changes_nothing(
    naust: Tools, tmp_path: Path, argv: list[str], code: int, said: str
) -> None:
    ended = naust("naust", *argv, code=code)
    assert said.format(store=tmp_path / ".naust") in ended.err
    assert "Traceback" not in ended.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f"]


def test_a_damaged_artefact_is_refused_and_named(naust: Tools, tmp_path: Path) -> None:
    naust("naust", "push", "f", "file/thing:1")
    (part,) = [each for each in naust("naust", "show", "file/thing", "--json").json()["parts"] if each["size"] == 7]
    path = tmp_path / ".naust" / "blobs" / "sha256" / part["digest"].removeprefix("sha256:")
    path.chmod(0o644)
    path.write_bytes(b"CONTENT")
    ended = naust("naust", "pull", "file/thing", "out", code=8)
    assert f"blob {part['digest']} of file/thing:1-" in ended.err
    assert not (tmp_path / "out").exists()
    # As it says: delete the blob, push again.
    path.unlink()
    naust("naust", "push", "f", "file/thing:1")
    naust("naust", "pull", "file/thing", "out")


def test_a_listing_shows_the_rest_and_names_what_it_cannot_read(naust: Tools, tmp_path: Path) -> None:
    for name in ("good", "bad"):
        naust("naust", "push", "f", f"file/{name}:1")
    (path,) = (tmp_path / ".naust" / "file" / "bad").iterdir()
    path.unlink()
    path.write_bytes(b"rubbish")
    ended = naust("naust", "list", code=4)
    assert ended.out.startswith("file/good:1-")
    assert f"file/bad:{path.name}" in ended.err


def test_nothing_is_overwritten_by_a_pull(naust: Tools, tmp_path: Path) -> None:
    naust("naust", "push", "f", "file/thing:1")
    (tmp_path / "f").write_bytes(b"mine")
    naust("naust", "pull", "file/thing", code=7)
    assert (tmp_path / "f").read_bytes() == b"mine"


@pytest.mark.parametrize("verb", ["push", "pull", "list", "show"])
def test_every_help_states_the_exit_codes(naust: Tools, verb: str) -> None:
    assert "Exit codes: 0 " in naust("naust", verb, "--help").out


# What is loaded


@pytest.fixture(scope="module")
def thousand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 1,000 artefacts under 20 names."""
    root = tmp_path_factory.mktemp("thousand") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)  # this one need not survive a power cut
        fill(root, 1000)
    return root


def fill(root: Path, count: int) -> None:
    store, start = open_store(str(root)), datetime(2026, 11, 24, tzinfo=UTC)
    blob = Blob(*store.add("file/thing", io.BytesIO(b"content")), "text/plain")
    store.add("file/thing", io.BytesIO(oci.EMPTY_CONFIG))
    for number in range(count):
        manifest = oci.file_manifest(Kind.FILE, blob, "f", oci.annotated(Kind.FILE, f"1.{number}"))
        name = Reference.parse(f"file/thing{number % 20}")
        publish(store, name, f"1.{number}", manifest, start + timedelta(seconds=number))


def loaded(*argv: str) -> tuple[set[str], str]:
    """The modules that a command loaded, and what it printed."""
    program = f"""
import sys
sys.argv = {["naust", *argv]!r}
from common.entry import naust
try:
    naust()
finally:
    print(*sys.modules, file=sys.stderr)"""
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(ended.stderr.split()), ended.stdout


def test_a_listing_of_a_thousand_loads_nothing_dear(thousand: Path) -> None:
    modules, printed = loaded("list", "--store", str(thousand))
    assert len(printed.splitlines()) == 1000
    assert printed.startswith("file/thing19:1.999-")
    assert not modules & DEAR


def test_a_listing_reads_its_index_and_no_manifest(thousand: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(artifacts(open_store(str(thousand)))) == 1000
    monkeypatch.setattr("naust.manifest.parse", None)
    assert len(artifacts(open_store(str(thousand)))) == 1000
    assert len((thousand / FILE).read_bytes().splitlines()) < 2100


def test_help_loads_no_verb(thousand: Path) -> None:
    modules, printed = loaded("--help")
    assert "push" in printed
    assert not modules & (DEAR | {"naust.store", "naust.listing", "naust.manifest", "naust.address"})


# The manual

SOURCES = """
files "own" {
  mode   = "local"
  folder = "own"
}
set "build" {
  sources = ["own"]
}
"""


def test_every_command_of_the_manual_does_what_it_says(naust: Tools, tmp_path: Path) -> None:
    (tmp_path / "traefik.qcow2").write_bytes(os.urandom(1 << 20))
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "tool").write_bytes(os.urandom(1 << 16))
    (tmp_path / "sources.hcl").write_text(SOURCES)
    lines = [line for line in (ROOT / "naust" / "README.md").read_text().splitlines() if line.startswith("$ ")]
    assert len(lines) > 8
    for line in lines:
        naust(*shlex.split(line.removeprefix("$ ")))
