"""What `/sources` answers: rights, what is not there, conditions, and how upstream's failures look."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from common.errors import BadInput
from common.model import Digest
from naust.serve.service import Rules
from naust.serve.sources import Proxied
from naust.source.definition import LOCAL, PROXY, Files, OneFile, Pypi
from tests.lab.archives import web
from tests.lab.faults import Fault, FaultProxy, is_
from tests.lab.indexes import listed, wheel
from tests.lab.indexes import web as index
from tests.lab.serving import Served, ask, served, token

BIG = os.urandom(100_000)


@dataclass(frozen=True)
class Site:
    """A server with the source `tools`, and what stands between it and upstream."""

    server: Served
    upstream: FaultProxy
    reader: str
    other: str


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    folder, tokens = tmp_path / "site", tmp_path / "tokens"
    folder.mkdir()
    (folder / "big").write_bytes(BIG)
    (folder / "small").write_bytes(b"small")
    reader, other = token(tokens, "reader", "read:snapshot/tools"), token(tokens, "other", "read:container/*")
    with web(folder) as host, FaultProxy(host) as proxy:
        files = tuple(
            OneFile(f"bin/{name}", f"http://{proxy.address}/{name}", Digest.of(data))
            for name, data in {"big": BIG, "small": b"small"}.items()
        )
        proxied = Proxied((Files("tools", files, mode=PROXY),), at_once=1)
        with served(tmp_path / "store", Rules(), tokens=tokens, proxied=proxied) as server:
            yield Site(server, proxy, reader, other)


def test_who_may_read_the_source_may_have_its_files_and_nobody_else(site: Site) -> None:
    path, port = "/sources/tools/bin/small", site.server.port
    assert ask(port, "GET", path).status == 401
    assert ask(port, "GET", path, token=site.other).status == 403
    assert not site.upstream.seen
    answer = ask(port, "GET", path, token=site.reader)
    assert (answer.status, answer.body) == (200, b"small")
    assert answer.headers["cache-control"] == "no-cache"  # a definition may name another content tomorrow
    assert "sandbox" in answer.headers["content-security-policy"]
    assert ask(port, "GET", "/sources/").status == 401
    assert ask(port, "GET", "/sources/", token=site.other).body == b""
    assert b"/sources/tools/ files: 2 files, 1 used" in ask(port, "GET", "/sources/", token=site.reader).body


def test_what_is_not_there_is_said_with_what_to_do(site: Site) -> None:
    for path in ("/sources/tools/bin/none", "/sources/tools/", "/sources/tools", "/sources/tools/bin/"):
        answer = ask(site.server.port, "GET", path, token=site.reader)
        assert answer.status == 404
        assert "has no file" in answer.message
    assert ask(site.server.port, "DELETE", "/sources/tools/bin/small", token=site.reader).status == 405


def test_more_than_may_wait_for_upstream_are_told_to_come_again(site: Site) -> None:
    site.upstream.add(Fault(silent_answer=10, when=is_("GET", "big")))
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(ask, site.server.port, "GET", "/sources/tools/bin/big", token=site.reader)
        while not site.upstream.seen:
            pass
        answer = ask(site.server.port, "GET", "/sources/tools/bin/small", token=site.reader)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        site.upstream.closing.set()
        assert waiting.result().body == BIG


def test_a_server_without_sources_says_so(tmp_path: Path) -> None:
    with served(tmp_path / "store") as server:
        answer = ask(server.port, "GET", "/sources/tools/bin/small")
    assert answer.status == 404
    assert "--sources" in answer.message


def test_a_source_of_another_mode_is_refused(tmp_path: Path) -> None:
    proxied = Proxied((Files("tools", mode=LOCAL),))
    with pytest.raises(BadInput, match="is of mode local"), served(tmp_path / "store", proxied=proxied):
        pass


def test_a_simple_index_has_two_forms_and_names_as_people_write_them(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.txt"
    with index() as upstream:
        name, data = wheel("one_two", "1.0")
        listed(upstream, "one-two", (name, data))
        lock.write_text(f"one-two==1.0 --hash={Digest.of(data)}\n")
        block = Pypi("tools", f"{upstream.base}/simple", lock=(str(lock),), mode=PROXY)
        with served(tmp_path / "store", proxied=Proxied((block,))) as server:
            base = "/sources/tools/simple"
            page = ask(server.port, "GET", f"{base}/one-two/", Accept="text/html")
            assert page.headers["content-type"].startswith("text/html")
            assert name.encode() in page.body
            as_json = ask(server.port, "GET", f"{base}/one-two/", Accept="application/vnd.pypi.simple.v1+json")
            assert as_json.headers["content-type"] == "application/vnd.pypi.simple.v1+json"
            assert ask(server.port, "GET", f"{base}/One_Two/").headers["location"] == "../one-two/"
            file = ask(server.port, "GET", f"/sources/tools/packages/{name}")
            assert file.body == data
            assert "immutable" in file.headers["cache-control"]
