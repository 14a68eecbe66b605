"""What happens to the engine in the middle of a roll-out: it is lost and comes back, and its disk is full.

The engine is one of the test's own, in a network of its own, on a small disk in memory.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Tools
from tests.lab.engines import Engine
from tests.lab.small import Small, deployment

pytestmark = pytest.mark.long

DISK = 700 << 20  # bytes


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """On a disk of its own: its data folder is there before it starts."""
    with tempfile.TemporaryDirectory(prefix="engine-") as folder:
        made = Engine(Path(folder) / "e")
        data = made.folder / "data"
        with made:
            made.lose()
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(data)], check=True)
            try:
                made.start()
                yield made
                made.lose()
            finally:
                subprocess.run(["umount", "--lazy", str(data)], check=True)


@pytest.fixture(scope="module")
def small(built: Tools, engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    with deployment(built, tmp_path_factory.mktemp("engine"), f"e{os.getpid()}", engine.host) as made:
        made.seter("deploy", "--yes")
        yield made


def greet(small: Small, before: str, after: str) -> None:
    small.edit("small/system.hcl", f'greeting = "{before}"', f'greeting = "{after}"')


def greeting(small: Small, node: str) -> str:
    return small.seter("exec", node, "web", "--", "curl", "-s", "http://127.0.0.1/index.html").out


def test_an_engine_that_is_lost_in_mid_roll_out_and_comes_back_is_brought_to_the_definitions(
    small: Small, engine: Engine
) -> None:
    greet(small, "hello", "lost")
    running = small.start("deploy", "--yes", listening=True)
    assert running.stderr is not None
    with running.stderr as stderr:
        assert any(b"files     w1: switched" in line for line in stderr)
        engine.lose()
        said = stderr.read().decode()
    assert running.wait(timeout=120) in (1, 2, 5, 9), said
    assert said.count("error: ") == 1, said
    engine.start()
    small.seter("deploy", "--yes")
    assert "lost" in greeting(small, "w1")
    assert "lost" in greeting(small, "w2")
    assert "no change" in small.seter("deploy", "--yes").out
    small.seter("verify")


def test_a_disk_that_is_full_fails_the_first_node_and_is_got_over_when_there_is_room(
    small: Small, engine: Engine
) -> None:
    filler = engine.folder / "data" / "filler"
    with filler.open("wb") as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(1 << 20))
            file.flush()
    greet(small, "lost", "full")
    ended = small.seter("deploy", "--yes", code=None)
    assert ended.code in (1, 5, 6), ended.err
    assert "no space left on device" in ended.err.lower()
    assert "lost" in greeting(small, "w2")
    filler.unlink()
    small.seter("deploy", "--yes")
    assert "full" in greeting(small, "w1")
    assert "full" in greeting(small, "w2")


def test_nodes_of_an_engine_that_was_lost_get_memory_of_their_own_and_the_old_goes_when_it_is_restarted(
    small: Small, engine: Engine
) -> None:
    """dockerd 20.10 miscounts who uses a volume when it tries to start a process whose node does not run."""
    for turn in ("once", "twice"):
        engine.lose()
        engine.start()
        small.seter("deploy", "--yes")
        for node in ("w1", "w2", "x1"):
            assert small.seter("exec", node, "web", "--root", "--", "cat", "/run/setup/was-here").out, turn
    small.seter("reboot", "w1", "--yes")
    small.seter("verify")
    assert "no change" in small.seter("deploy", "--yes").out
    held = small.seter("destroy", "--yes", code=4)
    assert "until it is restarted" in held.err and volumes(small) != []
    engine.stop()
    engine.start()
    small.seter("destroy", "--yes")
    assert volumes(small) == []


def volumes(small: Small) -> list[str]:
    argv = ["docker", "--host", small.engine, "volume", "ls", "--quiet", "--filter", "label=seter.deployment"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()
