"""Root file systems of machines: Ansible installs in an unpacked tree, by its chroot connection, and nothing boots.

The whole tree is the artefact, one normalised tar packed with zstd; so there is one file for a physical node, and the
disk of a virtual one is written from the same.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from common.files import file_digest, write_atomically
from common.run import CommandFailed, environment, run
from naust.manifest import Blob
from smie import frozen, otherwise
from smie.builder.bootstrap import POLICY, STATUS, UNPACKED, check, root_layer
from smie.builder.chroot import ENTER, SCRIPT, SHELL, look, script
from smie.builder.interface import BELOW, Builder, Built, FileImage, Work
from smie.failed import BuildFailed
from smie.image import PATH
from smie.isolation import fits_in_memory, private
from smie.normal import file, link, normalise
from smie.packer import LAYER, Template, built, null_template, plain_environment, play, variables
from smie.recipe import Recipe
from smie.repository import write_for_container

LEVEL = 3  # of zstd; twice the time makes it 5 % smaller
TREE = "root"
SOFTWARE = "/smie/software"
RESOLVER = "../run/systemd/resolve/stub-resolv.conf"  # systemd-resolved.service(8)
ANSIBLE = "ansible-playbook --inventory machine, --connection community.general.chroot play.json"
# What an image gives to a container's processes. A chroot would inherit that of Ansible, which is of this machine.
ENVIRONMENT = {
    "APT_CONFIG": "/smie/apt/apt.conf",
    "HOME": "/root",
    "PATH": PATH.removeprefix("PATH="),
    "PYTHONDONTWRITEBYTECODE": "1",
    "TMPDIR": "/tmp",
}
# systemd makes an id of its own, and takes this for the first boot (machine-id(5), "First Boot Semantics").
FIRST_BOOT = "uninitialized\n"


class RootfsBuilder(Builder):
    """One tree, made from a base's with the install tasks of one role or of several."""

    def programs(self, recipes: Sequence[Recipe]) -> tuple[str, ...]:
        on_parents = ("packer",) if any(recipe.parent for recipe in recipes) else ()
        bases = ("mmdebstrap",) if any(recipe.parent is None for recipe in recipes) else ()
        return ("zstd", "tar", *on_parents, *bases)

    def sweep(self, is_dead: Callable[[str], bool]) -> tuple[str, ...]:
        return ()  # mounts and processes go with their namespace, files with the folder of the build

    def enclosed(self, recipe: Recipe, work: Work, *argv: str) -> tuple[str, ...]:
        packed = (work.folder / BELOW).stat().st_size + sum(package.size for package in recipe.packages)
        added = sum(file.stat().st_size for folder in work.software.values() for file in folder.iterdir())
        size = UNPACKED * packed + added
        # A tree in memory goes with the build, so nobody could look into it.
        memory = work.folder / TREE if fits_in_memory(size) and not work.debug else None
        return private(*otherwise.around(work.other, *argv), memory=memory)

    def environment(self, work: Work, scratch: Path, roles: Path) -> dict[str, str]:
        return plain_environment(work.folder, scratch, roles)

    def prepare(self, recipe: Recipe, work: Work) -> None:
        for name in ("home", "tmp", TREE):
            (work.folder / name).mkdir(exist_ok=True)
        mounts = _mounts(recipe, work)
        write_atomically(work.folder / "ansible.cfg", "")
        write_atomically(work.folder / "policy-rc.d", POLICY)
        write_atomically(work.folder / "play.json", json.dumps(plays(recipe, work), indent=2))
        write_atomically(work.folder / SCRIPT, script(TREE, mounts, (ANSIBLE,)))

    def template(self, recipe: Recipe, work: Work) -> Template:
        unpack = (
            f"tar --extract --zstd --file={BELOW} --directory={TREE} --numeric-owner --preserve-permissions"
            " --xattrs '--xattrs-include=*' --warning=no-unknown-keyword",
            f"install -m 755 policy-rc.d {TREE}/usr/sbin/policy-rc.d",
        )
        pack = (
            f"rm {TREE}/usr/sbin/policy-rc.d",
            f"tar --create --file={LAYER} --directory={TREE} --sort=name --numeric-owner --format=posix"
            " --xattrs '--xattrs-include=*' .",
        )
        return null_template((unpack, (ENTER,), pack), (LAYER,))

    def collect(self, recipe: Recipe, work: Work) -> Built:
        (raw,) = built(work.folder, (LAYER,))
        epoch, path = int(recipe.index.date.timestamp()), work.folder / "layer.tar"
        with raw.open("rb") as source, path.open("wb") as target:
            seen = normalise(source, target, epoch, added=machines_own(epoch), watched={STATUS})
        raw.unlink()
        check(recipe, seen)
        return packed(Blob(file_digest(path), path.stat().st_size, path=path), recipe, work)

    def entry(self, recipe: Recipe, work: Work) -> str:
        if not (work.folder / TREE).is_dir():
            return ""
        return look(work.folder, script(TREE, _mounts(recipe, work), (SHELL,)))

    def base(self, recipe: Recipe, work: Work) -> Built:
        epoch, hooks = int(recipe.index.date.timestamp()), tuple[str, ...]()
        if frozen.overlay_tar(recipe, work.folder / "overlay.tar", epoch):
            hooks = (f"--essential-hook=tar-in {work.folder / 'overlay.tar'} /",)
        return packed(root_layer(recipe, work, machines_own(epoch), hooks=hooks), recipe, work)


def machines_own(epoch: int) -> Iterable[tuple[tarfile.TarInfo, bytes]]:
    """What each machine makes anew when it boots first, and that caches are as new as the programs: all is dated alike,
    and systemd would make them anew before anything else starts (systemd-update-done.service(8))."""
    updated = f"# Made by smie.\nTIMESTAMP_NSEC={epoch}000000000\n"
    return (
        file("etc/machine-id", FIRST_BOOT, epoch, 0o444),
        link("etc/resolv.conf", RESOLVER, epoch),
        file("etc/.updated", updated, epoch),
        file("var/.updated", updated, epoch),
    )


def packed(tar: Blob, recipe: Recipe, work: Work) -> FileImage:
    """The normalised tar, packed; the plain one stays beside it. Raises BuildFailed, Missing."""
    assert tar.path is not None, "a root file system was just written"
    target = work.folder / f"{recipe.name}.tar.zst"
    argv = ("zstd", "-q", f"-{LEVEL}", "-T0", "--no-progress", str(tar.path), "-o", str(target))
    try:
        run(argv, env=environment(), on_line=work.log.take_plain, halt=work.halt)
    except CommandFailed as error:
        raise BuildFailed(recipe.title, work.log, error) from error
    return FileImage(target, tar)


def plays(recipe: Recipe, work: Work) -> list[dict[str, object]]:
    """One play a role, in order, on the tree."""
    where = {"ansible_host": str(work.folder / TREE)}
    made = [play(role.name, {**where, **variables(role, _software(role.name, work))}) for role in recipe.roles]
    return [{**one, "environment": ENVIRONMENT} for some in made for one in some]


def _mounts(recipe: Recipe, work: Work) -> dict[Path, str]:
    """Folders of this machine that the tree sees, by where."""
    software = {folder: f"{SOFTWARE}/{role}" for role, folder in work.software.items()}
    return {**write_for_container(recipe, work.folder / "apt"), **software, **otherwise.binds(work.other)}


def _software(role: str, work: Work) -> str:
    return f"{SOFTWARE}/{role}" if role in work.software else ""
