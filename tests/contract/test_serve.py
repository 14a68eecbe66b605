"""What `naust serve` promises to its clients, over real sockets: protocol, tokens, limits, and what it never does."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.model import Digest
from naust import manifest as oci
from naust.serve import connection as connection_module
from naust.serve import door
from naust.serve import server as server_module
from naust.serve.service import Rules
from naust.serve.tokens import Right
from naust.serve.uploads import sweep
from naust.store.directory import DirectoryStore
from tests.lab.serving import (
    Served,
    ask,
    certificate,
    connected,
    made,
    publish,
    rest,
    said,
    served,
    status,
    token,
    upload,
)

NAME = "file/thing"
DATED = "1.0-20261124T221500Z"
GET = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def free(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server where everybody may do everything; each test has names of its own."""
    with served(tmp_path_factory.mktemp("free") / "store") as running:
        yield running


def fresh() -> str:
    return f"file/t{os.urandom(6).hex()}"


# Reading


def test_a_part_of_a_blob_and_conditions_on_it(free: Served) -> None:
    name, data = fresh(), bytes(range(256)) * 8
    path = f"/v2/{name}/blobs/{upload(free.port, name, data)}"
    whole = ask(free.port, "GET", path)
    assert (whole.status, whole.body, whole.headers["accept-ranges"]) == (200, data, "bytes")
    tag = whole.headers["etag"]
    part = ask(free.port, "GET", path, Range="bytes=5-9")
    assert (part.status, part.body, part.headers["content-range"]) == (206, data[5:10], "bytes 5-9/2048")
    assert ask(free.port, "GET", path, Range="bytes=5-9", If_Range=tag).status == 206
    assert ask(free.port, "GET", path, Range="bytes=5-9", If_Range='"other"').body == data
    assert ask(free.port, "GET", path, Range="bytes=1-2,4-5").body == data
    beyond = ask(free.port, "GET", path, Range="bytes=5000-")
    assert (beyond.status, beyond.headers["content-range"]) == (416, "bytes */2048")
    assert ask(free.port, "GET", path, If_None_Match=tag).status == 304
    head = ask(free.port, "HEAD", path)
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "2048")
    assert head.headers["docker-content-digest"] == str(Digest.of(data))


def test_an_artefact_has_its_uri(free: Served) -> None:
    name = fresh()
    publish(free.port, name, DATED)
    manifest = ask(free.port, "GET", f"/{name}/{DATED}")
    assert (manifest.body, manifest.headers["content-type"]) == (made(b"content"), oci.MANIFEST)
    page = ask(free.port, "GET", f"/{name}/{DATED}", Accept="text/html,application/xhtml+xml")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    file = ask(free.port, "GET", f"/{name}/{DATED}?download")
    assert (file.body, file.headers["x-content-type-options"]) == (b"content", "nosniff")
    assert 'attachment; filename="thing.txt"' in file.headers["content-disposition"]
    assert ask(free.port, "GET", f"/{name}/{DATED}?download", Range="bytes=0-2").body == b"con"
    assert ask(free.port, "GET", f"/{name}/none").status == 404


def test_a_title_that_leads_elsewhere_is_no_file_name(free: Served) -> None:
    name = fresh()
    publish(free.port, name, "1")
    for number, title in enumerate(('../../x"; y=z', "a\r\nSet-Cookie: b", "ünï.txt")):
        ask(free.port, "PUT", f"/v2/{name}/manifests/t{number}", made(b"content", title))
        answer = ask(free.port, "GET", f"/{name}/t{number}?download")
        assert answer.body == b"content"
        assert "set-cookie" not in answer.headers
        assert "/" not in answer.headers["content-disposition"].replace("UTF-8''", "")


def test_a_manifest_never_becomes_a_page_that_runs(free: Served) -> None:
    name = fresh()
    publish(free.port, name, "1")
    hostile = json.dumps(json.loads(made(b"content")) | {"mediaType": "text/html"}).encode()
    answer = ask(free.port, "PUT", f"/v2/{name}/manifests/2", hostile)
    assert (answer.status, answer.code) == (400, "MANIFEST_INVALID")
    DirectoryStore(free.root).put_manifest(name, "3", hostile)  # into the folder itself
    assert ask(free.port, "GET", f"/v2/{name}/manifests/3").headers["content-type"] == "application/octet-stream"


def test_a_damaged_manifest_is_told_and_hides_nothing_else(free: Served) -> None:
    name = fresh()
    publish(free.port, name, "1")
    publish(free.port, name, "2", b"other")
    path = free.root / name / "1"
    path.unlink()
    path.write_bytes(b"rubbish")
    answer = ask(free.port, "GET", f"/v2/{name}/manifests/1")
    assert (answer.status, answer.code) == (422, "MANIFEST_INVALID")
    assert str(free.root) not in answer.message
    lines = ask(free.port, "GET", f"/api/v1/artifacts?prefix={name}").body.splitlines()
    assert [json.loads(line)["tag"] for line in lines if "damaged" not in json.loads(line)] == ["2"]
    assert ask(free.port, "DELETE", f"/v2/{name}/manifests/1").status == 202


