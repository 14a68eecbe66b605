"""`make bench`: measure what the README promises, with a peer beside each figure, and write .bench/results.json.

A ratio above 1 says that we are better than the peer in this run. Peers are what people would use instead: the wrapped
tools by themselves. They are installed by package name. Everything runs on this machine, on a deployment of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from tests.bench.announcing import announcing
from tests.bench.balancing import balancing
from tests.bench.building import building
from tests.bench.delta import delta
from tests.bench.driving import driving
from tests.bench.failing import outage
from tests.bench.hundred_thousand import hundred_thousand
from tests.bench.million import million
from tests.bench.mirror import mirror
from tests.bench.offline import offline
from tests.bench.rows import ROOT, WORK, Row, alone, beside, ours, seconds, version
from tests.bench.thousand_nodes import planning
from tests.bench.transfers import transfers

INSTANCE = "bench"
DEPLOYMENT = ("s3-lb", "--target", "container", "--instance", INSTANCE)
PACKAGES = {
    "aptly": "aptly",
    "skopeo": "skopeo",
    "packer": "packer",
    "docker-registry": "docker-registry",
    "ssh": "openssh-client",
    "curl": "curl",
    "wrk": "wrk",
    "/usr/sbin/bird": "bird2",
    "haproxy": "haproxy",
    "keepalived": "keepalived",
    "/usr/bin/time": "time",
    "/usr/sbin/nginx": "nginx-light",
}


def peers() -> None:
    """Install the peers that are not there, by package name."""
    missing = [package for program, package in PACKAGES.items() if shutil.which(program) is None]
    if missing:
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], check=True)


def start_up() -> list[Row]:
    """--help of each tool beside that of the tool that it stands in front of."""
    pairs = (
        ("smie", ["packer", "--help"], "packer", version(["packer", "version"]), (127,)),
        ("naust", ["skopeo", "--help"], "skopeo", version(["skopeo", "--version"]), (0,)),
        ("seter", ours("ansible-playbook", "--help"), "ansible-playbook", version(ours("ansible", "--version")), (0,)),
    )
    rows = []
    for tool, argv, peer, its_version, codes in pairs:
        mine = lambda tool=tool: seconds(ours(tool, "--help"), runs=9)  # noqa: E731  # bound here, used here
        theirs = lambda argv=argv, codes=codes: seconds(argv, runs=9, codes=(0, *codes))  # noqa: E731
        rows.append(beside(f"{tool} --help", mine, peer, its_version, theirs))
    return rows


def listing() -> Row:
    """`naust list` of 1,000 artefacts beside `skopeo list-tags` of 1,000 tags in a registry on loopback."""
    from tests.bench.thousand import registry_with_tags, store_with_artifacts

    with tempfile.TemporaryDirectory() as folder:
        store = store_with_artifacts(Path(folder) / "store", 1000)
        with registry_with_tags(Path(folder) / "registry", 1000) as address:
            return beside(
                "naust list, 1,000 artefacts",
                lambda: seconds(ours("naust", "list", "--store", store), runs=9),
                "skopeo list-tags, 1,000 tags",
                version(["skopeo", "--version"]),
                lambda: seconds(["skopeo", "list-tags", "--tls-verify=false", f"docker://{address}/many"], runs=9),
            )


def deploying() -> list[Row]:
    """Deploy from nothing with artefacts there, then plan and deploy with nothing to do; then the proof."""
    from tests.bench.plain_ansible import plain_playbook

    subprocess.run(ours("seter", "destroy", *DEPLOYMENT, "--yes"), cwd=ROOT, capture_output=True)
    try:
        rows = [alone("seter deploy s3-lb, artefacts there", seconds(ours("seter", "deploy", *DEPLOYMENT, "--yes")))]
        rows.append(alone("seter plan, nothing differs", seconds(ours("seter", "plan", *DEPLOYMENT), runs=5)))
        rows.append(
            beside(
                "seter deploy, nothing differs",
                lambda: seconds(ours("seter", "deploy", *DEPLOYMENT, "--yes"), runs=3),
                "ansible-playbook: the same containers, state started",
                version(ours("ansible", "--version")),
                lambda: plain_playbook(f"s3-lb/container/{INSTANCE}"),
            )
        )
        rows += proving()
    finally:
        subprocess.run(ours("seter", "destroy", *DEPLOYMENT, "--yes"), cwd=ROOT, capture_output=True)
    return rows


def proving() -> list[Row]:
    """For how long new requests fail after a gateway was killed."""
    started = time.perf_counter()
    ended = subprocess.run(ours("seter", "prove", *DEPLOYMENT, "--json"), cwd=ROOT, capture_output=True, text=True)
    if ended.returncode != 0:
        raise SystemExit(f"bench: the proof failed\n{ended.stderr[-3000:]}")
    found = json.loads(ended.stdout)
    return [
        alone("seter prove, all of it", time.perf_counter() - started),
        beside(
            "gateway killed: last failing request begun after",
            lambda: max(float(found["outage_seconds"]), 0.001),
            "HAProxy and keepalived as cephadm",
            version(["keepalived", "--version"]),
            outage,
        ),
    ]


def main() -> int:
    """Run all of it, or the parts that are named: those of `parts` below."""
    peers()
    # As after an installation, also where the environment forbids Python to keep its bytecode.
    subprocess.run([sys.executable, "-m", "compileall", "-q", "common", "smie", "naust", "seter"], cwd=ROOT, check=True)
    WORK.mkdir(exist_ok=True)
    parts: dict[str, Callable[[], list[Row]]] = {
        "start-up": start_up,
        "listing": lambda: [listing(), *hundred_thousand()],
        "collecting": million,
        "delta": delta,
        "transfers": transfers,
        "mirroring": mirror,
        "building": lambda: [*building(), *offline()],
        "planning": planning,
        "deploying": deploying,
        "balancing": balancing,
        "announcing": announcing,
        "driving": driving,
    }
    rows = [row for name in (sys.argv[1:] or parts) for row in parts[name]()]
    results = WORK / "results.json"
    results.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    print(f"written to {os.path.relpath(results)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
