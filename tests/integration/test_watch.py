"""The live view of a real deployment: what is well, a node that dies in the middle, sources that do not answer."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import queue
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest

from common.catalog import Catalog
from tests.conftest import ROOT, Running
from tests.integration.test_roles_alerts import asked
from tests.integration.test_roles_services import run
from tests.lab.waiting import soon

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLUMNS, LINES = 80, 48
SLOWEST = 2.5  # seconds from one picture to the next, on a machine that does other things too


def argv(running: Running, *words: str) -> list[str]:
    seter = str(ROOT / ".venv" / "bin" / "seter")
    return [seter, "watch", "s3-lb", "--target", "container", "--instance", running.instance, *words]


class View:
    """A view that goes on. Its pictures are read as they come, whatever the test does meanwhile: else it would wait."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process, self.pictures = process, queue.Queue[dict[str, Any]]()
        self.moments: list[datetime] = []
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            picture = json.loads(line)
            self.moments.append(datetime.fromisoformat(picture["at"]))
            self.pictures.put(picture)

    def next(self, seconds: float = 20) -> dict[str, Any]:
        return self.pictures.get(timeout=seconds)

    def first(self, holds: Callable[[dict[str, Any]], bool], seconds: float) -> dict[str, Any]:
        """The first picture from here on of which it holds."""
        end = time.monotonic() + seconds
        while not holds(picture := self.next()):
            assert time.monotonic() < end, picture
        return picture

    def pauses(self) -> list[float]:
        """Seconds from each picture to the next."""
        return [(after - before).total_seconds() for before, after in pairwise(self.moments)]


