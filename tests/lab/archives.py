"""A Debian archive of upstream, small and real: packages by dpkg-deb, signed by gpg, served by a plain web server. And
apt in a root of its own, as a client of what naust made."""

from __future__ import annotations

import functools
import hashlib
import http.server
import lzma
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from common.model import Kind
from naust.source import snapshot
from naust.store.interface import Store
from tests.lab.programs import program

NOW = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)  # of upstream's first Release


class Signer:
    """A key of gpg in a home of its own; `keyring` is its public half."""

    def __init__(self, folder: Path) -> None:
        self.home = folder
        self.home.mkdir(mode=0o700, parents=True)
        self.keyring = folder / "upstream.gpg"
        self._gpg("--quick-gen-key", "upstream of a test", "ed25519", "sign", "never")
        self.keyring.write_bytes(self._gpg("--export"))

    def clear_signed(self, text: bytes) -> bytes:
        """As InRelease is."""
        return self._gpg("--clearsign", data=text)

    def detached(self, text: bytes) -> bytes:
        """As Release.gpg is."""
        return self._gpg("--armor", "--detach-sign", data=text)

    def close(self) -> None:
        """End the agent of this home."""
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], check=True)

    def _gpg(self, *argv: str, data: bytes = b"") -> bytes:
        words = [program("gpg"), "--homedir", str(self.home), "--batch", "--quiet", "--passphrase", "", *argv]
        return subprocess.run(words, input=data, capture_output=True, check=True).stdout


@contextmanager
def signer(folder: Path) -> Iterator[Signer]:
    """A key for the length of the block. `folder` must have a short name: gpg's agent listens on a socket in it."""
    found = Signer(folder)
    try:
        yield found
    finally:
        found.close()


@dataclass
class Archive:
    """Packages by suite. `publish` writes the indexes of one."""

    folder: Path
    signer: Signer
    suites: dict[str, list[str]] = field(default_factory=dict)

    def add(self, name: str, version: str = "1.0", suite: str = "stable", arch: str = "all", **fields: str) -> Path:
        """A package; underscores in the names of fields stand for dashes. The path of its .deb."""
        said = {"Package": name, "Version": version, "Architecture": arch, "Maintainer": "A Test <test@example.org>"}
        said |= {key.replace("_", "-"): value for key, value in fields.items()} | {"Description": f"{name} of a test"}
        tree = self.folder.parent / "made" / f"{name}_{version}_{arch}"
        (tree / "DEBIAN").mkdir(parents=True, exist_ok=True)
        (tree / "usr/share" / name).mkdir(parents=True, exist_ok=True)
        (tree / "usr/share" / name / "version").write_text(f"{version}\n")
        (tree / "DEBIAN/control").write_text("".join(f"{key}: {value}\n" for key, value in said.items()))
        part = "pool/updates/main" if suite.endswith("-security") else "pool/main"
        deb = self.folder / part / name[0] / name / f"{name}_{version.replace(':', '%3a')}_{arch}.deb"
        deb.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [program("dpkg-deb"), "--build", "--root-owner-group", "-z1", str(tree), str(deb)],
            check=True, capture_output=True, env=os.environ | {"SOURCE_DATE_EPOCH": "1700000000"},
        )  # fmt: skip
        self.suites.setdefault(suite, []).append(_paragraph(said, deb, self.folder))
        return deb

    def publish(
        self,
        suite: str = "stable",
        *,
        date: datetime = NOW,
        until: datetime | None = None,
        by_hash: bool = True,
        named: str = "",
        signed: bool = True,
        packages: bytes | None = None,
        pair: bool = False,
    ) -> None:
        """Write the suite's indexes and sign them. `named` is what the Release calls the suite, `packages` what is in
        the index instead, `pair` says to write Release and Release.gpg instead of InRelease."""
        plain = "".join(self.suites.get(suite, [])).encode() if packages is None else packages
        base = self.folder / "dists" / suite
        where = base / "main" / "binary-amd64"
        (where / "by-hash/SHA256").mkdir(parents=True, exist_ok=True)
        lines = []
        for name, data in (("Packages", plain), ("Packages.xz", lzma.compress(plain))):
            digest = hashlib.sha256(data).hexdigest()
            (where / name).write_bytes(data)
            if by_hash:
                (where / "by-hash/SHA256" / digest).write_bytes(data)
            lines.append(f" {digest} {len(data):>8} main/binary-amd64/{name}")
        text = _release(named or suite, date, until, by_hash, lines)
        if pair:
            (base / "InRelease").unlink(missing_ok=True)
            (base / "Release").write_bytes(text)
            (base / "Release.gpg").write_bytes(self.signer.detached(text))
        else:
            (base / "InRelease").write_bytes(self.signer.clear_signed(text) if signed else text)


