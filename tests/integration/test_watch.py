"""The live view of a real deployment: what is well, a node that dies in the middle, sources that do not answer."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
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
from tests.integration.test_roles_services import run, soon

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLUMNS, LINES = 80, 48
SLOWEST = 2.5  # seconds from one picture to the next, on a machine that does other things too


def argv(running: Running, *words: str) -> list[str]:
    seter = str(ROOT / ".venv" / "bin" / "seter")
    return [seter, "watch", "s3-lb", "--target", "container", "--instance", running.instance, *words]


@contextmanager
def watching(running: Running, *words: str) -> Iterator[subprocess.Popen[str]]:
    """`seter watch` as it goes on; ended at the end."""
    with subprocess.Popen(
        argv(running, *words), cwd=running.tools.cwd, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as view:
        try:
            yield view
        finally:
            view.terminate()


def pictures(view: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert view.stdout is not None
    return (json.loads(line) for line in view.stdout)


def section(picture: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in picture["sections"] if each["name"].startswith(name))
    return found


def row(picture: dict[str, Any], name: str, title: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in section(picture, name)["rows"] if each["title"] == title)
    return found


def first(found: Iterator[dict[str, Any]], holds: Callable[[dict[str, Any]], bool], seconds: float) -> dict[str, Any]:
    """The first picture of which it holds."""
    end = time.monotonic() + seconds
    for picture in found:
        if holds(picture):
            return picture
        assert time.monotonic() < end, picture
    raise AssertionError("the view has ended")


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


def test_a_gateway_that_loses_its_power_is_seen_within_seconds_and_so_is_its_return(running: Running) -> None:
    label = f"label=seter.deployment=s3-lb/container/{running.instance}"
    names = running.docker("ps", "--filter", label, "--format", "{{.Names}}").split()  # oneshots have ended
    gone = [name for name in names if ".gw3" in name]
    with watching(running, "--json") as view:
        found = pictures(view)
        moments = []

        def noted(picture: dict[str, Any]) -> dict[str, Any]:
            moments.append(datetime.fromisoformat(picture["at"]))
            return picture

        found = map(noted, found)
        first(found, lambda picture: row(picture, "nodes", "gw3 gateways")["level"] == "good", 30)
        begun = time.monotonic()
        running.docker("kill", *gone)
        try:
            dead = first(found, lambda picture: row(picture, "nodes", "gw3 gateways")["value"] == "down", 15)
            routes = first(found, lambda each: row(each, "routes", "192.0.2.10")["numbers"] == {"rt1": 2, "rt2": 2}, 15)
            took = time.monotonic() - begun
        finally:
            running.seter("deploy", "--yes")
        assert dead["level"] == "bad" and routes["level"] == "bad"
        assert row(dead, "nodes", "gw3 gateways")["numbers"]["running"] == 0
        assert row(dead, "nodes", "gw1 gateways")["level"] == "good"
        first(
            found,
            lambda each: (
                row(each, "nodes", "gw3 gateways")["detail"].endswith("as wanted")
                and row(each, "routes", "192.0.2.10")["numbers"] == {"rt1": 3, "rt2": 3}
            ),
            60,
        )
    pauses = [(after - before).total_seconds() for before, after in pairwise(moments)]
    assert took < 10, "from the cut until both were seen"
    assert max(pauses) < SLOWEST and len(pauses) > 10


def test_a_prometheus_that_hangs_is_said_to_and_holds_up_nothing(running: Running) -> None:
    def signalled(name: str) -> None:
        command = f"kill -{name} $(pgrep -x prometheus)"
        run(running, "mo1", "prometheus", "sh", "-c", command, user="prometheus")

    with watching(running, "--json") as view:
        found = pictures(view)
        first(found, lambda picture: section(picture, "metrics")["problem"] == "", 30)
        signalled("STOP")
        try:
            silent = first(found, lambda picture: section(picture, "metrics")["problem"] != "", 20)
            after = [next(found) for _ in range(3)]
        finally:
            signalled("CONT")
        assert "Prometheus does not answer: mo1" in section(silent, "metrics")["problem"]
        assert len(section(silent, "metrics")["rows"]) > 12, "what it said last is still there"
        moments = [datetime.fromisoformat(each["at"]) for each in after]
        assert (moments[-1] - moments[0]).total_seconds() < 2 * SLOWEST
        assert all(section(each, "nodes")["age"] < SLOWEST for each in after)
        first(found, lambda picture: section(picture, "metrics")["problem"] == "", 30)


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
        assert view.stdout is not None and view.stdout.readline()
        view.send_signal(number)
        assert view.wait(15) == 0


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
