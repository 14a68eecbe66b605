"""What takes minutes: full sweeps and a soak, on the real system. `make test-long` runs them."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT, Running

pytestmark = pytest.mark.long

SEED = 20261125
# points at which a deploy of about 40 s is cut
SOAK_SECONDS = 110
SOAK_RATE = 40


@pytest.mark.parametrize("victim", ["gw1", "gw2", "gw3"])
def test_whichever_gateway_dies_no_new_request_fails_after_a_second(running: Running, victim: str) -> None:
    proof = running.seter("prove", "--victim", victim, "--json").json()
    assert proof["held"], proof


def test_minutes_of_load_without_a_failure(running: Running) -> None:
    words = ("load", "--seconds", str(SOAK_SECONDS), "--rate", str(SOAK_RATE), "--json")
    # `seter exec` gives up on a command that is silent for two minutes, so this one asks the engine itself.
    name = f"s3-lb.container.{running.instance}.cl1.s3-client"
    argv = ["docker", "exec", name, "/usr/local/lib/seter/s3-client", *words]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=SOAK_SECONDS + 60)
    assert ended.returncode == 0, ended.stderr
    assert '"failed": 0' in ended.stdout, ended.stdout[:2000]


@pytest.fixture(scope="module")
def another(running: Running) -> Iterator[Running]:
    """A second deployment, to be cut."""
    other = Running(running.tools, f"{running.instance}-cut")
    yield other
    other.seter("destroy", "--yes", "--forget", code=None)


RANDOM = random.Random(SEED)


# What the deploy says when it is cut; each of these once left something that the next deploy did not finish, or might.
MOMENTS = (
    "Start network: gw1",
    "Start etcd: gw1",
    "Start health: gw1",
    "Set up the cluster of traefik",
)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_deploy_that_was_killed_anywhere_is_finished_by_the_next(another: Running, moment: str) -> None:
    another.seter("destroy", "--yes")
    argv = [str(ROOT / ".venv/bin/seter"), "deploy", "s3-lb", "--target", "container", "--yes"]
    cut = subprocess.Popen(
        [*argv, "--instance", another.instance],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert cut.stderr is not None
    with cut.stderr as said:
        assert any(moment in line for line in said), "it never came so far"
        time.sleep(RANDOM.uniform(0, 1))
        cut.send_signal(signal.SIGKILL)
        cut.wait()
    another.seter("deploy", "--yes")
    assert "no change" in another.seter("deploy", "--yes").out
    another.seter("verify")
