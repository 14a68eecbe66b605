"""Every secret of a running deployment is looked for where none may be: output, files, arguments, logs, the store.

Each is looked for as it is, in base64 at all three alignments, and in hexadecimal; of a key in PEM each line counts.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from common.catalog import Catalog
from common.probe.s3 import CLIENT
from seter.keep.folder import FolderCells
from seter.secrets import identity_file, open_vault
from tests.conftest import ROOT, Running
from tests.lab.processes import sampled

SHORTEST = 16  # characters; less would be found by chance
SMALL = 1 << 20  # bytes; manifests and configurations are smaller, layers larger


def home(running: Running) -> Path:
    return ROOT / ".seter" / "s3-lb" / "container" / running.instance


@pytest.fixture(scope="module")
def canaries(running: Running) -> Mapping[bytes, str]:
    """What must not be found → which value it stands for, without saying that."""
    values = open_vault(FolderCells(home(running)), f"s3-lb/container/{running.instance}").values()
    assert len(values) > 10
    found: dict[bytes, str] = {}
    for number, secret in enumerate(values):
        for line in secret.value.splitlines():
            if len(line) >= SHORTEST and not line.startswith("-----"):
                found |= dict.fromkeys(forms(line.encode()), f"value {number}")
        found |= dict.fromkeys(forms(secret.value.encode()), f"value {number}")
    return found


def forms(plain: bytes) -> Iterator[bytes]:
    """The value as it is and as it is coded."""
    yield plain
    yield plain.hex().encode()
    for shift in range(3):
        # What the bytes beside it have a part in is cut off at both ends.
        coded = base64.b64encode(bytes(shift) + plain)
        yield coded[(0, 2, 3)[shift] : len(coded) - 4]
    try:
        raw = base64.b64decode(plain, validate=True)
    except binascii.Error:
        return
    yield raw.hex().encode()


def leaks(canaries: Mapping[bytes, str], places: Iterable[tuple[str, bytes]]) -> list[str]:
    """Where something was found. Never the value itself: this goes into test reports."""
    return sorted({f"{where}: {name}" for where, text in places for canary, name in canaries.items() if canary in text})


def test_a_canary_is_found_in_every_form() -> None:
    """Else the tests below would prove nothing."""
    secret = b"ZQ7-canary-secret-41"
    canaries = dict.fromkeys(forms(secret), "value")
    for text in (secret, secret.hex().encode(), *(base64.b64encode(b"x" * n + secret + b"yz") for n in range(5))):
        assert leaks(canaries, [("text", b"before " + text + b" after")])
    assert not leaks(canaries, [("text", b"ZQ7-canary-secret-42")])


def test_no_secret_is_in_what_seter_prints(running: Running, canaries: Mapping[bytes, str]) -> None:
    for words in (("plan", "--json"), ("status", "--json", "--checks"), ("verify", "--json"), ("deploy", "--yes")):
        ended = running.seter(*words, "--debug")
        assert leaks(canaries, [(f"seter {words[0]}", (ended.out + ended.err).encode())]) == []


def test_no_secret_is_in_a_plan_that_changes_much_nor_in_a_saved_one(
    running: Running, canaries: Mapping[bytes, str], tmp_path: Path
) -> None:
    """SE-04: the old values neither."""
    systems, saved = tmp_path / "systems", tmp_path / "it.plan"
    shutil.copytree(ROOT / "systems", systems)
    file = systems / "s3-lb" / "system.hcl"
    changed = file.read_text().replace("s3.example.test", "s4.example.test")
    assert changed != file.read_text()
    file.write_text(changed)
    ended = running.seter("plan", "--json", "--systems", str(systems), "--out", str(saved))
    assert "s4.example.test" in ended.out and "changed (secret)" in ended.out
    definition = gzip.decompress(base64.b64decode(json.loads(saved.read_text())["definition"]))
    texts = (("plan", ended.out.encode()), ("errors", ended.err.encode()), ("file", saved.read_bytes()))
    assert leaks(canaries, [*texts, ("definition", definition)]) == []


def test_no_secret_is_in_the_deployments_folder_but_encrypted(running: Running, canaries: Mapping[bytes, str]) -> None:
    files = [path for path in home(running).rglob("*") if path.is_file()]
    assert "secrets.age" in {path.name for path in files}
    assert leaks(canaries, ((str(path), path.read_bytes()) for path in files)) == []


def test_no_secret_is_in_the_history(running: Running, canaries: Mapping[bytes, str]) -> None:
    """SE-04. What is compressed there is looked at in clear."""
    blobs = {
        path.name: path.read_bytes() for path in (ROOT / ".seter" / ".naust" / "blobs").rglob("*") if path.is_file()
    }
    plain = {name: gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data for name, data in blobs.items()}
    assert any(b"configure.yml" in data for data in plain.values())
    assert any(b"traefik.yml" in data for data in plain.values())
    assert leaks(canaries, plain.items()) == []


def test_no_secret_is_among_the_rendered_files_of_a_node(running: Running, canaries: Mapping[bytes, str]) -> None:
    for node in nodes(running):
        argv = [
            "docker",
            "exec",
            node,
            "sh",
            "-c",
            "cd /etc/seter && tar -cf - --exclude=./vault --exclude=./secrets .",
        ]
        archive = subprocess.run(argv, capture_output=True, check=True, timeout=60).stdout
        assert b"trees/" in archive
        assert leaks(canaries, [(node, archive)]) == []


def test_no_secret_is_in_what_docker_tells_of_its_things(running: Running, canaries: Mapping[bytes, str]) -> None:
    label = f"label=seter.deployment=s3-lb/container/{running.instance}"
    volumes = running.docker("volume", "ls", "--quiet", "--filter", label).split()
    networks = running.docker("network", "ls", "--quiet", "--filter", label).split()
    containers = list(running.containers())
    for kind, names in (("container", containers), ("volume", volumes), ("network", networks)):
        told = running.docker(kind, "inspect", *names)
        assert leaks(canaries, [(kind, told.encode())]) == []


def test_no_secret_is_in_a_log(running: Running, canaries: Mapping[bytes, str]) -> None:
    for name in running.containers():
        ended = subprocess.run(["docker", "logs", name], capture_output=True, check=True, timeout=60)
        assert leaks(canaries, [(name, ended.stdout + ended.stderr)]) == []


def test_no_secret_is_in_the_arguments_or_the_environment_of_a_process(
    running: Running, canaries: Mapping[bytes, str]
) -> None:
    """While a deploy finds nothing to do, one does the cluster steps again, and a client stores and reads an object."""
    with sampled() as seen:
        running.seter("deploy", "--yes")
        for node in nodes(running):
            running.docker("exec", node, "sh", "-c", "rm -f /etc/seter/cluster/*")
        assert "cluster" in running.seter("plan", "--json").out
        running.seter("deploy", "--yes")
        running.seter("exec", "cl1", "s3-client", "--", CLIENT, "round-trip", "--json")
    assert any(b"ansible-playbook" in one.words for one in seen)
    assert leaks(canaries, (("a process", one.words + one.environment) for one in seen)) == []


def test_no_secret_is_in_a_manifest_or_a_configuration_in_the_store(
    running: Running, canaries: Mapping[bytes, str]
) -> None:
    blobs = [path for path in (ROOT / ".naust").rglob("*") if path.is_file() and path.stat().st_size < SMALL]
    assert blobs
    assert leaks(canaries, ((str(path), path.read_bytes()) for path in blobs)) == []


def test_a_secret_on_a_node_is_read_by_its_process_alone(running: Running) -> None:
    uids = {role.name: role.process.uid if role.process else 0 for role in Catalog.open(ROOT / "systems").roles()}
    count = 0
    for node in nodes(running):
        found = running.docker("exec", node, "find", "-L", "/etc/seter/secrets", "-type", "f", "-printf", "%m %U %P\n")
        for line in found.splitlines():
            mode, uid, path = line.split(" ", 2)
            assert (mode, int(uid)) == ("400", uids[path.partition("/")[0]]), f"{node}: {path}"
            count += 1
    assert count > 10


def test_the_vault_and_its_key_are_the_operators_alone(running: Running) -> None:
    for path in (home(running) / "secrets.age", identity_file()):
        assert path.stat().st_mode & 0o777 == 0o600, path


def nodes(running: Running) -> list[str]:
    """Names of the containers that are nodes: those without a role in their name."""
    return [name for name in running.containers() if name.count(".") == 3]
