"""What `seter doctor` asks a host: sent over SSH and run there by its own Python, as root. It changes nothing.

It prints one JSON document, and stands alone: nothing of seter is there.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import time
from pathlib import Path

FOLDERS = ("/", "/etc", "/var/lib", "/tmp")  # where something of ours, or of the roles, is written
NEEDED = ("systemctl", "tar", "setpriv", "nsenter", "dpkg-query", "sysctl")  # as `onhost` has them
MARK = Path("/etc/seter/host.json")


def text_of(path: Path) -> str:
    """The file's content, '' if there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def spaces() -> dict[str, list[int]]:
    """Free bytes and inodes, of each file system once; -1 inodes where they are not counted."""
    found: dict[int, tuple[str, list[int]]] = {}
    for folder in FOLDERS:
        if Path(folder).is_dir():
            seen = os.statvfs(folder)
            free = [seen.f_bavail * seen.f_frsize, seen.f_favail if seen.f_files else -1]
            found.setdefault(Path(folder).stat().st_dev, (folder, free))
    return dict(found.values())


def main() -> None:
    """Say everything."""
    lines = (line.partition("=") for line in text_of(Path("/etc/os-release")).splitlines())
    mark = text_of(MARK)
    about = {
        "clock": time.time(),
        "python": platform.python_version(),
        "user": os.getuid(),
        "release": {name: value.strip('"') for name, _, value in lines},
        "lacks": [name for name in NEEDED if shutil.which(name) is None],
        "spaces": spaces(),
        "mark": json.loads(mark) if mark else {},
    }
    sys.stdout.write(json.dumps(about))


if __name__ == "__main__":
    main()
