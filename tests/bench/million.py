"""Garbage collection over a million blobs in a directory: how long it takes and how much memory.

Half of the blobs are kept by tags: two thousand artefacts of many layers, all with a signature. The other half is
garbage. The store is made file by file, since to push it would take an hour; what the manifests say about it is true.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from common.model import Digest
from naust import manifest as oci
from tests.bench.rows import ROOT, Row, alone

LAYERS = 250  # of an artefact
_RUN = """
import json, resource, sys, time
from datetime import timedelta
from naust.gc import collect
from naust.store import open_store
begin = time.monotonic()
done = collect(open_store(sys.argv[1]), grace=timedelta(0))
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"seconds": time.monotonic() - begin, "cpu": usage.ru_utime + usage.ru_stime,
                  "rss_mib": usage.ru_maxrss / 1024, "kept": done.kept, "deleted": done.deleted}))
"""


def million(count: int = 1_000_000) -> list[Row]:
    """`gc` without a grace, in a process of its own: seconds of wall and CPU, and its peak memory."""
    folder = ROOT / ".bench" / "million"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        make(folder, count)
        found = collected(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    label = f"naust gc, {count:,} blobs, {found['deleted']:,.0f} of them garbage"
    return [
        alone(label, found["seconds"]),
        alone(f"{label}: CPU", found["cpu"]),
        alone(f"{label}: peak memory", found["rss_mib"], "MiB"),
    ]


def collected(folder: Path) -> dict[str, float]:
    """Collect, and say how that went: seconds, cpu (seconds), rss_mib, kept, deleted."""
    os.sync()  # what was written to make it is not for the collector to wait for
    time.sleep(0.1)
    # A small process starts it: the peak of a child that was forked from a large one would begin with that one's.
    ended = subprocess.run(
        [sys.executable, "-c", _RUN, folder.as_uri()], capture_output=True, text=True, check=True, timeout=3600
    )
    found: dict[str, float] = json.loads(ended.stdout)
    return found


def make(folder: Path, count: int) -> None:
    """A directory store of so many blobs, half of them kept."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    (folder / ".format").write_text("1\n")
    _write(blobs, oci.EMPTY_CONFIG)
    artifacts = max(1, count // 2 // (LAYERS + 4))
    for number in range(artifacts):
        layers = [_write(blobs, f"layer {number} {each}".encode()) for each in range(LAYERS)]
        name = f"container/thing-{number % 40}"
        manifest = _manifest(layers, {oci.VERSION: "1.0"})
        _write(blobs, manifest)
        subject = Digest.of(manifest)
        signature = _manifest(
            [_write(blobs, f"signature {number}".encode())],
            {},
            {"subject": oci.Blob(subject, len(manifest), oci.MANIFEST).described(), "artifactType": "test/signature"},
        )
        _write(blobs, signature)
        entry = folder / ".referrers" / name / subject.hex / Digest.of(signature).hex
        entry.parent.mkdir(parents=True)
        entry.touch()
        tag = folder / name / f"1.{number}-20261124T221500Z"
        tag.parent.mkdir(parents=True, exist_ok=True)
        tag.write_bytes(manifest)
    kept = 1 + artifacts * (LAYERS + 3)
    for number in range(count - kept):
        _write(blobs, f"garbage {number}".encode())


def _manifest(layers: list[oci.Blob], annotations: dict[str, str], more: dict[str, object] | None = None) -> bytes:
    config = oci.Blob(Digest.of(oci.EMPTY_CONFIG), len(oci.EMPTY_CONFIG), oci.EMPTY)
    document = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": config.described(),
        "layers": [layer.described() for layer in layers],
        "annotations": annotations,
    }
    return oci.encode(document | (more or {}))


def _write(blobs: Path, content: bytes) -> oci.Blob:
    hexadecimal = hashlib.sha256(content).hexdigest()
    descriptor = os.open(f"{blobs}/{hexadecimal}", os.O_WRONLY | os.O_CREAT, 0o444)
    os.write(descriptor, content)
    os.close(descriptor)
    return oci.Blob(Digest("sha256", hexadecimal), len(content))
