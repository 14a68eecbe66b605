"""Experiments on the real load balancer: what it bears, that a worse one does not, and that all is taken back."""

from __future__ import annotations

import html
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from seter.report.figures import reason
from seter.report.model import Experiment, Outcome
from seter.report.stored import from_json
from tests.conftest import ROOT, Running
from tests.integration.test_roles_data_plane import BIRDC
from tests.integration.test_roles_second_chance import ringless
from tests.integration.test_roles_services import GATEWAYS, run
from tests.lab.variants import variant
from tests.lab.waiting import soon

EXPERIMENTS = ("traefik-killed", "etcd-quorum-frozen", "certificate-ended")
REST = tuple(
    path.stem
    for path in sorted((ROOT / "systems/s3-lb/chaos").glob("*.yaml"))
    if not yaml.safe_load(path.read_text())["extensions"][0].get("default")
)
LATE = "allow: {failed_for: 1s, back_within: 60s}"


def chaos(running: Running, *words: str, code: int | None = 0) -> list[Experiment]:
    """What became of them. A load that a busy machine sent late says nothing of how quick answers were, and enough of
    which failed: that alone is no fault here."""
    ended = running.seter("chaos", *words, "--yes", "--json", code=None)
    assert ended.code in (0, 1), ended.err
    found = [replace(each, invalid="") for each in from_json(ended.out).experiments]
    bad = [each for each in found if not each.outcome.is_good]
    assert code is None or bool(bad) == (code == 1), "\n".join(map(told, bad or found))
    return found


def told(experiment: Experiment) -> str:
    return f"{experiment.name}: {experiment.outcome}: {reason(experiment)}: {experiment.allowances}"


def begun(running: Running, *words: str) -> subprocess.Popen[str]:
    argv = [str(ROOT / ".venv/bin/seter"), "chaos", "s3-lb", "--target", "container", "--instance", running.instance]
    return subprocess.Popen(
        [*argv, *words, "--yes"], cwd=running.tools.cwd, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def heard(process: subprocess.Popen[str], text: str) -> None:
    """Wait until it has said this."""
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"it never said {text!r}")


def states(running: Running, node: str) -> set[str]:
    name = f"name=s3-lb.container.{running.instance}.{node}"
    return set(running.docker("ps", "--all", "--filter", name, "--format", "{{.State}}").split())


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_balancer_bears_it(running: Running, name: str, tmp_path: Path) -> None:
    (found,) = chaos(running, name, "--out", str(tmp_path))
    assert found.undone and found.faults and all(each.end is not None for each in found.faults)
    run = from_json((tmp_path / "run.json").read_text())
    assert sum(second.sent for second in run.seconds) > 300 and {second.routes for second in run.seconds} >= {3}
    journal = json.loads((tmp_path / f"{name}.journal.json").read_bytes())
    assert journal["status"] == "completed" and journal["rollbacks"][0]["status"] == "succeeded"
    assert journal["experiment"]["configuration"]
    assert found.title in html.unescape((tmp_path / "report.html").read_text())
    assert name in (tmp_path / "junit.xml").read_text()
    assert "no change" in running.seter("deploy", "--yes").out


@pytest.fixture
def experiment(tmp_path: Path) -> Iterator[Path]:
    """A copy of the definitions, in which a test changes one experiment; artefacts are the same."""
    yield variant(tmp_path, "s3-lb", [])


@pytest.mark.long
def test_what_costs_more_than_is_allowed_is_said_to(running: Running, experiment: Path) -> None:
    file = experiment / "s3-lb/chaos/gateway-power.yaml"
    text = file.read_text()
    assert LATE in text
    file.write_text(text.replace(LATE, "allow: {failed_for: 1s, back_within: 1ms}"))
    (found,) = chaos(running, "gateway-power", "--systems", str(experiment), code=1)
    assert found.outcome is Outcome.BROKEN and found.undone, told(found)
    assert [each.what for each in found.allowances if not each.is_kept] == ["until all is well again"], told(found)
    assert "no change" in running.seter("deploy", "--yes").out


@contextmanager
def standing_still(running: Running) -> Iterator[subprocess.Popen[str]]:
    """A gateway stands still by an experiment, which goes on."""
    process = begun(running, "gateway-freeze")
    try:
        heard(process, "everything on gw2 stands still")
        soon(lambda: "paused" in states(running, "gw2"), 10, "the gateway stands still")
        yield process
    finally:
        process.kill()
        process.wait(10)
        running.seter("chaos", "--undo")


def test_ctrl_c_takes_back_what_was_done(running: Running) -> None:
    with standing_still(running) as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(90) == 130
        assert "paused" not in states(running, "gw2")
    soon(lambda: "no change" in running.seter("deploy", "--yes").out, 30, "nothing is left to do")


