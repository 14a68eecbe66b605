#!/usr/bin/python3
"""Gives Prometheus what the RadosGW of this node counts, asked anew for every scrape.

    radosgw-exporter run            until SIGTERM
    radosgw-exporter status         JSON; exit 1 while RadosGW does not answer
    radosgw-exporter check-config   exit 0 when the file of --config can be used, else 2 and the reason

Options before the verb: --config FILE. Exit codes: 0 done, 1 nobody answers, 2 wrong file or usage.

It asks RadosGW's admin socket for its perf counters (docs.ceph.com, "Perf counters"). Ceph's manager does not have
those of a RadosGW, and the cluster may be another team's: a gateway is watched with nothing but itself.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ceph_status import ask
from metrics_server import exporter, metric

CONFIG = Path("/etc/seter/now/radosgw-exporter/radosgw-exporter.json")
# Section and counter of `perf dump` (src/rgw/rgw_perf_counters.cc, src/osdc/Objecter.cc) → metric, kind, meaning.
COUNTERS = (
    ("rgw", "req", "radosgw_requests_total", "counter", "Requests, probes among them"),
    ("rgw", "failed_req", "radosgw_failed_requests_total", "counter", "Of them, answered with 4xx or 5xx"),
    ("rgw", "get", "radosgw_gets_total", "counter", "Reads of objects"),
    ("rgw", "get_b", "radosgw_get_bytes_total", "counter", "Bytes of objects read"),
    ("rgw", "put", "radosgw_puts_total", "counter", "Writes of objects"),
    ("rgw", "put_b", "radosgw_put_bytes_total", "counter", "Bytes of objects written"),
    ("rgw", "qlen", "radosgw_queued_requests", "gauge", "Requests that wait"),
    ("rgw", "qactive", "radosgw_active_requests", "gauge", "Requests under way"),
    ("rgw", "cache_hit", "radosgw_cache_hits_total", "counter", "Metadata found in the cache"),
    ("rgw", "cache_miss", "radosgw_cache_misses_total", "counter", "Metadata asked of the cluster"),
    ("objecter", "op_active", "radosgw_active_operations", "gauge", "Operations that wait for OSDs"),
    ("objecter", "op_laggy", "radosgw_laggy_operations", "gauge", "Of them, waiting for an OSD that is late"),
)
# Averages: how often, and seconds altogether.
TIMES = (
    ("rgw", "get_initial_lat", "radosgw_get_wait_seconds", "Until the first byte of a read"),
    ("rgw", "put_initial_lat", "radosgw_put_wait_seconds", "Until a write is acknowledged"),
    ("objecter", "op_latency", "radosgw_operation_seconds", "Of an operation in the cluster"),
)


def told(dump: Mapping[str, Any]) -> list[str]:
    """The answer to `perf dump`, as lines of Prometheus's text format; what is missing there is missing here. Pure."""
    lines: list[str] = []
    for section, counter, name, kind, summary in COUNTERS:
        value = _number(dump, section, counter)
        lines += metric(name, kind, summary, [] if value is None else [({}, value)])
    for section, counter, name, summary in TIMES:
        for part, ending in (("avgcount", "_count"), ("sum", "_sum")):
            value = _number(dump, section, counter, part)
            lines += metric(name + ending, "counter", summary, [] if value is None else [({}, value)])
    return lines


def _number(dump: object, *path: str) -> float | None:
    for word in path:
        dump = dump.get(word) if isinstance(dump, Mapping) else None
    return float(dump) if isinstance(dump, int | float) and not isinstance(dump, bool) else None


class Exporter:
    """One RadosGW."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def report(self) -> dict[str, Any]:
        """For `status`."""
        try:
            requests = _number(ask(self._socket, "perf dump"), "rgw", "req")
        except (OSError, ValueError, struct.error) as fault:
            return {"ok": False, "summary": f"RadosGW does not answer: {fault}"}
        return {"ok": requests is not None, "summary": f"{requests or 0:.0f} requests", "requests": requests}

    def metrics(self) -> str:
        """Prometheus text format 0.0.4."""
        try:
            lines, answers = told(ask(self._socket, "perf dump")), 1
        except (OSError, ValueError, struct.error):
            lines, answers = [], 0
        return "\n".join([*metric("radosgw_up", "gauge", "1 while RadosGW answers", [({}, answers)]), *lines]) + "\n"


if __name__ == "__main__":
    sys.exit(exporter(__doc__, CONFIG, sys.argv[1:], lambda found: Exporter(Path(str(found["socket"])))))
