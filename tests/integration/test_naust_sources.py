"""Python packages, providers and images: mirrored by `naust mirror`, used by pip, Terraform, skopeo and crane with the
upstream gone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from naust.store import open_store
from tests.conftest import Ended, Tools
from tests.lab import images
from tests.lab.archives import laid_out
from tests.lab.faults import Fault, FaultProxy, is_
from tests.lab.indexes import Publisher, Web, certificate_for, listed, provider, release, sha256, stands_in, web, wheel
from tests.lab.programs import program
from tests.lab.registries import fresh_prefix, shared
from tests.lab.serving import served

REGISTRY = "registry.example.org"
LINUX, MAC, WINDOWS = "linux_amd64", "darwin_arm64", "windows_amd64"


@dataclass(frozen=True)
class Lab:
    """A store, a definition, and a certificate that everybody trusts."""

    folder: Path
    pair: tuple[Path, Path]
    tools: Tools

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def mirror(self, definition: str, *options: str, code: int | None = 0, **env: str) -> Ended:
        """`naust mirror` of this definition."""
        path = self.folder / "sources.hcl"
        path.write_text(definition)
        where = ("--sources", str(path), "--store", str(self.store), "--idle", "3s", "--json")
        return self.tools("naust", "mirror", *where, *options, code=code, **env)

    def has_state(self, source: str) -> bool:
        """Whether any state of it was published."""
        ended = self.tools("naust", "list", f"snapshot/{source}", "--store", str(self.store), "--json", code=None)
        return ended.code == 0 and bool(ended.json())

    def laid_out(self, source: str) -> Path:
        """The newest state as plain files."""
        return laid_out(open_store(str(self.store)), source, self.folder / "tree")


@pytest.fixture
def lab(tmp_path: Path, tools: Tools) -> Lab:
    pair = certificate_for(tmp_path / "tls", REGISTRY)
    env = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "SSL_CERT_FILE": str(pair[0]), "DOCKER_CONFIG": str(tmp_path)}
    return Lab(tmp_path, pair, Tools(tools.cwd, env))


# pip ------------------------------------------------------------------------------------------------------------------


def pip(*argv: str, code: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
    """pip, with nothing configured but what is said here."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    more = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"} | env
    run = [sys.executable, "-m", "pip", *argv]
    ended = subprocess.run(run, env=plain | more, capture_output=True, text=True, timeout=120)
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended


def lock(path: Path, *files: tuple[str, bytes]) -> Path:
    """A lock file with the hashes of these wheels."""
    lines = [f"{'=='.join(name.split('-')[:2])} --hash=sha256:{sha256(data)}\n" for name, data in files]
    path.write_text("".join(lines))
    return path


def tools_of(site: Web | str, more: str) -> str:
    base = site if isinstance(site, str) else f"{site.base}/simple"
    return f'pypi "tools" {{\n  url = "{base}"\n  platforms = ["manylinux_2_36_x86_64"]\n  {more}\n}}\n'


def test_pip_installs_by_hash_from_a_snapshot_whose_upstream_is_gone(lab: Lab) -> None:
    alpha, beta = wheel("alpha", "1.0", "beta"), wheel("beta", "2.0")
    path = lock(lab.folder / "lock.txt", alpha, beta)
    with web() as site:
        listed(site, "alpha", alpha)
        listed(site, "beta", beta, wheel("beta", "3.0"))
        (found,) = lab.mirror(tools_of(site, 'lock = ["lock.txt"]')).json()
        assert (found["changed"], found["fetched"], found["failures"]) == (True, 2, [])
        again = lab.mirror(tools_of(site, 'lock = ["lock.txt"]')).json()
        assert (again[0]["changed"], again[0]["fetched"]) == (False, 0)
    with served(lab.store) as server:
        index = f"{server.url}/snapshots/tools/latest/simple/"
        target = lab.folder / "target"
        pip("install", "--index-url", index, "--require-hashes", "-r", str(path), "--target", str(target))
        assert (target / "alpha.py").read_text() == "version = '1.0'\n" and (target / "beta.py").exists()
        refused = pip("download", "--index-url", index, "beta==3.0", "-d", str(lab.folder / "d"), code=1)
        assert "No matching distribution found for beta==3.0" in refused.stderr


