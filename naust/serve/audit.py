"""Who did what: one JSON object a line for everything that changed the store or was denied. Never a token, never a
query."""

from __future__ import annotations

import json
import os
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

from common.errors import Denied


def is_kept(method: str, status: int) -> bool:
    """Whether it is a change of the store, or was denied."""
    return method not in ("GET", "HEAD", "OPTIONS") or status in (401, 403, 429)


class Audit:
    """The log of a server. Each line is one write(2) to a file opened for appending, so lines never mix, and the file
    may be moved away: `reopen` makes a new one."""

    def __init__(self, path: Path | None, *, verbose: bool = False) -> None:
        """Raises Denied if the file cannot be written."""
        self._path, self._verbose = path, verbose
        self._lock = threading.Lock()
        self._descriptor = -1
        self.reopen()

    def reopen(self) -> None:
        """Open the file anew. Raises Denied."""
        if self._path is None:
            return
        try:
            opened = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Denied(
                f"the audit log {self._path} cannot be written", details=str(error), resolution="Name a file that can."
            ) from error
        with self._lock:
            old, self._descriptor = self._descriptor, opened
        if old >= 0:
            os.close(old)

    def note(
        self, *, who: str, address: str, method: str, path: str, status: int, received: int, sent: int, seconds: float
    ) -> None:
        """One request that came to its end. Reads that were allowed show only on stderr, and only if that is wished."""
        kept = is_kept(method, status)
        if not self._verbose and not kept:
            return
        line = json.dumps(
            {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "who": who,
                "address": address,
                "method": method,
                "path": path,
                "status": status,
                "received": received,
                "sent": sent,
                "seconds": round(seconds, 4),
            }
        )
        if self._verbose:
            sys.stderr.write(line + "\n")
        if kept:
            self._append(line)

    def _append(self, line: str) -> None:
        with self._lock:
            if self._descriptor < 0:
                return
            try:
                os.write(self._descriptor, line.encode() + b"\n")
            except OSError as error:
                sys.stderr.write(f"the audit log cannot be written: {error}; {line}\n")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1