# Publishing


def test_a_tag_moves_only_from_where_the_mover_believes_it_is(free: Served) -> None:
    name = fresh()
    first = publish(free.port, name, "production", b"one", If_None_Match="*")
    assert (first.status, first.headers["etag"]) == (201, f'"{Digest.of(made(b"one"))}"')
    assert publish(free.port, name, "production", b"one", If_None_Match="*").status == 201
    assert publish(free.port, name, "production", b"two", If_None_Match="*").status == 412
    assert publish(free.port, name, "production", b"two", If_Match=f'"{Digest.of(b"?")}"').status == 412
    assert publish(free.port, name, "production", b"two", If_Match=first.headers["etag"]).status == 201
    assert publish(free.port, name, "production", b"three").status == 201
    assert publish(free.port, name, "new", b"three", If_Match=first.headers["etag"]).status == 412
    assert publish(free.port, name, "new", b"three", If_Match='"nonsense"').status == 400
    path = f"/v2/{name}/manifests/production"
    assert ask(free.port, "DELETE", path, If_Match=first.headers["etag"]).status == 412
    assert ask(free.port, "DELETE", path, If_Match=f'"{Digest.of(made(b"three"))}"').status == 202
    assert ask(free.port, "DELETE", path).status == 404


def test_a_version_is_never_replaced(free: Served) -> None:
    name = fresh()
    assert publish(free.port, name, DATED, b"one").status == 201
    assert publish(free.port, name, DATED, b"one").status == 201
    answer = publish(free.port, name, DATED, b"two")
    assert (answer.status, answer.code) == (409, "DENIED")
    assert publish(free.port, name, DATED, b"two", If_Match=f'"{Digest.of(made(b"one"))}"').status == 412
    assert ask(free.port, "GET", f"/v2/{name}/manifests/{DATED}").body == made(b"one")


def test_of_many_who_publish_one_version_one_wins_and_the_others_are_told(free: Served) -> None:
    name, found = fresh(), []
    for number in range(8):
        upload(free.port, name, str(number).encode())
    upload(free.port, name, b"{}")
    start = threading.Barrier(8)

    def push(number: int) -> None:
        start.wait()
        path = f"/v2/{name}/manifests/{DATED}"
        found.append(ask(free.port, "PUT", path, made(str(number).encode()), If_None_Match="*").status)

    together(push, 8)
    assert sorted(found) == [201] + [412] * 7


