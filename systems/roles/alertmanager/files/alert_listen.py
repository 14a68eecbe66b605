#!/usr/bin/python3
"""Listens as a receiver would, and prints each alert that it is told, one line of JSON.

    alert-listen [--port PORT] [--seconds SECONDS]

For a look at what a receiver gets: it listens at loopback alone, where a lab's Alertmanager is told to send. Whoever
does not show the secret `webhook-token` gets 401. Exit code: 0 when it was told something, 1 when not.
"""

from __future__ import annotations

import argparse
import hmac
import json
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TOKEN = Path("/etc/seter/secrets/alertmanager/webhook-token")
LONGEST = 1 << 20  # bytes of one message


def alerts(path: str, body: bytes) -> Iterator[dict[str, str]]:
    """What a message says (prometheus.io, "Alerting", `webhook_config`, version 4). Raises ValueError."""
    found = json.loads(body)
    entries = found.get("alerts") if isinstance(found, Mapping) else None
    if not isinstance(entries, list):
        raise ValueError("it names no alerts")
    for entry in entries:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("labels"), Mapping):
            raise ValueError("an alert has no labels")
        notes = entry.get("annotations")
        told: Mapping[str, Any] = notes if isinstance(notes, Mapping) else {}
        yield {
            "to": path,
            "status": str(entry.get("status", "")),
            **{str(name): str(value) for name, value in entry["labels"].items()},
            **{name: str(told[name]) for name in ("summary", "action") if name in told},
        }


class Handler(BaseHTTPRequestHandler):
    """POST only."""

    def do_POST(self) -> None:
        """Print one message's alerts."""
        assert isinstance(self.server, Listener)
        given = self.headers.get("Authorization", "").encode()
        if not hmac.compare_digest(given, f"Bearer {self.server.token}".encode()):
            self.send_error(401)
            return
        try:
            length = int(self.headers.get("Content-Length", "0"))
            told = list(alerts(self.path, self.rfile.read(length) if 0 <= length <= LONGEST else b""))
        except ValueError:
            self.send_error(400)
            return
        for alert in told:
            print(json.dumps(alert), flush=True)
        self.server.heard = True
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """What is told is printed, and nothing else."""


class Listener(ThreadingHTTPServer):
    """At loopback."""

    daemon_threads = True

    def __init__(self, port: int, token: str) -> None:
        self.token, self.heard = token, False
        super().__init__(("127.0.0.1", port), Handler)


def main(argv: list[str]) -> int:
    """See the top of this file."""
    parser = argparse.ArgumentParser(
        "alert-listen", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=9599)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args(argv)
    try:
        listener = Listener(options.port, TOKEN.read_text(encoding="utf-8").strip())
    except OSError as fault:
        print(f"alert-listen: {fault}", file=sys.stderr)
        return 1
    threading.Timer(options.seconds, listener.shutdown).start()
    listener.serve_forever(poll_interval=0.1)
    return 0 if listener.heard else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
