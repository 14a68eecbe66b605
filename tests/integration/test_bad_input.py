"""Bad input, typed at the real command lines: one clear message with place and fix, and nothing changed.

The definitions are a copy of ours that each test spoils in its own way; the store holds empty images under the names
that s3-lb asks for, so that a command gets as far as it can without anything being built.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from common.catalog import Catalog
from naust.manifest import ContainerImage
from naust.push import push_container
from naust.store import open_store
from tests.conftest import ROOT, Ended, Tools

INSTANCE = f"rv-bad-{os.getpid()}"
MARK = f"label=seter.deployment=s3-lb/container/{INSTANCE}"
THERE = ("s3-lb", "--target", "container", "--instance", INSTANCE)
SYSTEM = "s3-lb/system.hcl"
TARGET = "s3-lb/targets/container.hcl"
NOWHERE = "unix:///nowhere/docker.sock"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with an image of every name that s3-lb asks for."""
    folder = tmp_path_factory.mktemp("store")
    store, catalog = open_store(str(folder)), Catalog.open(ROOT / "systems")
    for name in (*catalog.base_names(), *catalog.role_names()):
        config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}}
        image = ContainerImage(json.dumps(config | {"created": "2026-01-01T00:00:00Z", "author": name}).encode(), ())
        push_container(store, image, name=name, version="1")
    return folder


@dataclass(frozen=True)
class Bench:
    """Definitions to be spoilt, and the tools told to use them."""

    tools: Tools
    folder: Path
    store: Path

    @property
    def systems(self) -> Path:
        return self.folder / "systems"

    def spoil(self, file: str, old: str, new: str) -> None:
        """Replace the first occurrence of `old`, which must be there."""
        path = self.systems / file
        text = path.read_text()
        assert old in text, f"{file} no longer has {old!r}"
        path.write_text(text.replace(old, new, 1))

    def place(self, file: str, text: str, number: int = 1) -> str:
        """`FILE:LINE` of the n-th line with this text, as messages say it."""
        lines = (self.systems / file).read_text().splitlines()
        return f"{self.systems / file}:{[line for line, each in enumerate(lines, 1) if text in each][number - 1]}:"

    def refuses(self, *argv: str, code: int = 2, **env: str) -> Ended:
        """Run it, and see that it printed nothing on stdout, said what to do, and changed nothing."""
        before = snapshot(self.store)
        ended = self.tools(*argv, code=code, timeout=60, **env)
        assert ended.out == ""
        assert ended.err.startswith("error: ") or "\nerror: " in ended.err
        assert "Traceback" not in ended.err
        assert marked() == []
        assert snapshot(self.store) == before
        assert not (self.folder / "state").exists()
        return ended

    def deploy(self, *words: str, code: int = 2, **env: str) -> str:
        """What a refused deploy says."""
        return self.refuses("seter", "deploy", *THERE, "--yes", *words, code=code, **env).err


@pytest.fixture
def bench(tools: Tools, filled: Path, tmp_path: Path) -> Iterator[Bench]:
    shutil.copytree(ROOT / "systems", tmp_path / "systems")
    env = {
        "SETER_SYSTEMS": str(tmp_path / "systems"),
        "SETER_STATE": str(tmp_path / "state"),
        "SETER_IDENTITY": str(tmp_path / "identity"),
        "NAUST_STORE": filled.as_uri(),
    }
    yield Bench(Tools(tools.cwd, env), tmp_path, filled)


def snapshot(store: Path) -> list[str]:
    """All artefacts of a store, and whether anything is on its way in."""
    return sorted(str(path) for part in ("container", "blobs", ".incoming") for path in (store / part).rglob("*"))


def marked() -> list[str]:
    """Whatever in the engine carries our instance's mark."""
    found: list[str] = []
    for words in (("ps", "--all"), ("network", "ls"), ("volume", "ls")):
        listed = subprocess.run(["docker", *words, "--quiet", "--filter", MARK], capture_output=True, text=True)
        found += listed.stdout.split()
    return found


# Names that are not there


