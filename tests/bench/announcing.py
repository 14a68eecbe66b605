"""How soon a service that fails is announced no more, and what watching costs: our agent beside anycast-healthchecker.

Both look ten times a second over TLS at the same server and steer a BIRD of their own, in a network namespace. The peer
is told to give up at the first failure, as ours does for a refusal.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tests.bench.rows import ROOT, WORK, Row
from tests.lab.programs import free_port, program

NAMESPACE = "bench-announcing"
ROUNDS, WATCHED = 5, 5.0  # seconds of which the CPU is counted
PEER = "anycast-healthchecker==0.9.10"
BIRD = """
router id 192.0.2.1;
include "{folder}/prefixes.conf";
protocol device {{ }}
protocol static vip4 {{ ipv4; {state} route 192.0.2.10/32 blackhole; }}
"""
SERVE = """
import http.server, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *words): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 443), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); context.load_cert_chain(sys.argv[1])
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
SETTINGS = """
[DEFAULT]
interface = lo
[daemon]
pidfile = {folder}/ahc.pid
ipv4 = true
ipv6 = false
bird_conf = {folder}/prefixes.conf
bird_variable = ADVERTISED
bird_reconfigure_cmd = {birdc} -s {folder}/bird.ctl configure
dummy_ip_prefix = 10.189.200.255/32
loglevel = warning
log_file = {folder}/ahc.log
stderr_file = {folder}/ahc.err
purge_ip_prefixes = true
[s3]
check_cmd = curl -sf -o /dev/null --cacert {folder}/own.crt --resolve s3.example.test:443:127.0.0.1 https://s3.example.test/
check_interval = 0.1
check_timeout = 1
check_rise = 2
check_fail = 1
check_disabled = false
on_disabled = withdraw
ip_prefix = 192.0.2.10/32
"""


