"""`make demo`: the main job with the commands that a person would type, and a table of what happened.

Ends with 0 only if every step held. On a system that runs already it says so and touches nothing.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
SYSTEM = ("s3-lb", "--target", "container")
CHANGES = 3  # exit code of `plan --exit-code`, see DESIGN of exit codes in `seter --help`

TRY_NEXT = (
    ("naust list", "what was built, newest first"),
    ("naust show container/traefik", "one artefact: where it is, what it was made from"),
    ("seter status s3-lb --target container", "every node and role, wanted and running"),
    ("seter exec s3-lb --target container rt1 bird-router -- ip route show 192.0.2.10", "next hops in the kernel"),
    ("seter prove s3-lb --target container", "break a gateway again, under load"),
    ("seter destroy s3-lb --target container --yes", "take it all away"),
)


@dataclass(frozen=True)
class Step:
    """One command of the demo and how it went."""

    what: str
    command: str
    seconds: float


def run(argv: Sequence[str], *, quiet: bool = False) -> int:
    """Run one of our tools and let it print; the exit code."""
    if not quiet:
        print(f"\n$ {' '.join(argv)}", flush=True)
    process = subprocess.Popen(
        [str(BIN / argv[0]), *argv[1:]],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL if quiet else None,
        stderr=subprocess.DEVNULL if quiet else None,
    )
    try:
        return process.wait()
    except KeyboardInterrupt:
        # The terminal has told the tool as well; it cleans up and ends by itself.
        process.send_signal(signal.SIGINT)
        process.wait()
        raise


def runs_already() -> bool:
    """Artefacts are built, and the deployment is what they say."""
    plan = ("seter", "plan", *SYSTEM, "--exit-code")
    return run(("smie", "plan", "s3-lb", "--exit-code"), quiet=True) == 0 and run(plan, quiet=True) == 0


def do(what: str, argv: Sequence[str], done: list[Step]) -> bool:
    """Run a step and note how long it took; whether it held."""
    started = time.monotonic()
    code = run(argv)
    done.append(Step(what, " ".join(argv), time.monotonic() - started))
    if code:
        print(f"\ndemo: {' '.join(argv)} ended with {code}; what it said stands above.", file=sys.stderr)
    return code == 0


def summary(done: Sequence[Step]) -> str:
    """A short table of the steps, and what to try next."""
    width = max(len(step.what) for step in done)
    rows = [f"  {step.what:<{width}}  {step.seconds:6.1f} s   {step.command}" for step in done]
    total = f"  {'all':<{width}}  {sum(step.seconds for step in done):6.1f} s"
    wide = max(len(command) for command, _ in TRY_NEXT)
    commands = [f"  {command:<{wide}}  # {text}" for command, text in TRY_NEXT]
    path = os.path.relpath(BIN, Path.cwd())
    return "\n".join(
        ("", "What was done:", *rows, total, "", f"It goes on running. Try next (the tools are in {path}):", *commands)
    )


def main() -> int:
    """Build, keep, deploy, prove."""
    started = time.monotonic()
    if runs_already():
        held = run(("seter", "verify", *SYSTEM)) == 0
        print(f"\ndemo: s3-lb runs already and nothing differs (looked at in {time.monotonic() - started:.1f} s).")
        print("Take it away with: .venv/bin/seter destroy s3-lb --target container --yes")
        return 0 if held else 1
    done: list[Step] = []
    held = (
        do("build the images", ("smie", "build", "s3-lb"), done)
        and do("look at the store", ("naust", "list"), done)
        and do("deploy", ("seter", "deploy", *SYSTEM, "--yes"), done)
        and do("prove", ("seter", "prove", *SYSTEM), done)
    )
    print(summary(done))
    return 0 if held else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
