"""Runs to report on: made up, because a report has to show what seldom happens."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from seter.report.model import (
    COMPLETED,
    SKIPPED,
    Allowance,
    Environment,
    Experiment,
    Fault,
    Note,
    Request,
    Run,
    Second,
    Step,
)

BEGAN = datetime(2026, 11, 30, 1, 0, tzinfo=UTC)
EVIL = "<script>document.title='broken'</script>\"'><img src=x onerror=alert(1)>&amp;"
ENVIRONMENT = Environment(
    "0.1.0",
    ("seter", "chaos", "s3-lb", "--target", "container", "--seed", "a b"),
    "sha256:" + "ab" * 32,
    (("kernel", "6.18.0"), ("docker", "27.5.1")),
    (("container/balancer:3.7.15-20261124", "sha256:" + "cd" * 32),),
    (("cores", "2"), ("memory", "7.8 GiB")),
)


def make_second(at: int) -> Second:
    """Steady but for two faults: 20 s to 30 s, and 70 s to 100 s."""
    broken, slow = 20 <= at < 22, 70 <= at < 100
    failed = 7 if broken else 0
    p50 = 0.004 + 0.002 * math.sin(at / 5) + (0.5 if slow else 0)
    return Second(at, 50, 50 - failed, failed, p50, p50 * (300 if broken else 3), 2 if 20 <= at < 31 else 3)


def gateway_power() -> Experiment:
    return Experiment(
        "gateway-power",
        "A gateway loses its power",
        COMPLETED,
        begin=15,
        end=45,
        blast="one of three gateways",
        allowances=(
            Allowance("time in which requests fail", 1.0, 0.31, "s"),
            Allowance("failed requests", 20, 14, "requests"),
        ),
        faults=(Fault("power cut", "gw1", 20, 30),),
        steps=(
            Step("hypothesis", "every object comes back", True, 0.4),
            Step("method", "cut the power of gw1", True, 0.2),
            Step("way back", "bring gw1 back", True, 9.7, "an ordinary deploy"),
        ),
    )


def slow_store() -> Experiment:
    return Experiment(
        "slow-store",
        "A store answers slowly",
        COMPLETED,
        begin=65,
        end=110,
        allowances=(Allowance("latency, 99th percentile", 1.0, 1.52, "s"), Allowance("next hops", 3, 3, at_least=True)),
        faults=(Fault("answers 0.5 s later", "gw2", 70, 100), Fault("busy CPU", "gw3", 80, 90)),
    )


def make_run(length: int = 120) -> Run:
    """Three experiments: one held, one did not, one was left out."""
    left_out = Experiment("clock-jump", "The clock jumps", SKIPPED, why="containers share the clock of their host")
    return Run(
        "chaos",
        "s3-lb/container/main",
        BEGAN,
        length,
        ENVIRONMENT,
        (gateway_power(), slow_store(), left_out),
        tuple(map(make_second, range(length))),
        (Note(20.1, "no sign of life", "gw1"), Note(21, "routers have 2 next hops")),
        0.0009,
        "50 requests/s, 70 % GET, 30 % PUT",
        requests=(Request(20.4, 10.0, "GET", "", "no answer within 10 s"), Request(71, 1.2, "PUT", "gw2")),
        untold=12,
    )


def make_earlier() -> Run:
    """The same a day before, when the store was fast enough and another version ran."""
    run = make_run()
    slow = replace(slow_store(), allowances=(Allowance("latency, 99th percentile", 1.0, 0.9, "s"),))
    environment = replace(ENVIRONMENT, versions=(("kernel", "6.17.3"), ("docker", "27.5.1")))
    return replace(
        run, began=BEGAN - timedelta(days=1), experiments=(gateway_power(), slow), environment=environment
    )  # fmt: skip


def make_evil() -> Run:
    """Every text that a run has is one that breaks out of where it stands, if it can."""
    run, held = make_run(30), gateway_power()
    evil = replace(
        held,
        name=EVIL,
        title=EVIL,
        why=EVIL,
        blast=EVIL,
        status=EVIL,
        allowances=(Allowance(EVIL, 1, 2, EVIL),),
        faults=(Fault(EVIL, EVIL, 20, None),),
        steps=(Step(EVIL, EVIL, False, 1, EVIL),),
    )
    pairs = ((EVIL, EVIL),)
    return replace(
        run,
        kind=EVIL,
        deployment=EVIL,
        profile=EVIL,
        invalid=(EVIL,),
        experiments=(evil, replace(evil, name="again", status=COMPLETED)),
        notes=(Note(1, EVIL, EVIL),),
        requests=(Request(1, 1, EVIL, EVIL, EVIL),),
        environment=Environment(EVIL, (EVIL, "\x00\x1b[31m\ufffe"), EVIL, pairs, pairs, pairs),
    )
