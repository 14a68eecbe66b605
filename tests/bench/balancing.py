"""What a gateway's balancer costs: Traefik as s3-lb ships it, beside HAProxy as cephadm's `ingress` service sets it up,
and beside a HAProxy that was tuned, for honesty. One machine with a namespace for each host, TLS to clients, nginx in
place of RadosGW: one on the gateway itself and one that stands for those of two other gateways.

What is compared is CPU per unit of work of the balancer's process: client, balancer and backend share the cores, so
requests a second are the speed of all three. A quarter of Traefik's requests goes by TLS, two thirds of those to the
other host; of HAProxy's two thirds go there, plain, as cephadm's do.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import tests.unit.systems.conftest as programs
from tests.bench.hosts import HOSTS, inside, network, program
from tests.bench.rows import Row, version
from tests.golden.systems import test_service_files as files

HOST = "s3.example.test"
OWN, OTHER = HOSTS["a"], HOSTS["be"]
PLAIN, TLS, HTTPS, STATS, SYSLOG = 18080, 18444, 18443, 18404, 18514
SMALL, LARGE = 4 << 10, 4 << 20
ROUNDS, SECONDS = 3, 4
TICKS = os.sysconf("SC_CLK_TCK")
NGINX = """
daemon off; master_process off; pid {folder}/{host}.pid; error_log {folder}/{host}.log; worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; client_max_body_size 0;
  client_body_temp_path {folder}/body; client_body_buffer_size 64k;
  server {{
    listen {plain}; listen {tls} ssl;
    ssl_certificate {folder}/own.pem; ssl_certificate_key {folder}/own.pem;
    root {folder}/files;
    location = / {{ return 200; }}
    location = /swift/healthcheck {{ return 200; }}
    location /put {{ dav_methods PUT; create_full_put_path on; }}
  }}
}}
"""
# As cephadm's template for `ingress` has it (haproxy.cfg.j2 of Ceph), which logs every request to the local syslog.
CEPHADM = """
global
  log 127.0.0.1:{syslog} local2
  maxconn 8000
  stats socket {folder}/stats
defaults
  mode http
  log global
  option httplog
  option dontlognull
  option http-server-close
  option forwardfor except 127.0.0.0/8
  option redispatch
  retries 3
  timeout queue 20s
  timeout connect 5s
  timeout http-request 1s
  timeout http-keep-alive 5s
  timeout client 30s
  timeout server 30s
  timeout check 5s
  maxconn 8000
frontend stats
  bind 127.0.0.1:{stats}
  stats enable
  stats uri /stats
  http-request use-service prometheus-exporter if {{ path /metrics }}
  monitor-uri /health
frontend s3
  bind :{https} ssl crt {folder}/own.pem
  default_backend rgw
backend rgw
  option forwardfor
  balance static-rr
  option httpchk HEAD / HTTP/1.0
  server one {own}:{plain} check weight 100 inter 2s
  server two {other}:{plain} check weight 100 inter 2s
  server three {other}:{plain} check weight 100 inter 2s
"""
TUNED = """
global
  nbthread 2
  tune.bufsize 65536
  ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256
defaults
  mode http
  option splice-auto
  http-reuse always
  timeout connect 5s
  timeout http-keep-alive 60s
  timeout client 60s
  timeout server 60s
  maxconn 2000
frontend s3
  bind :{https} ssl crt {folder}/own.pem
  default_backend rgw
backend rgw
  balance random
  option httpchk HEAD /
  server one {own}:{plain} check
  server two {other}:{plain} check
  server three {other}:{plain} check
