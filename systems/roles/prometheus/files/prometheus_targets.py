#!/usr/bin/python3
"""Says as one line of JSON which targets answer Prometheus.

Exit code 0 when all do, 1 when not or when there are none.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterable, Mapping
from typing import Any

TARGETS = "http://127.0.0.1:9090/api/v1/targets?state=active"
TIMEOUT = 5.0  # seconds


def summary(targets: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """How many answer, and why the others do not."""
    known = list(targets)
    down = {
        f"{target['labels'].get('job')} on {target['labels'].get('node')}": target.get("lastError") or target["health"]
        for target in known
        if target["health"] != "up"
    }
    text = f"{len(known) - len(down)} of {len(known)} targets up"
    return {"ok": bool(known) and not down, "summary": text, "down": down}


def main() -> int:
    """Ask, print, judge."""
    try:
        with urllib.request.urlopen(TARGETS, timeout=TIMEOUT) as answer:
            told = summary(json.load(answer)["data"]["activeTargets"])
    except (OSError, ValueError, KeyError) as error:
        told = {"ok": False, "error": str(error)}
    print(json.dumps(told))
    return 0 if told["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
