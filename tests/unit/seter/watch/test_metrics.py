"""What is asked of Prometheus, and what its answers mean. A small server stands for it here; the real one is asked in
tests/integration/test_watch.py."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from time import monotonic, sleep
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.system import Threshold, WatchList, WatchRow
from seter.watch.metrics import argv, rows_of
from seter.watch.model import Level

LOAD = WatchRow("requests", 'sum by (node) (rate(x{code=~"5.."}[15s]))', "/s", "node")
FREE = WatchRow("free", "free", "ratio", "node", Threshold("<", 0.2), Threshold("<", 0.05))
DOWN = WatchRow("down", "down", warn=Threshold(">", 0), bad=Threshold(">", 2))


def listed(*rows: WatchRow, url: str = "http://127.0.0.1:9090") -> WatchList:
    return WatchList("monitoring", url, rows)


def answer(*values: tuple[str, float | str]) -> str:
    found = [{"metric": {"node": name} if name else {}, "value": [1.0, str(number)]} for name, number in values]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": found}})


def test_all_rows_are_asked_for_by_one_command() -> None:
    curl = ("--silent", "--globoff", "--max-time", "1", "--write-out", "\\n", "--data-urlencode")
    url = "http://127.0.0.1:9090/api/v1/query"
    assert argv(listed(DOWN, FREE)) == (
        *("timeout", "1", "curl", *curl, "query=down", url, "--next"),
        *(*curl, "query=free", url),
    )


def test_rates_add_up_and_of_all_else_the_worst_is_shown() -> None:
    rows = rows_of(listed(LOAD, FREE), f"{answer(('gw2', 2), ('gw1', 1.5))}\n{answer(('gw1', 0.5), ('gw2', 0.1))}\n")
    assert [(row.value, row.detail) for row in rows] == [
        ("3.5 /s", "gw1 1.5 /s  gw2 2 /s"),
        ("10 %", "gw1 50 %  gw2 10 %"),
    ]
    assert rows[0].numbers == (("gw1", 1.5), ("gw2", 2.0))


@pytest.mark.parametrize(
    ("number", "level"), [(0, Level.GOOD), (1, Level.WARN), (2, Level.WARN), (3, Level.BAD), (math.inf, Level.BAD)]
)
def test_thresholds_say_how_well_it_is(number: float, level: Level) -> None:
    assert rows_of(listed(DOWN), answer(("", number)))[0].level is level


def test_one_bad_value_among_many_makes_its_row_bad() -> None:
    assert rows_of(listed(FREE), answer(("a", 0.9), ("b", 0.01), ("c", 0.9)))[0].level is Level.BAD


def test_a_scalar_is_a_value_too() -> None:
    said = json.dumps({"status": "success", "data": {"resultType": "scalar", "result": [1.0, "4"]}})
    assert rows_of(listed(DOWN), said)[0].value == "4"


def test_nothing_and_no_number_are_no_data() -> None:
    for said in (answer(), answer(("", "NaN"))):
        (row,) = rows_of(listed(DOWN), said)
        assert (row.value, row.level) == ("no data", Level.UNKNOWN)


def test_a_query_that_is_refused_says_why_and_hides_no_other() -> None:
    refused = json.dumps({"status": "error", "error": "parse error: unexpected }"})
    rows = rows_of(listed(DOWN, FREE, LOAD), f"{refused}\n{answer(('a', 0.5))}\n")
    assert [(row.value, row.level) for row in rows] == [
        ("no answer", Level.WARN),
        ("50 %", Level.GOOD),
        ("no answer", Level.WARN),
    ]
    assert rows[0].detail == "parse error: unexpected }" and rows[2].detail == "not answered in time"


WORDS = st.sampled_from(["status", "data", "result", "metric", "value", "success"])
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | WORDS,
    lambda inner: st.lists(inner) | st.dictionaries(WORDS, inner),
)


@given(st.text() | JSON.map(json.dumps))
def test_whatever_a_node_prints_is_read_or_said_to_be_no_answer(printed: str) -> None:
    assert len(rows_of(listed(DOWN, FREE), printed)) == 2


@contextmanager
def prometheus(answers: dict[str, str], *, slow: float = 0.0) -> Iterator[str]:
    """Answers queries as Prometheus does."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            said = answers.get(parse_qs(body)["query"][0])
            sleep(slow)
            self.send_response(200 if said else 400)
            self.end_headers()
            refused = json.dumps({"status": "error", "errorType": "bad_data", "error": "no such query"})
            self.wfile.write((said or refused).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def printed_by(watch: WatchList) -> str:
    return subprocess.run(argv(watch), capture_output=True, text=True, timeout=20).stdout


def test_the_command_asks_as_prometheus_wants_it() -> None:
    with prometheus({LOAD.query: answer(("gw1", 1)), "free": answer(("gw1", 0.5))}) as url:
        rows = rows_of(watch := listed(LOAD, DOWN, FREE, url=url), printed_by(watch))
    assert [(row.value, row.detail) for row in rows] == [
        ("1 /s", "gw1 1 /s"),
        ("no answer", "no such query"),
        ("50 %", "gw1 50 %"),
    ]


def test_one_that_does_not_answer_costs_a_second_and_not_more() -> None:
    begun = monotonic()
    with prometheus({}, slow=5) as url:
        rows = rows_of(watch := listed(LOAD, DOWN, FREE, url=url), printed_by(watch))
        took = monotonic() - begun
    assert {row.value for row in rows} == {"no answer"} and took < 3


def test_one_that_is_not_there_is_said_so_in_each_row() -> None:
    watch = listed(LOAD, DOWN, url="http://127.0.0.1:9")
    assert [row.value for row in rows_of(watch, printed_by(watch))] == ["no answer"] * 2
