"""One GiB into and out of every kind of store, beside the best peer on the same server or, for our own server, beside
what that peer does with the server that people would run instead. Loopback, warm page cache, sides in turn.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.rows import ROOT, Row, ours, version
from tests.lab.programs import free_port, program, running

GIB = 1 << 30
REPEATS = 3
KEYS = {"AWS_ACCESS_KEY_ID": "bench-key", "AWS_SECRET_ACCESS_KEY": "bench-secret-of-some-length"}


@dataclass(frozen=True)
class Taken:
    """What a command took: wall seconds, and the peak of its resident memory in MiB."""

    seconds: float
    memory: float


@dataclass(frozen=True)
class Place:
    """Where the bench works, and its servers."""

    folder: Path
    registry: str
    s3: str
    serve: str
    serve_tls: str
    nginx: str
    nginx_tls: str

    @property
    def env(self) -> dict[str, str]:
        return (
            os.environ
            | KEYS
            | {
                "AWS_REGION": "us-east-1",
                "S3_ENDPOINT_URL": self.s3,
                "NAUST_CONFIG": str(self.folder / "naust.hcl"),
                "XDG_CACHE_HOME": str(self.folder / "cache"),
            }
        )


def taken(place: Place, argv: Sequence[str] | str, *, gone: Path | None = None) -> Taken:
    """Run one command, as a shell line or as words; what `gone` names is removed first."""
    if gone is not None:
        shutil.rmtree(gone, ignore_errors=True) if gone.is_dir() else gone.unlink(missing_ok=True)
    words = ["sh", "-c", argv] if isinstance(argv, str) else list(argv)
    memory = place.folder / "memory"
    os.sync()
    started = time.perf_counter()
    ended = subprocess.run(
        [program("time"), "-f", "%M", "-o", str(memory), *words],
        cwd=ROOT,
        env=place.env,
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - started
    if ended.returncode != 0:
        raise SystemExit(f"bench: {words} ended with {ended.returncode}\n{ended.stderr[-2000:]}")
    return Taken(seconds, int(memory.read_text().split()[-1]) / 1024)


def beside(
    place: Place, name: str, mine: Iterator[Taken], peer: str, its_version: str, theirs: Iterator[Taken]
) -> list[Row]:
    """The best of several runs of each, in turn; our memory as a row of its own."""
    pairs = [(next(mine), next(theirs)) for _ in range(REPEATS)]
    best, other = min(pair[0].seconds for pair in pairs), min(pair[1].seconds for pair in pairs)
    memory = max(pair[0].memory for pair in pairs)
    print(f"  {name:<52} {best:8.3f} s {memory:5.0f} MiB   {peer} {other:.3f} s", flush=True)
    return [
        Row(name, round(best, 4), "s", peer, its_version, round(other / best, 3)),
        Row(f"{name}: peak memory", round(memory, 1), "MiB"),
    ]


def transfers() -> list[Row]:
    """All of it."""
    folder = ROOT / ".bench" / "transfers"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        make_random(folder / "one.bin", GIB)
        with servers(folder) as place:
            return [*_registry(place), *_serve(place), *_s3(place), *_https(place), *_again(place), *_four(place)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_random(path: Path, size: int, seed: int = 7) -> None:
    """A file of so many bytes that nothing can compress, the same for the same seed."""
    source = random.Random(seed)
    with path.open("wb") as file:
        for _ in range(size >> 24):
            file.write(source.randbytes(1 << 24))


def _pushes(place: Place, store: str, path: Path) -> Iterator[Taken]:
    """Each run pushes under a new version what the store has not got: the first byte differs."""
    for number in range(100):
        with path.open("r+b") as file:
            file.write(os.urandom(16))
        yield taken(place, ours("naust", "push", str(path), f"file/one:{number}", "--store", store, "--no-chunks"))


def _pulls(place: Place, store: str, reference: str = "file/one") -> Iterator[Taken]:
    target = place.folder / "pulled"
    while True:
        yield taken(place, ours("naust", "pull", reference, str(target), "--store", store), gone=target)


def _repeated(place: Place, argv: Sequence[str] | str, gone: Path | None = None) -> Iterator[Taken]:
    while True:
        yield taken(place, argv, gone=gone)


def _layout_pushes(place: Place, store: str) -> Iterator[Taken]:
    """The same that crane does below."""
    for number in range(100):
        layout = layout_of(place.folder / "layout-ours", place.folder / "one.bin")
        yield taken(place, ours("naust", "push", f"oci:{layout}", f"container/one:{number}", "--store", store))


def _crane_pushes(place: Place, address: str) -> Iterator[Taken]:
    """crane pushes an OCI layout whose layer is one uncompressed tar, a new one in each run."""
    crane = program("crane")
    for number in range(100):
        layout = layout_of(place.folder / "layout", place.folder / "one.bin")
        yield taken(place, [crane, "push", "--insecure", str(layout), f"{address}/bench/one:{number}"])


def layout_of(layout: Path, content: Path) -> Path:
    """An OCI image layout with the file as its only layer."""
    import hashlib

    shutil.rmtree(layout, ignore_errors=True)
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    with content.open("r+b") as file:
        file.write(os.urandom(16))
        digest = hashlib.file_digest(file, "sha256") if file.seek(0) == 0 else None
    assert digest is not None
    os.link(content, blobs / digest.hexdigest())
    layer = {
        "mediaType": "application/vnd.oci.image.layer.v1.tar",
        "digest": f"sha256:{digest.hexdigest()}",
        "size": content.stat().st_size,
    }
    config = _blob(
        blobs,
        {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}},
        "application/vnd.oci.image.config.v1+json",
    )
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = _blob(blobs, {"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer]}, kind)
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
    return layout


def _blob(blobs: Path, document: dict[str, object], media_type: str) -> dict[str, object]:
    import hashlib

    data = json.dumps(document).encode()
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def _registry(place: Place) -> list[Row]:
    crane, its = program("crane"), f"crane {version([program('crane'), 'version'])}"
    store = f"docker://{place.registry}"
    rows = beside(
        place, "1 GiB push of an OCI layout to a registry", _layout_pushes(place, store), "crane push", its,
        _crane_pushes(place, place.registry),
    )  # fmt: skip
    rows += beside(
        place, "1 GiB file, not hashed before, push to a registry", _pushes(place, store, place.folder / "one.bin"),
        "crane push (hashed before)", its, _crane_pushes(place, place.registry),
    )  # fmt: skip
    gone = place.folder / "crane-out"
    pull = [crane, "pull", "--insecure", "--format", "oci", f"{place.registry}/bench/one:0", str(gone)]
    return rows + beside(
        place, "1 GiB pull from a registry", _pulls(place, store), "crane pull", its, _repeated(place, pull, gone)
    )


def _serve(place: Place) -> list[Row]:
    its = f"crane {version([program('crane'), 'version'])}"
    rows = beside(
        place, "1 GiB push to naust serve", _pushes(place, place.serve, place.folder / "one.bin"),
        "crane push to docker-registry", its, _crane_pushes(place, place.registry),
    )  # fmt: skip
    gone = place.folder / "crane-out"
    layout = layout_of(place.folder / "layout", place.folder / "one.bin")
    address = place.serve.removeprefix("http://")
    taken(place, [program("crane"), "push", "--insecure", str(layout), f"{address}/container/one:1"])
    pull = [program("crane"), "pull", "--insecure", "--format", "oci", f"{address}/container/one:1", str(gone)]
    return rows + beside(
        place, "1 GiB pull from naust serve", _pulls(place, place.serve), "crane pull from naust serve", its,
        _repeated(place, pull, gone),
    )  # fmt: skip


def _s3(place: Place) -> list[Row]:
    s5cmd = program("s5cmd")
    its = f"s5cmd {version([s5cmd, 'version'])}"
    source, gone = place.folder / "one.bin", place.folder / "s5cmd-out"
    up = [s5cmd, "cp", str(source), "s3://bench/one.bin"]
    rows = beside(place, "1 GiB up to S3", _pushes(place, "images", source), "s5cmd cp", its, _repeated(place, up))
    down = [s5cmd, "cp", "s3://bench/one.bin", str(gone)]
    rows += beside(
        place, "1 GiB down from S3", _pulls(place, "images"), "s5cmd cp (checks nothing)", its,
        _repeated(place, down, gone),
    )  # fmt: skip
    checked = f"{s5cmd} cp s3://bench/one.bin {gone} && sha256sum {gone}"
    return rows + beside(
        place, "1 GiB down from S3, checked", _pulls(place, "images"), "s5cmd cp && sha256sum", its,
        _repeated(place, checked, gone),
    )  # fmt: skip


def _https(place: Place) -> list[Row]:
    its = version(["curl", "--version"])
    gone, authority = place.folder / "curl-out", place.folder / "ca.pem"
    rows = []
    for what, store, base in (("HTTPS", "tls", place.nginx_tls), ("HTTP", place.serve, place.nginx)):
        taken(
            place, ours("naust", "push", str(place.folder / "one.bin"), "file/two:1", "--store", store, "--no-chunks")
        )
        line = f"curl -sS --cacert {authority} {base}/one.bin | tee {gone} | sha256sum"
        rows += beside(
            place, f"1 GiB down over {what}", _pulls(place, store, "file/two"), "curl | tee | sha256sum, nginx", its,
            _repeated(place, line, gone),
        )  # fmt: skip
    return rows


def _again(place: Place) -> list[Row]:
    source = place.folder / "one.bin"
    push = ours("naust", "push", str(source), "file/same:1", "--no-chunks", "--store")
    rows = []
    for what, store in (("a directory", str(place.folder / "store")), ("naust serve", place.serve)):
        taken(place, [*push, store])
        best = min(taken(place, [*push, store]).seconds for _ in range(5))
        print(f"  {'1 GiB pushed again to ' + what:<52} {best:8.3f} s", flush=True)
        rows.append(Row(f"1 GiB pushed again, unchanged, to {what}", round(best, 4), "s"))
    return rows


def _four(place: Place) -> list[Row]:
    """Memory must not grow with the file."""
    source = place.folder / "four.bin"
    subprocess.run(["cp", str(place.folder / "one.bin"), str(source)], check=True)
    with source.open("ab") as file:
        for _ in range(3):
            file.write(os.urandom(1 << 20))
            subprocess.run(["dd", f"if={place.folder / 'one.bin'}", f"of={source}", "bs=1M", "oflag=append",
                            "conv=notrunc", "status=none"], check=True)  # fmt: skip
    rows = []
    for what, store in (("a registry", f"docker://{place.registry}"), ("naust serve", place.serve), ("S3", "images")):
        up = taken(place, ours("naust", "push", str(source), "file/four:1", "--store", store, "--no-chunks"))
        target = place.folder / "pulled"
        down = taken(place, ours("naust", "pull", "file/four", str(target), "--store", store), gone=target)
        target.unlink()
        print(f"  {'4 GiB, ' + what:<52} up {up.memory:.0f} MiB, down {down.memory:.0f} MiB", flush=True)
        rows += [
            Row(f"4 GiB push to {what}: peak memory", round(up.memory, 1), "MiB"),
            Row(f"4 GiB pull from {what}: peak memory", round(down.memory, 1), "MiB"),
        ]
    return rows


# Servers


@contextmanager
def servers(folder: Path) -> Iterator[Place]:
    """docker-registry, versitygw, nginx and naust serve, all on loopback, with one certificate."""
    ports = [free_port() for _ in range(6)]
    registry, s3, plain, tls, web, web_tls = (f"127.0.0.1:{port}" for port in ports)
    place = Place(
        folder, registry, f"http://{s3}", f"http://{plain}", f"https://{tls}", f"http://{web}", f"https://{web_tls}"
    )
    _certificate(folder)
    _configure(place)
    log = folder / "servers.log"
    with ExitStack() as stack:
        for port, argv, more in (
            (ports[0], [program("docker-registry"), "serve", str(folder / "registry.yml")], {}),
            (ports[1], [program("versitygw"), "--port", s3, "posix", str(folder / "s3")],
             {"ROOT_ACCESS_KEY": KEYS["AWS_ACCESS_KEY_ID"], "ROOT_SECRET_KEY": KEYS["AWS_SECRET_ACCESS_KEY"]}),
            (ports[2], ours("naust", "serve", str(folder / "served"), "--listen", plain, "--anonymous", "write"), {}),
            (ports[3], ours("naust", "serve", str(folder / "served-tls"), "--listen", tls, "--anonymous", "write",
                            "--cert", str(folder / "ca.pem"), "--key", str(folder / "key.pem")), {}),
            (ports[4], [program("nginx"), "-c", str(folder / "nginx.conf"), "-e", str(log)], {}),
        ):  # fmt: skip
            stack.enter_context(running(argv, port=port, log=log, env=os.environ | more))
        yield place


def _configure(place: Place) -> None:
    folder = place.folder
    (folder / "registry.yml").write_text(
        f'version: 0.1\nlog: {{level: error}}\nhttp: {{addr: "{place.registry}"}}\n'
        f"storage: {{filesystem: {{rootdirectory: {folder / 'registry'}}}, delete: {{enabled: true}}}}\n"
    )
    (folder / "s3" / "bench").mkdir(parents=True)
    (folder / "naust.hcl").write_text(
        f'store "images" {{\n  url = "s3://bench/naust"\n  endpoint = "{place.s3}"\n}}\n'
        f'store "tls" {{\n  url = "{place.serve_tls}"\n  ca = "{folder / "ca.pem"}"\n}}\n'
    )
    (folder / "nginx.conf").write_text(
        f"""daemon off; pid {folder}/nginx.pid; worker_processes 1; events {{}}
        http {{ access_log off; sendfile on; root {folder};
          client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
          uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
          server {{ listen {place.nginx.removeprefix("http://")}; }}
          server {{ listen {place.nginx_tls.removeprefix("https://")} ssl; ssl_protocols TLSv1.3;
            ssl_certificate {folder}/ca.pem; ssl_certificate_key {folder}/key.pem; }} }}
        user root;
        """
    )


def _certificate(folder: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=bench", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(folder / "key.pem"),
         "-out", str(folder / "ca.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
