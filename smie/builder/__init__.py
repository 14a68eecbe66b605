"""How each kind of artefact is built. The one list of builders."""

from __future__ import annotations

from importlib import import_module

from common.errors import BadInput
from common.model import Kind
from smie.builder.interface import Builder

_BUILDERS = {
    Kind.CONTAINER: "smie.builder.container:ContainerBuilder",
    Kind.ROOTFS: "smie.builder.rootfs:RootfsBuilder",
    Kind.VM: "smie.builder.vm:VmBuilder",
}


def builder(kind: Kind) -> Builder:
    """The builder of a kind, imported on use. Raises BadInput."""
    if kind not in _BUILDERS:
        raise BadInput(
            f"smie cannot build artefacts of kind {kind}", resolution=f"It builds: {', '.join(sorted(_BUILDERS))}."
        )
    module, _, name = _BUILDERS[kind].partition(":")
    made = getattr(import_module(module), name)()
    assert isinstance(made, Builder)
    return made
