"""What the programs of roles say of themselves: /metrics for Prometheus, /status for their own verb `status`."""

from __future__ import annotations

import argparse
import json
import signal
import socket
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, TypeVar

LOOPBACK = "127.0.0.1"
STATUS_TIMEOUT = 5.0  # seconds
IP_FREEBIND = 15  # linux/in.h; the module socket does not name it


class Configured(Protocol):
    """What seter wrote for a program; this much all have."""

    @property
    def metrics_port(self) -> int:
        """Where it answers."""
        ...


T = TypeVar("T", bound=Configured)


class Tells(Protocol):
    """What is known, at any moment; asked by threads of the server."""

    def report(self) -> dict[str, Any]:
        """For `status`."""
        ...

    def metrics(self) -> str:
        """Prometheus text format 0.0.4."""
        ...


class Server(ThreadingHTTPServer):
    """On one IPv4 address."""

    daemon_threads = True

    def __init__(self, address: str, port: int, state: Tells) -> None:
        self.state = state
        super().__init__((address, port), Handler)

    def server_bind(self) -> None:
        """A program may start before its node has the address."""
        self.socket.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        super().server_bind()


class Handler(BaseHTTPRequestHandler):
    """GET only."""

    def do_GET(self) -> None:
        """Answer one request."""
        assert isinstance(self.server, Server)
        state = self.server.state
        if self.path == "/metrics":
            text, media_type = state.metrics(), "text/plain; version=0.0.4"
        elif self.path == "/status":
            text, media_type = json.dumps(state.report()), "application/json"
        else:
            self.send_error(404)
            return
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not worth a line."""


def serve(port: int, state: Tells, address: str) -> None:
    """Answer from now on, in threads that end with the program, at loopback and at the node's own IPv4 `address`.

    Not at every address: the virtual IPs are the node's too, and who reaches those is anybody. Raises OSError.
    """
    for own in dict.fromkeys((LOOPBACK, address)):
        threading.Thread(target=Server(own, port, state).serve_forever, daemon=True).start()


def metric(name: str, kind: str, summary: str, samples: Iterable[tuple[Mapping[str, str], float]]) -> list[str]:
    """The lines of one metric in Prometheus's text format (prometheus.io, "Exposition formats"); none without samples.

    Each sample has its labels and its value.
    """
    lines = [f"{name}{_labels(labels)} {value:.15g}" for labels, value in samples]
    return [f"# HELP {name} {summary}", f"# TYPE {name} {kind}", *lines] if lines else []


def _labels(labels: Mapping[str, str]) -> str:
    pairs = [f'{key}="{_escaped(value)}"' for key, value in labels.items()]
    return f"{{{','.join(pairs)}}}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def exporter(usage: str | None, config: Path, argv: Sequence[str], make: Callable[[Mapping[str, Any]], Tells]) -> int:
    """The verbs of a program that has nothing but metrics: run, status, check-config. Returns the exit code.

    `usage` is its documentation, `config` the JSON that seter wrote for it, and `make` makes from that what is asked.
    """
    verbs = [*argv]
    if verbs[:1] == ["--config"] and len(verbs) > 2:
        config, verbs = Path(verbs[1]), verbs[2:]
    if verbs not in (["run"], ["status"], ["check-config"]):
        print(usage, file=sys.stderr)
        return 2
    try:
        found = json.loads(config.read_text(encoding="utf-8"))
        port, address, state = int(found["metrics_port"]), str(found["metrics_address"]), make(found)
    except (OSError, KeyError, TypeError, ValueError) as fault:
        print(f"{config} cannot be used: {type(fault).__name__}: {fault}", file=sys.stderr)
        return 2
    if verbs == ["check-config"]:
        return 0
    return _status(port) if verbs == ["status"] else _run(port, state, address)


def program(
    usage: str | None,
    default: str,
    argv: Sequence[str],
    read: Callable[[str], T],
    run: Callable[[T], int],
    *,
    strict: str,
    more: Mapping[str, Callable[[T], None]] | None = None,
) -> int:
    """The command line that the programs of roles share: run, status, check-config, and `more` verbs. Returns the exit
    code: 0 done, 1 failed, or `status` with the option `strict` while the report is not ok, 2 wrong file or usage.

    `usage` is the program's documentation, `default` its file, which `read` takes (ValueError with the reason).
    """
    name = Path(sys.argv[0]).name
    parser = argparse.ArgumentParser(name, description=usage, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default=default)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("run", "check-config", *(more or {})):
        verbs.add_parser(verb)
    verbs.add_parser("status").add_argument(strict, dest="strict", action="store_true")
    options = parser.parse_args(argv)
    try:
        config = read(options.config)
        if options.verb == "status":
            with urllib.request.urlopen(f"http://{LOOPBACK}:{config.metrics_port}/status", timeout=2) as answer:
                report = json.load(answer)
            print(json.dumps(report))
            return 1 if options.strict and not report["ok"] else 0
        if options.verb in (more or {}):
            (more or {})[options.verb](config)
        return run(config) if options.verb == "run" else 0
    except (ValueError, OSError) as fault:
        print(f"{name}: {fault}", file=sys.stderr, flush=True)
        return 2 if isinstance(fault, ValueError) else 1


def until_told() -> threading.Event:
    """Is set by SIGTERM and SIGINT from now on."""
    ending = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ending.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    return ending


def _run(port: int, state: Tells, address: str) -> int:
    ending = until_told()
    serve(port, state, address)
    ending.wait()
    return 0


def _status(port: int) -> int:
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/status", timeout=STATUS_TIMEOUT) as answer:
            report = json.load(answer)
    except (OSError, ValueError) as fault:
        report = {"ok": False, "summary": f"the exporter does not answer: {fault}"}
    print(json.dumps(report))
    return 0 if report["ok"] else 1
