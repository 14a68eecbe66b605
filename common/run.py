"""The one door to other programs.

A program gets a list of arguments and never a shell, a closed standard input, an environment of allowed names, and a
process group of its own. Both its pipes are read at once, so that neither can fill up and stop it. It is interrupted by
one signal to the group and has `grace` to clean up, because Packer and Terraform leave a mess when they are killed.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO

from common.errors import Error, Missing

# What a wrapped program may know of the caller's environment: where things are, how to speak, how to reach a proxy and
# whom to trust. Everything else, credentials among it, is passed on only when the caller names it.
ALLOWED = (
    "PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TERM", "USER", "LOGNAME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR", "DOCKER_HOST", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY", "DOCKER_CONFIG", "SSH_AUTH_SOCK",
    "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CONFIG_FILE", "PIP_CERT", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS", "PIP_DEFAULT_TIMEOUT", "PIP_TRUSTED_HOST", "PIP_PROXY",
)  # fmt: skip

# How to get the programs that we wrap, on the system that the tools are tested on.
INSTALL = {
    "docker": "apt-get install docker.io",
    "dockerd": "apt-get install docker.io",
    "packer": "apt-get install packer (Debian 12), or unpack a release from its makers into a folder of PATH",
    "terraform": "unpack a release of Terraform or OpenTofu into a folder of PATH",
    "mmdebstrap": "apt-get install mmdebstrap",
    "zstd": "apt-get install zstd",
    "qemu-system-x86_64": "apt-get install qemu-system-x86 ovmf",
    "qemu-img": "apt-get install qemu-utils",
    "ip": "apt-get install iproute2",
    "ssh": "apt-get install openssh-client",
    "ssh-keygen": "apt-get install openssh-client",
    "ansible-playbook": "make setup",
    "git": "apt-get install git",
    "unshare": "apt-get install util-linux",
}

TAIL_LINES = 40
HALT_SECONDS = 0.1  # a halt is seen after this
PIECE = 1 << 16  # bytes
OnLine = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Result:
    """How a program ended. `code` is the exit status, or minus the signal that ended it."""

    code: int
    stdout: str
    stderr: str


class CommandFailed(Error):
    """A program ended with another status than 0, or did not end in time."""

    def __init__(self, argv: Sequence[str], result: Result, reason: str = "") -> None:
        self.argv = tuple(argv)
        self.result = result
        super().__init__(
            f"{argv[0]} {reason or ended(result.code)}",
            details="\n".join((result.stderr.strip() or result.stdout.strip()).splitlines()[-TAIL_LINES:]),
            resolution=f"It was run as: {shlex.join(argv)}",
        )


class TimedOut(CommandFailed):
    """A program did not end in time, and was ended."""


def ended(code: int) -> str:
    """How the exit status reads to a person."""
    if code >= 0:
        return f"ended with status {code}"
    return f"was ended by {signal.Signals(-code).name}"


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The allowed part of our environment, with `extra` on top. Programs that were installed with us come first."""
    ours = {name: os.environ[name] for name in ALLOWED if name in os.environ}
    ours["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), ours.get("PATH", os.defpath)))
    return ours | dict(extra or {})


def find(program: str) -> str:
    """The path of a program. Raises Missing, which says how to install it."""
    found = shutil.which(program, path=environment().get("PATH"))
    if found is None:
        known = INSTALL.get(program)
        raise Missing(
            f"{program} is not installed",
            resolution=f"Install it with: {known}" if known else f"Install {program} and see that it is in PATH.",
        )
    return found


def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    input: bytes | Iterable[bytes] | None = None,
    on_line: OnLine | None = None,
    timeout: timedelta | None = None,
    grace: timedelta = timedelta(seconds=60),
    check: bool = True,
    halt: threading.Event | None = None,
) -> Result:
    """Run a program to its end.

    `env` is what it gets in all; without it, the allowed part of ours (`environment`). `on_line(stream, line)` is
    called for each line as it comes, from another thread. Raises Missing, CommandFailed when `check` is on and it
    failed, TimedOut when `timeout` ran out. On KeyboardInterrupt the program is interrupted and waited for, then the
    exception goes on; the same happens in any thread when `halt` is set, which is how threads learn of Ctrl-C.
    """
    find(argv[0])
    process = _start(argv, cwd, environment() if env is None else dict(env), input is not None)
    readers = [_Reader(process.stdout, "stdout", on_line), _Reader(process.stderr, "stderr", on_line)]
    try:
        if input is not None:
            _feed(process, (input,) if isinstance(input, bytes) else input, halt)
        _wait(process, timeout, halt)
    except subprocess.TimeoutExpired as late:
        stop(process, grace)
        raise TimedOut(argv, _result(process, readers), f"did not end within {late.timeout:g} s") from None
    except BaseException:
        stop(process, grace)
        raise
    result = _result(process, readers)
    if check and result.code != 0:
        raise CommandFailed(argv, result)
    return result


