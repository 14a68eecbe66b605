"""A directory store with a hundred thousand artefacts, made quickly: its files are written as the store would write
them, but without a sync for each."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.bench.rows import ROOT, Row, alone, ours, seconds

START = datetime(2026, 1, 1, tzinfo=UTC)


def filled(root: Path, count: int, *, names: int = 1000) -> Path:
    """A store with so many versions under so many names, a minute apart, and a channel on the newest of each name."""
    from common.model import Digest, Kind
    from naust import manifest as oci
    from naust.manifest import Blob
    from naust.version import tag

    blobs = root / "blobs" / "sha256"
    blobs.mkdir(parents=True)
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
        os.link(path, folder / tag(f"1.{number}", START + timedelta(minutes=number)))
        if number >= count - names:
            os.link(path, folder / "production")
    return root


def listing(count: int = 100_000) -> list[Row]:
    """`naust list` of so many: the first time, when every manifest is read, and then."""
    folder = ROOT / ".bench" / "many"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        store, label = str(filled(folder, count)), f"naust list, {count:,} artefacts"
        command = ours("naust", "list", "--store", store)
        rows = [alone(f"{label}: first time, no index", seconds(command))]
        time.sleep(3)  # what changed just now is read again: see naust.store.index
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        for more in ("", "--json", "--channel=production", "--label=team=t3", "--limit=20", "thing-7"):
            rows.append(alone(f"{label} {more}".strip(), seconds([*command, *more.split()], runs=5)))
        return rows
    finally:
        shutil.rmtree(folder, ignore_errors=True)
