"""Root file systems of machines: Ansible installs in an unpacked tree, by its chroot connection, and nothing boots.

The whole tree is the artefact, one normalised tar packed with zstd; so there is one file for a physical node, and the
disk of a virtual one is written from the same.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Iterable, Sequence

from common.files import file_digest, write_atomically
from common.run import CommandFailed, environment, run
from naust.manifest import Blob
from smie import frozen
from smie.builder.bootstrap import POLICY, STATUS, check, root_layer
from smie.builder.chroot import ENTER, SCRIPT, script
from smie.builder.interface import Builder, Built, FileImage, Work
from smie.normal import file, link, normalise
from smie.packer import LAYER, BuildFailed, Template, built, null_template, play, variables
from smie.recipe import Recipe
from smie.repository import write_for_container

LEVEL = 3  # of zstd; twice the time makes it 5 % smaller
TREE = "root"
BELOW = "below.tar.zst"
SOFTWARE = "/smie/software"
RESOLVER = "../run/systemd/resolve/stub-resolv.conf"  # systemd-resolved.service(8)
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

    def prepare(self, recipe: Recipe, work: Work) -> None:
        for name in ("home", "tmp"):
            (work.folder / name).mkdir(exist_ok=True)
        mounts = {**write_for_container(recipe, work.folder / "apt")}
        mounts |= {folder: f"{SOFTWARE}/{role}" for role, folder in work.software.items()}
        write_atomically(work.folder / "ansible.cfg", "")
        write_atomically(work.folder / "policy-rc.d", POLICY)
        plays = [one for role in recipe.roles for one in play(role.name, variables(role, _software(role.name, work)))]
        write_atomically(work.folder / "play.json", json.dumps(plays, indent=2))
        ansible = (
            "export APT_CONFIG=/smie/apt/apt.conf PYTHONDONTWRITEBYTECODE=1 ANSIBLE_REMOTE_TEMP=/smie/tmp",
            f'ansible-playbook --inventory "$PWD/{TREE}," --connection community.general.chroot play.json',
        )
        write_atomically(work.folder / SCRIPT, script(TREE, mounts, ansible))

    def template(self, recipe: Recipe, work: Work) -> Template:
        unpack = (
            f"mkdir {TREE}",
            f"zstd -dqc {BELOW} | tar --extract --directory={TREE} --numeric-owner --preserve-permissions"
            " --xattrs '--xattrs-include=*'",
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
        raise BuildFailed(recipe.title, work.log) from error
    return FileImage(target, tar)


def _software(role: str, work: Work) -> str:
    return f"{SOFTWARE}/{role}" if role in work.software else ""
