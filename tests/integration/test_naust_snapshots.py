"""Snapshots as ordinary clients use them: apt, pip, docker, crane, skopeo, terraform, curl; while views move; with the
network cut; and as plain files behind nginx."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import expect

from common.errors import Conflict, Corrupt, Error
from common.model import Digest
from naust.promote import promote
from naust.source.export import export
from naust.store.directory import DirectoryStore
from tests.lab.browser import Look, chromium, visiting
from tests.lab.programs import free_port, program, running
from tests.lab.serving import NAUST, ask, certificate, process, resident, served
from tests.lab.snapshots import Signer, archive, deb, layout, providers, published, simple, snapshot, wheel

YESTERDAY = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
CLIENTS = 20


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signer]:
    # Not below pytest's folder: the path of the agent's socket may have 107 bytes.
    made = Signer(tmp_path_factory.mktemp("g") / "h")
    yield made
    made.end()


@pytest.fixture(scope="module")
def debs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], bytes]:
    folder = tmp_path_factory.mktemp("debs")
    return lambda name, version: deb(folder, name, version)


def tar(text: str) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as file:
        entry = tarfile.TarInfo("content")
        entry.size = len(text)
        file.addfile(entry, io.BytesIO(text.encode()))
    return made.getvalue()


@dataclass(frozen=True)
class Apt:
    """apt with a root of its own."""

    root: Path
    env: Mapping[str, str]
    prefix: tuple[str, ...] = ()

    @classmethod
    def at(cls, root: Path, key: bytes, *lines: str, prefix: tuple[str, ...] = (), ca: str = "") -> Apt:
        """The lines are those of sources.list, with KEY for the key's file."""
        for folder in (
            "lists/partial",
            "cache/archives/partial",
            "etc/apt.conf.d",
            "etc/preferences.d",
            "etc/trusted.gpg.d",
        ):
            (root / folder).mkdir(parents=True)
        (root / "status").touch()
        (root / "key.asc").write_bytes(key)
        (root / "sources.list").write_text("".join(f"{line.replace('KEY', str(root / 'key.asc'))}\n" for line in lines))
        said = {
            "Dir::State::lists": root / "lists", "Dir::State::status": root / "status", "Dir::Cache": root / "cache",
            "Dir::Etc": root / "etc", "Dir::Etc::sourcelist": root / "sources.list", "Dir::Etc::sourceparts": "-",
            "APT::Sandbox::User": "root", "APT::Architecture": "amd64", "Acquire::Languages": "none",
            "Acquire::https::CAInfo": ca, "Acquire::Retries": 0, "APT::Update::Error-Mode": "any",
            "Dir::State": root,
        }  # fmt: skip
        text = 'APT::Architectures { "amd64"; };\n' + "".join(f'{k} "{v}";\n' for k, v in said.items())
        (root / "apt.conf").write_text(text)
        return cls(root, {**os.environ, "APT_CONFIG": str(root / "apt.conf"), "LC_ALL": "C"}, prefix)

    def __call__(self, *argv: str) -> str:
        ended = subprocess.run(
            [*self.prefix, *argv], cwd=self.root, env=self.env, capture_output=True, text=True, timeout=120
        )
        said = ended.stdout + ended.stderr
        assert ended.returncode == 0, said
        assert not any(line.startswith(("W:", "E:", "Err:")) for line in said.splitlines()), said
        return said

    def marks(self) -> dict[str, set[str]]:
        """Of which archives what it read last is, and in which files it says so."""
        found: dict[str, set[str]] = {}
        for path in (self.root / "lists").iterdir():
            if path.is_file() and path.name.endswith(("InRelease", "Packages")):
                lines = path.read_text().splitlines()
                for line in lines:
                    if line.startswith("Description:"):
                        found.setdefault(line.split()[-1], set()).add(path.name.partition("dists_")[2])
        return found


def apt_line(url: str, suite: str) -> str:
    return f"deb [signed-by=KEY] {url} {suite} main"


# While views move


def loop(apt: Apt, end: float, failures: list[str], seen: list[str]) -> None:
    while time.monotonic() < end and not failures:
        try:
            said = apt("apt-get", "update")
            marks = apt.marks()
            assert len(marks) == 1, f"two views at once: {marks}\n{said}"
            apt("apt-get", "download", "thing")
            seen += marks
        except (AssertionError, subprocess.TimeoutExpired) as error:
            failures.append(str(error))


@pytest.mark.parametrize(("seconds", "every"), [(8, 1.0), pytest.param(60, 3.0, marks=pytest.mark.long)])
def test_clients_of_apt_see_one_view_while_it_moves(
    signer: Signer, debs: Callable[[str, str], bytes], tmp_path: Path, seconds: int, every: float
) -> None:
    store = DirectoryStore(tmp_path / "store")
    moves = int(seconds / every) + 2
    tags = []
    for i in range(moves):
        now = YESTERDAY + timedelta(seconds=i)
        suites = {suite: {f"t/thing_{i}.{n}_all.deb": debs("thing", f"{i}.{n}")} for n, suite in enumerate(("a", "b"))}
        published(store, "debian", signer.signed(archive(suites, f"view{i}", now)), "apt", now)
        tags.append(snapshot(store, "build", ["debian"], now))
    promote(store, f"snapshot/build:{tags[0]}", "stable")
    failures: list[str] = []
    seen: list[str] = []
    with process(tmp_path / "store", "--anonymous", "read", log=tmp_path / "log") as server:
        url = f"http://{server.host}/snapshots/build/stable/debian"
        end = time.monotonic() + seconds
        clients = [
            Apt.at(tmp_path / f"client{i}", signer.key, apt_line(url, "a"), apt_line(url, "b")) for i in range(CLIENTS)
        ]
        threads = [threading.Thread(target=loop, args=(each, end, failures, seen)) for each in clients]
        for thread in threads:
            thread.start()
        for tag in tags[1:]:
            if time.monotonic() + every < end and not failures:
                time.sleep(every)
                promote(store, f"snapshot/build:{tag}", "stable")
        for thread in threads:
            thread.join()
    assert not failures, failures[0]
    assert len(seen) >= CLIENTS
    assert len(set(seen)) >= min(4, moves // 3)


# With the network cut


@contextmanager
def cut_off() -> Iterator[tuple[str, ...]]:
    """What puts a command into a network that consists of a loopback alone."""
    script = "ip link set lo up && echo ready && exec sleep 600"
    holder = subprocess.Popen(["unshare", "--net", "sh", "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        yield ("nsenter", "--target", str(holder.pid), "--net", "--")
    finally:
        holder.kill()
        holder.wait()


def test_every_client_works_without_a_way_out(
    signer: Signer, debs: Callable[[str, str], bytes], tmp_path: Path
) -> None:
    store = DirectoryStore(tmp_path / "store")
    suites = {"trixie": {"t/thing_1_all.deb": debs("thing", "1")}}
    published(store, "debian", signer.signed(archive(suites, "one", YESTERDAY)), "apt", YESTERDAY)
    published(store, "tools", simple(wheel("labthing", "1.0"), wheel("labthing", "1.1")), "pypi", YESTERDAY)
    published(store, "binaries", {"bin/tool": b"#!/bin/sh\n"}, "files", YESTERDAY)
    terraform = providers("registry.terraform.io", "hashicorp/null", ["3.2.3", "3.2.4"])
    published(store, "providers", terraform, "terraform", YESTERDAY)
    published(store, "images", layout({"docker.io/library/debian:13": [tar("debian 13")]}), "oci", YESTERDAY)
    snapshot(store, "build", ["debian", "tools", "binaries", "providers", "images"], YESTERDAY)
    cert, key = certificate(tmp_path / "tls")
    with cut_off() as prefix:
        argv = [*prefix, NAUST, "serve", str(tmp_path / "store"), "--listen", "127.0.0.1:8440", "--anonymous", "read"]
        with (tmp_path / "log").open("wb") as log:
            server = subprocess.Popen([*argv, "--cert", str(cert), "--key", str(key)], stdout=log, stderr=log)
        try:
            wait_for(tmp_path / "log", server)
            with pytest.raises(AssertionError, match=r"connect|resolve"):
                ran(tmp_path, *prefix, "curl", "-sS", "http://192.0.2.1/")
            use(signer, prefix, cert, tmp_path)
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(20) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


def use(signer: Signer, prefix: tuple[str, ...], cert: Path, folder: Path) -> None:
    base = f"https://localhost:8440/snapshots/build/{YESTERDAY:%Y-%m-%d}"
    apt = Apt.at(folder / "apt", signer.key, apt_line(f"{base}/debian", "trixie"), prefix=prefix, ca=str(cert))
    apt("apt-get", "update")
    apt("apt-get", "install", "--download-only", "--yes", "thing")
    assert (apt.root / "cache/archives/thing_1_all.deb").is_file()
    assert "Hit:1" in apt("apt-get", "update")
    pip = (*prefix, sys.executable, "-m", "pip", "--isolated", "--no-cache-dir", "--cert", str(cert))
    options = ("--index-url", f"{base}/tools/simple/", "--no-deps", "--target", str(folder / "site"), "labthing")
    # requests prefers the variable to the option.
    ran(folder, *pip, "install", "--disable-pip-version-check", *options, REQUESTS_CA_BUNDLE=str(cert))
    assert (folder / "site" / "labthing.py").read_text() == "VERSION = '1.1'\n"
    ran(folder, *prefix, "curl", "-fsS", "--cacert", str(cert), "-o", "tool", f"{base}/binaries/bin/tool")
    assert (folder / "tool").read_bytes() == b"#!/bin/sh\n"
    image = f"localhost:8440/snapshot/build/{YESTERDAY:%Y-%m-%d}/library/debian"
    env = {"SSL_CERT_FILE": str(cert)}
    ran(folder, *prefix, program("crane"), "pull", f"{image}:13", "image.tar", **env)
    assert "13" in ran(folder, *prefix, program("crane"), "ls", image, **env)
    ran(folder, *prefix, program("skopeo"), "copy", f"docker://{image}:13", f"oci:{folder}/copied", **env)
    terraform(prefix, base, folder, env)


def terraform(prefix: tuple[str, ...], base: str, folder: Path, env: dict[str, str]) -> None:
    work = folder / "terraform"
    work.mkdir()
    (work / "rc").write_text(
        f'provider_installation {{\n  network_mirror {{\n    url = "{base}/providers/"\n  }}\n}}\n'
    )
    (work / "main.tf").write_text(
        'terraform {\n  required_providers {\n    null = {\n      source = "hashicorp/null"\n    }\n  }\n}\n'
    )
    said = ran(work, *prefix, program("terraform"), "init", "-no-color", TF_CLI_CONFIG_FILE=str(work / "rc"),
               CHECKPOINT_DISABLE="1", **env)  # fmt: skip
    assert "Installed hashicorp/null v3.2.4" in said


def ran(folder: Path, *argv: str, **env: str) -> str:
    ended = subprocess.run(argv, cwd=folder, env=os.environ | env, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, f"{argv}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def wait_for(log: Path, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 20
    while " serves file://" not in log.read_text():
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < end
        time.sleep(0.02)


def test_docker_pulls_an_image_of_a_day_and_of_a_moment(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    text = f"an image of {os.urandom(8).hex()}"
    published(store, "images", layout({"docker.io/library/labimage:13": [tar(text)]}), "oci", YESTERDAY)
    tag = snapshot(store, "build", ["images"], YESTERDAY)
    with served(tmp_path / "store") as server:
        for when in (f"{YESTERDAY:%Y-%m-%d}", "latest", tag.lower()):
            image = f"{server.host}/snapshot/build/{when}/labimage:13"
            try:
                ran(tmp_path, "docker", "pull", "--quiet", image)
                ran(tmp_path, "docker", "save", "-o", "saved.tar", image)
                assert text.encode() in (tmp_path / "saved.tar").read_bytes()
            finally:
                subprocess.run(["docker", "image", "rm", "--force", image], capture_output=True, timeout=60)


# As plain files


def test_plain_files_behind_nginx_serve_apt_pip_and_curl_across_a_switch(
    signer: Signer, debs: Callable[[str, str], bytes], tmp_path: Path
) -> None:
    store, folder = DirectoryStore(tmp_path / "store"), tmp_path / "public"
    folder.mkdir()
    with nginx(folder, tmp_path) as base:
        apt = Apt.at(tmp_path / "apt", signer.key, apt_line(f"{base}/latest/debian", "trixie"))
        for i in range(2):
            now = YESTERDAY + timedelta(hours=i)
            suites = {"trixie": {f"t/thing_{i}_all.deb": debs("thing", str(i))}}
            published(store, "debian", signer.signed(archive(suites, f"view{i}", now)), "apt", now)
            published(store, "tools", simple(wheel("labthing", f"1.{i}")), "pypi", now)
            snapshot(store, "build", ["debian", "tools"], now)
            done = export(store, "build", "", folder)
            assert (done.changed, done.linked > 0) == (True, True)
            if i:
                apt("apt-get", "download", "thing")  # of the index that it read before
            apt("apt-get", "update")
            assert set(apt.marks()) == {f"view{i}"}
            apt("apt-get", "download", "thing")
        for name in ("thing_0_all.deb", "thing_1_all.deb"):
            assert (tmp_path / "apt" / name).is_file()
        pip = (sys.executable, "-m", "pip", "--isolated", "--no-cache-dir", "install", "--disable-pip-version-check")
        index = f"{base}/latest/tools/simple/"
        ran(tmp_path, *pip, "--index-url", index, "--no-deps", "--target", str(tmp_path / "site"), "labthing")
        assert (tmp_path / "site" / "labthing.py").read_text() == "VERSION = '1.1'\n"


@contextmanager
def nginx(root: Path, folder: Path) -> Iterator[str]:
    port = free_port()
    kinds = "types { text/html html; application/json json; }"
    where = f"listen 127.0.0.1:{port}; root {root}; index index.html; {kinds}"
    text = f"worker_processes 1; pid {folder}/pid; error_log stderr; user root; daemon off; events {{}}\n"
    text += f"http {{ access_log off; client_body_temp_path {folder}/body; server {{ {where} }} }}\n"
    (folder / "nginx.conf").write_text(text)
    argv = [program("nginx"), "-c", str(folder / "nginx.conf")]
    with running(argv, port=port, log=folder / "nginx.log"):
        yield f"http://127.0.0.1:{port}"


def test_what_is_exported_is_the_snapshot_byte_for_byte_and_packages_take_no_space(tmp_path: Path) -> None:
    store, folder = DirectoryStore(tmp_path / "store"), tmp_path / "public"
    suites = {"trixie": {"t/thing_1_all.deb": os.urandom(1 << 20)}}
    files = archive(suites, "one", YESTERDAY)
    published(store, "debian", files, "apt", YESTERDAY)
    tag = snapshot(store, "build", ["debian"], YESTERDAY)
    for links in (True, False):
        done = export(store, "build", f"{YESTERDAY:%Y-%m-%d}", folder / str(links), links=links)
        tree = folder / str(links) / tag / "debian"
        assert {str(p.relative_to(tree)): p.read_bytes() for p in tree.rglob("*") if p.is_file()} == files
        package, release = tree / "pool/t/thing_1_all.deb", tree / "dists/trixie/Release"
        assert (package.stat().st_nlink > 1) == links
        assert release.stat().st_nlink == 1
        assert release.stat().st_mtime == YESTERDAY.timestamp()
        assert (folder / str(links) / "latest").readlink() == Path(tag)
        assert (done.linked > 0) == links
        again = export(store, "build", "", folder / str(links), links=links)
        assert not again.changed
    alone = export(store, "debian", "", folder / "alone", view="")
    assert (Path(alone.folder) / "dists/trixie/Release").is_file()
    assert [path.name for path in (folder / "alone").iterdir() if path.is_dir()] == [Path(alone.folder).name]


def test_an_export_that_was_killed_is_finished_by_the_next(tmp_path: Path) -> None:
    store, folder = DirectoryStore(tmp_path / "store"), tmp_path / "public"
    published(store, "files", {f"f{i}": b"%d" % i for i in range(3000)}, now=YESTERDAY)
    script = f"""
from pathlib import Path
from naust.source.export import export
from naust.store.directory import DirectoryStore
export(DirectoryStore(Path({str(tmp_path / "store")!r})), "files", "", Path({str(folder)!r}))
"""
    started = subprocess.Popen([sys.executable, "-c", script])
    end = time.monotonic() + 30
    while not list(folder.glob(".new-*/f1*")):
        assert time.monotonic() < end
        time.sleep(0.001)
    started.kill()
    started.wait()
    assert not (folder / "latest").exists()
    done = export(store, "files", "", folder)
    assert len(list((folder / "latest").iterdir())) == done.copied == 3000
    assert [path.name for path in folder.iterdir() if path.name.startswith(".new")] == []


def test_a_view_of_files_that_is_no_link_is_left_alone(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    published(store, "files", {"a": b""}, now=YESTERDAY)
    (tmp_path / "public" / "latest").mkdir(parents=True)
    with pytest.raises(Conflict):
        export(store, "files", "", tmp_path / "public")


def test_without_room_an_export_says_so_and_the_old_view_stays(tmp_path: Path) -> None:
    store, folder = DirectoryStore(tmp_path / "store"), tmp_path / "public"
    folder.mkdir()
    ran(tmp_path, "mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder))
    try:
        published(store, "files", {"a": b"old"}, now=YESTERDAY)
        export(store, "files", "", folder)
        published(store, "files", {"a": b"new", "b": os.urandom(2 << 20)}, now=YESTERDAY + timedelta(hours=1))
        with pytest.raises(Error, match="could not be written: No space"):
            export(store, "files", "", folder)
        assert (folder / "latest" / "a").read_bytes() == b"old"
    finally:
        ran(tmp_path, "umount", str(folder))


def test_a_damaged_store_is_not_exported(tmp_path: Path) -> None:
    store, folder = DirectoryStore(tmp_path / "store"), tmp_path / "public"
    published(store, "files", {"a": b"right"}, now=YESTERDAY)
    blob = tmp_path / "store/blobs/sha256" / Digest.of(b"right").hex
    blob.unlink()
    with pytest.raises(Corrupt):
        export(store, "files", "", folder)
    assert not (folder / "latest").exists()


# For people


def test_pages_of_snapshots_are_read_without_javascript_and_on_a_phone(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    published(store, "debian", archive({"trixie": {}, "trixie-security": {}}), "apt", YESTERDAY)
    published(store, "tools", simple(wheel("labthing", "1.0")), "pypi", YESTERDAY)
    snapshot(store, "build", ["debian", "tools"], YESTERDAY)
    with (
        process(tmp_path / "store", "--anonymous", "read", log=tmp_path / "log") as server,
        chromium() as browser,
        visiting(browser, f"http://{server.host}", Look(320, scripts=False)) as page,
    ):
        page.goto("/")
        page.get_by_role("link", name="Snapshots").click()
        page.get_by_role("link", name="build").click()
        page.get_by_role("link", name="latest").click()
        line = page.get_by_label("sources.list: trixie-security").input_value()
        assert line == f"deb http://{server.host}/snapshots/build/latest/debian trixie-security main"
        page.get_by_role("link", name="Look at the files of debian").click()
        page.get_by_role("link", name="dists/").click()
        page.get_by_role("link", name="trixie/").click()
        expect(page.get_by_role("link", name="Release")).to_be_visible()
        for path in ("/snapshots/", "/snapshots/build/", "/snapshots/build/latest/", page.url):
            page.goto(path)
            assert page.evaluate("document.scrollingElement.scrollWidth") <= 320, path


# Size and speed


@pytest.mark.long
def test_many_large_snapshots_are_served_from_little_memory(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    data = b"all the same"
    for i in range(60):
        files = {f"pool/main/p/package-{n}/libpackage-{n}_1.{i}-1_amd64.deb": data for n in range(20_000)}
        published(store, "debian", files, "apt", YESTERDAY + timedelta(seconds=i))
    with process(tmp_path / "store", "--anonymous", "read", log=tmp_path / "log") as server:
        memory = []
        for _ in range(2):
            for i in range(60):
                when = f"{YESTERDAY:%Y-%m-%d}-{YESTERDAY + timedelta(seconds=i):%Y%m%dT%H%M%SZ}"
                path = f"/snapshots/debian/{when}/pool/main/p/package-7/libpackage-7_1.{i}-1_amd64.deb"
                assert ask(server.port, "GET", path).headers["etag"] == f'"{Digest.of(data)}"'
            memory.append(resident(server.started.pid))
        assert memory[0] < 160 << 20
        assert memory[1] - memory[0] < 16 << 20
