"""The next version of a 1 GiB file from `naust serve`: how many bytes go over the wire, counted by a proxy between."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.bench.rows import ROOT, Row, alone, ours
from tests.lab.programs import free_port, running

GIB = 1 << 30
RUNS = 100  # places that were written to


@contextmanager
def counting(port: int) -> Iterator[tuple[int, list[int]]]:
    """A proxy before this port of the loopback: its own port, and the sizes of all that came back through it."""
    counts: list[int] = []
    with closing(socket.create_server(("127.0.0.1", 0), backlog=64)) as listening:
        threading.Thread(target=_accept, args=(listening, port, counts), daemon=True).start()
        yield listening.getsockname()[1], counts


def _accept(listening: socket.socket, port: int, counts: list[int]) -> None:
    while True:
        try:
            client = listening.accept()[0]
        except OSError:
            return  # closed: the bench is over
        server = socket.create_connection(("127.0.0.1", port))
        threading.Thread(target=_pass, args=(client, server, []), daemon=True).start()
        threading.Thread(target=_pass, args=(server, client, counts), daemon=True).start()


def _pass(source: socket.socket, target: socket.socket, counts: list[int]) -> None:
    try:
        while data := source.recv(1 << 18):
            counts.append(len(data))
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # either side has gone


def delta(size: int = GIB) -> list[Row]:
    """A disk image of which 5 % was rewritten in place, and a tar into which 1,000 bytes were inserted."""
    folder = ROOT / ".bench" / "delta"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        port = free_port()
        serve = ours("naust", "serve", str(folder / "served"), "--listen", f"127.0.0.1:{port}", "--anonymous", "write")
        with running(serve, port=port, log=folder / "log"), counting(port) as (near, counts):
            urls = (f"http://127.0.0.1:{port}", f"http://127.0.0.1:{near}")
            rows = _measured(folder, "disk.img", "1 GiB image, 5 % rewritten", rewrite, size, urls, counts)
            return rows + _measured(folder, "tree.tar", "1 GiB tar, 1,000 bytes inserted", insert, size, urls, counts)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measured(
    folder: Path, title: str, what: str, change: object, size: int, urls: tuple[str, str], counts: list[int]
) -> list[Row]:
    from tests.bench.transfers import make_random

    assert callable(change)
    old, new, name = folder / title, folder / f"new-{title}", f"vm/{Path(title).stem}"
    make_random(old, size)
    _run(folder, "push", str(old), f"{name}:1", "--store", urls[0], "--title", title)
    _run(folder, "pull", name, str(folder / "pulled-1"), "--store", urls[0])
    old.unlink()
    shutil.copyfile(folder / "pulled-1", new)
    change(new, size)
    _run(folder, "push", str(new), f"{name}:2", "--store", urls[0], "--title", title)
    new.unlink()
    counts.clear()
    started = time.perf_counter()
    said = json.loads(_run(folder, "pull", name, str(folder / "pulled-2"), "--store", urls[1], "--json"))
    seconds = time.perf_counter() - started
    share = 100 * sum(counts) / size
    for path in folder.glob("pulled-*"):
        path.unlink()
    return [
        alone(f"{what}: over the wire", share, "%"),
        alone(f"{what}: told by --json", 100 * said["fetched"] / size, "%"),
        alone(f"{what}: pulled in", seconds),
    ]


def rewrite(path: Path, size: int) -> None:
    """5 % in runs at multiples of 4 KiB, as a file system writes them."""
    source, length = random.Random(3), size // 20 // RUNS // 4096 * 4096
    with path.open("r+b") as file:
        for _ in range(RUNS):
            file.seek(source.randrange((size - length) // 4096) * 4096)
            file.write(source.randbytes(length))


def insert(path: Path, size: int) -> None:
    """1,000 bytes in the middle."""
    fresh = path.with_suffix(".fresh")
    with path.open("rb") as source, fresh.open("wb") as target:
        os.copy_file_range(source.fileno(), target.fileno(), size // 2)
        target.seek(0, os.SEEK_END)
        target.write(b"x" * 1000)
        target.flush()
        shutil.copyfileobj(source, target, 1 << 20)
    fresh.replace(path)


def _run(folder: Path, *words: str) -> str:
    env = os.environ | {"XDG_CACHE_HOME": str(folder / "cache"), "NAUST_CONFIG": ""}
    return subprocess.run(
        ours("naust", *words), check=True, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ).stdout