@pytest.mark.parametrize("kind", ["html", "json"])
def test_pip_reads_our_pages_as_plain_files_of_any_web_server(lab: Lab, kind: str) -> None:
    alpha, beta = wheel("alpha", "1.0", "beta>=2"), wheel("beta", "2.0")
    lock(lab.folder / "lock.txt", alpha, beta)
    with web() as site:
        listed(site, "alpha", alpha, **{"requires-python": ">=3.8"})
        listed(site, "beta", beta)
        lab.mirror(tools_of(site, 'lock = ["lock.txt"]'))
    with web() as plain:
        plain.add_folder(lab.laid_out("tools"), "/t")
        if kind == "json":
            for name in ("alpha", "beta"):
                page = plain.answers[f"/t/simple/{name}/index.json"][1]
                plain.add(f"/t/simple/{name}/", page, "application/vnd.pypi.simple.v1+json")
        target = lab.folder / "target"
        pip("install", "--index-url", f"{plain.base}/t/simple", "alpha", "--target", str(target))
        assert (target / "beta.py").exists()
        assert not [path for path in plain.asked if path not in plain.answers]


def test_pip_uses_metadata_beside_the_files(lab: Lab) -> None:
    alpha, beta = wheel("alpha", "1.0", "beta"), wheel("beta", "2.0")
    path = lock(lab.folder / "lock.txt", alpha, beta)
    said = b"Metadata-Version: 2.1\nName: alpha\nVersion: 1.0\nRequires-Dist: beta\n"
    with web() as site:
        listed(site, "alpha", alpha, **{"core-metadata": {"sha256": sha256(said)}})
        site.add(f"/files/{alpha[0]}.metadata", said)
        listed(site, "beta", beta)
        lab.mirror(tools_of(site, f'lock = ["{path.name}"]'))
    with web() as plain:
        plain.add_folder(lab.laid_out("tools"))
        report = lab.folder / "report.json"
        pip("install", "--index-url", f"{plain.base}/simple", "alpha", "--dry-run", "--ignore-installed",
            "--report", str(report))  # fmt: skip
        assert {each["metadata"]["name"] for each in json.loads(report.read_text())["install"]} == {"alpha", "beta"}
        asked = [each for each in plain.asked if alpha[0] in each]  # pip gets the file itself once all is resolved
        assert (
            asked[0] == f"/packages/{alpha[0]}.metadata" and plain.asked.index("/simple/beta/") < len(plain.asked) - 1
        )


def test_of_names_come_the_versions_that_pip_takes_with_all_that_the_target_needs(lab: Lab) -> None:
    with web() as site:
        needs = ("beta<3", 'gamma; sys_platform == "win32"', 'delta; extra == "x"')
        listed(site, "alpha", wheel("alpha", "1.0", *needs), wheel("alpha", "0.9"))
        listed(site, "beta", wheel("beta", "2.0"), wheel("beta", "3.0"))
        listed(site, "gamma", wheel("gamma", "1.0", "epsilon"))
        for name in ("delta", "epsilon"):
            listed(site, name, wheel(name, "1.0"))
        both = f'pypi "tools" {{\n  url = "{site.base}/simple"\n  packages = ["alpha"]\n'
        both += '  platforms = ["manylinux_2_36_x86_64", "win_amd64"]\n}\n'
        lab.mirror(tools_of(site, 'packages = ["alpha[x]"]'))
        linux = sorted(path.name for path in (lab.laid_out("tools") / "packages").iterdir())
        lab.mirror(both)
    assert linux == [f"{name}-py3-none-any.whl" for name in ("alpha-1.0", "beta-2.0", "delta-1.0")]
    with TemporaryDirectory() as folder:
        tree = laid_out(open_store(str(lab.store)), "tools", Path(folder))
        found = sorted(path.name.partition("-py3")[0] for path in (tree / "packages").iterdir())
    assert found == ["alpha-1.0", "beta-2.0", "epsilon-1.0", "gamma-1.0"]


def test_what_pip_cannot_solve_is_said_with_its_own_words(lab: Lab) -> None:
    with web() as site:
        listed(site, "alpha", wheel("alpha", "1.0", "nowhere"))
        ended = lab.mirror(tools_of(site, 'packages = ["alpha"]'), code=2)
    assert "No matching distribution found for nowhere" in ended.err and not lab.has_state("tools")


