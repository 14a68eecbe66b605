"""Disks of virtual machines: written from the root file system of the same name, with tools out of a base of ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from common.files import write_atomically
from smie.builder import disk
from smie.builder.chroot import ENTER, SCRIPT, SHELL, look, script
from smie.builder.interface import Builder, Built, FileImage, Work
from smie.builder.rootfs import BELOW
from smie.isolation import private
from smie.packer import Template, built, null_template, plain_environment
from smie.recipe import Recipe

INSIDE = "/smie/work"  # where the tools see the folder of the build


class VmBuilder(Builder):
    """One qcow2 that boots by UEFI."""

    def programs(self, recipes: Sequence[Recipe]) -> tuple[str, ...]:
        return ("zstd", "packer", "qemu-system-x86_64", "ssh", "ssh-keygen")

    def sweep(self, is_dead: Callable[[str], bool]) -> tuple[str, ...]:
        return ()  # as with root file systems

    def enclosed(self, recipe: Recipe, work: Work, *argv: str) -> tuple[str, ...]:
        return private(*argv)

    def environment(self, work: Work, scratch: Path, roles: Path) -> dict[str, str]:
        return plain_environment(work.folder, scratch, roles)

    def prepare(self, recipe: Recipe, work: Work) -> None:
        for name in ("home", "tmp"):
            (work.folder / name).mkdir(exist_ok=True)
        layout = disk.Layout.of(recipe.disk, recipe.fingerprint)
        write_atomically(work.folder / "ansible.cfg", "")
        write_atomically(work.folder / disk.TABLE, layout.table())
        write_atomically(work.folder / disk.SCRIPT, disk.script(layout, int(recipe.index.date.timestamp())))
        assert work.tools is not None, "a disk is written with tools"
        command = f'chroot "$tree" /bin/sh -eu {INSIDE}/{disk.SCRIPT}'
        inside = script(str(work.tools), {work.folder: INSIDE}, (command,), writable=(INSIDE,))
        write_atomically(work.folder / SCRIPT, inside)

    def template(self, recipe: Recipe, work: Work) -> Template:
        return null_template(((f"zstd -dq {BELOW} -o {disk.ROOT}",), (ENTER,)), (disk.DISK,))

    def collect(self, recipe: Recipe, work: Work) -> Built:
        (made,) = built(work.folder, (disk.DISK,))
        return FileImage(made.rename(work.folder / f"{recipe.name}.qcow2"), None)

    def entry(self, recipe: Recipe, work: Work) -> str:
        if work.tools is None:
            return ""
        return look(work.folder, script(str(work.tools), {work.folder: INSIDE}, (SHELL,), writable=(INSIDE,)))

    def base(self, recipe: Recipe, work: Work) -> Built:
        raise AssertionError("a disk stands on a root file system")
