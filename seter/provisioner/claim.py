"""What `seter adopt` does on a host: its mark names another deployment from now on. Sent over SSH and run there by the
host's own Python, as root.

    OLD NEW     names of deployments; a host that is NEW's already is left as it is, one of a third is refused

It stands alone: nothing of seter is there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

MARK = Path("/etc/seter/host.json")  # as `onhost` has it


def main(old: str, new: str) -> None:
    """Whole or not at all."""
    mark = json.loads(MARK.read_text(encoding="utf-8")) if MARK.is_file() else {}
    if mark.get("deployment") == new:
        return
    if mark.get("deployment") != old:
        sys.exit(f"it belongs to {mark.get('deployment') or 'nobody'}, not to {old}")
    beside = MARK.with_name(f".{MARK.name}.new")
    beside.write_text(json.dumps(mark | {"deployment": new}), encoding="utf-8")
    beside.replace(MARK)


if __name__ == "__main__":
    main(*sys.argv[1:])