@pytest.mark.parametrize(
    ("argv", "message", "hint"),
    [
        (("smie", "build", "traefikk"), "no role, system or base 'traefikk'", 'Did you mean "traefik"?'),
        (("smie", "plan", "s3-lbb"), "no role, system or base 's3-lbb'", 'Did you mean "s3-lb"?'),
        (("seter", "plan", "s3-lbb", "--target", "container"), "no system 's3-lbb'", 'Did you mean "s3-lb"?'),
        (
            ("seter", "deploy", "s3-lb", "--target", "containr", "--yes"),
            "no target of s3-lb 'containr'",
            'Did you mean "container"?',
        ),
        (("seter", "deploy", *THERE, "--yes", "--only", "gatewys"), "no group 'gatewys'", "Did you mean gateways?"),
        (("seter", "exec", *THERE, "gw9", "traefik", "--", "true"), "no node 'gw9'", "Did you mean gw"),
        (("seter", "exec", *THERE, "gw1", "traefikk", "--", "true"), "no role 'traefikk'", "Did you mean traefik?"),
        (("naust", "show", "container/traefikk"), "no container/traefikk", "Did you mean container/traefik?"),
        (("naust", "show", "conainer/traefik"), "'conainer/traefik' names no artefact", "kinds are container"),
        (("seter", "deply"), "no verb 'deply'", "Did you mean seter deploy?"),
    ],
)
def test_an_unknown_name_on_the_command_line_is_told_with_the_nearest(
    bench: Bench, argv: tuple[str, ...], message: str, hint: str
) -> None:
    said = bench.refuses(*argv).err
    assert message in said
    assert hint in said


