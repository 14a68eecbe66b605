#!/usr/bin/python3
"""Orders and renews the certificate of all gateways (ACME, RFC 8555): one of them leads and does it, through etcd.

    acme run             until SIGTERM, which lets another lead
    acme status          JSON: who leads, the certificate that is served, the last error; exit 1 if it needs somebody
    acme settle          without a server: take an earlier certificate of ACME away, so the deployment's own holds
    acme check-config    exit 0 when the file of --config can be used, else 2 and the reason

Options before the verb: --config FILE. Exit codes: 0 done, 1 failed, 2 wrong file or usage, 3 etcd does not answer.
"""

from __future__ import annotations

import argparse
import json
import os
import pwd
import signal
import sys
import threading
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from types import FrameType

import acme_solver
import acme_store
from acme_agent import Agent, Config
from acme_report import Known
from acme_solver import Answers
from acme_store import AGENTS, LEADER
from etcd_lead import Lead
from metrics_server import serve
from traefik_etcd import Failed

CONFIG = "/etc/seter/now/acme/acme.json"
USER = "acme"


def run(config: Config) -> int:
    """Until SIGTERM or SIGINT. Raises OSError."""
    ending = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ending.set()

    def known_tokens() -> Mapping[str, str]:
        with suppress(Failed, KeyError, ValueError):
            return acme_store.tokens(config.etcd)
        return {}

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    badge = {AGENTS + config.node: config.server_digest()}
    known, lead = Known(bool(config.directory)), Lead(config.etcd, config.node, config.lease, LEADER, badge)
    agent = Agent(config, lead, known, log)
    serve(config.metrics_port, known, config.metrics_address)
    threads = [threading.Thread(target=agent.run, args=(ending,), daemon=True)]
    if config.directory:
        acme_solver.serve(config.solver_port, Answers(known_tokens))
        threads.append(threading.Thread(target=lead.stay, args=(ending, agent.say), daemon=True))
    for thread in threads:
        thread.start()
    ending.wait()
    with suppress(Failed):
        lead.end()
    return 0


def status(config: Config) -> int:
    """Print the running agent's report. Raises OSError."""
    with urllib.request.urlopen(f"http://127.0.0.1:{config.metrics_port}/status", timeout=2) as answer:
        report = json.load(answer)
    print(json.dumps(report))
    return 0 if report["ok"] else 1


def settle(config: Config) -> int:
    """Once for all nodes, after a change. Raises Failed."""
    changed = False if config.directory else acme_store.clear(config.etcd)
    print(json.dumps({"changed": changed}))
    return 0


def become(user: str) -> None:
    """Go on as this user when we are root: in a container root may not read what belongs to others."""
    if os.geteuid() == 0:
        entry = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)


def log(text: str) -> None:
    """One line to stderr."""
    print(f"acme: {text}", file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
    """See the top of this file."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("acme", description=__doc__, formatter_class=raw)
    parser.add_argument("--config", default=CONFIG)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("run", "status", "settle", "check-config"):
        verbs.add_parser(verb)
    options = parser.parse_args(argv)
    try:
        config = Config.read(options.config)
        if options.verb == "settle":
            become(USER)
        acts = {"run": run, "status": status, "settle": settle}
        return acts[options.verb](config) if options.verb in acts else 0
    except ValueError as fault:
        log(str(fault))
        return 2
    except Failed as fault:
        log(str(fault))
        return fault.code
    except OSError as fault:
        log(f"{fault}: does the agent run?" if options.verb == "status" else str(fault))
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