def test_without_a_url_it_is_the_index_that_pip_is_configured_for(lab: Lab) -> None:
    lab.mirror('pypi "tools" {\n  packages = ["six==1.17.0"]\n}\n')
    (page,) = (lab.laid_out("tools") / "simple" / "six").glob("*.html")
    assert (
        "six-1.17.0-py2.py3-none-any.whl#sha256=4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274"
        in (page.read_text())
    )


def test_one_bad_file_of_an_index_stops_no_other_and_the_next_run_fetches_only_what_is_missing(lab: Lab) -> None:
    names = ("good", "wrong", "gone", "cut", "empty", "page")
    wheels = {name: wheel(name, "1.0") for name in names}
    path = lock(lab.folder / "lock.txt", *wheels.values())
    with web() as site, FaultProxy(site.base.removeprefix("http://")) as proxy:
        for name in names:
            listed(site, name, wheels[name])
        site.base = f"http://{proxy.address}"
        for name in names:
            listed(site, name, wheels[name])

        def of(name: str) -> Any:
            return is_("GET", f"/files/{name}-")

        proxy.add(
            Fault(flip=40, when=of("wrong"), times=None),
            Fault(status=404, when=of("gone"), times=None),
            Fault(cut_answer=20, when=of("cut"), times=None),
            Fault(status=200, when=of("empty"), times=None),
            Fault(status=200, headers={"Content-Type": "text/html"}, body=b"<html>", when=of("page"), times=None),
        )
        definition = tools_of(site, f'lock = ["{path.name}"]')
        ended = lab.mirror(definition, code=4)
        (found,) = json.loads(ended.out)
        assert [failure["path"].split("/")[1].split("-")[0] for failure in found["failures"]] == sorted(names[1:])
        assert found["fetched"] == 1 and not lab.has_state("tools")
        proxy.clear()
        (found,) = lab.mirror(definition).json()
        assert (found["fetched"], found["present"], found["changed"]) == (5, 1, True)
        assert not [seen for seen in proxy.seen if "/files/good-" in seen.target]


def test_an_index_that_answers_with_a_portal_gives_no_state(lab: Lab) -> None:
    path = lock(lab.folder / "lock.txt", wheel("alpha", "1.0"))
    with web() as site:
        site.add("/simple/alpha/", "<html><h1>Please log in</h1></html>", "text/html")
        ended = lab.mirror(tools_of(site, f'lock = ["{path.name}"]'), code=8)
    assert "no page of a Python package index" in ended.err and not lab.has_state("tools")


def test_the_password_of_an_index_is_nowhere_to_be_seen(lab: Lab) -> None:
    alpha = wheel("alpha", "1.0")
    with web() as site:
        site.login = "me:canary-secret"
        listed(site, "alpha", alpha)
        listed(site, "beta")
        env = {
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": site.base.replace("://", "://me:canary-secret@") + "/simple",
        }
        with_login = Lab(lab.folder, lab.pair, Tools(lab.tools.cwd, lab.tools.env | env))
        good = with_login.mirror('pypi "tools" {\n  packages = ["alpha"]\n}\n', "--verbose")
        bad = with_login.mirror('pypi "tools" {\n  packages = ["beta"]\n}\n', code=None)
        env["PIP_INDEX_URL"] = env["PIP_INDEX_URL"].replace("canary-secret", "canary-wrong")
        wrong = Lab(lab.folder, lab.pair, Tools(lab.tools.cwd, lab.tools.env | env))
        refused = wrong.mirror('pypi "tools" {\n  packages = ["alpha"]\n}\n', code=None)
    assert bad.code != 0 and refused.code != 0
    said = "".join(each.out + each.err for each in (good, bad, refused))
    kept = b"".join(path.read_bytes() for path in lab.store.rglob("*") if path.is_file())
    assert "canary" not in said and b"canary" not in kept


# Terraform ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def publisher() -> Iterator[Publisher]:
    with TemporaryDirectory(prefix="n") as folder:
        found = Publisher.new(Path(folder) / "g")
        yield found
        found.stop()


def packages(version: str) -> dict[str, bytes]:
    """A release for three platforms."""
    return {platform: provider("null", f"{version}+{platform}") for platform in (LINUX, MAC, WINDOWS)}