def test_what_a_killed_run_left_is_taken_back_by_the_next(running: Running) -> None:
    with standing_still(running) as process:
        process.kill()
        process.wait(10)
        assert "paused" in states(running, "gw2")
        assert running.seter("chaos", "--undo", "--json").json() == {"taken_back": 1}
        assert "paused" not in states(running, "gw2")
        assert running.seter("chaos", "--undo", "--json").json() == {"taken_back": 0}
    soon(lambda: "no change" in running.seter("deploy", "--yes").out, 30, "nothing is left to do")


def test_a_target_that_is_not_for_experiments_is_left_alone(running: Running, experiment: Path) -> None:
    file = experiment / "s3-lb/targets/container.hcl"
    file.write_text(file.read_text().replace("experiments = true", "experiments = false"))
    ended = running.seter("chaos", "--yes", "--systems", str(experiment), code=2)
    assert "not marked for experiments" in ended.err and "experiments = true" in ended.err


def test_nobody_is_asked_without_a_terminal(running: Running) -> None:
    ended = running.seter("chaos", "link-cut", code=2)
    assert "touches gw1" in ended.err and "Give --yes" in ended.err


@pytest.mark.long
def test_the_default_set_is_borne_in_ten_minutes(running: Running, tmp_path: Path) -> None:
    started = time.monotonic()
    found = chaos(running, "--out", str(tmp_path))
    assert len(found) >= 11
    assert time.monotonic() - started < 600


@pytest.mark.long
@pytest.mark.parametrize("name", REST)
def test_every_other_experiment_is_borne(running: Running, name: str) -> None:
    every = json.loads(running.seter("chaos", "--list", "--json").out)
    assert [each["name"] for each in every if not each["terms"]["default"]] == list(REST)
    assert [each.name for each in chaos(running, name)] == [name]


@contextmanager
def deployed(running: Running, systems: Path) -> Iterator[tuple[str, str]]:
    """These definitions are what runs; the words that name them."""
    words = ("--systems", str(systems))
    try:
        running.seter("deploy", "--yes", *words)
        yield words
    finally:
        running.seter("deploy", "--yes")


def kept(found: Experiment) -> dict[str, bool]:
    return {each.what: each.is_kept for each in found.allowances}


@pytest.mark.long
def test_without_bfd_a_gateway_that_stands_still_costs_more_than_is_allowed(running: Running) -> None:
    """BGP's own hold time is 9 s."""
    try:
        for node in GATEWAYS:
            run(running, node, "bird-gateway", *BIRDC, "disable", "bfd1", user="bird")
        (found,) = chaos(running, "gateway-freeze", code=1)
    finally:
        for node in GATEWAYS:
            run(running, node, "bird-gateway", *BIRDC, "enable", "bfd1", user="bird")
    assert not kept(found)["how long after a change requests fail"], told(found)
    soon(lambda: "no change" in running.seter("deploy", "--yes").out, 30, "nothing is left to do")


@pytest.mark.long
def test_without_the_ring_a_drain_costs_requests(running: Running) -> None:
    with ringless(running):
        (found,) = chaos(running, "drained", code=1)
    assert not kept(found)["requests that fail"], told(found)


@pytest.mark.long
def test_with_a_time_out_of_a_minute_slow_clients_are_cut_off_and_without_an_acme_server_all_is_served(
    running: Running, experiment: Path
) -> None:
    """The server is one that nobody reaches; so it is when the experiment begins, and nothing may come of it."""
    file = experiment / "s3-lb/system.hcl"
    text = file.read_text()
    changed = text.replace("      remote_weight = 1\n", '      remote_weight = 1\n      longest_upload = "60s"\n')
    server = 'directory = "https://192.0.2.77/directory"\n      terms_agreed = true\n      names = ["s3.example.test"]'
    changed = changed.replace('directory = ""', server)
    assert changed.count("60s") == text.count("60s") + 1 and "192.0.2.77" in changed
    file.write_text(changed)
    with deployed(running, experiment) as words:
        (found,) = chaos(running, "slow-clients", *words, code=1)
        (other,) = chaos(running, "acme-away", *words)
    assert found.outcome is Outcome.STOPPED and "broken" in reason(found), told(found)  # flows are not its load
    assert other.outcome.is_good, told(other)


@pytest.mark.long
def test_without_an_agent_that_looks_a_balancer_that_stands_still_costs_more_than_is_allowed(
    running: Running, experiment: Path
) -> None:
    """The agent is told to be patient for a minute."""
    file = experiment / "s3-lb/system.hcl"
    text = file.read_text()
    assert text.count("      proof = 9562") == 1
    file.write_text(text.replace("      proof = 9562", "      fall = 60\n      proof = 9562"))
    with deployed(running, experiment) as words:
        (found,) = chaos(running, "traefik-frozen", *words, code=1)
    assert not kept(found)["how long after a change requests fail"], told(found)
