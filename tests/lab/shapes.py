"""Things to push that have everything: a directory of all kinds of files, an image for two platforms with referrers."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.model import Digest
from naust import manifest as oci
from naust.content.layout import REF_NAME
from naust.manifest import Blob

CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")  # cap_net_bind_service=ep, capabilities(7)


def full_tree(folder: Path, *, devices: bool = True) -> Path:
    """A directory with modes, owners, times, attributes, links, holes, names of any octets; root can make it."""
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / "plain").write_text("plain\n")
    (folder / "plain").chmod(0o4755)
    (folder / "hard").hardlink_to(folder / "plain")
    os.setxattr(folder / "plain", "user.octets", b"\xff\x00=\n\xc3")
    os.setxattr(folder / "plain", "security.capability", CAPABILITY)
    (folder / "sym").symlink_to("./sub/../plain")
    (folder / "broken").symlink_to("nowhere")
    (folder / "empty").touch()
    (folder / ("n" * 220)).write_text("long")
    (folder / "ü").write_text("UTF-8")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe")).write_text("not UTF-8")
    (folder / "sub" / "script").write_text("#!/bin/sh\n")
    (folder / "sub" / "script").chmod(0o711)
    sparse(folder / "sub" / "deep" / "sparse", 5 << 20, {1 << 20: b"data", 3_000_000: b"x" * 200_000})
    sparse(folder / "hole", 1 << 20, {})
    os.chown(folder / "sub", 12345, 54321)
    (folder / "sub").chmod(0o1777)
    os.setxattr(folder / "sub", "user.of-a-folder", b"yes")
    if devices:
        os.mkfifo(folder / "fifo")
        os.mknod(folder / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        (folder / "absolute").symlink_to("/proc/mounts")
    for number, path in enumerate(sorted(folder.rglob("*"), key=os.fsencode, reverse=True)):
        os.utime(path, ns=(0, 1_700_000_000_123_456_789 + number), follow_symlinks=False)
    folder.chmod(0o750)
    os.utime(folder, ns=(0, 1_600_000_000_000_000_001))
    return folder


def sparse(path: Path, size: int, data: Mapping[int, bytes]) -> None:
    """A file with holes."""
    with path.open("wb") as file:
        for at, what in data.items():
            file.seek(at)
            file.write(what)
        file.truncate(size)


def state(folder: Path) -> dict[str, tuple[object, ...]]:
    """All that a directory is: what must be the same after a round trip."""
    found: dict[str, tuple[object, ...]] = {}
    inodes: dict[int, str] = {}
    for path in (folder, *sorted(folder.rglob("*"), key=os.fsencode)):
        status, name = path.lstat(), str(path.relative_to(folder))
        attributes = {
            key: os.getxattr(path, key, follow_symlinks=False) for key in os.listxattr(path, follow_symlinks=False)
        }
        content = hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(status.st_mode) else ""
        holes = status.st_blocks * 512 < status.st_size if content else False
        same_as = inodes.setdefault(status.st_ino, name)
        link = os.readlink(path) if path.is_symlink() else ""  # noqa: PTH115
        found[name] = (
            oct(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns, status.st_rdev, attributes, content,
            holes, same_as, link,
        )  # fmt: skip
    return found


def layer(name: str, size: int = 1000) -> bytes:
    """A layer: a tar of one file."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = size
        archive.addfile(member, io.BytesIO(name.encode().ljust(size, b".")))
    return held.getvalue()


class Made:
    """A layout that is being made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "blobs" / "sha256").mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    def blob(self, data: bytes, media_type: str) -> dict[str, Any]:
        """Write a blob; its descriptor."""
        digest = Digest.of(data)
        (self.folder / "blobs" / "sha256" / digest.hex).write_bytes(data)
        return Blob(digest, len(data), media_type).described()

    def document(self, media_type: str, **parts: object) -> dict[str, Any]:
        """Write a manifest or an index; its descriptor. Not in our own order of keys: bytes must stay."""
        return self.blob(
            json.dumps({"schemaVersion": 2, "mediaType": media_type, **parts}, indent=1).encode(), media_type
        )

    def image(self, architecture: str, *layers: bytes, zipped: bool = True) -> dict[str, Any]:
        """An image for one platform; its descriptor, platform included."""
        config = {
            "architecture": architecture,
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(each)) for each in layers]},
        }
        packed = [gzip.compress(each, mtime=0) if zipped else each for each in layers]
        described = self.document(
            oci.MANIFEST,
            config=self.blob(json.dumps(config).encode(), oci.CONFIG),
            layers=[self.blob(each, oci.LAYER + ("+gzip" if zipped else "")) for each in packed],
        )
        return described | {"platform": {"architecture": architecture, "os": "linux"}}

    def referrer(self, subject: Mapping[str, Any], kind: str, data: bytes) -> dict[str, Any]:
        """Something attached to a manifest; its descriptor."""
        return self.document(
            oci.MANIFEST,
            artifactType=kind,
            config=self.blob(oci.EMPTY_CONFIG, oci.EMPTY),
            layers=[self.blob(data, kind)],
            subject={key: subject[key] for key in ("mediaType", "digest", "size")},
        )

    def write(self, *entries: Mapping[str, Any], name: str = "") -> Path:
        """Write index.json; the first entry gets the name."""
        listed = [dict(entry) for entry in entries]
        if name:
            listed[0]["annotations"] = {REF_NAME: name}
        (self.folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": listed}))
        return self.folder


def two_platforms(folder: Path, *, architectures: tuple[str, str] = ("amd64", "arm64")) -> tuple[Path, Digest]:
    """A layout of an image for two platforms that share a layer, with a signature of the index, an SBOM of one child
    and a signature of the SBOM; and the digest of the index."""
    made = Made(folder)
    shared = layer("shared")
    images = [made.image(each, shared, layer(each)) for each in architectures]
    index = made.document(oci.INDEX, manifests=images)
    signature = made.referrer(index, "test/signature", b"signed")
    sbom = made.referrer(images[0], "test/sbom", b"sbom")
    deeper = made.referrer(sbom, "test/signature", b"signed too")
    return made.write(index, signature, sbom, deeper, name="1.0"), Digest.parse(index["digest"])


def blobs(layout: Path) -> set[str]:
    """The digests of all blobs of a layout; each is checked."""
    found = set()
    for path in (layout / "blobs" / "sha256").iterdir():
        assert Digest.of(path.read_bytes()).hex == path.name
        found.add(path.name)
    return found


def ran(*argv: str | Path, code: int = 0, **env: str) -> str:
    """What a program of others prints."""
    ended = subprocess.run(list(map(str, argv)), capture_output=True, text=True, timeout=120, env=os.environ | env)
    assert ended.returncode == code, f"{argv}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout
