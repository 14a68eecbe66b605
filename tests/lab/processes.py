"""What the processes of this machine show of themselves, looked at again and again: words, environment, network."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

EVERY = 0.02  # seconds


@dataclass(frozen=True, slots=True)
class Seen:
    """One process at one time. `alone`: it has another network than the tests."""

    words: bytes
    environment: bytes
    alone: bool


@contextmanager
def sampled() -> Iterator[set[Seen]]:
    """All processes, those in containers too, while the block runs; complete when it has ended."""
    seen: set[Seen] = set()
    done, ours = threading.Event(), Path("/proc/self/ns/net").readlink()

    def look() -> None:
        while not done.wait(EVERY):
            for folder in Path("/proc").glob("[0-9]*"):
                try:
                    words, environment = ((folder / part).read_bytes() for part in ("cmdline", "environ"))
                    seen.add(Seen(words, environment, (folder / "ns" / "net").readlink() != ours))
                except OSError:  # it has ended
                    continue

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()
