"""What the programs that are sent to hosts share: where things lie, how files are written and commands run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT, STATE, UNITS = Path("/etc/seter"), Path("/var/lib/seter"), Path("/etc/systemd/system")


def text_of(path: Path) -> str:
    """The file's content, '' if there is none."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def write(path: Path, text: str) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


def said_by(*argv: str) -> str:
    """What a command printed, whatever its status."""
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=50).stdout


def act(*argv: str) -> None:
    """A command that has to succeed; else we end with its complaint."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr.strip() or f"{argv[0]} ended with status {done.returncode}")
