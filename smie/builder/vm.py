"""Disks of virtual machines: written from the root file system of the same name, with tools out of a base of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from common.files import write_atomically
from common.run import CommandFailed, run
from smie import otherwise
from smie.builder import disk
from smie.builder.chroot import ENTER, SCRIPT, SHELL, look, script
from smie.builder.interface import BELOW, Builder, Built, FileImage, Work
from smie.failed import BuildFailed
from smie.isolation import private
from smie.packer import Template, built, null_template, plain_environment
from smie.recipe import Recipe

INSIDE = "/smie/work"  # where the tools see the folder of the build
UNPACK = f"zstd -dq {BELOW} -o {disk.ROOT}"


class VmBuilder(Builder):
    """One qcow2 that boots by UEFI."""

    def programs(self, recipes: Sequence[Recipe]) -> tuple[str, ...]:
        return ("zstd", "packer", "qemu-system-x86_64", "ssh", "ssh-keygen")

    def sweep(self, is_dead: Callable[[str], bool]) -> tuple[str, ...]:
        return ()  # as with root file systems

    def enclosed(self, recipe: Recipe, work: Work, *argv: str) -> tuple[str, ...]:
        return private(*otherwise.around(work.other, *argv))

    def environment(self, work: Work, scratch: Path, roles: Path) -> dict[str, str]:
        return plain_environment(work.folder, scratch, roles)

    def prepare(self, recipe: Recipe, work: Work) -> None:
        for name in ("home", "tmp"):
            (work.folder / name).mkdir(exist_ok=True)
        write_atomically(work.folder / "ansible.cfg", "")
        assert work.tools is not None, "a disk is written with tools"
        layout = disk.Layout.of(recipe.disk, recipe.fingerprint)
        more = otherwise.binds(work.other)
        _prepare(work.folder, layout, int(recipe.index.date.timestamp()), work.tools, more)

    def template(self, recipe: Recipe, work: Work) -> Template:
        return null_template(((UNPACK,), (ENTER,)), (disk.DISK,))

    def collect(self, recipe: Recipe, work: Work) -> Built:
        (made,) = built(work.folder, (disk.DISK,))
        return FileImage(made.rename(work.folder / f"{recipe.name}.qcow2"), None)

    def entry(self, recipe: Recipe, work: Work) -> str:
        if work.tools is None:
            return ""
        return look(work.folder, script(str(work.tools), {work.folder: INSIDE}, (SHELL,), writable=(INSIDE,)))

    def base(self, recipe: Recipe, work: Work) -> Built:
        raise AssertionError("a disk stands on a root file system")


def write_raw(layout: disk.Layout, epoch: int, work: Work) -> Path:
    """Write the packed root file system in the folder of the work (BELOW) as the disk of a physical node, which boots
    by UEFI: the same bytes as in a qcow2, as a file with holes where nothing was written. `epoch` in seconds.

    Raises BuildFailed, Missing.
    """
    assert work.tools is not None, "a disk is written with tools"
    (work.folder / "tmp").mkdir(exist_ok=True)
    _prepare(work.folder, layout, epoch, work.tools, {}, raw=True)
    command = private("sh", "-eu", "-c", f"{UNPACK}\n{ENTER}")
    env = plain_environment(work.folder, work.folder / "tmp", work.folder)
    try:
        run(command, cwd=work.folder, env=env, on_line=work.log.take_plain, timeout=work.limit, halt=work.halt)
    except CommandFailed as error:
        raise BuildFailed("a disk", work.log, error) from error
    return work.folder / disk.RAW


def _prepare(
    folder: Path, layout: disk.Layout, epoch: int, tools: Path, more: Mapping[Path, str], *, raw: bool = False
) -> None:
    write_atomically(folder / disk.TABLE, layout.table())
    write_atomically(folder / disk.SCRIPT, disk.script(layout, epoch, raw=raw))
    command = f'chroot "$tree" /bin/sh -eu {INSIDE}/{disk.SCRIPT}'
    inside = script(str(tools), {folder: INSIDE, **more}, (command,), writable=(INSIDE,))
    write_atomically(folder / SCRIPT, inside)