def providers(name: str, *versions: str, platforms: str = f'"{LINUX}"', more: str = "") -> str:
    listed_ = ", ".join(f'"{version}"' for version in versions)
    inner = f'provider "{name}" {{\n    versions = [{listed_}]\n    platforms = [{platforms}]\n  }}'
    return f'terraform "providers" {{\n  {inner}\n  {more}\n}}\n'


def init(
    lab: Lab, folder: str, name: str, version: str, *options: str, mirror: str = "", proxy: str = "", code: int = 0
) -> tuple[Path, str]:
    """`terraform init` of a module that wants this provider; its folder and what it printed. With `mirror`, from there
    and from nowhere else."""
    place = lab.folder / folder
    place.mkdir(exist_ok=True)
    wanted = f'null = {{\n source = "{name}"\n version = "{version}"\n }}'
    (place / "main.tf").write_text(f"terraform {{\n required_providers {{\n {wanted}\n }}\n}}\n")
    config = lab.folder / "cli.tfrc"
    config.write_text(f'provider_installation {{\n network_mirror {{\n url = "{mirror}"\n }}\n}}\n' if mirror else "")
    env = {
        "TF_CLI_CONFIG_FILE": str(config),
        "SSL_CERT_FILE": str(lab.pair[0]),
        "CHECKPOINT_DISABLE": "1",
        "HTTPS_PROXY": proxy,
    }
    argv = [program("terraform"), "init", "-no-color", "-input=false", *options]
    ended = subprocess.run(argv, cwd=place, env=os.environ | env, capture_output=True, text=True, timeout=120)
    assert ended.returncode == code, ended.stdout + ended.stderr
    return place, ended.stdout + ended.stderr


def hashes(lock_file: Path) -> list[str]:
    return re.findall(r'"((?:h1|zh):[^"]+)"', lock_file.read_text())


def relocked(place: Path, only: str) -> None:
    """Leave hashes of one kind alone in the lock file, and forget what was installed."""
    path = place / ".terraform.lock.hcl"
    other = "zh" if only == "h1" else "h1"
    path.write_text(re.sub(rf'\n\s*"{other}:[^"]+",', "", path.read_text()))
    subprocess.run(["rm", "-rf", str(place / ".terraform")], check=True)


def test_terraform_installs_by_lock_files_that_were_written_elsewhere_with_the_registry_gone(
    lab: Lab, publisher: Publisher
) -> None:
    with stands_in(lab.pair, REGISTRY) as (site, proxy):
        name = release(site, "null", "1.0.0", packages("1.0.0"), publisher)
        release(site, "null", "2.0.0", packages("2.0.0"), publisher)
        for version in ("1.0.0", "2.0.0"):
            place, _ = init(lab, f"v{version}", name, version, proxy=proxy)  # by the registry itself: this is elsewhere
            found = hashes(place / ".terraform.lock.hcl")
            assert [each[:2] for each in found] == ["h1", "zh", "zh", "zh"]
        lab.mirror(providers(name, "1.0.0"), https_proxy=proxy)
        first = json.loads((lab.laid_out("providers") / name / "1.0.0.json").read_text())
        lab.mirror(providers(name, "1.0.0", "2.0.0"), https_proxy=proxy)
    tree = lab.laid_out("providers")
    assert json.loads((tree / name / "index.json").read_text()) == {"versions": {"1.0.0": {}, "2.0.0": {}}}
    assert json.loads((tree / name / "1.0.0.json").read_text()) == first
    with served(lab.store, pair=lab.pair) as server:
        mirror = f"{server.url}/snapshots/providers/latest/"
        for version in ("1.0.0", "2.0.0"):
            before = (lab.folder / f"v{version}" / ".terraform.lock.hcl").read_text()
            for only in ("both", "h1", "zh"):
                (lab.folder / f"v{version}" / ".terraform.lock.hcl").write_text(before)
                relocked(lab.folder / f"v{version}", only) if only != "both" else None
                place, _ = init(lab, f"v{version}", name, version, "-lockfile=readonly", mirror=mirror)
                assert list(place.glob(f".terraform/providers/{name}/{version}/{LINUX}/terraform-provider-null*"))


