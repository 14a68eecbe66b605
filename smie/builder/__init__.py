"""How each kind of artefact is built. The one list of builders."""

from __future__ import annotations

from importlib import import_module

from common.errors import BadInput
from common.model import Kind
from smie.builder.interface import Builder
from smie.recipe import Recipe

BOOTED = "booted"  # the way to a root file system whose tasks need a machine that runs

_BUILDERS: dict[str, str] = {
    Kind.CONTAINER: "smie.builder.container:ContainerBuilder",
    Kind.ROOTFS: "smie.builder.rootfs:RootfsBuilder",
    Kind.VM: "smie.builder.vm:VmBuilder",
    BOOTED: "smie.builder.booted:BootedBuilder",
}


def way(recipe: Recipe) -> str:
    """Which builder makes it: that of its kind, or BOOTED."""
    return BOOTED if recipe.is_booted else recipe.kind


def builder(kind: str) -> Builder:
    """The builder of a kind or way, imported on use. Raises BadInput."""
    if kind not in _BUILDERS:
        raise BadInput(
            f"smie cannot build artefacts of kind {kind}",
            resolution=f"It builds: {', '.join(sorted(set(_BUILDERS) - {BOOTED}))}.",
        )
    module, _, name = _BUILDERS[kind].partition(":")
    made = getattr(import_module(module), name)()
    assert isinstance(made, Builder)
    return made
