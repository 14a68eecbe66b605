"""Listings of a hundred thousand artefacts: in a directory, and in a bucket.

The stores are made quickly: their files are written as the store would write them, but without a sync for each; the
bucket is a folder of versitygw's.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.bench.rows import ROOT, Row, alone, ours
from tests.lab.programs import free_port, program, running

START = datetime(2026, 1, 1, tzinfo=UTC)
COUNT = 100_000
NAMES = 1000
QUESTIONS = ("", "--json", "--channel=production", "--label=team=t3", "--limit=20", "thing-7")
KEY, SECRET = "bench-key", "bench-secret-of-some-length"


def hundred_thousand() -> list[Row]:
    """`naust list` of so many, in both."""
    return [*in_a_directory(), *in_a_bucket()]


def in_a_directory(count: int = COUNT) -> list[Row]:
    """The first time, when every manifest is read, and then."""
    with _folder("many") as folder:
        store = str(filled(folder, count))
        time.sleep(3)  # what changed just now is read again: see naust.store.index
        return _listed(f"naust list, {count:,} artefacts in a directory", store, os.environ)


def in_a_bucket(count: int = COUNT) -> list[Row]:
    """The same on S3: the first time, when every object of a tag is read, and then."""
    with _folder("many-s3") as folder:
        filled(folder / "buckets" / "bench" / "naust", count, is_bucket=True)
        port = free_port()
        settings = folder / "naust.hcl"
        settings.write_text(
            f'store "many" {{\n  url = "s3://bench/naust"\n  endpoint = "http://127.0.0.1:{port}"\n'
            f'  access_key = "{KEY}"\n  secret_key = "env:BENCH_SECRET"\n}}\n'
        )
        argv = [program("versitygw"), "--port", f"127.0.0.1:{port}", "--access", KEY, "--secret", SECRET, "--quiet"]
        with running([*argv, "posix", str(folder / "buckets")], port=port, log=folder / "versitygw.log"):
            env = os.environ | {"NAUST_CONFIG": str(settings), "BENCH_SECRET": SECRET}
            return _listed(f"naust list, {count:,} artefacts on S3", "many", env)


def filled(root: Path, count: int, *, names: int = NAMES, is_bucket: bool = False) -> Path:
    """A store with so many versions under so many names, a minute apart, and a channel on the newest of each name."""
    from common.model import Digest, Kind
    from naust import manifest as oci
    from naust.manifest import Blob
    from naust.version import tag

    blobs = root / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    if not is_bucket:  # a bucket's tells what its server can do, which the first writer finds out
        (root / ".format").write_text("1\n")
    content = Blob(Digest.of(b"content"), len(b"content"), "application/octet-stream")
    (blobs / content.digest.hex).write_bytes(b"content")
    (blobs / Digest.of(oci.EMPTY_CONFIG).hex).write_bytes(oci.EMPTY_CONFIG)
    for number in range(count):
        said = oci.annotated(Kind.FILE, f"1.{number}", more={"team": f"t{number % 7}"})
        data = oci.file_manifest(Kind.FILE, content, "thing", said)
        folder = root / "file" / f"thing-{number % names}"
        folder.mkdir(parents=True, exist_ok=True)
        path = blobs / Digest.of(data).hex
        path.write_bytes(data)
        if is_bucket:  # as versitygw keeps what it computes of each object
            os.setxattr(path, "user.etag", f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'.encode())
        os.link(path, folder / tag(f"1.{number}", START + timedelta(minutes=number)))
        if number >= count - names:
            os.link(path, folder / "production")
    return root


def _listed(label: str, store: str, env: os._Environ[str] | dict[str, str]) -> list[Row]:
    rows = []
    if "S3" in label:  # somebody publishes, so that the bucket knows its format
        source = ROOT / "README.md"
        _seconds(ours("naust", "push", str(source), "file/readme:1", "--store", store, "--quiet"), env)
    command = ours("naust", "list", "--store", store)
    rows.append(alone(f"{label}: first time, no index", _seconds(command, env)))
    for more in QUESTIONS:
        best = min(_seconds([*command, *more.split()], env) for _ in range(5))
        rows.append(alone(f"{label} {more}".strip(), best))
    return rows


def _seconds(argv: list[str], env: os._Environ[str] | dict[str, str]) -> float:
    started = time.perf_counter()
    ended = subprocess.run(argv, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if ended.returncode != 0:
        raise SystemExit(f"bench: {argv} ended with {ended.returncode}\n{ended.stderr[-2000:]}")
    return time.perf_counter() - started


@contextmanager
def _folder(name: str) -> Iterator[Path]:
    folder = ROOT / ".bench" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