def test_terraform_refuses_a_package_that_the_lock_file_does_not_know(lab: Lab, publisher: Publisher) -> None:
    with stands_in(lab.pair, REGISTRY) as (site, proxy):
        name = release(site, "null", "1.0.0", packages("1.0.0"), publisher)
        init(lab, "elsewhere", name, "1.0.0", proxy=proxy)
        release(site, "null", "1.0.0", {LINUX: provider("null", "evil")}, publisher)
        lab.mirror(providers(name, "1.0.0"), https_proxy=proxy)
    subprocess.run(["rm", "-rf", str(lab.folder / "elsewhere" / ".terraform")], check=True)
    with served(lab.store, pair=lab.pair) as server:
        mirror = f"{server.url}/snapshots/providers/latest/"
        _, said = init(lab, "elsewhere", name, "1.0.0", "-lockfile=readonly", mirror=mirror, code=1)
    assert "checksum" in said


def test_a_package_with_folders_fits_lock_files_of_the_registry_and_has_the_hash_that_terraform_writes(
    lab: Lab, publisher: Publisher
) -> None:
    """Terraform writes `h1:` of the unpacked files and later compares that of the zip, so a lock file with that alone
    fits such a package from nowhere."""
    data = provider("null", "1.0.0", folders=True)
    with stands_in(lab.pair, REGISTRY) as (site, proxy):
        name = release(site, "null", "1.0.0", {LINUX: data}, publisher)
        place, _ = init(lab, "elsewhere", name, "1.0.0", proxy=proxy)
        lab.mirror(providers(name, "1.0.0"), https_proxy=proxy)
    offered = json.loads((lab.laid_out("providers") / name / "1.0.0.json").read_text())["archives"][LINUX]["hashes"]
    subprocess.run(["rm", "-rf", str(place / ".terraform")], check=True)
    with served(lab.store, pair=lab.pair) as server:
        mirror = f"{server.url}/snapshots/providers/latest/"
        init(lab, "elsewhere", name, "1.0.0", "-lockfile=readonly", mirror=mirror)
        new, _ = init(lab, "new", name, "1.0.0", mirror=mirror)
    assert set(hashes(new / ".terraform.lock.hcl")) <= set(offered) and len(offered) == 3


def test_the_same_files_are_a_filesystem_mirror(lab: Lab, publisher: Publisher) -> None:
    with stands_in(lab.pair, REGISTRY) as (site, proxy):
        name = release(site, "null", "1.0.0", packages("1.0.0"), publisher)
        lab.mirror(providers(name, "1.0.0", platforms=f'"{LINUX}", "{MAC}"'), https_proxy=proxy)
    tree = lab.laid_out("providers")
    place = lab.folder / "m"
    init(lab, "m", name, "1.0.0", f"-plugin-dir={tree}")
    assert list(place.glob(f".terraform/providers/{name}/1.0.0/{LINUX}"))


def test_a_mirror_of_a_mirror_is_the_same(lab: Lab, publisher: Publisher) -> None:
    with stands_in(lab.pair, REGISTRY) as (site, proxy):
        name = release(site, "null", "1.0.0", packages("1.0.0"), publisher)
        lab.mirror(providers(name, "1.0.0"), https_proxy=proxy)
    first = {path: path.read_bytes() for path in (lab.laid_out("providers") / name).glob("*.json")}
    with served(lab.store, pair=lab.pair) as server:
        other = Lab(lab.folder / "other", lab.pair, lab.tools)
        other.folder.mkdir()
        other.mirror(providers(name, "1.0.0", more=f'url = "{server.url}/snapshots/providers/latest"'))
    assert {path.name: data for path, data in first.items()} == {
        path.name: path.read_bytes() for path in (other.laid_out("providers") / name).glob("*.json")
    }


def test_a_version_that_the_registry_does_not_have_is_named_and_nothing_is_published(
    lab: Lab, publisher: Publisher
) -> None:
    with stands_in(lab.pair, REGISTRY) as (site, proxy):
        name = release(site, "null", "1.0.0", packages("1.0.0"), publisher)
        ended = lab.mirror(providers(name, "1.0.0", "9.0.0"), code=4, https_proxy=proxy)
    (found,) = json.loads(ended.out)
    assert [each["path"] for each in found["failures"]] == [f"{name}/terraform-provider-null_9.0.0_{LINUX}.zip"]
    assert found["fetched"] == 1 and not lab.has_state("providers")


