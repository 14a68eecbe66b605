"""The store with lease, secrets and history goes away while a deploy runs, and comes back or does not."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from tests.conftest import Tools
from tests.lab.faults import FaultProxy
from tests.lab.s3servers import BUCKET, versitygw
from tests.lab.small import Small, deployment

pytestmark = pytest.mark.long
GONE = 8.0  # seconds
NOWHERE = "127.0.0.1:1"  # what the proxy cannot reach, it says nothing about: it hangs up
LONG, SHORT = "30s", "3s"  # leases: one is asked for anew more than once meanwhile, the other is over


@dataclass(frozen=True)
class Distant(Small):
    """The small system with its state in a bucket."""

    settings: dict[str, str] | None = None

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | (self.settings or {})

    def leased(self, length: str) -> Distant:
        """The same, whose runs take a lease of that length."""
        return replace(self, settings={**(self.settings or {}), "SETER_LEASE": length})


@pytest.fixture(scope="module")
def field(built: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Distant, FaultProxy]]:
    folder = tmp_path_factory.mktemp("lost")
    with versitygw(folder) as server, FaultProxy(server.endpoint.removeprefix("http://")) as proxy:
        assert server.access.secret_key is not None
        url, config = f"s3://{BUCKET}/lost", folder / "naust.hcl"
        config.write_text(
            f'store "there" {{\n  url = "{url}"\n  endpoint = "http://{proxy.address}"\n'
            f'  access_key = "{server.access.access_key}"\n  secret_key = "env:LAB_KEY"\n}}\n'
        )
        settings = {
            "SETER_STATE": url,
            "NAUST_CONFIG": str(config),
            "LAB_KEY": server.access.secret_key.value,
            "NAUST_STORE": str(built.cwd / ".naust"),
        }
        with deployment(Tools(folder), folder, f"l{os.getpid()}") as small:
            made = Distant(small.tools, folder, small.instance, settings=settings)
            try:
                made.seter("deploy", "--yes")
                yield made, proxy
            finally:
                made.seter("destroy", "--yes", "--forget", code=None)


def greet(small: Distant, words: str) -> None:
    file = small.folder / "systems" / "small" / "system.hcl"
    lines = file.read_text().splitlines(keepends=True)
    told = [f'    greeting = "{words}"\n' if line.startswith("    greeting = ") else line for line in lines]
    file.write_text("".join(told))


def cut(process: subprocess.Popen[bytes], proxy: FaultProxy) -> str:
    """Nobody answers at the store for a while, from when w1 has its files; what was said afterwards."""
    assert process.stderr is not None
    with process.stderr as said:
        next(line for line in said if b"w1" in line and b"switched" in line)
        proxy.seen.clear()
        server, proxy.upstream = proxy.upstream, NOWHERE
        time.sleep(GONE)
        asked = len(proxy.seen)
        proxy.upstream = server
        rest = said.read().decode()
        assert asked, rest
        return rest


def test_a_store_that_comes_back_before_the_lease_is_over_costs_nothing(field: tuple[Distant, FaultProxy]) -> None:
    small, proxy = field
    greet(small, "patient")
    process = small.leased(LONG).start("deploy", "--yes", listening=True)
    rest = cut(process, proxy)
    assert process.wait(120) == 0, rest
    assert "no change" in small.seter("deploy", "--yes").out
    assert [run["result"] for run in small.seter("history", "--json").json()] == ["done", "done"]


def test_a_run_whose_lease_is_over_meanwhile_stops_and_the_next_goes_on(field: tuple[Distant, FaultProxy]) -> None:
    small, proxy = field
    greet(small, "late")
    process = small.leased(SHORT).start("deploy", "--yes", listening=True)
    rest = cut(process, proxy)
    assert process.wait(180) in (0, 1, 7, 9), rest
    errors = [line for line in rest.splitlines() if line.startswith("error: ")]
    assert len(errors) == (process.returncode != 0), rest
    small.seter("deploy", "--yes", "--wait", "60s")
    assert "no change" in small.seter("deploy", "--yes").out
    assert small.steps() == set()