def together(act: object, count: int) -> None:
    threads = [threading.Thread(target=act, args=(number,)) for number in range(count)]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_an_unknown_kind_is_told_how_names_are(free: Served) -> None:
    for path in ("/v2/alpine/manifests/1", "/v2/library/alpine/blobs/uploads/", "/v2/file/a/b/manifests/1"):
        answer = ask(free.port, "PUT" if "manifests" in path else "POST", path, b"")
        assert (answer.status, answer.code) == (400, "NAME_INVALID")
        assert "KIND/NAME" in answer.message
    assert ask(free.port, "HEAD", "/v2/alpine/manifests/1").status == 404


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "MANIFEST_INVALID"),
        (b"[" * 100_000, "MANIFEST_INVALID"),
        (b"{}", "MANIFEST_INVALID"),
        (b"[]", "MANIFEST_INVALID"),
        (b'{"layers":[{}]}', "MANIFEST_INVALID"),
        (b'{"layers":[],"mediaType":5}', "MANIFEST_INVALID"),
        (b'{"layers":[],"subject":"x"}', "MANIFEST_INVALID"),
        (made(b"never pushed"), "MANIFEST_BLOB_UNKNOWN"),
    ],
)
def test_what_is_no_manifest_is_refused(free: Served, data: bytes, code: str) -> None:
    answer = ask(free.port, "PUT", f"/v2/{fresh()}/manifests/1", data)
    assert (answer.status // 100, answer.code) == (4, code)


def test_a_manifest_of_a_million_entries_is_refused_before_it_is_read(free: Served) -> None:
    with connected(free.port) as sock:
        head = f"PUT /v2/{NAME}/manifests/1 HTTP/1.1\r\nHost: a\r\nContent-Length: {200 << 20}\r\n\r\n"
        sock.sendall(head.encode())
        sock.sendall(b'{"mediaType":"x","digest":"sha256:0","size":0},' * 20_000)
        assert status(rest(sock)) == 413
    assert ask(free.port, "GET", "/healthz").status == 200


# Uploads


def location(answer: object) -> str:
    return str(answer.headers["location"])  # type: ignore[attr-defined]


def test_an_upload_goes_on_after_a_restart_of_the_server(tmp_path: Path) -> None:
    data = os.urandom(300_000)
    with served(tmp_path / "store") as first:
        where = location(ask(first.port, "POST", f"/v2/{NAME}/blobs/uploads/", b""))
        assert ask(first.port, "PATCH", where, data[:100_000]).headers["range"] == "0-99999"
    with served(tmp_path / "store") as second:
        state = ask(second.port, "GET", where)
        assert (state.status, state.headers["range"]) == (204, "0-99999")
        wrong = ask(second.port, "PATCH", where, data[50_000:], Content_Range="50000-299999")
        assert (wrong.status, wrong.headers["range"]) == (416, "0-99999")
        assert ask(second.port, "PATCH", where, data[100_000:], Content_Range="100000-299999").status == 202
        assert ask(second.port, "PUT", f"{where}?digest={Digest.of(data)}", b"").status == 201
        assert ask(second.port, "GET", where).status == 404
        assert ask(second.port, "GET", f"/v2/{NAME}/blobs/{Digest.of(data)}").body == data


def test_an_upload_whose_connection_broke_keeps_what_came(free: Served) -> None:
    name, data = fresh(), os.urandom(3 << 20)
    where = location(ask(free.port, "POST", f"/v2/{name}/blobs/uploads/", b""))
    with connected(free.port) as sock:
        head = f"PATCH {where} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(data)}\r\n\r\n"
        sock.sendall(head.encode() + data[: 2 << 20])
    state = patiently(free, where, 2 << 20)
    assert ask(free.port, "PATCH", where, data[state:], Content_Range=f"{state}-{len(data) - 1}").status == 202
    assert ask(free.port, "PUT", f"{where}?digest={Digest.of(data)}", b"").status == 201


def patiently(running: Served, where: str, expected: int) -> int:
    end = time.monotonic() + 5
    while time.monotonic() < end:
        found = int(ask(running.port, "GET", where).headers["range"].partition("-")[2]) + 1
        if found == expected:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{found} of {expected} bytes were kept")


def test_stale_uploads_are_swept_and_those_at_work_are_not(tmp_path: Path) -> None:
    from datetime import timedelta

    with served(tmp_path / "store") as running:
        old, new = (location(ask(running.port, "POST", f"/v2/{NAME}/blobs/uploads/", b"")) for _ in range(2))
        path = next((running.root / ".uploads").glob(f"*/*/{old.rpartition('/')[2]}"))
        os.utime(path, (0, 0))
        assert sweep(running.root, timedelta(hours=1)) == 1
        assert (ask(running.port, "GET", old).status, ask(running.port, "GET", new).status) == (404, 204)
        with running.service._blobs.uploads.opened(NAME, new.rpartition("/")[2]):
            assert sweep(running.root, timedelta(0)) == 0
        assert sweep(running.root, timedelta(0)) == 1


def test_bytes_that_are_not_the_digest_leave_nothing(free: Served) -> None:
    name = fresh()
    digest = Digest.of(b"wanted")
    answer = ask(free.port, "POST", f"/v2/{name}/blobs/uploads/?digest={digest}", b"other")
    assert (answer.status, answer.code) == (400, "DIGEST_INVALID")
    for wrong in ("md5:0", "sha256:0", "x", "sha256:" + "g" * 64, "../../etc/passwd"):
        assert ask(free.port, "POST", f"/v2/{name}/blobs/uploads/?digest={wrong}", b"other").status == 400
    assert ask(free.port, "HEAD", f"/v2/{name}/blobs/{digest}").status == 404
    assert not list((free.root / ".uploads").glob(f"{name}/*"))


def test_a_client_may_wait_to_be_told_to_send(free: Served) -> None:
    path = f"/v2/{fresh()}/blobs/uploads/?digest={Digest.of(b'hello')}"
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    with connected(free.port) as sock:
        sock.sendall(head.encode())
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert status(said(sock, b"hello")) == 201
    with connected(free.port) as sock:  # who would be refused is not told to send
        answer = said(sock, head.replace("sha256:", "md5:").encode())
        assert status(answer) == 400


# Tokens


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, dict[str, str]]]:
    folder = tmp_path_factory.mktemp("guarded")
    path = folder / "tokens"
    held = {
        "root": token(path, "root", "admin:*"),
        "a": token(path, "a", "write:file/a*"),
        "b": token(path, "b", "write:file/b*"),
        "reader": token(path, "reader", "read:file/a*"),
        "boss": token(path, "boss", "admin:file/a*"),
    }
    with served(folder / "store", Rules(), tokens=path, audit=folder / "audit") as running:
        publish(running.port, "file/a", "1", b"of a", token=held["a"])
        publish(running.port, "file/b", "1", b"of b", token=held["b"])
        publish(running.port, "file/a", DATED, b"of a", token=held["a"])
        yield running, held