def stream(argv: Sequence[str], input: bytes, grace: timedelta = timedelta(seconds=2)) -> Generator[bytes, None, None]:
    """Run a program and hand out what it prints, in pieces as it comes. Its standard input stays open as long as
    somebody reads, so that it can notice; who stops reading ends it. Raises Missing, CommandFailed."""
    find(argv[0])
    process = _start(argv, None, environment(), fed=True)
    complaints = _Reader(process.stderr, "stderr", None)
    assert process.stdin is not None and process.stdout is not None
    try:
        with suppress(BrokenPipeError):  # it ended without reading; its status says why
            process.stdin.write(input)
            process.stdin.flush()
        while piece := os.read(process.stdout.fileno(), PIECE):
            yield piece
        process.wait()
    finally:
        if process.poll() is None:
            stop(process, grace)
        with suppress(BrokenPipeError):
            process.stdin.close()
    if process.returncode != 0:
        raise CommandFailed(argv, Result(process.returncode, "", complaints.text()))


def _start(argv: Sequence[str], cwd: Path | None, env: Mapping[str, str], fed: bool) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        list(argv),
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.PIPE if fed else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def _wait(process: subprocess.Popen[bytes], timeout: timedelta | None, halt: threading.Event | None) -> None:
    """Wait for the end of the process, of the time, or of everything."""
    seconds = None if timeout is None else timeout.total_seconds()
    deadline = time.monotonic() + (seconds or 0.0)
    while halt is not None:
        if halt.is_set():
            raise KeyboardInterrupt
        with suppress(subprocess.TimeoutExpired):
            process.wait(HALT_SECONDS)
            return
        if seconds is not None and time.monotonic() >= deadline:
            raise subprocess.TimeoutExpired(process.args, seconds)
    process.wait(seconds)


def _feed(process: subprocess.Popen[bytes], data: Iterable[bytes], halt: threading.Event | None) -> None:
    assert process.stdin is not None
    try:
        for piece in data:
            if halt is not None and halt.is_set():
                raise KeyboardInterrupt
            process.stdin.write(piece)
        process.stdin.close()
    except BrokenPipeError:  # it ended without reading; its status says why
        pass


def _result(process: subprocess.Popen[bytes], readers: Sequence[_Reader]) -> Result:
    out, err = (reader.text() for reader in readers)
    return Result(process.returncode, out, err)


def stop(process: subprocess.Popen[bytes], grace: timedelta) -> None:
    """End a process group: interrupt it once, wait `grace`, terminate, wait five seconds, kill."""
    for number, seconds in ((signal.SIGINT, grace.total_seconds()), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        if _group_ended(process, seconds):
            return
        # Its leader is gone and others are not: nobody is left who could clean up.
        if process.poll() is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            return


def _group_ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait for the leader, then a moment for the rest of its group."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    for _ in range(20):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


class _Reader:
    """Drains a pipe in a thread of its own."""

    def __init__(self, pipe: IO[bytes] | None, name: str, on_line: OnLine | None) -> None:
        assert pipe is not None
        self._lines: deque[str] = deque()
        self._thread = threading.Thread(target=self._drain, args=(pipe, name, on_line), daemon=True)
        self._thread.start()

    def _drain(self, pipe: IO[bytes], name: str, on_line: OnLine | None) -> None:
        with pipe:
            for raw in pipe:
                line = raw.decode("utf-8", "replace")
                self._lines.append(line)
                if on_line is not None:
                    on_line(name, line.rstrip("\r\n"))

    def text(self) -> str:
        # A grandchild that keeps the pipe open after its parent has ended must not hold us up for ever.
        self._thread.join(timeout=5.0)
        return "".join(self._lines)