# Images ---------------------------------------------------------------------------------------------------------------


def run(*argv: str, **env: str) -> str:
    """What a program prints."""
    ended = subprocess.run(argv, env=os.environ | env, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def digests(document: Mapping[str, Any]) -> set[str]:
    return {each["digest"] for each in document["manifests"]}


@pytest.mark.parametrize("make", ["docker-registry", "ociserver"])
def test_skopeo_and_crane_find_every_platform_in_the_layout_with_its_digest(lab: Lab, make: str) -> None:
    origin = shared(make).store(fresh_prefix())
    top, first, second, attached = images.two_platforms(origin, "container/tool", "1.0")
    single = images.image(origin, "container/other", b"single", tag="2")
    host = origin.url.removeprefix("docker://")
    named = f'"docker://{host}/container/tool:1.0", "docker://{host}/container/other:2"'
    (found,) = lab.mirror(f'oci "images" {{\n  images = [{named}]\n}}\n').json()
    assert found["changed"] and found["fetched"] == found["items"]
    (again,) = lab.mirror(f'oci "images" {{\n  images = [{named}]\n}}\n').json()
    assert (again["changed"], again["fetched"]) == (False, 0)
    tree = lab.laid_out("images")
    listed_there = json.loads((tree / "index.json").read_text())["manifests"]
    names = {
        each["digest"] for each in listed_there if "org.opencontainers.image.ref.name" in each.get("annotations", {})
    }
    assert names == {str(top.digest), str(single.digest)}
    assert {each["digest"] for each in listed_there} - names == {str(each.digest) for each in attached}
    raw = run(program("skopeo"), "inspect", "--raw", f"oci:{tree}:{host}/container/tool:1.0")
    assert digests(json.loads(raw)) == {str(first.digest), str(second.digest)}
    target = shared("docker-registry").store(fresh_prefix())
    copied = target.url.removeprefix("docker://") + "/container/tool:1.0"
    run(program("skopeo"), "copy", "--all", "--preserve-digests", "--dest-tls-verify=false",
        f"oci:{tree}:{host}/container/tool:1.0", f"docker://{copied}")  # fmt: skip
    assert run(program("crane"), "digest", "--insecure", copied).strip() == str(top.digest)
    run(program("crane"), "push", "--insecure", "--index", str(tree), copied.replace(":1.0", ":all"))


def test_one_image_that_is_gone_is_named_and_the_other_is_there_the_next_time(lab: Lab) -> None:
    origin = shared("ociserver").store(fresh_prefix())
    images.image(origin, "container/tool", b"layer", tag="1.0")
    base = f"{origin.url}/container"
    ended = lab.mirror(f'oci "images" {{\n  images = ["{base}/tool:1.0", "{base}/gone:1"]\n}}\n', code=4)
    (found,) = json.loads(ended.out)
    assert [each["path"] for each in found["failures"]] == [f"images/{base.removeprefix('docker://')}/gone:1"]
    assert found["fetched"] == 2 and not lab.has_state("images")
    (found,) = lab.mirror(f'oci "images" {{\n  images = ["{base}/tool:1.0"]\n}}\n').json()
    assert (found["fetched"], found["changed"]) == (0, True)


def test_a_damaged_layer_is_refused_and_a_broken_line_goes_on(lab: Lab) -> None:
    registry = shared("ociserver")
    origin = registry.store(fresh_prefix())
    layer = b"x" * 100_000
    images.image(origin, "container/tool", layer, tag="1.0")
    with FaultProxy(registry.host) as proxy:
        url = origin.url.replace(registry.host, proxy.address)
        definition = f'oci "images" {{\n  images = ["{url}/container/tool:1.0"]\n}}\n'
        blob = is_("GET", f"/blobs/sha256:{sha256(layer)}")
        proxy.add(Fault(flip=500, when=blob, times=None))
        assert "is not what it should be" in lab.mirror(definition, code=4).err
        proxy.clear()
        proxy.add(Fault(cut_answer=60_000, when=blob))
        (found,) = lab.mirror(definition).json()
        assert found["changed"] and found["fetched"] == 1
        asked = [seen.headers.get("range", "") for seen in proxy.seen if sha256(layer) in seen.target]
    assert asked[0] == "" and asked[-1].startswith("bytes=")