A_BLOB = f"/v2/file/a/blobs/{Digest.of(b'of a')}"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v2/file/a/manifests/1", {"root", "a", "reader", "boss"}),
        ("GET", A_BLOB, {"root", "a", "reader", "boss"}),
        ("GET", "/v2/file/a/tags/list", {"root", "a", "reader", "boss"}),
        ("GET", f"/v2/file/a/referrers/{Digest.of(b'x')}", {"root", "a", "reader", "boss"}),
        ("GET", "/file/a/1", {"root", "a", "reader", "boss"}),
        ("GET", "/file/a/1?download", {"root", "a", "reader", "boss"}),
        ("POST", "/v2/file/a/blobs/uploads/", {"root", "a", "boss"}),
        ("PUT", "/v2/file/a/manifests/2", {"root", "a", "boss"}),
        ("PATCH", "/v2/file/a/blobs/uploads/00000000000000000000000000000000", {"root", "a", "boss"}),
        ("DELETE", f"/v2/file/a/blobs/{Digest.of(b'no')}", {"root", "boss"}),
        ("DELETE", "/v2/file/a/manifests/9.0-20261124T221500Z", {"root", "boss"}),
        ("DELETE", "/v2/file/a/manifests/channel", {"root", "a", "boss"}),
        ("GET", "/api/v1/blobs", {"root"}),
        ("GET", "/api/v1/roots", {"root"}),
        ("GET", "/api/v1/upkeep", {"root"}),
        ("POST", "/api/v1/upkeep", {"root"}),
        ("DELETE", f"/api/v1/blobs/{Digest.of(b'no')}", {"root"}),
        ("GET", "/metrics", {"root", "a", "b", "reader", "boss"}),
        ("GET", "/api/v1/artifacts", {"root", "a", "b", "reader", "boss"}),
    ],
)
def test_every_operation_asks_for_its_right(
    guarded: tuple[Served, dict[str, str]], method: str, path: str, allowed: set[str]
) -> None:
    running, held = guarded
    body = b"" if method in ("PUT", "POST", "PATCH") else None
    found = {name for name, each in held.items() if ask(running.port, method, path, body, token=each).status != 403}
    assert found == allowed
    for nobody in ("", "naust_wrong"):
        answer = ask(running.port, method, path, body, token=nobody)
        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith("Basic ")


def test_lists_show_what_may_be_read(guarded: tuple[Served, dict[str, str]]) -> None:
    running, held = guarded
    catalog = {
        name: json.loads(ask(running.port, "GET", "/v2/_catalog", token=each).body) for name, each in held.items()
    }
    assert catalog["root"]["repositories"] == ["file/a", "file/b"]
    assert catalog["b"]["repositories"] == ["file/b"]
    lines = ask(running.port, "GET", "/api/v1/artifacts", token=held["b"]).body.splitlines()
    assert {json.loads(line)["name"] for line in lines} == {"file/b"}
    page = ask(running.port, "GET", "/", token=held["b"], Accept="text/html")
    assert b"file/b" in page.body
    assert b"file/a" not in page.body
    assert ask(running.port, "GET", "/file/a", token=held["b"], Accept="text/html").status in (403, 404)


def test_nobody_gets_at_a_blob_by_guessing_its_digest(guarded: tuple[Served, dict[str, str]]) -> None:
    running, held = guarded
    secret = Digest.of(b"of a")
    assert ask(running.port, "GET", f"/v2/file/b/blobs/{secret}", token=held["b"]).status == 404
    assert ask(running.port, "GET", f"/v2/file/b/manifests/{Digest.of(made(b'of a'))}", token=held["b"]).status == 404
    for mount in (f"mount={secret}", f"mount={secret}&from=file/a", f"mount={secret}&from=file/b"):
        answer = ask(running.port, "POST", f"/v2/file/b/blobs/uploads/?{mount}", b"", token=held["b"])
        assert answer.status == 202
    answer = ask(running.port, "PUT", "/v2/file/b/manifests/2", made(b"of a"), token=held["b"])
    assert (answer.status, answer.code) == (404, "MANIFEST_BLOB_UNKNOWN")
    # Who may read both may mount, from a name or from wherever it is.
    for mount in (f"mount={secret}&from=file/a", f"mount={secret}"):
        answer = ask(running.port, "POST", f"/v2/file/c/blobs/uploads/?{mount}", b"", token=held["root"])
        assert answer.status == 201
    assert ask(running.port, "GET", f"/v2/file/c/blobs/{secret}", token=held["root"]).body == b"of a"


def test_what_was_put_into_the_folder_belongs_to_its_name(guarded: tuple[Served, dict[str, str]]) -> None:
    from tests.contract.test_store import put

    running, held = guarded
    local = DirectoryStore(running.root)
    manifest = put(local, b"local", "9", name="file/a-local")
    blob = f"/blobs/{Digest.of(b'local')}"
    assert ask(running.port, "GET", f"/v2/file/a-local{blob}", token=held["a"]).body == b"local"
    assert ask(running.port, "GET", f"/v2/file/b{blob}", token=held["b"]).status == 404
    assert ask(running.port, "GET", f"/v2/file/a-local/manifests/{Digest.of(manifest)}", token=held["a"]).status == 200
    put(local, b"more", "10", name="file/a-local")
    assert ask(running.port, "GET", f"/v2/file/a-local/blobs/{Digest.of(b'more')}", token=held["a"]).status == 200
    local.delete_tag("file/a-local", "10")
    assert ask(running.port, "GET", f"/v2/file/a-local/blobs/{Digest.of(b'more')}", token=held["a"]).status == 404


