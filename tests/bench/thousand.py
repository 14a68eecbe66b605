"""A thousand artefacts in a store of ours, a thousand tags in a registry: the same question to both."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REGISTRY = """version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}}}}}
http: {{addr: "{address}"}}
"""


def store_with_artifacts(folder: Path, count: int) -> str:
    """A directory store with so many artefacts of one KiB; its URL."""
    from common.model import Kind, Reference
    from naust.push import push_file
    from naust.store import open_store

    url = f"file://{folder}"
    store = open_store(url)
    content = folder.parent / "content"
    for number in range(count):
        content.write_bytes(f"{number:04d}".encode() * 256)
        push_file(store, content, Reference(Kind.FILE, f"thing-{number % 40}", f"1.{number}"))
    return url


@contextmanager
def registry_with_tags(folder: Path, count: int) -> Iterator[str]:
    """docker-registry on loopback with one small image under so many tags; its address."""
    folder.mkdir(parents=True)
    address = f"127.0.0.1:{_free_port()}"
    (folder / "config.yml").write_text(REGISTRY.format(folder=folder / "data", address=address))
    program = shutil.which("docker-registry") or "docker-registry"
    process = subprocess.Popen(
        [program, "serve", str(folder / "config.yml")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait(address)
        _push_one(folder, address)
        tags = folder / "data/docker/registry/v2/repositories/many/_manifests/tags"
        for number in range(1, count):
            shutil.copytree(tags / "t0", tags / f"t{number}")
        yield address
    finally:
        process.terminate()
        process.wait()


def _push_one(folder: Path, address: str) -> None:
    layout = folder / "oci"
    (folder / "empty").mkdir()
    subprocess.run(["tar", "-cf", str(folder / "layer.tar"), "-C", str(folder / "empty"), "."], check=True)
    _write_layout(layout, folder / "layer.tar")
    subprocess.run(
        ["skopeo", "copy", "--dest-tls-verify=false", f"oci:{layout}:t0", f"docker://{address}/many:t0"],
        check=True,
        capture_output=True,
    )


def _write_layout(layout: Path, layer: Path) -> None:
    import hashlib
    import json

    def blob(data: bytes) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        path = layout / "blobs/sha256" / digest
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    content = layer.read_bytes()
    layers = [{"mediaType": "application/vnd.oci.image.layer.v1.tar", **blob(content)}]
    diff = layers[0]["digest"]
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [diff]}}
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **blob(json.dumps(config).encode())},
        "layers": layers,
    }
    entry = {"mediaType": manifest["mediaType"], **blob(json.dumps(manifest).encode())}
    entry["annotations"] = {"org.opencontainers.image.ref.name": "t0"}
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(address: str) -> None:
    host, port = address.split(":")
    for _ in range(100):
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"bench: docker-registry did not answer on {address}")
