"""Items by HTTP: credentials, and URLs that hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from common.console import Report
from common.errors import Corrupt, NotFound
from common.model import Digest, Secret
from naust.source.fetch import Fetching, bare
from naust.source.interface import Item, Kept, Survey
from naust.store.directory import DirectoryStore
from naust.store.tries import Patience
from naust.wire.transport import Transport, basic
from tests.lab.faults import answering


class Nothing:
    """An upstream that leaves fetching to the engine."""

    def survey(self, transport: Transport, previous: str, report: Report) -> Survey | None:
        return None

    def index(self, kept: Sequence[Kept], survey: Survey) -> Mapping[str, bytes]:
        return {}


def fetching(folder: Path) -> Fetching:
    patience = Patience(tries=1)
    return Fetching(DirectoryStore(folder), "snapshot/a", Nothing(), Transport(), lambda event: None, patience)


@given(some.text(min_size=1), some.text())
def test_user_and_password_leave_the_url_and_become_a_credential(user: str, password: str) -> None:
    from urllib.parse import quote

    url, credential = bare(f"https://{quote(user, '')}:{quote(password, '')}@host.test:8443/a?b=c")
    assert url == "https://host.test:8443/a?b=c"
    assert credential is not None and credential.value == basic(user, Secret(password)).value


def test_a_url_without_user_stays_as_it_is() -> None:
    assert bare("https://host.test/a@b") == ("https://host.test/a@b", None)


def test_a_credential_is_sent_and_shown_to_nobody_else(tmp_path: Path) -> None:
    with answering(404) as server:
        item = Item("a", f"http://me:hunter2@{server.address}/a", digest=Digest.of(b""))
        with pytest.raises(NotFound) as told:
            fetching(tmp_path).fetch(item)
        assert server.seen[0].headers["authorization"].startswith("Basic ")
    assert "hunter2" not in str(told.value)


def test_what_upstream_publishes_no_digest_of_must_have_bytes_and_be_no_page(tmp_path: Path) -> None:
    with answering(200) as server, pytest.raises(Corrupt, match="not what it should be"):
        fetching(tmp_path).fetch(Item("a", f"http://{server.address}/a"))
    with answering(200, {"Content-Type": "text/html"}, b"<html>") as server, pytest.raises(Corrupt) as told:
        fetching(tmp_path).fetch(Item("a", f"http://{server.address}/a"))
    assert "web page" in told.value.details


def test_a_size_that_upstream_itself_denies_stops_before_the_bytes_come(tmp_path: Path) -> None:
    with answering(200, {}, b"x" * 200_000) as server, pytest.raises(Corrupt, match="not what it should be"):
        fetching(tmp_path).fetch(Item("a", f"http://{server.address}/a", 100, Digest.of(b"x")))
    assert not list((tmp_path / "blobs").rglob("*"))


def test_a_file_of_this_machine_is_taken_as_it_is_and_a_missing_one_named(tmp_path: Path) -> None:
    path = tmp_path / "a file"
    path.write_bytes(b"bytes")
    kept = fetching(tmp_path / "store").fetch(Item("a", path.as_uri(), 5, Digest.of(b"bytes")))
    assert kept.size == 5
    with pytest.raises(NotFound):
        fetching(tmp_path / "store").fetch(Item("b", (tmp_path / "none").as_uri(), 5, Digest.of(b"bytes")))