def test_a_token_is_a_password_too(guarded: tuple[Served, dict[str, str]]) -> None:
    from base64 import b64encode

    running, held = guarded
    login = b64encode(f"anybody:{held['a']}".encode()).decode()
    assert ask(running.port, "GET", "/v2/", Authorization=f"Basic {login}").status == 200
    for wrong in ("Basic x", "Basic", "Digest x", f"Basic {login[:-8]}", "Bearer", b64encode(b"no colon").decode()):
        assert ask(running.port, "GET", "/v2/", Authorization=wrong).status == 401


def test_the_log_names_who_and_never_a_token(guarded: tuple[Served, dict[str, str]]) -> None:
    running, held = guarded
    ask(running.port, "PUT", f"/v2/file/b/manifests/1?token={held['a']}", b"", token=held["a"])
    text = (running.root.parent / "audit").read_text()  # written before the answer
    assert not any(each in text for each in held.values())
    lines = [json.loads(line) for line in text.splitlines()]
    assert {line["who"] for line in lines} >= {"a", "b", "root"}
    assert any(line["status"] == 403 and line["path"] == "/v2/file/b/manifests/1" for line in lines)
    assert all(line["method"] != "GET" or line["status"] in (401, 403) for line in lines)


def test_anonymous_readers_get_a_token_that_is_nobodys(tmp_path: Path) -> None:
    held = token(tmp_path / "tokens", "ci", "write:*")
    with served(tmp_path / "store", Rules(anonymous=Right.READ), tokens=tmp_path / "tokens") as running:
        publish(running.port, NAME, "1", token=held)
        assert ask(running.port, "GET", f"/v2/{NAME}/manifests/1").status == 200
        assert ask(running.port, "POST", f"/v2/{NAME}/blobs/uploads/", b"").status == 401
        ping = ask(running.port, "GET", "/v2/")
        assert (ping.status, ping.headers["www-authenticate"]) == (
            401,
            f'Bearer realm="{running.url}/token",service="naust"',
        )
        nobody = json.loads(ask(running.port, "GET", "/token").body)["token"]
        assert ask(running.port, "GET", "/v2/", token=nobody).status == 200
        assert ask(running.port, "POST", f"/v2/{NAME}/blobs/uploads/", b"", token=nobody).status == 401
        assert json.loads(ask(running.port, "GET", "/token", token=held).body)["token"] == held
        assert ask(running.port, "GET", f"/v2/{NAME}/manifests/1", token="wrong").status == 401


# Limits


def test_limits_are_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    with served(tmp_path / "store", Rules(anonymous=Right.ADMIN, largest=1000)) as running:
        big = b"x" * 2000
        start = f"/v2/{NAME}/blobs/uploads/"
        answer = ask(running.port, "POST", f"{start}?digest={Digest.of(big)}", big)
        assert (answer.status, answer.code) == (413, "SIZE_INVALID")
        where = location(ask(running.port, "POST", start, b""))
        assert ask(running.port, "PATCH", where, big[:600]).status == 202
        assert ask(running.port, "PATCH", where, big[:600]).status == 413
        assert ask(running.port, "GET", where).status == 404
        where = location(ask(running.port, "POST", start, b""))
        chunked = b"3e8\r\n" + big[:1000] + b"\r\n1\r\nx\r\n0\r\n\r\n"
        with connected(running.port) as sock:
            head = f"PATCH {where} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
            assert status(said(sock, head.encode() + chunked)) == 413
        assert upload(running.port, NAME, big[:1000])


def test_who_asks_too_often_is_told_when_to_come_back(tmp_path: Path) -> None:
    with served(tmp_path / "store", Rules(anonymous=Right.READ, each_second=5)) as running:
        found = [ask(running.port, "GET", "/v2/") for _ in range(40)]
        late = [answer for answer in found if answer.status == 429]
        assert late
        assert late[0].code == "TOOMANYREQUESTS"
        assert int(late[0].headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 40_000, 431),
        (b"a" * 40_000, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 200 + b"\r\n", 431),
        (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
        (b"OPTIONS / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 405),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    ],
)
def test_strange_requests_get_an_answer_and_an_end(free: Served, data: bytes, expected: int) -> None:
    with connected(free.port) as sock:
        assert status(said(sock, data)) == expected


# Smuggling and pipelining


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 4\r\nContent-Length: 44\r\n",
        b"Content-Length: 4, 44\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"X: a\nTransfer-Encoding: chunked\r\n",
    ],
)
def test_a_smuggled_request_is_never_answered(free: Served, fields: bytes) -> None:
    name = fresh()
    hidden = f"PUT /v2/{name}/manifests/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".encode()
    with connected(free.port) as sock:
        answer = said(sock, b"POST /v2/ HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n0\r\n\r\n" + hidden + LAST)
    assert status(answer) in (400, 501)
    assert answer.count(b"HTTP/1.1 ") == 1


