"""naust mirror and naust snapshot, run as a person does, against an upstream that misbehaves (cases NA-01, NA-09)."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

import pytest

from tests.conftest import Ended, Tools
from tests.lab.faults import Fault, FaultProxy, is_
from tests.lab.programs import ROOT

NAUST = str(ROOT / ".venv" / "bin" / "naust")


@dataclass
class Upstream:
    """Files over HTTP. After `most` of them were served, whoever asks for another one waits."""

    files: dict[str, bytes]
    most: int | None = None
    served: int = 0
    requests: list[str] = field(default_factory=list)
    first: Callable[[], None] = lambda: None
    _era: int = 0
    _go: threading.Condition = field(default_factory=threading.Condition)

    def __enter__(self) -> Self:
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.answer(body=True)

            def do_HEAD(self) -> None:
                self.answer(body=False)

            def answer(self, *, body: bool) -> None:
                if body:
                    upstream.take(self.path)
                data = upstream.files.get(self.path.lstrip("/"))
                begin = int(self.headers.get("Range", "bytes=0-")[6:].split("-")[0])
                self.send_response(404 if data is None else 206 if begin else 200)
                if begin and data:
                    self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
                self.send_header("Content-Length", str(len((data or b"")[begin:])))
                self.end_headers()
                self.wfile.write((data or b"")[begin:] if body else b"")

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """A client that was killed is no news."""

        self._server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        self._server.shutdown()
        self._server.server_close()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def take(self, path: str) -> None:
        with self._go:
            if not self.requests:
                self.first()
            era = self._era
            self._go.wait_for(lambda: self._era != era or self.most is None or self.served < self.most)
            if self._era != era:
                raise ConnectionAbortedError  # whoever asked was killed while it waited
            self.served += 1
            self.requests.append(path.lstrip("/"))

    def release(self) -> None:
        with self._go:
            self.most = None
            self._era += 1
            self.served = 0
            self.requests.clear()
            self._go.notify_all()


def some(count: int, size: int = 500) -> dict[str, bytes]:
    return {f"f{number:03}": f"file {number} ".encode() * (size // 8) for number in range(count)}


def definition(folder: Path, address: str, files: dict[str, bytes], more: str = "", **other: bytes) -> None:
    """sources.hcl for these files; `other` are contents that upstream is wrongly believed to have."""
    blocks = "".join(
        f'  file "bin/{name}" {{\n    url = "http://{address}/{name}"\n'
        f'    digest = "sha256:{hashlib.sha256(other.get(name, data)).hexdigest()}"\n    package = "{name}==1"\n  }}\n'
        for name, data in files.items()
    )
    text = f'files "binaries" {{\n{more}{blocks}}}\nset "build" {{\n  sources = ["binaries"]\n}}\n'
    (folder / "sources.hcl").write_text(text)


@contextmanager
def upstream(folder: Path, count: int, size: int = 500) -> Iterator[tuple[Upstream, FaultProxy, Tools]]:
    with Upstream(some(count, size)) as server, FaultProxy(server.address) as proxy:
        definition(folder, proxy.address, server.files)
        yield server, proxy, Tools(folder, {"XDG_CACHE_HOME": str(folder / "cache")})


def blobs(folder: Path) -> list[Path]:
    return [path for path in (folder / ".naust" / "blobs" / "sha256").glob("*") if path.is_file()]


def blob(folder: Path, data: bytes) -> Path:
    return folder / ".naust" / "blobs" / "sha256" / hashlib.sha256(data).hexdigest()


def failures(ended: Ended) -> dict[str, str]:
    return {each["path"]: each["cause"] for each in ended.json()[0]["failures"]}


def states(tools: Tools) -> list[str]:
    return [line.split("\t")[0] for line in tools("naust", "list").out.splitlines()]


# One bad item (NA-09) -------------------------------------------------------------------------------------------------


def test_five_bad_files_of_fifty_are_named_and_the_others_come(tmp_path: Path) -> None:
    with Upstream(some(50)) as server, FaultProxy(server.address) as proxy:
        definition(tmp_path, proxy.address, server.files, f001=b"something else")
        server.files["f003"] = b""
        del server.files["f002"]
        proxy.add(Fault(silent_answer=10, times=None, when=is_("GET", "/f004")))

        def rename() -> None:
            server.files["renamed"] = server.files.pop("f005")

        server.first = rename
        tools = Tools(tmp_path)
        ended = tools("naust", "mirror", "--idle", "300ms", "--json", code=4)
    found = failures(ended)
    assert found == {
        "bin/f001": "Corrupt",
        "bin/f002": "NotFound",
        "bin/f003": "Corrupt",
        "bin/f004": "Unavailable",
        "bin/f005": "NotFound",
    }
    assert ended.json()[0]["fetched"] == 45 == len(blobs(tmp_path))
    assert all(path in ended.err for path in found)
    assert states(tools) == []
    assert "no state" in tools("naust", "snapshot", "build", code=2).err


def test_a_dry_run_names_what_upstream_does_not_have_and_fetches_nothing(tmp_path: Path) -> None:
    with upstream(tmp_path, 20) as (server, proxy, tools):
        del server.files["f007"]
        ended = tools("naust", "mirror", "--dry-run", "--json", code=4)
        assert failures(ended) == {"bin/f007": "NotFound"}
        assert {seen.method for seen in proxy.seen} == {"HEAD"}
        assert not blobs(tmp_path)


def test_a_file_that_may_miss_keeps_no_state_from_being_made_and_is_asked_for_again(tmp_path: Path) -> None:
    with Upstream(some(5)) as server:
        definition(tmp_path, server.address, server.files, '  may_miss = ["bin/f00[34]"]\n')
        lost = server.files.pop("f003")
        tools = Tools(tmp_path)
        first = tools("naust", "mirror", "--json").json()[0]
        assert [each["path"] for each in first["missed"]] == ["bin/f003"]
        server.files["f003"] = lost
        second = tools("naust", "mirror", "--json").json()[0]
        assert (second["changed"], second["fetched"], second["missed"]) == (True, 1, [])


def test_a_web_page_instead_of_a_file_is_called_that(tmp_path: Path) -> None:
    with upstream(tmp_path, 3) as (_, proxy, tools):
        page = {"Content-Type": "text/html; charset=utf-8"}
        proxy.add(Fault(status=200, headers=page, body=b"<html>sign in</html>", times=None, when=is_("", "/f001")))
        ended = tools("naust", "mirror", "--json", code=4)
        assert failures(ended) == {"bin/f001": "Corrupt"}
        assert "web page" in ended.err


def test_redirects_are_followed_and_circles_named(tmp_path: Path) -> None:
    with upstream(tmp_path, 4) as (server, proxy, tools):
        elsewhere = {"Location": f"http://{server.address}/f001"}
        proxy.add(Fault(status=302, headers=elsewhere, times=None, when=is_("", "/f001")))
        proxy.add(Fault(status=302, headers={"Location": "/f002"}, times=None, when=is_("", "/f002")))
        ended = tools("naust", "mirror", "--json", code=4)
        assert list(failures(ended)) == ["bin/f002"]
        assert "circle" in ended.err


def test_a_broken_connection_is_gone_on_with_where_it_broke(tmp_path: Path) -> None:
    with upstream(tmp_path, 2, 400_000) as (_, proxy, tools):
        proxy.add(Fault(cut_answer=200_000, when=is_("GET", "/f001")))
        tools("naust", "mirror")
        again = [seen.headers.get("range") for seen in proxy.seen if "f001" in seen.target]
        assert again == [None, "bytes=200000-"]


def test_a_source_that_cannot_be_had_keeps_no_other_from_its_state(tmp_path: Path) -> None:
    with Upstream(some(3)) as server:
        definition(tmp_path, server.address, server.files)
        with (tmp_path / "sources.hcl").open("a") as file:
            file.write('files "ours" {\n  mode = "local"\n  folder = "none"\n}\n')
        tools = Tools(tmp_path)
        ended = tools("naust", "mirror", code=4)
        assert "no folder" in ended.err
        assert len(states(tools)) == 1
        assert tools("naust", "mirror", "ours", code=2).out == ""


# Killed, cut off, full (NA-01) ----------------------------------------------------------------------------------------


def killed_when(folder: Path, count: int) -> None:
    """naust mirror, killed once the store has so many blobs."""
    process = subprocess.Popen([NAUST, "mirror"], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 20
    while len(blobs(folder)) < count and time.monotonic() < end:
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(blobs(folder)) == count


@pytest.mark.parametrize("share", [10, 50, 90, 99])
def test_after_a_kill_the_next_run_fetches_exactly_what_is_missing(tmp_path: Path, share: int) -> None:
    with Upstream(some(100)) as server:
        definition(tmp_path, server.address, server.files)
        server.most = share
        killed_when(tmp_path, share)
        tools = Tools(tmp_path)
        assert states(tools) == []
        had = {path.name for path in blobs(tmp_path)}
        server.release()
        missing = [name for name, data in server.files.items() if hashlib.sha256(data).hexdigest() not in had]
        tools("naust", "mirror")
        assert sorted(server.requests) == sorted(missing)
        assert len(missing) == 100 - share
        tools("naust", "snapshot", "build", "--check")


@pytest.mark.parametrize("left", [b"", b"half", None], ids=["nothing", "a part", "zeros of the right size"])
def test_files_that_a_crash_cut_off_come_anew_and_no_others(tmp_path: Path, left: bytes | None) -> None:
    with Upstream(some(30)) as server:
        definition(tmp_path, server.address, server.files)
        server.most = 15
        killed_when(tmp_path, 15)
        cut = blobs(tmp_path)[:3]
        for path in cut:
            path.chmod(0o644)
            path.write_bytes(bytes(path.stat().st_size) if left is None else left)
        server.release()
        tools = Tools(tmp_path)
        tools("naust", "mirror")
        assert len(server.requests) == 18
        tools("naust", "snapshot", "build", "--check")


def test_a_file_cut_off_after_it_was_published_stops_the_snapshot_and_comes_anew(tmp_path: Path) -> None:
    with upstream(tmp_path, 10) as (server, _, tools):
        tools("naust", "mirror")
        for name in ("f003", "f004"):
            path = blob(tmp_path, server.files[name])
            path.chmod(0o644)
            path.write_bytes(b"cut")
        refused = tools("naust", "snapshot", "build", code=4)
        assert "bin/f003" in refused.err and "bin/f004" in refused.err and len(states(tools)) == 1
        server.release()
        again = tools("naust", "mirror", "--json").json()[0]
        assert (sorted(server.requests), again["changed"]) == (["f003", "f004"], False)
        tools("naust", "snapshot", "build")


def test_wrong_bytes_of_the_right_size_are_found_by_check_and_mended(tmp_path: Path) -> None:
    with upstream(tmp_path, 5) as (server, _, tools):
        tools("naust", "mirror")
        path = blob(tmp_path, server.files["f002"])
        path.chmod(0o644)
        path.write_bytes(bytes(len(server.files["f002"])))
        assert "bin/f002" in tools("naust", "snapshot", "build", "--check", code=4).err
        server.release()
        tools("naust", "mirror", "--check")
        assert server.requests == ["f002"]
        tools("naust", "snapshot", "build", "--check")


def test_a_large_file_is_gone_on_with_after_a_kill(tmp_path: Path) -> None:
    data = os.urandom(1 << 20) * 40
    with Upstream({"big": data}) as server, FaultProxy(server.address) as proxy:
        definition(tmp_path, proxy.address, server.files)
        proxy.add(Fault(silent_answer=30 << 20))
        env = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
        process = subprocess.Popen([NAUST, "mirror"], cwd=tmp_path, env=env, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while proxy.down < 30 << 20 and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(0.3)
        process.kill()
        process.wait()
        Tools(tmp_path, {"XDG_CACHE_HOME": str(tmp_path / "cache")})("naust", "mirror")
        assert proxy.down < len(data) * 1.1
        assert blob(tmp_path, data).stat().st_size == len(data)
        assert not list((tmp_path / "cache" / "seter" / "mirror").iterdir())


def test_a_full_disk_is_said_once_and_the_next_run_goes_on(tmp_path: Path) -> None:
    with upstream(tmp_path, 10) as (server, proxy, tools):
        server.files["f005"] = os.urandom(300_000)
        definition(tmp_path, proxy.address, server.files)
        argv = ["prlimit", "--fsize=100000", NAUST, "mirror", "--at-once", "1"]
        ended = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert ended.returncode == 1 and ended.stderr.count("no space left") == 1
        assert states(tools) == []
        server.release()
        tools("naust", "mirror")
        assert sorted(server.requests) == ["f005", "f006", "f007", "f008", "f009"]


# What upstream may not do unasked -------------------------------------------------------------------------------------


def test_an_upstream_that_shrinks_is_refused_until_it_is_accepted(tmp_path: Path) -> None:
    folder = tmp_path / "ours"
    folder.mkdir()
    for name, data in some(20).items():
        (folder / name).write_bytes(data)
    (tmp_path / "sources.hcl").write_text('files "ours" {\n  mode = "local"\n  folder = "ours"\n}\n')
    tools = Tools(tmp_path)
    tools("naust", "mirror")
    before = states(tools)
    for number in range(3):
        (folder / f"f{number:03}").unlink()
    refused = tools("naust", "mirror", code=7)
    assert "17 items, and had 20" in refused.err and "--accept" in refused.err
    assert states(tools) == before
    tools("naust", "mirror", "--accept")
    assert len(states(tools)) == 2


def test_nothing_new_means_no_request_and_no_new_name(tmp_path: Path) -> None:
    with upstream(tmp_path, 10) as (_, proxy, tools):
        tools("naust", "mirror")
        first = tools("naust", "snapshot", "build").out
        before = states(tools)
        proxy.clear()
        assert tools("naust", "mirror", "--json").json()[0]["changed"] is False
        assert proxy.seen == []
        assert tools("naust", "snapshot", "build").out == first
        assert states(tools) == before


def test_each_content_is_fetched_once_however_many_places_have_it(tmp_path: Path) -> None:
    with Upstream({"a": b"same" * 100, "b": b"same" * 100, "c": b"other"}) as server:
        definition(tmp_path, server.address, server.files)
        found = Tools(tmp_path)("naust", "mirror", "--json").json()[0]
        assert sorted(server.requests) == ["a", "c"]
        assert (found["items"], found["fetched"], found["present"]) == (3, 2, 1)


def test_where_one_place_of_a_content_fails_another_one_serves(tmp_path: Path) -> None:
    with Upstream({"a": b"same" * 100, "b": b"same" * 100}) as server:
        definition(tmp_path, server.address, server.files)
        del server.files["a"]
        assert Tools(tmp_path)("naust", "mirror", "--json").json()[0]["changed"]


# Snapshots ------------------------------------------------------------------------------------------------------------


def changed(folder: Path, server: Upstream, address: str) -> None:
    server.files["f001"] = b"a newer one"
    definition(folder, address, server.files)


def test_a_difference_names_packages_with_their_versions(tmp_path: Path) -> None:
    with upstream(tmp_path, 5) as (server, proxy, tools):
        tools("naust", "mirror")
        tools("naust", "snapshot", "build", "--as", "production")
        server.files["f009"] = server.files.pop("f002")
        changed(tmp_path, server, proxy.address)
        tools("naust", "mirror")
        tools("naust", "snapshot", "build")
        found = tools("naust", "snapshot", "diff", "build:production", "build:latest", "--json").json()
        assert [(each["name"], each["before"], each["after"]) for each in found] == [
            ("f001", ["1"], ["1"]),
            ("f002", ["1"], []),
            ("f009", [], ["1"]),
        ]
        assert "other bytes" in tools("naust", "snapshot", "diff", "build:production", "build").out


def test_copy_fsck_and_gc_follow_snapshots_to_the_last_file(tmp_path: Path) -> None:
    with upstream(tmp_path, 12) as (_, _, tools):
        tools("naust", "mirror")
        tools("naust", "snapshot", "build")
        state, other = states(tools)[-1], str(tmp_path / "other")
        tools("naust", "copy", "snapshot/build", "--to", other)
        listed = tools("naust", "list", "--store", other).out
        assert listed.startswith("snapshot/build:")
        assert "0 damaged" in tools("naust", "fsck", "--store", other).out
        tools("naust", "rm", "--yes", state if "binaries" in state else states(tools)[0])
        tools("naust", "gc", "--grace", "0")
        tools("naust", "snapshot", "diff", "build", "build")
        assert "0 damaged" in tools("naust", "fsck").out and len(blobs(tmp_path)) >= 12
        tools("naust", "rm", "--yes", *states(tools))
        tools("naust", "gc", "--grace", "0")
        assert blobs(tmp_path) == []


def test_pull_never_unpacks_the_paths_of_a_state_into_the_working_folder(tmp_path: Path) -> None:
    with upstream(tmp_path, 3) as (_, _, tools):
        tools("naust", "mirror")
        tools("naust", "snapshot", "build")
        before = sorted(path.name for path in tmp_path.iterdir())
        assert tools("naust", "pull", "snapshot/binaries", code=2).out == ""
        assert tools("naust", "pull", "snapshot/build", ".", code=None).code != 0
        assert sorted(path.name for path in tmp_path.iterdir()) == before
