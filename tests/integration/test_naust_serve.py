"""`naust serve` as a process: signals, crashes, full disks, memory; docker, crane, oras and skopeo as its clients."""

from __future__ import annotations

import http.client
import io
import json
import os
import signal
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from common.model import Digest
from tests.conftest import Tools
from tests.lab.programs import program
from tests.lab.serving import (
    Process,
    ask,
    certificate,
    connected,
    made,
    process,
    publish,
    resident,
    rest,
    status,
    token,
    upload,
)

NAME = "file/thing"
FREELY = ("--anonymous", "admin")
LARGE = 64 << 20
ANY = f"sha256:{'0' * 64}"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Process]:
    with process(tmp_path / "store", *FREELY, log=tmp_path / "log") as running:
        yield running


def started(port: int, size: int, digest: str) -> tuple[str, bytes]:
    """An upload, and the head of the request that brings its bytes and ends it."""
    where = ask(port, "POST", f"/v2/{NAME}/blobs/uploads/", b"").headers["location"]
    return where, f"PUT {where}?digest={digest} HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n".encode()


# The end


def test_an_upload_and_a_download_in_flight_finish_before_the_server_ends(server: Process) -> None:
    data = os.urandom(LARGE)
    digest = upload(server.port, NAME, data)
    other = os.urandom(LARGE)
    _, head = started(server.port, LARGE, str(Digest.of(other)))
    with connected(server.port) as up, connected(server.port) as down, connected(server.port) as idle:
        up.sendall(head + other[: LARGE // 2])
        down.sendall(f"GET /v2/{NAME}/blobs/{digest} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        begin = down.recv(1 << 16)
        server.signal(signal.SIGTERM)
        assert rest(idle) == b""
        refused(server.port)
        up.sendall(other[LARGE // 2 :])
        answer = rest(up)
        assert status(answer) == 201
        assert b"Connection: close" in answer
        assert (begin + rest(down)).endswith(data)
    assert server.ended() == 0
    path = server_root(server) / "blobs" / "sha256" / Digest.of(other).hex
    assert path.stat().st_size == LARGE


def server_root(server: Process) -> Path:
    return server.log.parent / "store"


def refused(port: int) -> None:
    """Nobody is let in any more."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        with closing(socket.socket()) as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return
        time.sleep(0.02)
    raise AssertionError("the server still listens")


def test_a_second_signal_ends_the_server_at_once(server: Process) -> None:
    _, head = started(server.port, LARGE, ANY)
    with connected(server.port) as up:
        up.sendall(head + b"x" * (2 << 20))
        grown(server_root(server), 1 << 20)
        server.signal(signal.SIGINT)
        refused(server.port)
        assert server.started.poll() is None
        server.signal(signal.SIGTERM)
        assert server.ended(5) == -signal.SIGTERM


def test_who_takes_too_long_is_cut_off_and_that_is_told(tmp_path: Path) -> None:
    with process(tmp_path / "store", *FREELY, "--grace", "300ms", log=tmp_path / "log") as server:
        _, head = started(server.port, LARGE, ANY)
        with connected(server.port) as up:
            up.sendall(head + b"x" * (2 << 20))
            grown(tmp_path / "store", 1 << 20)
            server.signal(signal.SIGTERM)
            assert rest(up) == b""
        assert server.ended() == 4
        assert "--grace" in (tmp_path / "log").read_text()


def test_a_server_without_requests_ends_at_once(server: Process) -> None:
    started_at = time.monotonic()
    server.signal(signal.SIGTERM)
    assert server.ended() == 0
    assert time.monotonic() - started_at < 3


# Crashes and full disks


def test_kill_9_within_an_upload_leaves_nothing_visible_and_the_upload_goes_on(tmp_path: Path) -> None:
    data = os.urandom(LARGE)
    digest = Digest.of(data)
    with process(tmp_path / "store", *FREELY, log=tmp_path / "log") as server:
        where, head = started(server.port, LARGE, str(digest))
        with connected(server.port) as up:
            up.sendall(head + data[: LARGE // 2])
            grown(tmp_path / "store", LARGE // 4)
            server.signal(signal.SIGKILL)
            server.ended()
    assert not list((tmp_path / "store" / "blobs").rglob("*/*"))
    with process(tmp_path / "store", *FREELY, log=tmp_path / "log") as server:
        assert ask(server.port, "HEAD", f"/v2/{NAME}/blobs/{digest}").status == 404
        have = int(ask(server.port, "GET", where).headers["range"].partition("-")[2]) + 1
        assert LARGE // 4 <= have <= LARGE // 2
        more = ask(server.port, "PATCH", where, data[have:], Content_Range=f"{have}-{LARGE - 1}")
        assert more.status == 202
        assert ask(server.port, "PUT", f"{where}?digest={digest}", b"").status == 201
        assert ask(server.port, "GET", f"/v2/{NAME}/blobs/{digest}").body == data


def grown(store: Path, size: int) -> None:
    """Wait until an upload has so many bytes."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if any(path.stat().st_size >= size for path in (store / ".uploads").glob("*/*/*")):
            return
        time.sleep(0.01)
    raise AssertionError("the upload does not grow")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "naust-test", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_told_and_nothing_is_in_the_way_afterwards(small_disk: Path, tmp_path: Path) -> None:
    big = os.urandom(16 << 20)
    with process(small_disk / "store", *FREELY, log=tmp_path / "log") as server:
        path = f"/v2/{NAME}/blobs/uploads/?digest={Digest.of(big)}"
        with connected(server.port) as sock:  # before a byte is sent, where the size is known
            head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(big)}\r\nExpect: 100-continue\r\n\r\n"
            sock.sendall(head.encode())
            assert status(rest(sock)) == 507
        assert answer_to_chunks(server.port, path, big) == 507
        assert not list((small_disk / "store" / ".uploads").glob("*/*/*"))
        assert publish(server.port, NAME, "1", os.urandom(1 << 20)).status == 201
        assert "Traceback" not in (tmp_path / "log").read_text()


def test_a_limit_on_file_sizes_is_told_like_a_full_disk(tmp_path: Path) -> None:
    big = os.urandom(4 << 20)
    with process(tmp_path / "store", *FREELY, log=tmp_path / "log", memory=1 << 20) as server:
        path = f"/v2/{NAME}/blobs/uploads/?digest={Digest.of(big)}"
        assert answer_to_chunks(server.port, path, big) == 507
        assert publish(server.port, NAME, "1", b"small").status == 201


def answer_to_chunks(port: int, path: str, data: bytes) -> int:
    """The status of the answer to a body whose size is not said."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        with suppress(OSError):  # it may answer before it has read all
            connection.request("POST", path, iter([data[at : at + 65536] for at in range(0, len(data), 65536)]))
        return connection.getresponse().status


# Many clients, little memory


def test_memory_stays_flat_whatever_the_size(tmp_path: Path) -> None:
    with process(tmp_path / "store", *FREELY, log=tmp_path / "log") as server:
        through(server, tmp_path, 256 << 20)
        assert resident(server.started.pid) < 100 << 20


@pytest.mark.long
def test_memory_stays_flat_at_four_gibibytes(tmp_path: Path) -> None:
    with process(tmp_path / "store", *FREELY, log=tmp_path / "log") as server:
        through(server, tmp_path, 4 << 30)
        assert resident(server.started.pid) < 150 << 20


def through(server: Process, folder: Path, size: int) -> None:
    """A sparse file goes in by curl and comes out again."""
    import hashlib

    path = folder / "sparse"
    with path.open("wb") as file:
        file.truncate(size)
    with path.open("rb") as file:
        digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    where = ask(server.port, "POST", f"/v2/{NAME}/blobs/uploads/", b"").headers["location"]
    url = f"http://{server.host}{where}?digest={digest}"
    subprocess.run(["curl", "--silent", "--fail", "--upload-file", str(path), url], check=True, timeout=300)
    subprocess.run(
        ["curl", "--silent", "--fail", "--output", "/dev/null", f"http://{server.host}/v2/{NAME}/blobs/{digest}"],
        check=True,
        timeout=300,
    )
    path.unlink()


def test_many_pushers_at_once_lose_nothing(server: Process) -> None:
    found: list[int] = []

    def push(number: int) -> None:
        for turn in range(3):
            data = os.urandom(200_000)
            found.append(publish(server.port, f"file/n{number}", f"t{turn}", data).status)
            found.append(ask(server.port, "GET", f"/v2/file/n{number}/blobs/{Digest.of(data)}").status)

    threads = [threading.Thread(target=push, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(set(found)) == [200, 201]
    lines = ask(server.port, "GET", "/api/v1/artifacts").body.splitlines()
    assert len(lines) == 24


# Clients of others, over TLS with a CA of our own


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[Process, dict[str, str], str]]:
    """A server with TLS and tokens; the environment that trusts it; a token that may do everything."""
    cert, key = certificate(tmp_path / "tls")
    (tmp_path / "tls" / "ca.crt").write_bytes(cert.read_bytes())
    held = token(tmp_path / "tokens", "ci", "admin:*")
    options = ("--cert", str(cert), "--key", str(key), "--tokens", str(tmp_path / "tokens"))
    with process(tmp_path / "store", *options, log=tmp_path / "log") as server:
        env = {"HOME": str(tmp_path), "DOCKER_CONFIG": str(tmp_path), "SSL_CERT_FILE": str(cert)}
        yield server, os.environ | env, held


def ran(*argv: str, env: dict[str, str], cwd: Path, given: str = "") -> str:
    ended = subprocess.run(
        [program(argv[0]), *argv[1:]], env=env, cwd=cwd, input=given, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, f"{argv}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def layer(folder: Path) -> Path:
    """A tar with one file."""
    path = folder / "layer.tar"
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("hello")
        info.size = 5
        tar.addfile(info, io.BytesIO(b"hello"))
    return path


def test_crane_and_skopeo_push_and_pull(secure: tuple[Process, dict[str, str], str], tmp_path: Path) -> None:
    server, env, held = secure
    app = f"{server.host}/container/app"
    ran("crane", "auth", "login", server.host, "-u", "x", "--password-stdin", env=env, cwd=tmp_path, given=held)
    ran("crane", "append", "-f", str(layer(tmp_path)), "-t", f"{app}:1", env=env, cwd=tmp_path)
    digest = ran("crane", "digest", f"{app}:1", env=env, cwd=tmp_path).strip()
    ran("crane", "copy", f"{app}:1", f"{server.host}/container/copy:1", env=env, cwd=tmp_path)
    assert ran("crane", "digest", f"{server.host}/container/copy:1", env=env, cwd=tmp_path).strip() == digest
    assert ran("crane", "catalog", server.host, env=env, cwd=tmp_path).split() == ["container/app", "container/copy"]
    certs = ("--cert-dir", str(tmp_path / "tls"))
    ran("skopeo", "login", *certs, "-u", "x", "--password-stdin", server.host, env=env, cwd=tmp_path, given=held)
    both = ("--src-cert-dir", str(tmp_path / "tls"), "--dest-cert-dir", str(tmp_path / "tls"))
    ran("skopeo", "copy", *both, f"docker://{app}:1", f"docker://{app}:2", env=env, cwd=tmp_path)
    ran("skopeo", "copy", *both, f"docker://{app}:2", f"oci:{tmp_path}/layout:2", env=env, cwd=tmp_path)
    assert json.loads(ran("skopeo", "inspect", *certs, f"docker://{app}:2", env=env, cwd=tmp_path))["Digest"] == digest
    ran("crane", "delete", f"{app}@{digest}", env=env, cwd=tmp_path)
    assert ask_tls(server, held, tmp_path, "/v2/container/app/tags/list") == 404


def ask_tls(server: Process, held: str, folder: Path, path: str) -> int:
    import ssl

    context = ssl.create_default_context(cafile=str(folder / "tls" / "cert.pem"))
    with closing(http.client.HTTPSConnection("127.0.0.1", server.port, context=context)) as connection:
        connection.request("GET", path, headers={"Authorization": f"Bearer {held}"})
        return connection.getresponse().status


def test_oras_pushes_attaches_and_discovers(secure: tuple[Process, dict[str, str], str], tmp_path: Path) -> None:
    server, env, held = secure
    ran("oras", "login", server.host, "-u", "x", "--password-stdin", env=env, cwd=tmp_path, given=held)
    (tmp_path / "hello.txt").write_text("hello\n")
    target = f"{server.host}/file/hello:1"
    ran("oras", "push", target, "hello.txt:text/plain", env=env, cwd=tmp_path)
    ran("oras", "attach", "--artifact-type", "example/signature", target, "hello.txt", env=env, cwd=tmp_path)
    assert "example/signature" in ran("oras", "discover", target, env=env, cwd=tmp_path)
    ran("oras", "pull", "-o", "out", target, env=env, cwd=tmp_path)
    assert (tmp_path / "out" / "hello.txt").read_text() == "hello\n"


def test_docker_logs_in_pushes_and_pulls_also_as_nobody(tmp_path: Path) -> None:
    held = token(tmp_path / "tokens", "ci", "write:container/*")
    options = ("--tokens", str(tmp_path / "tokens"), "--anonymous", "read")
    env = os.environ | {"DOCKER_CONFIG": str(tmp_path), "HOME": str(tmp_path)}
    with process(tmp_path / "store", *options, log=tmp_path / "log") as server:
        image = f"{server.host}/container/small:1"
        ran("docker", "import", str(layer(tmp_path)), image, env=env, cwd=tmp_path)
        try:
            nobody = subprocess.run(["docker", "push", image], env=env, capture_output=True, text=True)
            assert "without a token" in nobody.stderr
            ran("docker", "login", server.host, "-u", "x", "--password-stdin", env=env, cwd=tmp_path, given=held)
            ran("docker", "push", image, env=env, cwd=tmp_path)
            ran("docker", "logout", server.host, env=env, cwd=tmp_path)
            ran("docker", "rmi", image, env=env, cwd=tmp_path)
            assert "Downloaded" in ran("docker", "pull", image, env=env, cwd=tmp_path)
        finally:
            subprocess.run(["docker", "rmi", "--force", image], capture_output=True)


# The command line


@pytest.fixture
def naust(tmp_path: Path) -> Tools:
    return Tools(tmp_path, {"NAUST_STORE": "", "NAUST_CONFIG": "", "HOME": str(tmp_path), "XDG_CONFIG_HOME": ""})


def test_naust_is_its_own_client(naust: Tools, tmp_path: Path) -> None:
    held = naust("naust", "token", "new", "ci", "--scope", "write:file/*", "--tokens", "tokens").out.strip()
    with process(tmp_path / "store", "--tokens", str(tmp_path / "tokens"), log=tmp_path / "log") as server:
        store = f"http://{server.host}"
        env = {"NAUST_TOKEN": held, "NAUST_STORE": store}
        (tmp_path / "f").write_bytes(b"content")
        uri = naust("naust", "push", "f", "file/thing:1.0", **env).out.strip()
        assert uri.startswith(f"{store}/file/thing/1.0-20")
        assert naust("naust", "push", "f", "file/thing:1.0", **env).out.strip() == uri
        assert len(naust("naust", "list", "--json", **env).json()) == 1
        naust("naust", "pull", "file/thing:1.0", "out", **env)
        assert (tmp_path / "out").read_bytes() == b"content"
        naust("naust", "push", "f", "vm/thing:1.0", code=1, **env)
        naust("naust", "list", code=1, NAUST_STORE=store, NAUST_TOKEN="wrong")


def test_tokens_are_made_listed_and_revoked(naust: Tools, tmp_path: Path) -> None:
    line = ("naust", "token")
    made_one = naust(*line, "new", "ci", "--scope", "read:*", "--expires", "90d", "--tokens", "tokens")
    assert made_one.out.startswith("naust_")
    assert made_one.out.strip() not in (tmp_path / "tokens").read_text()
    (shown,) = naust(*line, "list", "--json", "--tokens", "tokens").json()
    assert (shown["name"], shown["scopes"]) == ("ci", "read:*")
    assert naust(*line, "list", "--tokens", "tokens").out.startswith("ci\tread:*\t20")
    naust(*line, "new", "ci", "--scope", "read:*", "--tokens", "tokens", code=7)
    naust(*line, "revoke", "ci", "--tokens", "tokens")
    assert naust(*line, "list", "--tokens", "tokens").out == ""
    for wrong in (["revoke", "ci"], ["new", "x"], ["new"], ["make", "x"], ["list", "x"], ["new", "x", "--scope", "y"]):
        naust(*line, *wrong, "--tokens", "tokens", code=2)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "--tokens"),
        (["--anonymous", "all"], "Write read, write or admin"),
        (["--anonymous", "read", "--listen", "192.0.2.1:1"], "--plain"),
        (["--anonymous", "read", "--listen", "nowhere"], "HOST:PORT"),
        (["--anonymous", "read", "--listen", "127.0.0.1:99999"], "HOST:PORT"),
        (["--anonymous", "read", "--listen", "192.0.2.1:1", "--plain"], "port that is free"),
        (["--anonymous", "read", "--cert", "none"], "go together"),
        (["--anonymous", "read", "--cert", "none", "--key", "none"], "PEM"),
        (["--anonymous", "read", "--max-upload", "much"], "20GiB"),
        (["--anonymous", "read", "--grace", "long"], "30s"),
        (["--anonymous", "read", "--store", "http://127.0.0.1:1"], "directory"),
        (["--tokens", "none"], "naust token new"),
    ],
)
def test_a_server_that_would_not_be_right_does_not_start(naust: Tools, options: list[str], told: str) -> None:
    ended = naust("naust", "serve", *options, code=2, timeout=30)
    assert told in ended.err


def test_a_token_file_that_others_read_keeps_the_server_from_starting(naust: Tools, tmp_path: Path) -> None:
    naust("naust", "token", "new", "ci", "--scope", "read:*", "--tokens", "tokens")
    (tmp_path / "tokens").chmod(0o644)
    assert "chmod 600" in naust("naust", "serve", "--tokens", "tokens", code=1, timeout=30).err


def test_a_port_that_is_taken_is_told(naust: Tools, server: Process) -> None:
    ended = naust("naust", "serve", "--anonymous", "read", "--listen", server.host, code=2, timeout=30)
    assert "port that is free" in ended.err


def test_the_log_moves_and_tokens_change_while_it_runs(tmp_path: Path, naust: Tools) -> None:
    held = token(tmp_path / "tokens", "ci", "write:*")
    options = ("--tokens", str(tmp_path / "tokens"), "--audit", str(tmp_path / "audit"), "--verbose")
    with process(tmp_path / "store", *options, log=tmp_path / "log") as server:
        assert publish(server.port, NAME, "1", token=held).status == 201
        (tmp_path / "audit").rename(tmp_path / "audit.1")
        server.signal(signal.SIGHUP)
        until(lambda: (tmp_path / "audit").exists())
        publish(server.port, NAME, "2", b"more", token=held)
        until(lambda: len((tmp_path / "audit").read_text().splitlines()) == 3)
        naust("naust", "token", "revoke", "ci", "--tokens", "tokens")
        assert ask(server.port, "GET", f"/v2/{NAME}/manifests/1", token=held).status == 401
        until(lambda: '"method": "GET"' in (tmp_path / "log").read_text())
    text = (tmp_path / "audit").read_text() + (tmp_path / "audit.1").read_text() + (tmp_path / "log").read_text()
    assert held not in text


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_what_was_made_is_what_is_read(server: Process) -> None:
    publish(server.port, NAME, "1")
    assert ask(server.port, "GET", f"/{NAME}/1").body == made(b"content")