def test_requests_that_come_at_once_are_answered_in_order(free: Served) -> None:
    name, data = fresh(), os.urandom(100_000)
    digest = upload(free.port, name, data)
    first = f"GET /v2/{name}/blobs/{digest} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    post = f"POST /v2/{name}/blobs/uploads/?digest={Digest.of(b'x')} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"
    with connected(free.port) as sock:
        answer = said(sock, GET + first + post.encode() + GET + LAST)
    statuses = [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:] if part[:3].isdigit()]
    assert statuses == [200, 200, 201, 200, 200]
    assert data in answer


def test_a_body_that_nobody_read_does_not_become_a_request(free: Served) -> None:
    hidden = b"DELETE /v2/file/thing/manifests/1 HTTP/1.1\r\nHost: a\r\n\r\n"
    for size in (len(hidden), 1 << 20):
        with connected(free.port) as sock:
            head = f"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n".encode()
            sock.sendall(head + hidden.ljust(size, b"\n"))
            sock.shutdown(socket.SHUT_WR)
            assert rest(sock).count(b"HTTP/1.1 ") == 1


# Those who are slow, many or silent


def test_those_who_say_nothing_or_say_it_slowly_keep_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "SLOWEST_HEAD", 1.0)
    monkeypatch.setattr(door, "IDLE", 1.0)
    with served(tmp_path / "store", workers=2) as running:
        silent = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(50)]
        for number, each in enumerate(silent):
            each.settimeout(10)
            if number % 2:
                each.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
        started = time.monotonic()
        assert ask(running.port, "GET", "/healthz").status == 200
        assert time.monotonic() - started < 0.9
        while time.monotonic() - started < 1.8:
            for each in silent[1::2]:
                try:
                    each.sendall(b"X: a\r\n")
                except OSError:
                    break
            time.sleep(0.1)
        answers = [rest(each) for each in silent]
        assert {status(answer) for answer in answers[1::2]} <= {408, 0}
        assert any(status(answer) == 408 for answer in answers[1::2])
        assert set(answers[::2]) == {b""}
        for each in silent:
            each.close()


def test_idle_connections_hold_no_worker(tmp_path: Path) -> None:
    with served(tmp_path / "store", workers=1) as running:
        kept = [http.client.HTTPConnection("127.0.0.1", running.port, timeout=5) for _ in range(20)]
        for _ in range(3):
            for each in kept:
                each.request("GET", "/healthz")
                assert each.getresponse().read() == b"ok\n"
        for each in kept:
            each.close()


def test_a_body_that_never_comes_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "SILENCE", 0.5)
    with served(tmp_path / "store", workers=1) as running, connected(running.port) as sock:
        sock.sendall(f"POST /v2/{NAME}/blobs/uploads/?digest={Digest.of(b'x')} HTTP/1.1\r\n".encode())
        sock.sendall(b"Host: a\r\nContent-Length: 1000000\r\n\r\nx")
        assert rest(sock) == b""
        assert ask(running.port, "GET", "/healthz").status == 200


def test_more_requests_than_workers_are_all_answered(tmp_path: Path) -> None:
    with served(tmp_path / "store", workers=2) as running:
        found: list[int] = []
        together(
            lambda number: found.extend(publish(running.port, f"file/n{number}", "1").status for _ in range(3)), 12
        )
        assert found == [201] * 36


def test_bodies_that_dribble_hold_no_worker_for_long(tmp_path: Path) -> None:
    """Not even of those who have no token: each of these comes with a request that is answered without its body."""
    bodies = (b"Content-Length: 100\r\n\r\nx", b"Transfer-Encoding: chunked\r\n\r\n5;" + b"x" * 50)
    with served(tmp_path / "store", Rules(), tokens=tokens_in(tmp_path), workers=1) as running:
        for fields in bodies:
            with connected(running.port) as sock:
                sock.sendall(b"POST /v2/file/a/blobs/uploads/ HTTP/1.1\r\nHost: a\r\n" + fields)
                stop = threading.Event()
                dribbling = threading.Thread(target=dribble, args=(sock, stop))
                dribbling.start()
                try:
                    assert ask(running.port, "GET", "/healthz").status == 200  # waits for the only worker
                    assert status(sock.recv(12)) == 401
                finally:
                    stop.set()
                    dribbling.join()


def tokens_in(folder: Path) -> Path:
    token(folder / "tokens", "ci", "admin:*")
    return folder / "tokens"


def dribble(sock: socket.socket, stop: threading.Event) -> None:
    while not stop.wait(0.1):
        try:
            sock.sendall(b"x")
        except OSError:
            return


def test_an_upload_that_is_too_slow_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "GRACE", 0.3)
    where = f"/v2/{NAME}/blobs/uploads/?digest={Digest.of(b'x')}"
    for fields in (b"Content-Length: 1000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n3e8;"):
        with served(tmp_path / "store", workers=1) as running, connected(running.port) as sock:
            sock.sendall(f"POST {where} HTTP/1.1\r\nHost: a\r\n".encode() + fields)
            stop = threading.Event()
            dribbling = threading.Thread(target=dribble, args=(sock, stop))
            dribbling.start()
            try:
                assert rest(sock) == b""
            finally:
                stop.set()
                dribbling.join()
            assert not list((tmp_path / "store" / ".uploads").glob("*/*/*"))