"""
REACH = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 1)"
# A local syslog that does not read what it gets: what is too much the kernel drops, without a word to the sender.
SYSLOG_DAEMON = """
import signal, socket, sys
listener = socket.socket(type=socket.SOCK_DGRAM)
listener.bind(("127.0.0.1", int(sys.argv[1])))
signal.pause()
"""


@dataclass(frozen=True, slots=True)
class Work:
    """One kind of load. `size` in bytes."""

    name: str
    method: str
    size: int
    connections: int

    @property
    def unit(self) -> str:
        """What its CPU is counted by."""
        return "10,000 requests" if self.size == SMALL else "GiB"


WORKS = (
    Work("GET 4 KiB", "GET", SMALL, 64),
    Work("PUT 4 KiB", "PUT", SMALL, 64),
    Work("GET 4 MiB", "GET", LARGE, 16),
    Work("PUT 4 MiB", "PUT", LARGE, 16),
)


@dataclass(frozen=True, slots=True)
class Figure:
    """CPU seconds per unit of work, units a second, and the 99th percentile in milliseconds."""

    cpu: float
    speed: float
    p99: float


def balancing() -> list[Row]:
    """All kinds of load on all three balancers, in turn, several times; medians."""
    with (
        tempfile.TemporaryDirectory(prefix="balancing-", dir="/dev/shm") as name,
        network(),
        backend(Path(name)) as folder,
    ):
        made = {
            "Traefik as shipped": traefik(folder),
            "HAProxy as cephadm": haproxy(folder, "cephadm", CEPHADM),
            "HAProxy tuned": haproxy(folder, "tuned", TUNED),
        }
        found: dict[tuple[str, str], list[Figure]] = {}
        for _ in range(ROUNDS):
            for balancer, argv in made.items():
                with running(argv, folder) as process:
                    for work in WORKS:
                        found.setdefault((balancer, work.name), []).append(measured(work, process.pid, folder))
    return [row for work in WORKS for row in rows(work, found)]


def rows(work: Work, found: dict[tuple[str, str], list[Figure]]) -> list[Row]:
    """Ours beside each peer: CPU, units a second, and the slowest hundredth."""
    table = {balancer: middle(figures) for (balancer, name), figures in found.items() if name == work.name}
    mine = table.pop("Traefik as shipped")
    its = version(["haproxy", "-v"])
    out = []
    for peer, theirs in table.items():
        print(
            f"  {work.name:<10} {mine.cpu:6.3f} CPU s, {mine.speed:8.1f}/s, p99 {mine.p99:6.1f} ms   "
            f"{peer} {theirs.cpu:.3f}, {theirs.speed:.1f}/s, {theirs.p99:.1f} ms",
            flush=True,
        )
        for what, unit, one, other, ratio in (
            (f"CPU per {work.unit}", "s", mine.cpu, theirs.cpu, theirs.cpu / mine.cpu),
            ("throughput", f"{work.unit}/s", mine.speed, theirs.speed, mine.speed / theirs.speed),
            ("p99", "ms", mine.p99, theirs.p99, theirs.p99 / mine.p99),
        ):
            name = f"gateway, {work.name}: {what}"
            out.append(Row(name, round(one, 4), unit, f"{peer}: {other:.4f}", its, round(ratio, 3)))
    return out


def middle(figures: list[Figure]) -> Figure:
    """The median of each part."""
    cpu, speed, p99 = (statistics.median(getattr(each, part) for each in figures) for part in ("cpu", "speed", "p99"))
    return Figure(cpu, speed, p99)


def measured(work: Work, pid: int, folder: Path) -> Figure:
    """One run of wrk against what listens on HTTPS."""
    script = folder / f"{work.method}-{work.size}.lua"
    path = f"/{work.size}" if work.method == "GET" else f"/put/{work.size}"
    script.write_text(
        f'wrk.method = "{work.method}"\nwrk.path = "{path}"\nwrk.headers["Host"] = "{HOST}"\n'
        + (f'wrk.body = string.rep("x", {work.size})\n' if work.method == "PUT" else "")
    )
    argv = ["wrk", "-t2", f"-c{work.connections}", f"-d{SECONDS}s", "--timeout=30s", "--latency", "-s", str(script)]
    before = cpu_of(pid)
    url = f"https://{OWN}:{HTTPS}{path}"
    said = subprocess.run(inside("cl", [*argv, url]), capture_output=True, text=True, check=True).stdout
    used = cpu_of(pid) - before
    found = re.search(r"(\d+) requests in ([\d.]+)s", said)
    slow = re.search(r"99%\s+([\d.]+)(us|ms|s)", said)
    if found is None or slow is None or "Non-2xx" in said:
        raise SystemExit(f"bench: wrk did not get what it asked for\n{said}")
    units = int(found[1]) / 10_000 if work.size == SMALL else int(found[1]) * work.size / (1 << 30)
    scale = {"us": 0.001, "ms": 1.0, "s": 1000.0}[slow[2]]
    return Figure(used / units, units / float(found[2]), float(slow[1]) * scale)


def cpu_of(pid: int) -> float:
    """Seconds of user and system time of a process with all its threads (proc(5), stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@contextmanager
def backend(folder: Path) -> Iterator[Path]:
    """nginx with the files, plain and by TLS, until the end of the block."""
    (folder / "files" / "put").mkdir(parents=True)
    folder.chmod(0o755)
    for size in (SMALL, LARGE):
        (folder / "files" / str(size)).write_bytes(os.urandom(size))
    for path in (folder / "files", folder / "files" / "put", folder / "body"):
        path.mkdir(exist_ok=True)
        path.chmod(0o777)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST},IP:{OWN},IP:{OTHER}",
         "-keyout", folder / "own.key", "-out", folder / "own.crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    (folder / "own.pem").write_text((folder / "own.crt").read_text() + (folder / "own.key").read_text())
    with ExitStack() as stack:
        stack.enter_context(program("a", [sys.executable, "-c", SYSLOG_DAEMON, str(SYSLOG)], folder))
        for host in ("a", "be"):
            (folder / f"{host}.nginx").write_text(NGINX.format(folder=folder, host=host, plain=PLAIN, tls=TLS))
            argv = ["/usr/sbin/nginx", "-c", str(folder / f"{host}.nginx")]
            stack.enter_context(running(argv, folder, host, port=PLAIN))
        yield folder