def announcing() -> list[Row]:
    """Seconds to the withdrawal, the slowest of several; and CPU seconds a second while nothing happens."""
    python = peer_program()
    with tempfile.TemporaryDirectory(prefix="announcing-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        stack.enter_context(namespace())
        certificate(folder)
        ours, own_cpu = watched(folder, our_agent(folder), enabled_by_us=True)
        theirs, its_cpu = watched(
            folder, [str(python), "-f", str(settings(folder)), "-d", str(folder / "checks")], enabled_by_us=False
        )
    print(f"  {'service fails: announced no more after':<44} {ours:8.3f} s   {PEER} {theirs:.3f} s", flush=True)
    print(f"  {'watching a service: CPU':<44} {own_cpu:8.3f} s/s {PEER} {its_cpu:.3f} s/s", flush=True)
    return [
        Row("service fails: announced no more after", round(ours, 4), "s", PEER, PEER, round(theirs / ours, 3)),
        Row("watching a service: CPU", round(own_cpu, 4), "s/s", PEER, PEER, round(its_cpu / own_cpu, 3)),
    ]


def watched(folder: Path, agent: list[str], *, enabled_by_us: bool) -> tuple[float, float]:
    """The slowest withdrawal after the server is killed, and the CPU used before."""
    state = "disabled;" if enabled_by_us else "import filter { if net ~ ADVERTISED then accept; reject; };"
    (folder / "prefixes.conf").write_text("define ADVERTISED = [ 10.189.200.255/32 ];\n")
    text = BIRD.format(folder=folder, state="disabled;" if enabled_by_us else "")
    if not enabled_by_us:
        text = text.replace("ipv4;", f"ipv4 {{ {state} }};")
    (folder / "bird.conf").write_text(text)
    slowest, cpu = 0.0, 0.0
    bird = [program("bird"), "-f", "-c", str(folder / "bird.conf"), "-s", str(folder / "bird.ctl")]
    with running(bird, folder), ExitStack() as stack:
        until(lambda: (folder / "bird.ctl").exists(), 10)
        watcher = stack.enter_context(running(agent, folder))
        for _ in range(ROUNDS):
            with running([sys.executable, "-c", SERVE, str(folder / "own.pem")], folder) as server:
                until(lambda: announced(folder), 30)
                if not cpu:
                    before = cpu_below(watcher.pid)
                    time.sleep(WATCHED)
                    cpu = (cpu_below(watcher.pid) - before) / WATCHED
                os.killpg(server.pid, signal.SIGKILL)
                begun = time.monotonic()
                until(lambda: not announced(folder), 30)
                slowest = max(slowest, time.monotonic() - begun)
    return slowest, cpu


def announced(folder: Path) -> bool:
    """BIRD has the route."""
    argv = [program("birdc"), "-s", str(folder / "bird.ctl"), "show", "route", "192.0.2.10/32"]
    return "vip4" in subprocess.run(argv, capture_output=True, text=True, check=False).stdout


def our_agent(folder: Path) -> list[str]:
    """The command of the role's agent, with files as seter writes them."""
    document = {
        "services": [{"name": "main", "dns_name": "s3.example.test", "vips": ["192.0.2.10"], "protocols": ["vip4"]}],
        "interval": 0.1, "timeout": 1.0, "connect_within": 0.3,
        "fall": 2, "rise": 2, "calm": 0.0, "most": 2, "fresh_every": 10, "ca": str(folder / "own.crt"), "trust": "",
        "bird": str(folder / "bird.ctl"), "folder": str(folder), "metrics_port": free_port(),
        "metrics_address": "127.0.0.2",
    }  # fmt: skip
    (folder / "health.json").write_text(json.dumps(document))
    roles = ROOT / "systems" / "roles"
    path = os.pathsep.join(str(roles / name / "files") for name in ("health", "bird", "metrics"))
    run = f"import sys, health; sys.exit(health.run(health.Config.read({str(folder / 'health.json')!r})))"
    return ["env", f"PYTHONPATH={path}", sys.executable, "-c", run]


def settings(folder: Path) -> Path:
    """The peer's file."""
    path = folder / "ahc.conf"
    (folder / "checks").mkdir()
    path.write_text(SETTINGS.format(folder=folder, birdc=program("birdc")))
    return path


def peer_program() -> Path:
    """anycast-healthchecker, in an environment of its own."""
    folder = WORK / "anycast-healthchecker"
    made = folder / "bin" / "anycast-healthchecker"
    if not made.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin" / "pip", "install", "--quiet", PEER], check=True)
    return made


def certificate(folder: Path) -> None:
    """For the name that clients use."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=s3.example.test", "-addext", "subjectAltName=DNS:s3.example.test",
         "-keyout", folder / "own.key", "-out", folder / "own.crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    (folder / "own.pem").write_text((folder / "own.crt").read_text() + (folder / "own.key").read_text())


@contextmanager
def namespace() -> Iterator[None]:
    """A host of its own, whose loopback has the virtual IP."""
    try:
        for words in (
            ("netns", "add", NAMESPACE),
            ("-n", NAMESPACE, "link", "set", "lo", "up"),
            ("-n", NAMESPACE, "addr", "add", "192.0.2.10/32", "dev", "lo"),
        ):
            subprocess.run(["ip", *words], check=True, capture_output=True)
        yield
    finally:
        subprocess.run(["ip", "netns", "del", NAMESPACE], check=False, capture_output=True)


@contextmanager
def running(argv: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program in the namespace until the end of the block, in a group of processes of its own."""
    with (folder / "output").open("ab") as log:
        process = subprocess.Popen(
            ["ip", "netns", "exec", NAMESPACE, *argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def until(holds: Callable[[], bool], seconds: float) -> None:
    """Raises SystemExit when it does not come about."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise SystemExit(f"bench: it did not come about within {seconds:g} s")
        time.sleep(0.005)


def cpu_below(pid: int) -> float:
    """Seconds of a process, of its children that ended, and of those that live (proc(5), stat)."""
    total, ticks = 0.0, os.sysconf("SC_CLK_TCK")
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text().rsplit(")", 1)[1].split()
            if int(fields[2]) == pid:  # its group
                total += sum(map(int, fields[11:15])) / ticks
    return total