@pytest.mark.parametrize(
    ("file", "old", "new", "message", "fix"),
    [
        (SYSTEM, 'role "traefik" {', 'role "traefikk" {', 'unknown role "traefikk"', 'did you mean "traefik"?'),
        (SYSTEM, 'members = "gateways"', 'members = "gatewys"', 'unknown group "gatewys"', 'did you mean "gateways"?'),
        (TARGET, 'nodes "gateways"', 'nodes "gatewys"', 'unknown group "gatewys"', 'did you mean "gateways"?'),
        (SYSTEM, "local_weight  =", "local_wieght  =", "local_wieght", "local_weight"),
        (SYSTEM, "peer_asn = 64512", "per_asn = 64512", "per_asn", "peer_asn"),
        (SYSTEM, "canary     = 1", "canry     = 1", "canry", "canary"),
        (TARGET, 'network "fabric"', 'netwrk "fabric"', "netwrk", "network"),
        (TARGET, "experiments", "expriments", "expriments", "experiments"),
        (TARGET, '"debian-13"', '"debian-31"', 'unknown base "debian-31"', 'did you mean "debian-13"?'),
        # wrong types and values out of range
        (SYSTEM, "at_least = 2", 'at_least = "two"', '"two"', "write"),
        (SYSTEM, 'vips     = ["192.0.2.10", "2001', 'vips     = ["192.0.2.300", "2001', '"192.0.2.300"', "write"),
        (SYSTEM, "asn      = 64512", "asn      = 4294967296", "4294967296", "write"),
        (SYSTEM, "asn      = 64512", "asn      = 0", "0 ", "write"),
        (SYSTEM, "local_weight  = 10", 'local_weight  = "much"', '"much"', "write"),
        (
            TARGET,
            'network "fabric" {}',
            'network "fabric" {\n    pool = "10.213.0.0/33"\n  }',
            "no prefix",
            "write one",
        ),
        (TARGET, 'network "fabric" {}', 'network "fabric" {\n    length = 30\n  }', "30 is no length", "write 8 to 24"),
        (
            TARGET,
            'node "cl1" {\n      networks = ["clients"]',
            'node "cl1" {\n      networks = ["client"]',
            '"client"',
            "did",
        ),
        ("roles/traefik/role.hcl", "listens      = [80, 443", "listens      = [80, 70000", "70000", "65535"),
        ("roles/traefik/role.hcl", "uid ", "uid  = -1 #", "-1 is no uid", "write 0 to"),
        ("roles/traefik/role.hcl", '  type     = "endpoint"', '  type     = "endpint"', '"endpint"', '"endpoint"'),
        # shapes that cannot be
        ("roles/health/role.hcl", 'needs    = ["bird-gateway"', 'needs    = ["health"', "needs itself", "take one"),
        (SYSTEM, "at_least = 2", "at_least = 2\n    at_least = 3", "at_least", "twice"),
        (SYSTEM, "at_least = 2", "at_least = 1 + 1", "expression", "write"),
        (SYSTEM, "at_least = 2", "at_least = var.number", "at_least is an expression", "write a literal"),
        (
            SYSTEM,
            'dns_name = "s3.example.test"',
            'dns_name = "s3.${domain}"',
            "with an expression, ${…}",
            "write the value itself",
        ),
        (SYSTEM, "at_least = 2", "at_least = = 2", "'=' does not belong here", "write NAME = VALUE"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_line_and_how_to_mend_it(
    bench: Bench, file: str, old: str, new: str, message: str, fix: str
) -> None:
    bench.spoil(file, old, new)
    said = bench.deploy()
    first = (bench.systems / file).read_text().partition(new)[0].count("\n") + 1
    places = tuple(f"{bench.systems / file}:{line}:" for line in range(first, first + new.count("\n") + 1))
    told = [line for line in said.splitlines() if line.startswith(places)]
    assert any(message in line and fix in line for line in told), said
    assert "in the definitions" in said
    assert "nothing was changed" in said


def test_an_artefact_that_nobody_made_is_told_with_its_line_and_the_nearest(bench: Bench) -> None:
    bench.spoil(SYSTEM, "members = ", 'artifact = "container/etdc"\n      members = ')
    said = bench.deploy()
    assert f"{bench.place(SYSTEM, 'container/etdc')} " in said
    assert "did you mean container/etcd?" in said


def test_images_that_are_not_built_yet_are_told_all_at_once_with_the_command_that_builds_them(bench: Bench) -> None:
    empty = bench.folder / "empty"
    said = bench.deploy("--store", str(empty))
    assert "container/traefik" in said
    assert "smie build debian-13 " in said
    assert not empty.exists()


# What cannot be true together


def test_two_nodes_with_one_address_are_told_with_both_places(bench: Bench) -> None:
    for node in ("gw1", "gw2"):
        bench.spoil(TARGET, f'node "{node}" {{', f'node "{node}" {{\n      address = "10.9.9.9"')
    said = bench.deploy()
    first, second = (bench.place(TARGET, f'node "{node}" {{') for node in ("gw1", "gw2"))
    assert f'{second} node "gw2" of group "gateways" has the address 10.9.9.9 of node "gw1"' in said
    assert first.rstrip(":") in said
    assert "give one of them another address" in said


def test_two_nodes_with_one_router_id_are_told_with_both_places(bench: Bench) -> None:
    role = "roles/bird-gateway/role.hcl"
    parameter = 'parameter "router_id" {\n    type = "address"\n    summary = "x"\n    default = "10.0.0.1"\n  }\n  '
    bench.spoil(role, 'parameter "vips" {', parameter + 'parameter "vips" {')
    said = bench.deploy()
    assert 'node "gw2" of group "gateways" has the router id 10.0.0.1 of node "gw1"' in said
    assert bench.place(role, 'parameter "router_id"').rstrip(":") in said
    assert "give each node its own" in said


def test_two_roles_of_a_node_that_want_one_port_are_told_with_both_places(bench: Bench) -> None:
    etcd, traefik = "roles/etcd/role.hcl", "roles/traefik/role.hcl"
    bench.spoil(etcd, "[2379, 2380, 2381]", "[2379, 2380, 443]")
    said = bench.deploy()
    place, other = bench.place(traefik, "listens "), bench.place(etcd, "listens ")
    assert f'{place} group "gateways": role "traefik" wants port 443' in said
    assert f'role "etcd" ({other.rstrip(":")})' in said


def test_all_errors_of_all_files_are_told_at_once(bench: Bench) -> None:
    bench.spoil(SYSTEM, "asn      = 64512", "asn      = -5")
    bench.spoil(SYSTEM, 'role "prometheus"', 'role "promethius"')
    bench.spoil(TARGET, 'node "rt1" {\n      networks = ["fabric"', 'node "rt1" {\n      networks = ["fabrix"')
    bench.spoil("roles/traefik/role.hcl", "listens      = [80", "listens      = [0")
    bench.spoil("roles/etcd/role.hcl", "stop_within", "stop_wthin")
    said = bench.deploy()
    for place in (
        bench.place(SYSTEM, "= -5"),
        bench.place(SYSTEM, "promethius"),
        bench.place(TARGET, 'node "rt1"'),
        bench.place("roles/traefik/role.hcl", "listens "),
        bench.place("roles/etcd/role.hcl", "stop_wthin"),
    ):
        assert place in said
    assert "problems in the definitions" in said


def test_smie_refuses_the_same_and_builds_nothing(bench: Bench) -> None:
    bench.spoil("roles/health/role.hcl", '= "debian-13"', '= "debian-12"')
    said = bench.refuses("smie", "build", "health").err
    assert bench.place("roles/health/role.hcl", 'image "container"') in said
    assert 'did you mean "debian-13"?' in said


# Things that are not installed or do not run


@pytest.mark.parametrize("verb", ["plan", "deploy", "status", "destroy"])
def test_without_a_docker_engine_seter_says_how_to_get_one(bench: Bench, verb: str) -> None:
    words = ("--yes",) if verb in ("deploy", "destroy") else ()
    said = bench.refuses("seter", verb, *THERE, *words, DOCKER_HOST=NOWHERE).err
    assert "apt-get install docker.io" in said


def test_a_docker_host_that_is_no_address_is_bad_input(bench: Bench) -> None:
    said = bench.deploy(DOCKER_HOST="nonsense")
    assert "DOCKER_HOST" in said
    assert "unix:///" in said


def test_a_docker_host_that_does_not_answer_is_unavailable(bench: Bench) -> None:
    assert "dockerd runs" in bench.deploy(code=9, DOCKER_HOST="tcp://127.0.0.1:1")


def test_without_a_docker_engine_smie_and_naust_say_how_to_get_one(bench: Bench, built: Tools) -> None:
    bench.spoil("roles/health/files/health.py", "\n", f"\n# {bench.folder}\n")  # something to build
    store = bench.folder / "other"
    shutil.copytree(ROOT / ".naust", store, copy_function=os.link, ignore=shutil.ignore_patterns(".locks", ".holds"))
    said = bench.refuses("smie", "build", "health", "--store", str(store), code=9, DOCKER_HOST=NOWHERE).err
    assert "apt-get install docker.io" in said
    said = bench.refuses("naust", "push", "docker:naust/none", "container/none:1", code=9, DOCKER_HOST=NOWHERE).err
    assert "apt-get install docker.io" in said


@pytest.mark.parametrize(
    ("program", "how"),
    [
        ("docker", "apt-get install docker.io"),
        ("packer", "apt-get install packer"),
        ("mmdebstrap", "apt-get install mmdebstrap"),
    ],
)
def test_a_program_that_is_missing_is_told_with_how_to_install_it(
    bench: Bench, program: str, how: str, built: Tools
) -> None:
    """An empty store, so that everything would be built; a PATH in which just this program is not."""
    path = bench.folder / "bin"
    path.mkdir()
    for folder in reversed(os.environ["PATH"].split(os.pathsep)):
        for each in Path(folder).glob("*"):
            if each.name != program:
                (path / each.name).unlink(missing_ok=True)
                (path / each.name).symlink_to(each)
    store = bench.folder / "empty"
    said = bench.refuses("smie", "build", "traefik", "--store", str(store), PATH=str(path)).err
    assert f"{program} is not installed" in said
    assert how in said
    assert not list(store.glob("container/*"))