@contextmanager
def watching(running: Running) -> Iterator[View]:
    """`seter watch --json`, ended at the end."""
    with subprocess.Popen(
        argv(running, "--json"), cwd=running.tools.cwd, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        view = View(process)
        try:
            yield view
        finally:
            process.terminate()
            view.thread.join()


def section(picture: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in picture["sections"] if each["name"].startswith(name))
    return found


def row(picture: dict[str, Any], name: str, title: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in section(picture, name)["rows"] if each["title"] == title)
    return found


def once(running: Running) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(running.seter("watch", "--once", "--json", code=None).out)
    return said


def test_every_query_of_the_definitions_is_one_and_is_answered(running: Running) -> None:
    watch = Catalog.open(ROOT / "systems").system("s3-lb").watch
    assert watch is not None and len(watch.rows) > 12
    # Rates need samples: what was deployed a moment ago has none.
    soon(lambda: all(asked(running, each.query) for each in watch.rows), 90, "an answer to each query")


def test_what_is_well_is_shown_as_well(running: Running) -> None:
    soon(lambda: not (section(once(running), "routes")["problem"]), 30, "routes")
    found = once(running)
    assert [each["name"] for each in found["sections"]] == ["nodes", "routes: spread", "metrics"]
    assert {each["level"] for each in section(found, "nodes")["rows"]} == {"good"}
    assert all(each["detail"].endswith("as wanted") for each in section(found, "nodes")["rows"])
    for vip in ("192.0.2.10", "2001:db8::10"):
        assert row(found, "routes", vip)["numbers"] == {"rt1": 3, "rt2": 3}
    assert all(each["value"] not in ("no answer", "no data") for each in section(found, "metrics")["rows"])
    assert row(found, "metrics", "BFD sessions down")["numbers"] == {"": 0}


def is_whole(picture: dict[str, Any]) -> bool:
    gateway = row(picture, "nodes", "gw3 gateways")
    return gateway["level"] == "good" and row(picture, "routes", "192.0.2.10")["numbers"] == {"rt1": 3, "rt2": 3}


@pytest.mark.long
def test_a_gateway_that_loses_its_power_is_seen_within_seconds_and_so_is_its_return(running: Running) -> None:
    label = f"label=seter.deployment=s3-lb/container/{running.instance}"
    names = running.docker("ps", "--filter", label, "--format", "{{.Names}}").split()  # oneshots have ended
    with watching(running) as view:
        view.first(is_whole, 30)
        begun = time.monotonic()
        running.docker("kill", *(name for name in names if ".gw3" in name))
        try:
            dead = view.first(lambda each: row(each, "nodes", "gw3 gateways")["value"] == "down", 15)
            view.first(lambda each: row(each, "routes", "192.0.2.10")["numbers"] == {"rt1": 2, "rt2": 2}, 15)
            took = time.monotonic() - begun
        finally:
            running.seter("deploy", "--yes")
        view.first(is_whole, 60)
        pauses = sorted(view.pauses())
    assert dead["level"] == "bad" and row(dead, "nodes", "gw3 gateways")["numbers"]["running"] == 0
    assert row(dead, "nodes", "gw1 gateways")["level"] == "good"
    assert took < 15, "from the cut until both were seen"
    assert len(pauses) > 10 and pauses[len(pauses) // 2] < SLOWEST, "half of the pictures came in time"


def test_a_prometheus_that_hangs_is_said_to_and_holds_up_nothing(running: Running) -> None:
    def signalled(name: str) -> None:
        command = f"kill -{name} $(pgrep -x prometheus)"
        run(running, "mo1", "prometheus", "sh", "-c", command, user="prometheus")

    with watching(running) as view:
        view.first(lambda picture: section(picture, "metrics")["problem"] == "", 30)
        signalled("STOP")
        try:
            silent = view.first(lambda picture: section(picture, "metrics")["problem"] != "", 20)
            after = [view.next() for _ in range(3)]
        finally:
            signalled("CONT")
        assert "Prometheus does not answer: mo1" in section(silent, "metrics")["problem"]
        assert len(section(silent, "metrics")["rows"]) > 12, "what it said last is still there"
        moments = [datetime.fromisoformat(each["at"]) for each in after]
        assert (moments[-1] - moments[0]).total_seconds() < 2 * SLOWEST
        assert all(section(each, "nodes")["age"] < 2 * SLOWEST for each in after)
        view.first(lambda picture: section(picture, "metrics")["problem"] == "", 30)


@pytest.mark.long
def test_files_that_were_changed_by_hand_show(running: Running) -> None:
    file = "/etc/seter/now/traefik/traefik.yml"
    node = f"s3-lb.container.{running.instance}.gw2"
    before = running.docker("exec", node, "cat", file)
    running.docker("exec", node, "sh", "-c", f"echo '# by hand' >>{file}")
    try:
        found = once(running)
        assert row(found, "nodes", "gw2 gateways")["level"] == "warn"
        assert "due: write files" in row(found, "nodes", "gw2 gateways")["detail"]
    finally:
        subprocess.run(
            ["docker", "exec", "-i", node, "sh", "-c", f"cat >{file}"], input=before + "\n", text=True, check=True
        )
        running.seter("deploy", "--yes")


def test_it_ends_by_itself_and_prints_a_line_a_second_where_nobody_looks(running: Running) -> None:
    said = running.seter("watch", "--seconds", "4").out.splitlines()
    assert 3 <= len(said) <= 6
    assert all(re.match(r"\d{4}-\d\d-\d\dT\S+ (good|warn|bad) \S", line) for line in said)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_is_how_a_view_ends(running: Running, number: signal.Signals) -> None:
    with watching(running) as view:
        view.next(60)
        view.process.send_signal(number)
        assert view.process.wait(15) == 0


def test_on_a_terminal_it_reads_at_80_columns(running: Running) -> None:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")} | {"TERM": "xterm"}
    view = subprocess.Popen(
        argv(running), cwd=running.tools.cwd, stdin=slave, stdout=slave, stderr=subprocess.DEVNULL, env=env,
        start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    try:
        shown = read_until(master, lambda text: text.count("BFD sessions down") >= 3, 40)
        view.send_signal(signal.SIGINT)
        assert view.wait(15) == 0
    finally:
        view.kill()
        os.close(master)
    lines = [line.rstrip("\r") for line in ESCAPES.sub("", shown).split("\n")]
    assert max(len(part) for line in lines for part in line.split("\r")) <= COLUMNS
    assert any(line.startswith(f"s3-lb/container/{running.instance}") for line in lines)


def read_until(master: int, holds: Callable[[str], bool], seconds: float) -> str:
    end, found = time.monotonic() + seconds, b""
    while not holds(found.decode(errors="replace")):
        assert time.monotonic() < end, found.decode(errors="replace")[-2000:]
        if select.select([master], [], [], 0.5)[0]:
            found += os.read(master, 65536)
    return found.decode(errors="replace")
