"""A deploy cut at every event that it emits, and what the next one makes of it."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, Tools
from tests.lab.small import Small, deployment, docker

EVENT = re.compile(rb"^ *\d+\.\ds  \w+ ")
WEB = "roles/web/role.hcl"
SERVE = '"python3", "-m", "http.server", "--directory", "/etc/seter/now/web", "80"'
GREETING = "small/system.hcl"
TREE = "cd /etc/seter && find -L now secrets -type f -exec sha256sum {} + | sort; ls; readlink now secrets"


@pytest.fixture(scope="module")
def small(built: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    with deployment(built, tmp_path_factory.mktemp("cuts"), f"c{os.getpid()}") as made:
        made.edit(WEB, 'within = "15s"', 'within = "3s"')
        made.seter("deploy", "--yes")
        yield made


def portrait(small: Small) -> dict[str, object]:
    """What a person could tell of the deployment who had not seen how it came about."""
    found: dict[str, object] = {}
    for name in small.containers():
        shape = '{{.Image}} {{.State.Running}} {{.Config.Cmd}} {{index .Config.Labels "seter.process"}}'
        found[name] = docker("inspect", "--format", shape, f"{small.prefix}.{name}")
        if "." not in name:
            found[f"{name}: files"] = docker("exec", f"{small.prefix}.{name}", "sh", "-c", TREE)
    return found


def greet(small: Small, words: str) -> None:
    file = small.folder / "systems" / GREETING
    file.write_text(re.sub(r'greeting = "(?!extra)\w+"', f'greeting = "{words}"', file.read_text()))


def cut_after(small: Small, events: int, sent: signal.Signals) -> bool:
    """Start a deploy and cut it when it has said so many events; whether it came so far."""
    running = small.start("deploy", "--yes", listening=True)
    assert running.stderr is not None
    with running.stderr as said:
        came = sum(1 for _ in zip(range(events), (line for line in said if EVENT.match(line)), strict=False)) == events
        running.send_signal(sent)
        said.read()
    running.wait(timeout=60)
    return came and running.returncode != 0


def count(stderr: str) -> int:
    return sum(bool(EVENT.match(line.encode())) for line in stderr.splitlines())


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_deploy_killed_at_every_event_ends_as_an_undisturbed_one(
    small: Small, capsys: pytest.CaptureFixture[str]
) -> None:
    greet(small, "one")
    points = count(small.seter("deploy", "--yes").err)
    ends = {"one": portrait(small)}
    greet(small, "two")
    small.seter("deploy", "--yes")
    ends["two"] = portrait(small)
    with capsys.disabled():
        print(f"\n{points} points")
    for point in range(1, points + 1):
        word = ("one", "two")[point % 2 == 0]
        greet(small, word)
        cut_after(small, point, signal.SIGKILL)
        small.seter("deploy", "--yes")
        assert "no change" in small.seter("deploy", "--yes").out
        assert portrait(small) == ends[word], point


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_roll_out_that_goes_back_killed_at_every_event_goes_back_with_the_next(
    small: Small, capsys: pytest.CaptureFixture[str]
) -> None:
    greet(small, "good")
    small.seter("deploy", "--yes")
    before = portrait(small)
    small.edit(WEB, SERVE, '"false"')
    points = count(small.seter("deploy", "--yes", "--only", "servers", code=6).err)
    assert portrait(small) == before
    with capsys.disabled():
        print(f"\n{points} points")
    for point in range(1, points + 1):
        cut_after(small, point, signal.SIGKILL)
        small.seter("deploy", "--yes", code=6)
        assert portrait(small) == before, point
    small.edit(WEB, '"false"', SERVE)


@pytest.mark.long
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_deploy_that_is_told_to_end_leaves_nothing_running_and_the_next_goes_on(
    small: Small, sent: signal.Signals
) -> None:
    greet(small, sent.name.lower())
    assert cut_after(small, 6, sent)
    assert not list(Path("/dev/shm").glob("seter-[0-9]*")) or _nothing_of(small)
    small.seter("deploy", "--yes")
    assert "no change" in small.seter("deploy", "--yes").out


def test_a_closed_terminal_ends_a_deploy_and_the_next_goes_on(small: Small) -> None:
    greet(small, "terminal")
    ours, theirs = pty.openpty()
    argv = [str(ROOT / ".venv" / "bin" / "seter"), *small.argv("deploy", "--yes")[1:]]
    running = subprocess.Popen(
        argv, cwd=small.tools.cwd, env=os.environ | small.environment, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True, preexec_fn=_controlling,
    )  # fmt: skip
    os.close(theirs)
    said = b""
    while b"ansible" not in said:
        said += os.read(ours, 4096)
    os.close(ours)
    running.wait(timeout=60)
    assert _nothing_of(small)
    small.seter("deploy", "--yes")
    assert "no change" in small.seter("deploy", "--yes").out


def _controlling() -> None:
    """The terminal is the session's own, so that its end is told to it (tty_ioctl(4), TIOCSCTTY)."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _nothing_of(small: Small) -> bool:
    """Within a minute no process of this machine has anything to do with the deployment but its containers."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if not any(small.instance.encode() in words for words in _words()):
            return True
        time.sleep(0.5)
    return False


def _words() -> Iterator[bytes]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            yield (folder / "cmdline").read_bytes()
        except OSError:  # it has ended
            continue


def test_a_node_that_hears_nothing_goes_back_by_itself_and_the_next_deploy_does_the_rest(small: Small) -> None:
    """A process that may cut its node off is changed, and seter is gone before it could see whether it did."""
    setup, told = "roles/setup/role.hcl", "cat /run/setup/was-here"
    small.edit(setup, '"date >/run/setup/was-here"', '"echo first >/run/setup/was-here"')
    small.edit(setup, 'type    = "oneshot"', 'type    = "oneshot"\n    cuts_off = true')
    small.edit(GREETING, 'watch = "0s"', 'watch = "0s"\n    confirm = "4s"')
    small.seter("deploy", "--yes")
    before = docker("exec", f"{small.prefix}.w1", "readlink", "/etc/seter/now")
    small.edit(setup, "echo first", "echo second")
    greet(small, "unheard")
    running = small.start("deploy", "--yes", "--only", "servers", listening=True)
    assert running.stderr is not None
    with running.stderr as said:
        assert any(b"waiting   w1: for 2 checks" in line for line in said)
        running.kill()
    running.wait()
    assert docker("exec", f"{small.prefix}.w1", *told.split()) == "second"
    end = time.monotonic() + 30
    while docker("exec", f"{small.prefix}.w1", *told.split()) != "first":
        assert time.monotonic() < end, "it waits for ever"
        time.sleep(0.2)
    assert docker("exec", f"{small.prefix}.w1", "readlink", "/etc/seter/now") == before
    ended = small.seter("deploy", "--yes")
    assert "w1: went back by itself" in ended.err
    assert docker("exec", f"{small.prefix}.w1", *told.split()) == "second"
    assert "no change" in small.seter("deploy", "--yes").out
