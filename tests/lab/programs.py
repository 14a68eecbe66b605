"""Programs of others that tests and benchmarks use; `bin/setup --dev` brings them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".tools" / "bin"


def program(name: str) -> str:
    """Where the program is; a test that needs a missing one fails."""
    found = shutil.which(name, path=f"{TOOLS}:{ROOT / '.venv' / 'bin'}") or shutil.which(name)
    assert found, f"{name} is not installed: run bin/setup --dev"
    return found


def with_tools() -> str:
    """PATH for what looks for programs itself, Terraform say, where the machine may lack them."""
    return f"{os.environ['PATH']}:{TOOLS}"


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    argv: Sequence[str], *, port: int, log: Path, env: Mapping[str, str] | None = None, within: float = 20
) -> Iterator[subprocess.Popen[bytes]]:
    """A server, from when it accepts connections on the port until the end of the block."""
    with log.open("ab") as output:
        process = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        _wait_for(port, process, log, within)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path, within: float) -> None:
    end = time.monotonic() + within
    while time.monotonic() < end:
        assert process.poll() is None, f"{process.args} ended:\n{log.read_text()[-2000:]}"
        with closing(socket.socket()) as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"{process.args} does not listen on {port}:\n{log.read_text()[-2000:]}")
