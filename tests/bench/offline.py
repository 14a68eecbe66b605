"""Building a system's roles from a snapshot, beside building them from this machine's mirror.

Both begin with an empty workspace and a store that has no artefact, so the base and all roles are built, and every
package and wheel is fetched: out of the store, or from the mirror and the package index. In turn, the best of REPEATS:
what takes long, dpkg and Ansible, is the same in both and swings more than the difference.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.bench.rows import ROOT, Row, ours, seconds

REPEATS = 2
SYSTEM = "s3-lb"
SNAPSHOT, ONLINE = "latest", ""  # what --snapshot is told
SOURCES = ROOT / "systems" / "sources.hcl"


def offline() -> list[Row]:
    """All of it."""
    folder = ROOT / ".bench" / "offline"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        store = folder / "store"
        for verb in (("mirror",), ("snapshot", "build")):
            seconds(ours("naust", *verb, "--sources", str(SOURCES), "--store", f"file://{store}"))
        taken: dict[str, list[float]] = {SNAPSHOT: [], ONLINE: []}
        for turn in range(REPEATS):  # who begins has the colder machine
            for how in (SNAPSHOT, ONLINE) if turn % 2 else (ONLINE, SNAPSHOT):
                taken[how].append(_timed(folder, "--snapshot", how))
        mine, other = min(taken[SNAPSHOT]), min(taken[ONLINE])
        name = f"smie build {SYSTEM} from a snapshot"
        print(f"  {name:<44} {mine:8.3f} s   online {other:.3f} s", flush=True)
        return [Row(name, round(mine, 4), "s", "smie build online", "the same", round(other / mine, 3))]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _timed(folder: Path, *words: str) -> float:
    """From a store that has the snapshot alone, and an empty workspace."""
    store = folder / "own"
    shutil.copytree(folder / "store", store)
    try:
        env = [f"SMIE_CACHE={folder / 'cache'}", f"NAUST_STORE=file://{store}"]
        return seconds(["env", *env, *ours("smie", "build", SYSTEM, *words)])
    finally:
        shutil.rmtree(store)
        shutil.rmtree(folder / "cache", ignore_errors=True)


if __name__ == "__main__":
    offline()