def test_a_download_that_is_read_too_slowly_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "GRACE", 0.3)
    monkeypatch.setattr(connection_module, "LEAST", 1 << 40)
    data = os.urandom(32 << 20)
    for pair in (None, certificate(tmp_path / "tls")):
        with served(tmp_path / "store", pair=pair, workers=1) as running:
            digest = stored(running.root, data)
            context = without_checks() if pair else None
            with connected(running.port, context=context) as sock:
                sock.sendall(f"GET /v2/{NAME}/blobs/{digest} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                time.sleep(0.5)
                assert len(rest(sock)) < len(data)


def stored(root: Path, data: bytes) -> Digest:
    from tests.contract.test_store import put

    put(DirectoryStore(root), data, "1", name=NAME)
    return Digest.of(data)


def without_checks() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def test_who_speaks_tls_to_a_plain_port_is_told_at_once(free: Served) -> None:
    """docker does, on a loopback address, before it falls back to plain HTTP."""
    with connected(free.port) as sock:
        sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        started = time.monotonic()
        assert sock.recv(12) == b"HTTP/1.1 400"
        assert time.monotonic() - started < 5


def test_guessers_of_tokens_are_held_back(tmp_path: Path) -> None:
    with served(tmp_path / "store", Rules(each_second=2), tokens=tokens_in(tmp_path)) as running:
        found = [ask(running.port, "GET", "/v2/", token=f"naust_{number}").status for number in range(20)]
        assert found[0] == 401
        assert 429 in found


# Lists, numbers, health


def test_lists_come_in_pages(free: Served) -> None:
    name = fresh()
    upload(free.port, name, b"{}")
    upload(free.port, name, b"content")
    for number in range(5):
        ask(free.port, "PUT", f"/v2/{name}/manifests/t{number}", made(b"content"))
    path, found = f"/v2/{name}/tags/list?n=2", []
    while path:
        answer = ask(free.port, "GET", path)
        page = json.loads(answer.body)["tags"]
        assert len(page) <= 2
        found += page
        path = answer.headers.get("link", "").partition(">")[0].removeprefix("<")
    assert found == [f"t{number}" for number in range(5)]
    assert json.loads(ask(free.port, "GET", f"/v2/{name}/tags/list?n=0").body)["tags"] == []
    assert ask(free.port, "GET", f"/v2/{name}/tags/list?n=-1").status == 400
    assert ask(free.port, "GET", f"/v2/{fresh()}/tags/list").code == "NAME_UNKNOWN"


def test_the_listing_says_when_it_is_the_same(tmp_path: Path) -> None:
    with served(tmp_path / "store") as running:
        publish(running.port, NAME, DATED)
        time.sleep(1.1)
        first = ask(running.port, "GET", "/api/v1/artifacts")
        line = json.loads(first.body)
        assert (line["name"], line["tag"], line["version"], line["size"]) == (
            NAME,
            DATED,
            "1.0",
            len(made(b"content")) + 9,
        )
        assert line["annotations"]["naust.kind"] == "file"
        tag = first.headers["etag"]
        assert ask(running.port, "GET", "/api/v1/artifacts", If_None_Match=tag).status == 304
        assert ask(running.port, "GET", "/api/v1/artifacts?prefix=vm/", If_None_Match=tag).body == b""
        publish(running.port, NAME, "channel")
        assert ask(running.port, "GET", "/api/v1/artifacts", If_None_Match=tag).status == 200


def test_the_numbers_follow_what_happens(tmp_path: Path) -> None:
    with served(tmp_path / "store") as running:
        publish(running.port, NAME, "1")
        ask(running.port, "POST", f"/v2/{NAME}/blobs/uploads/", b"")
        ask(running.port, "GET", "/none")
        answer = ask(running.port, "GET", "/metrics")
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        lines = answer.body.decode().splitlines()
        assert 'naust_requests_total{method="POST",status="2xx"} 3' in lines
        assert 'naust_requests_total{method="PUT",status="2xx"} 1' in lines
        assert "naust_uploads_open 1" in lines
        # One that was answered is still counted for the moment that its thread takes to end.
        deadline = time.monotonic() + 10
        while "naust_requests_running 1" not in ask(running.port, "GET", "/metrics").body.decode().splitlines():
            assert time.monotonic() < deadline


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_a_certificate_is_exchanged_while_it_runs(tmp_path: Path) -> None:
    import shutil

    pair, other = certificate(tmp_path / "one"), certificate(tmp_path / "two")
    with served(tmp_path / "store", pair=pair) as running:

        def seen() -> bytes:
            with connected(running.port, context=without_checks()) as sock:
                assert isinstance(sock, ssl.SSLSocket)
                found = sock.getpeercert(binary_form=True) or b""
                assert status(said(sock, LAST)) == 200
                return found

        before = seen()
        assert seen() == before
        for old, new in zip(pair, other, strict=True):
            shutil.copy(new, old)
        running.server.reload()
        after = seen()
        assert after != before
        pair[0].write_text("rubbish")
        running.server.reload()
        assert seen() == after
        old_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old_tls.check_hostname, old_tls.verify_mode = False, ssl.CERT_NONE
        old_tls.minimum_version, old_tls.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)), connected(running.port, context=old_tls):
            pass
        with connected(running.port) as sock:  # plain HTTP to TLS
            assert b"200" not in said(sock, LAST)


