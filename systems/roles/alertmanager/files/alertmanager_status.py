#!/usr/bin/python3
"""Says as one line of JSON what Alertmanager is telling now.

Exit code 0 when it answers, else 1.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterable, Mapping
from typing import Any

API = "http://127.0.0.1:9093/api/v2"  # github.com/prometheus/alertmanager, api/v2/openapi.yaml
TIMEOUT = 5.0  # seconds


def summary(alerts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """How many alerts there are, and those that cannot wait by name. Silenced and inhibited ones do not count. Pure."""
    known = [alert for alert in alerts if alert["status"]["state"] == "active"]
    pages = sorted({alert["labels"]["alertname"] for alert in known if alert["labels"].get("severity") == "page"})
    return {"ok": True, "summary": f"{len(known)} alerts", "pages": pages}


def ask(path: str) -> list[Mapping[str, Any]]:
    """The API's answer. Raises OSError, ValueError."""
    with urllib.request.urlopen(f"{API}/{path}", timeout=TIMEOUT) as answer:
        found: list[Mapping[str, Any]] = json.load(answer)
        return found


def main() -> int:
    """Ask, print, judge."""
    try:
        told = summary(ask("alerts"))
    except (OSError, ValueError, KeyError, TypeError) as fault:
        told = {"ok": False, "error": str(fault)}
    print(json.dumps(told))
    return 0 if told["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