def traefik(folder: Path) -> list[str]:
    """The command of a Traefik with the files that seter writes; only ports, paths and servers are this machine's."""
    assert programs.ROLES.is_dir(), "the programs of roles can be imported since it is imported"
    static: dict[str, Any] = yaml.safe_load(files.written("traefik", "traefik.yml", files.GATEWAYS[0], **files.TRAEFIK))
    points = static["entryPoints"]
    for name, port in (("traefik", 18081), ("metrics", 18082), ("http", 18083), ("https", HTTPS)):
        points[name]["address"] = f":{port}"
    (folder / "dynamic").mkdir()
    static["providers"]["file"]["directory"] = str(folder / "dynamic")
    (folder / "traefik.yml").write_text(yaml.safe_dump(static))
    pem = {"s3.crt": folder / "own.crt", "s3.key": folder / "own.key", "ca.crt": folder / "own.crt"}
    tree = json.loads(files.written("traefik", "tree.json", files.GATEWAYS[0], **files.TRAEFIK))
    read = {key: pem[Path(found["file"]).name].read_text() for key, found in tree.items() if isinstance(found, dict)}
    read |= {key: found for key, found in tree.items() if isinstance(found, str)}
    addresses = itertools.chain((OWN,), itertools.repeat(OTHER))
    for key, value in sorted(read.items()):
        if key.endswith("/url"):
            read[key] = f"http://127.0.0.1:{PLAIN}" if value.startswith("http:") else f"https://{next(addresses)}:{TLS}"
    if found := files.traefik_schema.problems(read):
        raise SystemExit(f"bench: {found}")
    document = files.traefik_schema.document(read)
    assert isinstance(document["tls"], dict)
    document["tls"]["stores"] = {
        "default": {"defaultCertificate": {"certFile": str(folder / "own.crt"), "keyFile": str(folder / "own.key")}}
    }
    (folder / "dynamic" / "tree.yml").write_text(json.dumps(document))
    return [str(traefik_program(folder)), f"--configFile={folder / 'traefik.yml'}"]


def traefik_program(folder: Path) -> Path:
    """The program that the role installs, from its image."""
    image = subprocess.run(
        ["docker", "images", "--format", "{{.Repository}}:{{.Tag}}", "naust/traefik"],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    if not image:
        raise SystemExit("bench: the engine has no image of the role traefik; run: seter deploy, or smie build traefik")
    made = subprocess.run(["docker", "create", image[0]], capture_output=True, text=True, check=True).stdout.strip()
    try:
        copy = ["docker", "cp", f"{made}:/usr/local/bin/traefik", str(folder / "traefik")]
        subprocess.run(copy, check=True, capture_output=True)
    finally:
        subprocess.run(["docker", "rm", made], check=True, capture_output=True)
    return folder / "traefik"


def haproxy(folder: Path, name: str, text: str) -> list[str]:
    """The command of a HAProxy in the foreground."""
    path = folder / f"{name}.cfg"
    path.write_text(
        text.format(folder=folder, https=HTTPS, plain=PLAIN, stats=STATS, syslog=SYSLOG, own=OWN, other=OTHER)
    )
    program = shutil.which("haproxy") or "/usr/sbin/haproxy"
    return [program, "-db", "-f", str(path)]


@contextmanager
def running(argv: list[str], folder: Path, host: str = "a", port: int = HTTPS) -> Iterator[subprocess.Popen[bytes]]:
    """A program from when it listens on the port of its host (the gateway, if none is named) until the block's end."""
    with program(host, argv, folder) as process:
        listening = inside("cl", [sys.executable, "-c", REACH, HOSTS[host], str(port)])
        end = time.monotonic() + 20
        while subprocess.run(listening, capture_output=True).returncode:
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"bench: {argv[0]} does not listen\n{(folder / f'{host}.log').read_text()[-2000:]}")
            time.sleep(0.05)
        time.sleep(1)  # health checks
        yield process