def test_a_blob_over_tls_is_whole(tmp_path: Path) -> None:
    pair = certificate(tmp_path)
    data = os.urandom((5 << 20) + 7)
    with served(tmp_path / "store", pair=pair) as running:
        context = ssl.create_default_context(cafile=str(pair[0]))
        with closing(http.client.HTTPSConnection("localhost", running.port, context=context)) as connection:
            for _ in range(2):  # on one connection
                connection.request("POST", f"/v2/{NAME}/blobs/uploads/?digest={Digest.of(data)}", data)
                answer = connection.getresponse()
                assert (answer.status, answer.read()) == (201, b"")
                connection.request("GET", f"/v2/{NAME}/blobs/{Digest.of(data)}", headers={"Range": "bytes=3-"})
                assert connection.getresponse().read() == data[3:]


# Whatever comes

WORDS = st.sampled_from(
    [
        b"GET", b"PUT", b"POST", b"PATCH", b"DELETE", b"HEAD", b" ", b"/", b"/v2/", b"/v2/file/thing/", b"blobs/",
        b"uploads/", b"manifests/", b"tags/list", b"referrers/", b"_catalog", b"/api/v1/", b"artifacts", b"upkeep",
        b"?", b"&", b"=", b"digest=", b"mount=", b"from=", b"n=", b"last=", b"older_than=", b"%00", b"%2e%2e", b"..",
        b"sha256:" + b"0" * 64, b"sha512:" + b"0" * 128, b"sha256:", b" HTTP/1.1", b" HTTP/1.0", b"\r\n", b"\r\n\r\n",
        b"Host: a\r\n", b"Content-Length: 3\r\n", b"Content-Length: 99\r\n", b"Transfer-Encoding: chunked\r\n",
        b"Range: bytes=0-\r\n", b"Content-Range: 0-5\r\n", b"If-Match: ", b"If-None-Match: *\r\n",
        b"Expect: 100-continue\r\n", b"Authorization: Basic eDp5\r\n",
        b"Authorization: Bearer x\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n", b"{}", b"\xff",
        b"/file/thing/1", b"?download", b"/metrics", b"/healthz", b"Accept: text/html\r\n", b"-1", b"1e9", b"nan",
    ]
)  # fmt: skip


@given(data=st.lists(WORDS | st.binary(max_size=5), max_size=25).map(b"".join))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_make_the_server_fail(free: Served, data: bytes) -> None:
    well_behaved(free, data)


@given(
    path=st.text(st.characters(codec="ascii", exclude_categories=["Cc", "Zs"]), max_size=60),
    method=st.sampled_from(["GET", "PUT", "POST", "PATCH", "DELETE", "HEAD"]),
    start=st.sampled_from(
        ["/v2/file/thing/", "/v2/file/thing/manifests/", "/v2/file/thing/blobs/", "/file/", "/api/v1/"]
    ),
    body=st.binary(max_size=50),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_path_makes_the_server_fail(free: Served, path: str, method: str, start: str, body: bytes) -> None:
    head = f"{method} {start}{path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
    well_behaved(free, head.encode("latin-1") + body)


def well_behaved(running: Served, data: bytes) -> None:
    with connected(running.port) as sock:
        try:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        answer = rest(sock)
    assert b"Traceback" not in answer
    assert str(running.root).encode() not in answer
    assert b"HTTP/1.1 500" not in answer
    assert answer == b"" or status(answer)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("sha256:" + "0" * 64),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    [
        "schemaVersion",
        "mediaType",
        "config",
        "layers",
        "manifests",
        "subject",
        "annotations",
        "artifactType",
        "digest",
        "size",
    ]
)


@given(
    document=st.dictionaries(
        KEYS, JSON | st.dictionaries(KEYS, JSON) | st.lists(st.dictionaries(KEYS, JSON), max_size=2)
    )
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_manifest_makes_the_server_fail(free: Served, document: dict[str, object]) -> None:
    name = "file/fuzzed"
    answer = ask(free.port, "PUT", f"/v2/{name}/manifests/1", json.dumps(document).encode())
    assert answer.status in (201, 400, 404)
    for path in (
        f"/v2/{name}/manifests/1",
        f"/v2/{name}/tags/list",
        "/api/v1/artifacts",
        f"/v2/{name}/referrers/sha256:{'0' * 64}",
    ):
        assert ask(free.port, "GET", path).status in (200, 404)


def test_the_server_is_well_after_all_that(free: Served) -> None:
    assert publish(free.port, fresh(), "1").status == 201
    assert ask(free.port, "GET", "/healthz").body == b"ok\n"
    lines = ask(free.port, "GET", "/metrics").body.decode().splitlines()
    assert not [line for line in lines if 'status="5xx"' in line and "other" not in line]  # no such method: 501
