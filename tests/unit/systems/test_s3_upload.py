"""The long upload of the role s3-client, against an S3 server behind TLS."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import s3_upload
from s3_service import Service

from tests.lab.s3tls import versitygw_with_tls

ADDRESS = "127.66.0.1"  # a loopback of its own, since the port is a fixed one


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, subprocess.Popen[bytes]]]:
    with versitygw_with_tls(tmp_path_factory.mktemp("versitygw"), ADDRESS) as found:
        yield found


@pytest.fixture
def waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of somebody who waits; parts go as fast as they can after a second."""
    monkeypatch.setattr(s3_upload, "SECONDS", 1.0)
    file = tmp_path / "waiting"
    file.touch()
    return file


def test_it_goes_on_part_by_part_until_its_file_is_removed_and_arrives_whole(
    server: tuple[Service, subprocess.Popen[bytes]], waiting: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, sent = s3_upload._send, []

    def counted(service: Service, vip: str, url: str, part: bytes, watched: s3_upload.Watched) -> str:
        sent.append(part)
        if len(sent) == 2:
            waiting.unlink()
        return send(service, vip, url, part, watched)

    monkeypatch.setattr(s3_upload, "_send", counted)
    found = s3_upload.upload(server[0], ADDRESS, str(waiting))
    assert found["ok"], found
    assert found["parts"] in (2, 3)  # the one that was being sent, and at most the last
    assert len(set(sent)) == len(sent)


def test_it_ends_when_nobody_waits_any_more(server: tuple[Service, subprocess.Popen[bytes]], waiting: Path) -> None:
    past = time.time() - s3_upload.STALE - 1
    threading.Timer(0.5, os.utime, (waiting, (past, past))).start()
    found = s3_upload.upload(server[0], ADDRESS, str(waiting))
    assert not found["ok"]
    assert "nobody has touched" in found["error"]


def test_a_connection_that_breaks_is_a_broken_upload(
    server: tuple[Service, subprocess.Popen[bytes]], waiting: Path
) -> None:
    service, process = server
    threading.Timer(1.5, process.kill).start()
    found = s3_upload.upload(service, ADDRESS, str(waiting))
    assert not found["ok"]
    assert found["error"].startswith("part ")
    assert found["seconds"] < 30
