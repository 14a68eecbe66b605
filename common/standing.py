"""What an image may stand on: containers on bases for containers, machines on bases for machines.

A role's root file system and disk are made from one tree, so both blocks name one base.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from common.errors import Problem
from common.role import Base, Image


def problems_of_host(base: Base, host: Base) -> Iterator[Problem]:
    """The variant for machines is a base of that kind."""
    if host.kind != "rootfs":
        fix = f'name a base of kind rootfs, or write kind = "rootfs" in {host.place}'
        yield Problem(base.place.file, base.place.line, f'host: base "{host.name}" is of kind {host.kind}', fix)


def problems_of_kind(image: Image, base: Base, outer: str) -> Iterator[Problem]:
    """The base is of the kind that the image needs. `outer` is the block around, for the message."""
    wanted = "container" if image.kind == "container" else "rootfs"
    if base.kind != wanted:
        message = f'{outer}image "{image.kind}": base "{base.name}" is of kind {base.kind}'
        fix = f'write base = "{base.host}"' if base.host else f"name a base of kind {wanted}"
        yield Problem(image.place.file, image.place.line, message, fix)


def problems_of_tree(images: Iterable[Image], outer: str) -> Iterator[Problem]:
    """What is made from one tree has one base."""
    ours = [image for image in images if image.kind != "container"]
    for image in ours[1:]:
        if image.base != ours[0].base:
            message = f'{outer}image "{image.kind}": base "{image.base}", but "{ours[0].base}" in "{ours[0].kind}"'
            fix = "write the same base in both: a vm is made from the rootfs"
            yield Problem(image.place.file, image.place.line, message, fix)
