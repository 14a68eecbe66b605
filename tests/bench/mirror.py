"""A Debian suite mirrored by naust, beside aptly on the same packages.

Both get what they ask for from one recorder on loopback: the first round fills it from the Debian mirror of this
machine, so that neither side has the better network. What is measured is whole processes, from empty folders, in turn,
the best of REPEATS. aptly does not sign what it publishes here, naust does.
"""

from __future__ import annotations

import http.server
import json
import os
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from naust.source.apt_machine import places
from naust.source.fetch import bare
from tests.bench.rows import ROOT, Row, ours, seconds, version
from tests.lab.programs import program

REPEATS = 3
SUITE = "trixie"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
PACKAGES = ("apt", "bird2", "chrony", "curl", "etcd-server", "haproxy", "keepalived", "nginx-light", "openssh-server",
            "python3", "systemd")  # fmt: skip


def mirror() -> list[Row]:
    """All of it."""
    folder = ROOT / ".bench" / "mirror"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        with _recorder(folder / "recorded", places([SUITE])[SUITE]) as url:
            sides = _Naust(folder / "naust", url), _Aptly(folder / "aptly", url)
            return _rows(*sides)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _rows(mine: _Naust, its: _Aptly) -> list[Row]:
    its.prepare()
    for side in (mine, its):  # fill the recorder
        side.clear()
        side.first()
    _check_alike(mine, its)
    taken: dict[str, list[tuple[float, float]]] = {"first": [], "again": [], "publish": []}
    for _ in range(REPEATS):
        mine.clear()
        its.clear()
        for step in taken:
            taken[step].append((getattr(mine, step)(), getattr(its, step)()))
    peer, its_version = "aptly", version(["aptly", "version"])
    names = {
        "first": f"first mirror of {mine.count()} packages",
        "again": "mirror again, nothing new",
        "publish": "snapshot and publish",
    }
    rows = []
    for step, pairs in taken.items():
        best, other = min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)
        rows.append(_row(names[step], best, "s", other, its_version, peer))
    return [
        *rows,
        _row("disk use after that", _disk(mine.folder / "store"), "MB", _disk(its.folder / "root"), its_version, peer),
    ]


def _row(name: str, best: float, unit: str, other: float, its_version: str, peer: str) -> Row:
    print(f"  {name:<44} {best:8.3f} {unit}   {peer} {other:.3f} {unit}", flush=True)
    return Row(name, round(best, 4), unit, peer, its_version, round(other / best, 3))


def _check_alike(mine: _Naust, its: _Aptly) -> None:
    """A comparison of different sets of packages would say nothing."""
    ours_, theirs = mine.names(), its.names()
    differing = len(ours_ ^ theirs)
    print(f"  {len(ours_)} packages of naust, {len(theirs)} of aptly, {differing} in one alone", flush=True)
    if differing > len(theirs) // 10:
        raise SystemExit(f"bench: naust and aptly chose different packages: {sorted(ours_ ^ theirs)[:20]}")


@dataclass(frozen=True)
class _Naust:
    folder: Path
    url: str

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        words = ", ".join(f'"{each}"' for each in ("priority:required", *PACKAGES))
        (self.folder / "sources.hcl").write_text(
            f'apt "debian" {{\n  url = "{self.url}"\n  suites = ["{SUITE}"]\n  packages = [{words}]\n'
            f'  key = "file:{self.folder}/archive.key"\n}}\n'
        )

    def _run(self, verb: str, *argv: str) -> float:
        sources, store = str(self.folder / "sources.hcl"), str(self.folder / "store")
        return seconds(ours("naust", verb, *argv, "--sources", sources, "--store", store))

    def first(self) -> float:
        return self._run("mirror")

    def again(self) -> float:
        return self._run("mirror")

    def publish(self) -> float:
        return self._run("snapshot", "all", "--as", "current")

    def names(self) -> set[str]:
        from naust.source import snapshot
        from naust.store import open_store

        store = open_store(str(self.folder / "store"))
        found = snapshot.newest(store, "debian")
        assert found is not None
        return {file.package.name for _, file in snapshot.files(store, found) if file.package}

    def count(self) -> int:
        return len(self.names())


@dataclass(frozen=True)
class _Aptly:
    folder: Path
    url: str

    def prepare(self) -> None:
        """Its configuration, and the keys that it trusts."""
        (self.folder / "gnupg").mkdir(mode=0o700, parents=True)
        settings = {
            "rootDir": str(self.folder / "root"),
            "architectures": ["amd64"],
            "dependencyFollowRecommends": False,
            "skipContentsPublishing": True,
        }
        (self.folder / "aptly.conf").write_text(json.dumps(settings))
        argv = [program("gpg"), "--no-default-keyring", "--keyring", "trustedkeys.gpg", "--import", str(KEYRING)]
        subprocess.run(argv, env=self._env(), check=True, capture_output=True)
        stop = [program("gpgconf"), "--homedir", str(self.folder / "gnupg"), "--kill", "all"]
        subprocess.run(stop, check=True, capture_output=True)

    def clear(self) -> None:
        shutil.rmtree(self.folder / "root", ignore_errors=True)

    def _env(self) -> dict[str, str]:
        return os.environ | {"GNUPGHOME": str(self.folder / "gnupg"), "HOME": str(self.folder)}

    def _run(self, *argv: str) -> float:
        words = [program("aptly"), f"-config={self.folder}/aptly.conf", *argv]
        return seconds(["env", *(f"{key}={value}" for key, value in self._env().items()
                                 if key in ("HOME", "GNUPGHOME")), *words])  # fmt: skip

    def first(self) -> float:
        wanted = " | ".join(("Priority (required)", *PACKAGES))
        made = self._run("mirror", "create", f"-filter={wanted}", "-filter-with-deps", "-architectures=amd64",
                         "m", self.url, SUITE, "main")  # fmt: skip
        return made + self.again()

    def again(self) -> float:
        return self._run("mirror", "update", "m")

    def publish(self) -> float:
        return self._run("snapshot", "create", "s", "from", "mirror", "m") + self._run(
            "publish", "snapshot", "-skip-signing", f"-distribution={SUITE}", "s", "p"
        )

    def names(self) -> set[str]:
        pool = (self.folder / "root" / "pool").rglob("*.deb")
        return {path.name.split("_")[-3] for path in pool}  # named HASH_NAME_VERSION_ARCHITECTURE.deb


def _disk(folder: Path) -> float:
    """What is below the folder on the disk, in MB, as du counts: blocks, and a file of two names once."""
    return int(subprocess.run(["du", "-sk", str(folder)], capture_output=True, text=True).stdout.split()[0]) / 1000


@contextmanager
def _recorder(folder: Path, upstream: str) -> Iterator[str]:
    """A web server that keeps what it fetched, so that the second to ask gets it from this disk."""
    base, credential = bare(upstream)
    lock = threading.Lock()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

        def do_GET(self) -> None:
            path = folder / self.path.lstrip("/")
            with lock:
                if not path.exists():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(self._from_upstream())
            data = path.read_bytes()
            self.send_response(200 if data else 404)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _from_upstream(self) -> bytes:
            request = urllib.request.Request(base + self.path)
            if credential is not None:
                request.add_header("Authorization", credential.value)
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return bytes(answer.read())
            except OSError:  # an empty file says that there is none
                return b""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


if __name__ == "__main__":
    mirror()
