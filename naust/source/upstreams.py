"""Which class is the upstream of which type of block: imported when it is used."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from naust.source.definition import Source
from naust.source.interface import Upstream

UPSTREAMS = {
    "apt": "naust.source.apt:AptUpstream",
    "pypi": "naust.source.pypi:PypiUpstream",
    "oci": "naust.source.oci:OciUpstream",
    "files": "naust.source.files:FilesUpstream",
    "terraform": "naust.source.terraform:TerraformUpstream",
}


def upstream(block: Source) -> Upstream:
    """The upstream that this block describes, made by its class's `of(block)`. Raises what that does."""
    module, _, name = UPSTREAMS[block.type].partition(":")
    return cast(Upstream, getattr(import_module(module), name).of(block))
