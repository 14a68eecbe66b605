"""For how long new requests fail when the active node of the usual alternative dies: HAProxy and keepalived.

Two of each in network namespaces, set up as cephadm's `ingress` service does: one virtual IP, VRRP by unicast, a check
every 2 s.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.bench.hosts import HOSTS, inside, ip, network, program

VIP, BACKEND = "10.99.0.100", HOSTS["be"]
NODES = {"a": (HOSTS["a"], 100), "b": (HOSTS["b"], 90)}  # address and priority
SECONDS, KILL_AT = 12.0, 3.0
BALANCER = """
defaults
  mode http
  option http-server-close
  option redispatch
  retries 3
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend s3
  bind *:80
  default_backend rgw
backend rgw
  balance static-rr
  option httpchk HEAD / HTTP/1.0
  server own {backend}:8000 check weight 100 inter 2s
"""
KEEPALIVED = """
global_defs {{
  script_user root
}}
vrrp_script check_backend {{
  script "/usr/bin/curl -fs -o /dev/null http://{address}/"
  interval 2
  weight -20
  rise 2
  fall 2
}}
vrrp_instance VI_0 {{
  state {state}
  priority {priority}
  interface eth0
  virtual_router_id 50
  advert_int 1
  unicast_src_ip {address}
  unicast_peer {{
    {other}
  }}
  virtual_ipaddress {{
    {vip}/24 dev eth0
  }}
  track_script {{
    check_backend
  }}
}}
"""
# One new connection every 10 ms, with 300 ms for its answer; prints when those that failed were due (Unix time).
ASK = """
import asyncio, json, sys, time
async def one(failed, host):
    due = time.time()
    try:
        async with asyncio.timeout(0.3):
            reader, writer = await asyncio.open_connection(host, 80)
            writer.write(b"GET / HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
            line = await reader.readline()
            writer.close()
            if b" 200 " not in line:
                failed.append(due)
    except (OSError, TimeoutError):
        failed.append(due)
async def all_of(host, seconds):
    failed, tasks, end = [], [], time.monotonic() + seconds
    while time.monotonic() < end:
        tasks.append(asyncio.create_task(one(failed, host)))
        await asyncio.sleep(0.01)
    await asyncio.gather(*tasks)
    print(json.dumps(sorted(failed)))
asyncio.run(all_of(sys.argv[1], float(sys.argv[2])))
"""
SERVE = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
    do_HEAD = do_GET
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"""


def outage() -> float:
    """Seconds from the death of the active node (both programs killed, its link cut) to when the last request that
    failed was due."""
    with tempfile.TemporaryDirectory(prefix="failing-") as name, ExitStack() as stack:
        folder = Path(name)
        stack.enter_context(network())
        stack.enter_context(program("be", [sys.executable, "-c", SERVE], folder))
        nodes = {node: stack.enter_context(balancer(node, folder)) for node in NODES}
        time.sleep(8)  # who is master, and two checks of the backend
        asked = subprocess.Popen(inside("cl", [sys.executable, "-c", ASK, VIP, str(SECONDS)]), stdout=subprocess.PIPE)
        time.sleep(KILL_AT)
        killed = time.time()
        ip("-n", "peer-sw", "link", "set", "to-a", "down")
        for process in nodes["a"]:
            os.killpg(process.pid, signal.SIGKILL)
        said, _ = asked.communicate(timeout=SECONDS * 3)
    failed = [due for due in json.loads(said) if due >= killed - 0.5]
    return max((due - killed for due in failed), default=0.0)


@contextmanager
def balancer(node: str, folder: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """HAProxy and keepalived of one node."""
    address, priority = NODES[node]
    (other,) = (each for name, (each, _) in NODES.items() if name != node)
    haproxy, keepalived = folder / f"{node}.cfg", folder / f"{node}.conf"
    haproxy.write_text(BALANCER.format(backend=BACKEND))
    state = "MASTER" if priority == 100 else "BACKUP"
    told = KEEPALIVED.format(address=address, priority=priority, state=state, other=other, vip=VIP)
    keepalived.write_text(told)
    keepalived.chmod(0o644)
    watch = ["keepalived", "-n", "-P", "-D", "-f", str(keepalived), "-p", str(folder / f"{node}.pid")]
    with (
        program(node, ["haproxy", "-db", "-f", str(haproxy)], folder) as one,
        program(node, [*watch, "-r", str(folder / f"{node}.vrrp")], folder) as two,
    ):
        yield [one, two]