def _release(suite: str, date: datetime, until: datetime | None, by_hash: bool, lines: list[str]) -> bytes:
    head = ["Origin: Test", "Label: Test", f"Suite: {suite}", f"Codename: {suite}", f"Date: {_rfc2822(date)}"]
    head += [f"Valid-Until: {_rfc2822(until)}"] if until else []
    head += ["Acquire-By-Hash: yes"] if by_hash else []
    head += ["Architectures: amd64", "Components: main", "SHA256:"]
    return "".join(f"{line}\n" for line in [*head, *lines]).encode()


def _rfc2822(moment: datetime) -> str:
    return f"{moment:%a, %d %b %Y %H:%M:%S} UTC"


def _paragraph(said: Mapping[str, str], deb: Path, root: Path) -> str:
    data = deb.read_bytes()
    more = {"Filename": str(deb.relative_to(root)), "Size": str(len(data)), "SHA256": hashlib.sha256(data).hexdigest()}
    return "".join(f"{key}: {value}\n" for key, value in {**said, **more}.items()) + "\n"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@contextmanager
def web(folder: Path) -> Iterator[str]:
    """A plain web server for a folder; HOST:PORT."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def laid_out(store: Store, source: str, folder: Path) -> Path:
    """The newest state of a source as plain files."""
    found = snapshot.newest(store, source)
    assert found is not None, f"no state of {source}"
    for state, file in snapshot.files(store, found):
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with store.read(f"{Kind.SNAPSHOT}/{state.source}", file.blob.digest) as data:
            path.write_bytes(data.read())
    return folder


@dataclass(frozen=True)
class Apt:
    """apt in a root of its own, with nothing installed, that knows one archive."""

    root: Path

    def knows(self, *lines: str) -> None:
        """Write its sources.list."""
        for folder in ("etc/parts", "lists/partial", "archives/partial", "log", "dpkg"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        (self.root / "dpkg/status").touch()
        for folder in ("info", "updates", "triggers"):
            (self.root / "installed/var/lib/dpkg" / folder).mkdir(parents=True, exist_ok=True)
        (self.root / "installed/var/lib/dpkg/status").touch()
        (self.root / "etc/sources.list").write_text("".join(f"{line}\n" for line in lines))

    def __call__(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run apt-get."""
        lines = (f'{key} "{value}";' for key, value in self._settings().items())
        (self.root / "apt.conf").write_text("\n".join(lines))
        env = {"PATH": os.environ["PATH"], "APT_CONFIG": str(self.root / "apt.conf"), "LC_ALL": "C"}
        words = [program("apt-get"), "-q", "-y", *argv]
        return subprocess.run(words, capture_output=True, text=True, timeout=120, env=env)

    def _settings(self) -> dict[str, object]:
        return {
            "Dir": self.root, "Dir::Etc": "etc", "Dir::Etc::sourceparts": "-", "Dir::Etc::main": "-",
            "Dir::Etc::parts": "parts", "Dir::Etc::preferences": "-", "Dir::Etc::preferencesparts": "parts",
            "Dir::Etc::trusted": "-", "Dir::Etc::trustedparts": "parts", "Dir::State": "", "Dir::State::lists": "lists",
            "Dir::State::status": self.root / "dpkg/status", "Dir::Cache": "", "Dir::Cache::archives": "archives",
            "Dir::Log": "log", "Dir::Bin::methods": "/usr/lib/apt/methods", "Dir::Bin::dpkg": "/usr/bin/dpkg",
            "DPkg::Options::": f"--root={self.root / 'installed'}", "APT::Architecture": "amd64",
            "APT::Sandbox::User": "root", "Acquire::Languages": "none", "Acquire::Retries": "0",
            "APT::Update::Error-Mode": "any", "Debug::NoLocking": "true",
        }  # fmt: skip


def later(days: float) -> datetime:
    """So many days after upstream's first Release, which is of yesterday."""
    return NOW + timedelta(days=days)
