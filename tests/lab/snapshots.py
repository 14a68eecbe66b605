"""States and snapshots as `naust mirror` and `naust snapshot` publish them, and small archives to be in them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import subprocess
import zipfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from common.model import Artifact, Digest
from naust import manifest as oci
from naust.manifest import Blob
from naust.source import snapshot as snapshots
from naust.source import state
from naust.store.interface import Store
from naust.transfer.push_blobs import put_bytes, silent

Files = Mapping[str, bytes]
DAY = datetime(2026, 11, 20, 10, 0, 0, tzinfo=UTC)


def published(
    store: Store, source: str, files: Files, kind: str = "files", now: datetime = DAY, most: int = state.MOST
) -> Artifact:
    """The state of a source that has these files; in parts of at most `most`."""
    name = snapshots.name_for(source)
    contents = set(files.values())
    blobs = {data: put_bytes(store, name, data, "application/octet-stream", silent) for data in contents}
    rows = [state.File(path, blobs[data]) for path, data in sorted(files.items())]
    config = put_bytes(store, name, state.packages_of(rows), state.PACKAGES, silent)
    parts = [state.part(rows[i : i + most], config, {state.TYPE: kind}) for i in range(0, len(rows), most)]
    document = parts[0]
    if len(parts) > 1:
        children: list[tuple[Blob, dict[str, str]]]
        children = [(Blob(store.put_manifest(name, str(Digest.of(p)), p), len(p), oci.MANIFEST), {}) for p in parts]
        document = state.index(children, state.STATE, {state.TYPE: kind})
    return snapshots.publish_newest(store, source, document, now)[0]


def snapshot(store: Store, name: str, sources: Sequence[str], now: datetime = DAY) -> str:
    """A snapshot of the newest states of these sources; its full tag."""
    return snapshots.make(store, name, sources, now=now).snapshot.artifact.reference.tag


# Archives -------------------------------------------------------------------------------------------------------------


def deb(folder: Path, name: str, version: str) -> bytes:
    """A Debian package with one file in it."""
    tree = folder / f"{name}_{version}"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "usr/share" / name).mkdir(parents=True)
    (tree / "usr/share" / name / "version").write_text(version)
    control = f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: nobody <n@example.org>\n"
    (tree / "DEBIAN/control").write_text(f"{control}Description: a package for tests\n")
    target = folder / f"{name}_{version}_all.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, target], check=True, capture_output=True)
    shutil.rmtree(tree)
    return target.read_bytes()


def archive(suites: Mapping[str, Mapping[str, bytes]], mark: str = "", date: datetime = DAY) -> dict[str, bytes]:
    """A Debian archive, by-hash and all: suite → file name below pool/ → package. `mark` is in every index, so that
    one can tell of which archive it is. Not signed."""
    files: dict[str, bytes] = {}
    for suite, packages in suites.items():
        text = "".join(_stanza(f"pool/{path}", data, mark) for path, data in sorted(packages.items())).encode()
        files |= {f"pool/{path}": data for path, data in packages.items()}
        below = f"dists/{suite}"
        sums = []
        for name, data in (("Packages", text), ("Packages.gz", gzip.compress(text, mtime=0))):
            where, digest = "main/binary-amd64", hashlib.sha256(data).hexdigest()
            files[f"{below}/{where}/{name}"] = files[f"{below}/{where}/by-hash/SHA256/{digest}"] = data
            sums.append(f" {digest} {len(data)} {where}/{name}")
        # Not in the label: clients of apt want to be asked when that changes.
        head = f"Origin: lab\nDescription: {mark or 'lab'}\nSuite: {suite}\nCodename: {suite}\nArchitectures: amd64\n"
        head += f"Components: main\nAcquire-By-Hash: yes\nDate: {date:%a, %d %b %Y %H:%M:%S} UTC\n"
        files[f"{below}/Release"] = (head + "SHA256:\n" + "\n".join(sums) + "\n").encode()
    return files


class Signer:
    """An OpenPGP key of its own in a folder."""

    def __init__(self, home: Path) -> None:
        home.mkdir(mode=0o700)
        self._home = home
        self._gpg("--quick-gen-key", "lab <lab@example.org>", "ed25519", "sign", "never")
        self.key = self._gpg("--armor", "--export")

    def signed(self, files: Files) -> dict[str, bytes]:
        """The archive with an InRelease for each Release, and with the key."""
        releases = {path: data for path, data in files.items() if path.endswith("/Release")}
        made = {path.replace("Release", "InRelease"): self._gpg("--clearsign", data=d) for path, d in releases.items()}
        return {**files, **made, "key.asc": self.key}

    def end(self) -> None:
        """Stop the agent that gpg started."""
        subprocess.run(["gpgconf", "--homedir", self._home, "--kill", "all"], check=True, capture_output=True)

    def _gpg(self, *argv: str, data: bytes = b"") -> bytes:
        options = ["--batch", "--homedir", str(self._home), "--passphrase", "", "--pinentry-mode", "loopback"]
        return subprocess.run(["gpg", *options, *argv], input=data, check=True, capture_output=True).stdout


def _stanza(path: str, data: bytes, mark: str) -> str:
    name, version, _ = path.rpartition("/")[2].split("_")
    digest = hashlib.sha256(data).hexdigest()
    head = f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: nobody <n@example.org>\n"
    return f"{head}Filename: {path}\nSize: {len(data)}\nSHA256: {digest}\nDescription: of {mark or 'lab'}\n\n"


def wheel(name: str, version: str) -> tuple[str, bytes]:
    """File name and bytes of a Python package."""
    made, info = io.BytesIO(), f"{name}-{version}.dist-info"
    content = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: lab\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    content[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in (*content, f"{info}/RECORD"))
    with zipfile.ZipFile(made, "w") as file:
        for path, text in content.items():
            file.writestr(zipfile.ZipInfo(path), text)
    return f"{name}-{version}-py3-none-any.whl", made.getvalue()


def simple(*wheels: tuple[str, bytes]) -> dict[str, bytes]:
    """A simple index in both of its forms (PEP 503, PEP 691), with its packages."""
    files: dict[str, bytes] = {f"packages/{name}": data for name, data in wheels}
    names = sorted({name.partition("-")[0].replace("_", "-") for name, _ in wheels})
    for name in names:
        mine = [(file, hashlib.sha256(d).hexdigest()) for file, d in wheels if _project(file) == name]
        links = "".join(f'<a href="../../packages/{file}#sha256={digest}">{file}</a>\n' for file, digest in mine)
        files[f"simple/{name}/index.html"] = f"<!DOCTYPE html><html><body>{links}</body></html>".encode()
        listed = [
            {"filename": file, "url": f"../../packages/{file}", "hashes": {"sha256": digest}} for file, digest in mine
        ]
        page = {"meta": {"api-version": "1.0"}, "name": name, "files": listed}
        files[f"simple/{name}/index.json"] = json.dumps(page).encode()
    every = "".join(f'<a href="{name}/">{name}</a>\n' for name in names)
    files["simple/index.html"] = f"<!DOCTYPE html><html><body>{every}</body></html>".encode()
    return files


def _project(file: str) -> str:
    return file.partition("-")[0].replace("_", "-")


def providers(host: str, name: str, versions: Sequence[str]) -> dict[str, bytes]:
    """What terraform's network mirror protocol asks for: a provider that runs nowhere, for linux_amd64."""
    below, short = f"{host}/{name}", name.partition("/")[2]
    files = {f"{below}/index.json": json.dumps({"versions": {each: {} for each in versions}}).encode()}
    for version in versions:
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as file:
            entry = zipfile.ZipInfo(f"terraform-provider-{short}_v{version}")
            entry.external_attr = 0o755 << 16
            file.writestr(entry, "#!/bin/sh\nexit 1\n")
        zip = f"terraform-provider-{short}_{version}_linux_amd64.zip"
        files[f"{below}/{zip}"] = made.getvalue()
        hashes = [f"zh:{hashlib.sha256(made.getvalue()).hexdigest()}"]
        entry_ = {"archives": {"linux_amd64": {"url": zip, "hashes": hashes}}}
        files[f"{below}/{version}.json"] = json.dumps(entry_).encode()
    return files


def layout(images: Mapping[str, Sequence[bytes]]) -> dict[str, bytes]:
    """An OCI image layout: host/name:tag → tars, the layers of a container image."""
    files, listed = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}, []

    def blob(data: bytes, media_type: str) -> dict[str, object]:
        digest = Digest.of(data)
        files[f"blobs/sha256/{digest.hex}"] = data
        return Blob(digest, len(data), media_type).described()

    for name, layers in images.items():
        diffs = [str(Digest.of(layer)) for layer in layers]
        rootfs = {"type": "layers", "diff_ids": diffs}
        config = oci.encode({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs})
        parts = {"config": blob(config, oci.CONFIG), "layers": [blob(layer, oci.LAYER) for layer in layers]}
        manifest = oci.encode({"schemaVersion": 2, "mediaType": oci.MANIFEST, **parts})
        said = {"annotations": {"org.opencontainers.image.ref.name": name}}
        listed.append(blob(manifest, oci.MANIFEST) | said)
    files["index.json"] = oci.encode({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": listed})
    return files
