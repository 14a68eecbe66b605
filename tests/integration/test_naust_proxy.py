"""Sources of mode proxy behind `naust serve --sources`: apt, pip and curl use them, and upstream goes away or lies."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.conftest import Ended, Tools
from tests.lab.archives import Apt, Archive, Signer, later, signer
from tests.lab.archives import web as plain_web
from tests.lab.faults import Fault, FaultProxy, is_
from tests.lab.indexes import listed, web, wheel
from tests.lab.programs import free_port
from tests.lab.serving import Answered, Process, ask, process

BIG = os.urandom(3 << 20)
SLEEP = 0.02


@pytest.fixture(scope="module")
def upstreams_key() -> Iterator[Signer]:
    with TemporaryDirectory(prefix="n") as folder, signer(Path(folder) / "g") as found:
        yield found


@dataclass(frozen=True)
class Lab:
    """A definition, a store, and the tools."""

    folder: Path
    tools: Tools

    def define(self, text: str) -> None:
        """Write sources.hcl."""
        (self.folder / "sources.hcl").write_text(text)

    def serve(self, refresh: str = "15m", port: int = 0) -> AbstractContextManager[Process]:
        """`naust serve --sources`."""
        options = ("--anonymous", "read", "--sources", str(self.folder / "sources.hcl"), "--refresh", refresh)
        return process(self.folder / "store", *options, log=self.folder / "serve.log", port=port)

    def naust(self, verb: str, *words: str, code: int | None = 0) -> Ended:
        """A verb that reads sources.hcl, with JSON."""
        where = ("--sources", str(self.folder / "sources.hcl"), "--store", str(self.folder / "store"), "--json")
        return self.tools("naust", verb, *words, *where, code=code)

    def apt(self, name: str, host: str, below: str, *suites: str) -> Apt:
        """A root of its own that knows the archive there."""
        key = self.folder / f"{name}.asc"
        port = int(host.partition(":")[2])
        key.write_bytes(ask(port, "GET", f"/{below}/key.asc").body)
        apt = Apt(self.folder / name)
        apt.knows(*(f"deb [signed-by={key}] http://{host}/{below} {suite} main" for suite in suites or ("stable",)))
        return apt


@pytest.fixture
def lab(tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Lab(tmp_path, tools)


def installs(apt: Apt, *names: str) -> None:
    for argv in (("update",), ("install", *names)):
        ended = apt(*argv)
        assert ended.returncode == 0, ended.stdout + ended.stderr


def version(apt: Apt, name: str) -> str:
    return (apt.root / "installed/usr/share" / name / "version").read_text().strip()


# apt ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Debian:
    """A small archive behind a proxy that can misbehave."""

    archive: Archive
    proxy: FaultProxy

    def asked(self, part: str) -> int:
        """How often upstream was asked for this."""
        return sum(part in each.target for each in self.proxy.seen)


@pytest.fixture
def debian(lab: Lab, upstreams_key: Signer) -> Iterator[Debian]:
    archive = Archive(lab.folder / "upstream", upstreams_key)
    archive.add("one", Depends="two (>= 1)")
    archive.add("two")
    archive.add("three")
    archive.publish()
    with plain_web(archive.folder) as host, FaultProxy(host) as proxy:
        lab.define(
            f'apt "small" {{\n  mode = "proxy"\n  url = "http://{proxy.address}"\n  suites = ["stable"]\n'
            f'  key = "file:{lab.folder}/archive.key"\n  keyring = "{upstreams_key.keyring}"\n}}\n'
            'set "build" {\n  sources = ["small"]\n}\n'
        )
        yield Debian(archive, proxy)


def gone(debian: Debian) -> None:
    debian.proxy.clear()
    debian.proxy.add(Fault(status=503, times=None))


def test_apt_installs_through_it_then_without_upstream_and_a_snapshot_has_what_was_used(
    lab: Lab, debian: Debian
) -> None:
    with lab.serve() as server:
        first = lab.apt("first", server.host, "sources/small")
        installs(first, "one")
        assert version(first, "two") == "1.0"
        assert (debian.asked("/one_"), debian.asked("/two_"), debian.asked("/three_")) == (1, 1, 0)
        gone(debian)
        installs(lab.apt("second", server.host, "sources/small"), "one")
        refused = lab.apt("third", server.host, "sources/small")
        assert refused("update").returncode == 0
        ended = refused("install", "three")
        assert ended.returncode != 0
        assert "504" in ended.stderr
        mirrored = lab.naust("mirror", "small").json()[0]
        assert (mirrored["items"], mirrored["fetched"], mirrored["changed"]) == (2, 0, True)
        assert not lab.naust("mirror", "small").json()[0]["changed"]
        lab.naust("snapshot", "build")
        debian.proxy.clear()
        dated = lab.apt("dated", server.host, "snapshots/build/latest/small")
        installs(dated, "one")
        assert dated("install", "three").returncode != 0
        assert not debian.proxy.seen


def test_after_a_restart_with_upstream_away_all_that_was_used_is_there(lab: Lab, debian: Debian) -> None:
    with lab.serve() as server:
        installs(lab.apt("first", server.host, "sources/small"), "one")
        server.started.kill()  # before the record of what was used is due
    gone(debian)
    with lab.serve(refresh="1ms") as server:
        installs(lab.apt("second", server.host, "sources/small"), "one")
        assert lab.naust("mirror", "small").json()[0]["items"] == 2


def test_what_upstream_publishes_comes_when_the_survey_is_due_and_what_was_used_stays(lab: Lab, debian: Debian) -> None:
    with lab.serve(refresh="100ms") as server:
        installs(lab.apt("first", server.host, "sources/small"), "one")
        debian.archive.suites["stable"] = [each for each in debian.archive.suites["stable"] if ": two\n" not in each]
        debian.archive.add("two", "2.0")
        debian.archive.publish(date=later(0.01))
        time.sleep(0.2)
        second = lab.apt("second", server.host, "sources/small")
        installs(second, "one")
        assert version(second, "two") == "2.0"
        # The older one is not offered any more, and something newer of the same package was used.
        mirrored = lab.naust("mirror", "small").json()[0]
        assert mirrored["items"] == 2
        old = "/sources/small/pool/main/t/two/two_1.0_all.deb"
        assert ask(server.port, "GET", old).status == 200


def test_an_older_survey_is_refused_and_the_last_one_used_on(lab: Lab, debian: Debian) -> None:
    with lab.serve(refresh="1ms") as server:
        installs(lab.apt("first", server.host, "sources/small"), "three")
        debian.archive.publish(date=later(-3))
        installs(lab.apt("second", server.host, "sources/small"), "three")
        assert "went back in time" in ask(server.port, "GET", "/sources/").body.decode()


def test_without_upstream_at_the_very_first_it_says_why(lab: Lab, debian: Debian) -> None:
    gone(debian)
    with lab.serve() as server:
        answer = ask(server.port, "GET", "/sources/small/dists/stable/InRelease")
    assert answer.status == 504
    assert "503" in answer.message
    assert "nobody used small yet" in lab.naust("mirror", "small", code=None).err


def test_paths_that_upstream_does_not_list_are_never_asked_for(lab: Lab, debian: Debian) -> None:
    (debian.archive.folder / "secret").write_text("not in the index")
    with lab.serve() as server:
        assert ask(server.port, "GET", "/sources/small/dists/stable/InRelease").status == 200
        debian.proxy.clear()
        for path in ("secret", "pool/../secret", "pool/%2e%2e/secret", "http://127.0.0.1/x", "/secret", "pool/main/o/"):
            assert ask(server.port, "GET", f"/sources/small/{path}").status in (400, 404), path
        assert ask(server.port, "GET", "/sources/other/x").status == 404
        assert ask(server.port, "PUT", "/sources/small/pool/x", b"x").status == 405
        assert not debian.proxy.seen


def test_a_proxy_and_a_mirror_of_the_same_packages_make_the_same_state(lab: Lab, debian: Debian) -> None:
    with lab.serve() as server:
        installs(lab.apt("first", server.host, "sources/small"), "one", "three")
    used = lab.naust("mirror", "small").json()[0]
    everything = lab.naust("mirror", "small", "--all").json()[0]
    assert everything["fetched"] == 0
    assert everything["reference"] == used["reference"]


# pip ------------------------------------------------------------------------------------------------------------------


def pip(folder: Path, index: str, *names: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    env |= {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    argv = [sys.executable, "-m", "pip", "install", "--target", str(folder), "--index-url", index, *names]
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120)


def test_pip_installs_through_it_and_again_without_upstream(lab: Lab) -> None:
    files = {name: wheel(name, "1.0", *needs) for name, needs in {"lib": (), "tool": ("lib",), "other": ()}.items()}
    with web() as site:
        for name, file in files.items():
            listed(site, name, file)
        lock = lab.folder / "requirements.txt"
        digests = {name: hashlib.sha256(data).hexdigest() for name, (_, data) in files.items()}
        lock.write_text("".join(f"{name}==1.0 --hash=sha256:{digest}\n" for name, digest in digests.items()))
        lab.define(
            f'pypi "tools" {{\n  mode = "proxy"\n  url = "{site.base}/simple"\n  lock = ["requirements.txt"]\n}}\n'
            'set "build" {\n  sources = ["tools"]\n}\n'
        )
        with lab.serve() as server:
            index = f"http://{server.host}/sources/tools/simple/"
            done = pip(lab.folder / "a", index, "tool")
            assert done.returncode == 0, done.stderr
            assert sum(path.startswith("/files/") for path in site.asked) == 2
            site.answers.clear()
            done = pip(lab.folder / "b", index, "tool")
            assert done.returncode == 0, done.stderr
            assert pip(lab.folder / "c", index, "other").returncode != 0
            assert lab.naust("mirror", "tools").json()[0]["items"] == 2
            lab.naust("snapshot", "build")
            done = pip(lab.folder / "d", f"http://{server.host}/snapshots/build/latest/tools/simple/", "tool")
            assert done.returncode == 0, done.stderr


# Files, and upstreams that fail ---------------------------------------------------------------------------------------


@pytest.fixture
def files(lab: Lab) -> Iterator[FaultProxy]:
    """Three files; `big` has 3 MiB."""
    folder = lab.folder / "site"
    folder.mkdir()
    contents = {"big": BIG, "small": b"small", "other": b"other"}
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    with plain_web(folder) as host, FaultProxy(host) as proxy:
        blocks = "".join(
            f'  file "bin/{name}" {{\n    url = "http://{proxy.address}/{name}"\n'
            f'    digest = "sha256:{hashlib.sha256(data).hexdigest()}"\n  }}\n'
            for name, data in contents.items()
        )
        lab.define(f'files "tools" {{\n  mode = "proxy"\n{blocks}}}\nset "build" {{\n  sources = ["tools"]\n}}\n')
        yield proxy


def get(server: Process, name: str) -> Answered:
    return ask(server.port, "GET", f"/sources/tools/bin/{name}")


def test_of_twenty_who_ask_at_once_upstream_sees_one(lab: Lab, files: FaultProxy) -> None:
    with lab.serve() as server, ThreadPoolExecutor(20) as clients:
        found = list(clients.map(lambda _: get(server, "big"), range(20)))
        assert {each.status for each in found} == {200}
        assert all(each.body == BIG for each in found)
        assert len(files.seen) == 1
        assert get(server, "big").body == BIG
        assert len(files.seen) == 1


def test_a_head_tells_the_size_where_it_is_known_and_a_range_is_a_part(lab: Lab, files: FaultProxy) -> None:
    with lab.serve() as server:
        head = ask(server.port, "HEAD", "/sources/tools/bin/big")
        assert (head.status, head.headers["content-length"]) == (200, str(len(BIG)))
        part = ask(server.port, "GET", "/sources/tools/bin/big", Range="bytes=10-19")
        assert (part.status, part.body) == (206, BIG[10:20])
        tag = part.headers["etag"]
        assert ask(server.port, "GET", "/sources/tools/bin/big", If_None_Match=tag).status == 304
        assert len(files.seen) == 1


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault(flip=100, times=None, when=is_("GET", "big")), 502),
        (Fault(status=404, times=None, when=is_("GET", "big")), 502),
        (
            Fault(
                status=200, headers={"Content-Type": "text/html"}, body=b"<html>", times=None, when=is_("GET", "big")
            ),
            502,
        ),
        (Fault(status=503, times=None, when=is_("GET", "big")), 504),
        (Fault(cut_answer=1 << 20, times=None, when=is_("GET", "big")), 504),
    ],
    ids=["wrong hash", "not there", "a page", "busy", "cut"],
)
def test_an_upstream_that_fails_is_named_and_what_was_kept_is_served_on(
    lab: Lab, files: FaultProxy, fault: Fault, status: int
) -> None:
    with lab.serve() as server:
        assert get(server, "small").body == b"small"
        files.add(fault)
        answer = get(server, "big")
        assert answer.status == status
        assert "upstream of tools" in answer.message
        assert get(server, "small").body == b"small"
        assert get(server, "other").body == b"other"
        files.clear()
        assert get(server, "big").body == BIG


def test_a_connection_that_breaks_is_gone_on_with(lab: Lab, files: FaultProxy) -> None:
    files.add(Fault(cut_answer=1 << 20, when=is_("GET", "big")))
    with lab.serve() as server:
        assert get(server, "big").body == BIG
    assert len(files.seen) == 2


def test_a_server_that_is_killed_in_the_middle_of_a_fetch_starts_again(lab: Lab, files: FaultProxy) -> None:
    files.add(Fault(silent_answer=1 << 20, when=is_("GET", "big")))
    with lab.serve(port=free_port()) as server:
        assert get(server, "small").body == b"small"
        threading.Thread(target=_ignoring, args=(server,), daemon=True).start()
        while not any("big" in each.target and each.down for each in files.seen):
            time.sleep(SLEEP)
        server.started.kill()
    with lab.serve() as server:
        assert get(server, "big").body == BIG
        assert sum("small" in each.target for each in files.seen) == 1
        assert get(server, "small").body == b"small"
        assert sum("small" in each.target for each in files.seen) == 1
    assert lab.naust("mirror", "tools").json()[0]["items"] == 2
    assert lab.tools("naust", "fsck", "--store", str(lab.folder / "store")).code == 0


def _ignoring(server: Process) -> None:
    with suppress(OSError):
        get(server, "big")


def test_what_was_used_outlives_a_collection(lab: Lab, files: FaultProxy) -> None:
    with lab.serve() as server:
        assert get(server, "big").body == BIG
        time.sleep(3)  # until the record has it
        lab.tools("naust", "gc", "--grace", "0", "--store", str(lab.folder / "store"))
        files.clear()
        assert get(server, "big").body == BIG
        assert not files.seen


def test_a_store_without_room_says_so_and_serves_on(lab: Lab, files: FaultProxy) -> None:
    options = ("--anonymous", "read", "--sources", str(lab.folder / "sources.hcl"))
    with process(lab.folder / "store", *options, log=lab.folder / "log", memory=1 << 20) as server:
        assert get(server, "small").body == b"small"
        assert get(server, "big").status == 507
        assert get(server, "small").body == b"small"


def test_a_definition_without_such_a_source_is_refused(lab: Lab) -> None:
    lab.define(
        'files "tools" {\n  file "a" {\n    url = "http://127.0.0.1/a"\n    digest = "sha256:'
        + "0" * 64
        + '"\n  }\n}\n'
    )
    ended = lab.tools(
        "naust", "serve", str(lab.folder), "--anonymous", "read", "--sources", str(lab.folder / "sources.hcl"), code=2
    )
    assert "no source of mode proxy" in ended.err
