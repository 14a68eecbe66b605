"""Roll-outs that fail, pause and are cut, on the small system: two web servers, of which the first is the canary."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import IO

import pytest

from tests.conftest import Tools
from tests.lab.small import TARGET, Small, deployment, docker

WEB = "roles/web/role.hcl"
SERVE = '"python3", "-m", "http.server", "--directory", "/etc/seter/now/web", "80"'
RULES = 'watch = "0s"'


@pytest.fixture(scope="module")
def made(built: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    with deployment(built, tmp_path_factory.mktemp("rollouts"), f"r{os.getpid()}") as made:
        yield made


@pytest.fixture
def small(made: Small) -> Iterator[Small]:
    """The deployment, converged, and its definitions put back afterwards."""
    made.edit(WEB, 'within = "15s"', 'within = "3s"')
    made.seter("deploy", "--yes")
    yield made
    made.put_definitions_back()


def rules(small: Small, words: str) -> None:
    small.edit("small/system.hcl", RULES, words)


def greeting(small: Small, node: str) -> str:
    return small.seter("exec", node, "web", "--", "curl", "-s", "http://127.0.0.1/index.html").out


def reach(stderr: IO[bytes], kind: str) -> str:
    """What a deploy says until its first event of this kind."""
    said = []
    for line in stderr:
        said.append(line.decode())
        if f"s  {kind} " in said[-1]:
            return "".join(said)
    raise AssertionError("".join(said))


def ids(small: Small) -> dict[str, str]:
    """Container → id; one that was stopped and started again is the same."""
    return {name: life.split()[0] for name, life in small.containers().items()}


def test_a_canary_that_exits_at_once_goes_back_and_no_second_node_is_touched(small: Small) -> None:
    before, second = ids(small), small.containers()["w2.web"]
    small.edit(WEB, SERVE, '"false"')
    small.edit("small/system.hcl", 'greeting = "hello"', 'greeting = "bad"')
    ended = small.seter("deploy", "--yes", code=6)
    assert "put back: w1" in ended.err
    assert ids(small) == before  # the very container that ran before
    assert small.containers()["w2.web"] == second
    assert "w1 says hello" in greeting(small, "w1")
    small.put_definitions_back()
    assert "no change" in small.seter("deploy", "--yes").out
    small.seter("verify")


def test_a_canary_that_serves_404_is_found_by_its_check(small: Small) -> None:
    small.edit(WEB, '"/etc/seter/now/web", "80"', '"/etc/seter", "80"')
    second = small.containers()["w2.web"]
    assert "web on w1: ready: w1: status" in small.seter("deploy", "--yes", code=6).err
    assert small.containers()["w2.web"] == second
    assert "hello" in greeting(small, "w1")


@pytest.mark.long
def test_a_reload_that_was_for_nothing_is_taken_back_too(small: Small) -> None:
    """The note reloads, then the web server beside it fails."""
    before = ids(small)
    small.edit(TARGET, 'node "x1" {', 'node "x1" {\n parameters {\n text = "second"\n }\n')
    small.edit(WEB, SERVE, '"false"')
    small.seter("deploy", "--yes", "--only", "extra", code=6)
    assert ids(small) == before
    assert small.seter("exec", "x1", "note", "--", "cat", "/run/note/read").out.strip() == "first"
    small.put_definitions_back()
    assert small.steps() == set()


@pytest.mark.long
def test_what_had_come_through_goes_back_when_a_later_node_fails(small: Small) -> None:
    small.edit("small/system.hcl", 'greeting = "hello"', 'greeting = "new"')
    small.edit(TARGET, 'node "w2" {', 'node "w2" {\n parameters {\n pace = "9s"\n }\n')
    small.edit(WEB, '"grep", "-q", "says"', '"grep", "-qv", "every 9"')
    before = ids(small)
    assert "put back: w1" in small.seter("deploy", "--yes", code=6).err
    assert ids(small) == before
    assert "w1 says hello" in greeting(small, "w1")


@pytest.mark.long
def test_with_stop_what_was_changed_stays_and_the_next_deploy_can_still_undo_it(small: Small) -> None:
    rules(small, 'watch = "0s"\non_failure = "stop"')
    before = ids(small)
    small.edit(WEB, '"/etc/seter/now/web", "80"', '"/etc/seter", "80"')
    small.seter("deploy", "--yes", code=5)
    assert ids(small)["w1.web"] != before["w1.web"]
    small.edit("small/system.hcl", '"stop"', '"roll back"')
    ended = small.seter("deploy", "--yes", code=6)
    assert "a roll-out that did not end changed w1" in ended.err
    assert ids(small) == before


@pytest.mark.long
def test_a_node_that_cannot_be_reached_fails_and_within_the_budget_the_rest_is_done(small: Small) -> None:
    rules(small, 'watch = "0s"\nbudget = 1')
    small.edit("small/system.hcl", 'greeting = "hello"', 'greeting = "new"')
    running = small.start("deploy", "--yes", listening=True)
    assert running.stderr is not None
    with running.stderr as stderr:
        said = reach(stderr, "verify")
        docker("pause", f"{small.prefix}.w1")
        try:
            said += stderr.read().decode()
        finally:
            docker("unpause", f"{small.prefix}.w1")
    assert running.wait() == 4, said
    assert "nodes, which failed: w1" in said
    assert "w2 says new" in greeting(small, "w2")
    assert "w1 says hello" in greeting(small, "w1")


def test_it_pauses_after_the_canary_and_the_next_deploy_goes_on(small: Small) -> None:
    small.edit("small/system.hcl", 'greeting = "hello"', 'greeting = "later"')
    ended = small.seter("deploy", "--yes", "--pause-after", "canary", code=4)
    assert "paused after w1" in ended.err
    assert "later" in greeting(small, "w1")
    assert "hello" in greeting(small, "w2")
    assert {node for act, node, _ in small.steps() if act == "restart"} == {"w2"}
    small.seter("deploy", "--yes")
    assert "later" in greeting(small, "w2")
    assert not [name for name in small.containers() if name.endswith("_before")]


@pytest.mark.long
@pytest.mark.parametrize("word", ["ansible", "back", "check"])
def test_a_roll_out_that_was_killed_is_undone_or_finished_by_the_next(small: Small, word: str) -> None:
    """SE-17 and SE-18: killed while it changed the canary, while that was put back, and while it was judged."""
    before = ids(small)
    small.edit(WEB, SERVE, '"false"')
    cut = small.start("deploy", "--yes", listening=True)
    assert cut.stderr is not None
    with cut.stderr as said:
        reach(said, word)
        cut.send_signal(signal.SIGKILL)
        cut.wait()
    assert "w1" in small.seter("deploy", "--yes", code=6).err
    assert ids(small) == before
    assert "hello" in greeting(small, "w1")


@pytest.mark.long
def test_a_node_that_loses_its_power_while_it_is_changed_is_made_anew_by_the_next_deploy(small: Small) -> None:
    small.edit("small/system.hcl", 'greeting = "hello"', 'greeting = "power"')
    running = small.start("deploy", "--yes", listening=True)
    assert running.stderr is not None
    with running.stderr as stderr:
        said = reach(stderr, "files")
        docker("kill", f"{small.prefix}.w1")
        said += stderr.read().decode()
    assert running.wait() in (1, 2, 5), said
    assert "w1" in said
    assert "w2: starting" not in said
    small.seter("deploy", "--yes")
    assert "power" in greeting(small, "w1")
    assert "power" in greeting(small, "w2")
    small.seter("verify")


@pytest.mark.long
def test_what_is_watched_has_to_hold_all_the_time(small: Small) -> None:
    """The page is there for the first check, and gone a second later."""
    rules(small, 'watch = "8s"')
    gone = "cd /run/web && cp /etc/seter/now/web/index.html . && (sleep 3; rm index.html) & "
    small.edit(WEB, SERVE, f'"sh", "-c", "{gone} exec python3 -m http.server --directory /run/web 80"')
    started = time.monotonic()
    ended = small.seter("deploy", "--yes", code=6)
    assert "404" in ended.err
    assert "hello" in greeting(small, "w1")
    assert time.monotonic() - started < 60


@pytest.mark.long
def test_a_node_that_was_made_anew_goes_back_to_the_one_it_was(small: Small) -> None:
    """Its kernel settings differ, so its container does, and with it all that ran in it."""
    before = ids(small)
    small.edit("roles/setup/role.hcl", '["net.ipv4.ip_unprivileged_port_start=1024"]', '["net.ipv4.ip_forward=0"]')
    small.edit(WEB, SERVE, '"false"')
    assert ("replace node", "w1", "") in small.steps()
    ended = small.seter("deploy", "--yes", code=6)
    assert "put back: w1" in ended.err
    assert ids(small) == before
    assert "w1 says hello" in greeting(small, "w1")
    small.put_definitions_back()
    assert small.steps() <= {("cluster", "w1", "web"), ("cluster", "x1", "web")}
    small.seter("deploy", "--yes")
    small.seter("verify")
