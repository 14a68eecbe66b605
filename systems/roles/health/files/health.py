#!/usr/bin/python3
"""Admits this node to the virtual IPs while it serves S3, and withdraws it when it does not.

    health run              check, tell BIRD, serve metrics; until SIGTERM, which withdraws
    health withdraw         take the node out and keep it out (until `admit` or the node's restart)
    health admit            let the checks decide again; waits until the node is announced
                            both with --service NAME for one service alone, not all of them
    health status           JSON; with --settled exit 1 while what is announced is not what is wanted
    health check-config     exit 0 when the file of --config can be used, else 2 and the reason

Options before the verb: --config FILE. Exit codes: 0 done, 1 it did not come about in time, 2 wrong file or usage.

A check is what a client does: TLS to Traefik on this node with the service's name, verified by the deployment's CA, and
GET /swift/healthcheck through it to RadosGW. Each service is checked in a thread of its own. The verdict is asserted on
every tick, because `birdc configure` undoes both `enable` and `disable`; all families go and come together.
"""

from __future__ import annotations

import argparse
import json
import os
import pwd
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import FrameType
from typing import Any

from bird_control import Bird, beat
from health_agent import Agent, Config, Probe, Service, Wish, log
from health_state import Chorus, States
from metrics_server import serve

CONFIG = "/etc/seter/now/health/health.json"
WITHDRAW_WITHIN = 10.0  # seconds
ADMIT_WITHIN = 30.0  # seconds


def run(config: Config) -> int:
    """The agent, until SIGTERM or SIGINT; then nothing is announced any more."""
    ending = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ending.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    chorus = Chorus([service.name for service in config.services], beat)
    agents = {
        service.name: Agent(
            config,
            service,
            Bird(config.bird),
            Probe(config, service).check,
            Wish(config.folder / wish_of(service)),
            chorus.hear,
        )
        for service in config.services
    }
    serve(config.metrics_port, States({name: agent.state for name, agent in agents.items()}), config.metrics_address)
    with ThreadPoolExecutor(len(agents)) as threads:
        for done in [threads.submit(live, agent, config.interval, ending) for agent in agents.values()]:
            done.result()
    return 0


def wish_of(service: Service) -> str:
    """The name of the file of the operator's wish."""
    return "wish" if service.name == "main" else f"wish-{service.name}"


def live(agent: Agent, interval: float, ending: threading.Event) -> None:
    """The whole life of one service's agent. Raises OSError when BIRD does not take the last word."""
    agent.adopt()
    try:
        keep_ticking(agent, interval, ending)
    finally:
        agent.withdraw()


def keep_ticking(agent: Agent, interval: float, ending: threading.Event) -> None:
    """Ticks start every `interval` seconds; a tick that took longer is followed by the next at once."""
    due = time.monotonic()
    while not ending.wait(max(0.0, due - time.monotonic())):
        agent.tick()
        due = max(due + interval, time.monotonic())


def ask_agent(config: Config) -> dict[str, Any]:
    """The running agent's report. Raises OSError."""
    with urllib.request.urlopen(f"http://127.0.0.1:{config.metrics_port}/status", timeout=2) as answer:
        report: dict[str, Any] = json.load(answer)
        return report


def withdraw(config: Config) -> int:
    """Write the wish, withdraw at once, and see that the agent keeps to it (if there is one)."""
    for service in config.services:
        Wish(config.folder / wish_of(service)).withdraw()
    bird = Bird(config.bird)
    bird.disable(config.protocols)

    def out() -> bool:
        return not any(bird.announced(config.protocols).values()) and _agent_agrees(config)

    return _wait(out, WITHDRAW_WITHIN, "still announced")


def _agent_agrees(config: Config) -> bool:
    try:
        report = ask_agent(config)
    except OSError:
        return True  # no agent, so nobody will announce
    reports = [report.get("services", {"main": report})[service.name] for service in config.services]
    return all(each["wanted"] == "withdrawn" and not each["announced"] for each in reports)


def admit(config: Config) -> int:
    """Take the wish back, and wait until the agent finds the node healthy and BIRD announces."""
    for service in config.services:
        Wish(config.folder / wish_of(service)).admit()
    bird = Bird(config.bird)
    return _wait(lambda: all(bird.announced(config.protocols).values()), ADMIT_WITHIN, "not announced")


def _wait(holds: Callable[[], bool], seconds: float, otherwise: str) -> int:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            log(f"{otherwise} after {seconds:g} s; `health status` says why")
            return 1
        time.sleep(0.02)
    return 0


def status(config: Config, *, settled: bool) -> int:
    """Print the agent's report."""
    report = ask_agent(config)
    print(json.dumps(report))
    return 1 if settled and not report["settled"] else 0


def become_health() -> None:
    """Root of a container has no right to the socket of BIRD (no CAP_DAC_OVERRIDE); the user health has."""
    if os.geteuid() == 0:
        user = pwd.getpwnam("health")
        os.initgroups(user.pw_name, user.pw_gid)
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)


def main(argv: list[str]) -> int:
    """See the top of this file."""
    parser = argparse.ArgumentParser(
        "health", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default=CONFIG)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("run", "check-config"):
        verbs.add_parser(verb)
    for verb in ("withdraw", "admit"):
        verbs.add_parser(verb).add_argument("--service")
    verbs.add_parser("status").add_argument("--settled", action="store_true")
    options = parser.parse_args(argv)
    try:
        config = Config.read(options.config)
        if getattr(options, "service", None):
            config = only(config, options.service)
    except ValueError as fault:
        log(str(fault))
        return 2
    if options.verb == "check-config":
        return 0
    return act(options, config)


def only(config: Config, name: str) -> Config:
    """The configuration with one of its services. Raises ValueError."""
    names = [service.name for service in config.services]
    if name not in names:
        raise ValueError(f"there is no service {name!r}; there is {', '.join(names)}")
    return replace(config, services=(config.services[names.index(name)],))


def act(options: argparse.Namespace, config: Config) -> int:
    """The verb, with its failure told in one line."""
    try:
        become_health()
        if options.verb == "status":
            return status(config, settled=options.settled)
        return {"run": run, "withdraw": withdraw, "admit": admit}[options.verb](config)
    except OSError as fault:
        log(str(fault))
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
