"""Providers of Terraform, built by bin/tools and kept by naust, as a folder that Terraform takes them from."""

from __future__ import annotations

import zipfile
from pathlib import Path

from naust.source.terraform_registry import DEFAULT_HOST
from tests.conftest import ROOT, Tools

NAME, VERSION = "terraform-provider-openstack", "3.4.0"
SOURCES = """\
terraform "providers" {
  mode   = "local"
  folder = "packed"
}
set "cloud" {
  sources = ["providers"]
}
"""


def mirror(folder: Path) -> Path:
    """A filesystem mirror with the provider for OpenStack, out of a snapshot of a store (cli/config/config-file of
    Terraform's documentation, "Provider Installation": the packed layout)."""
    built = ROOT / ".tools" / "bin" / NAME
    assert built.exists(), f"{built} is not there; bin/tools builds it"
    place = folder / "packed" / DEFAULT_HOST / "terraform-provider-openstack" / "openstack"
    place.mkdir(parents=True)
    with zipfile.ZipFile(place / f"{NAME}_{VERSION}_linux_amd64.zip", "w") as archive:
        archive.write(built, f"{NAME}_v{VERSION}")
    (folder / "sources.hcl").write_text(SOURCES)
    tools = Tools(folder, {"NAUST_STORE": str(folder / "store")})
    tools("naust", "mirror", "--sources", "sources.hcl")
    tools("naust", "snapshot", "cloud", "--sources", "sources.hcl")
    tools("naust", "export", str(folder / "tree"), "--snapshot", "cloud:latest")
    (found,) = (folder / "tree").rglob(DEFAULT_HOST)
    return found.parent
