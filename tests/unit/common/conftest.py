"""A folder of small definitions, and a way to change one of its files."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from common.catalog import Catalog
from common.errors import BadDefinition

GOOD = {
    "bases/debian-13.hcl": """
        base "debian-13" {
          summary  = "Debian 13"
          suite    = "trixie"
          packages = ["python3"]
        }
    """,
    "roles/router/role.hcl": """
        role "router" {
          type    = "service"
          summary = "Passes packets on"
          sysctls = ["net.ipv4.ip_forward=1"]
          parameter "asn" {
            type    = "asn"
            summary = "Its number"
          }
          parameter "peers" {
            type    = "nodes"
            summary = "Whom it talks to"
          }
          parameter "vips" {
            type    = "list(address)"
            summary = "What it announces"
          }
          parameter "router_id" {
            type    = "address"
            summary = "Its name in BGP"
          }
          process {
            command = ["/usr/sbin/bird"]
            listens = [179]
          }
        }
    """,
    "roles/proxy/role.hcl": """
        role "proxy" {
          type    = "endpoint"
          summary = "Balances"
          needs   = ["router"]
          metrics = 8082
          parameter "timeout" {
            type    = "duration"
            summary = "How long it waits"
            default = "1s"
          }
          process {
            command = ["/usr/bin/proxy"]
            listens = [443]
          }
        }
    """,
    "lab/system.hcl": """
        system "lab" {
          summary = "Two groups"
          parameters {
            vips = ["192.0.2.10"]
          }
          group "edge" {
            at_least = 2
            role "router" {
              asn   = 64512
              peers = "edge"
            }
            role "proxy" {}
          }
          check "spread" {
            routes = "vips"
            on     = "edge"
            expect = "edge"
          }
        }
    """,
    "lab/targets/container.hcl": """
        target "container" {
          kind  = "container"
          image = "debian-13"
          network "fabric" {}
          nodes "edge" {
            node "n1" {
              networks = ["fabric"]
              address  = "10.0.0.1"
              parameters { router_id = "10.0.0.1" }
            }
            node "n2" {
              networks = ["fabric"]
              parameters { router_id = "10.0.0.2" }
            }
          }
        }
    """,
}


@dataclass(frozen=True)
class Definitions:
    """Files below a folder that is the working directory, so messages name them as `lab/system.hcl`."""

    folder: Path

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"))

    def change(self, name: str, old: str, new: str) -> None:
        path = self.folder / name
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {name}"
        path.write_text(text.replace(old, new))

    @property
    def catalog(self) -> Catalog:
        return Catalog(self.folder)

    def problems(self, read: Callable[[Catalog], object] | None = None) -> list[str]:
        """What reading system and target says, line by line; nothing when all is well."""
        try:
            read(self.catalog) if read else self.catalog.definition("lab", "container")
        except BadDefinition as error:
            return error.details.splitlines()
        return []


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def definitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> Definitions:
    """Definitions without a fault."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.chdir(tmp_path)
    made = Definitions(tmp_path)
    for name, text in GOOD.items():
        made.write(name, text)
    return made
