"""The disk of a machine: a partition table, a boot partition and two slots for root file systems, of which the second
is empty until an update is written to it. No mount, no loop device, no device mapper: each tool writes into the file.

Formats and constants: UEFI specification 2.10 (GPT, 5.3; removable media path, 3.5.1.1), the Discoverable Partitions
and the Boot Loader Specification of uapi-group.org, sfdisk(8), mke2fs(8), mformat(1), systemd-boot(7).
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from common.errors import BadInput
from common.model import Digest

MIB = 1 << 20
BOOT = 128  # MiB of the boot partition; a kernel with its RAM disk is about 25
SMALLEST = 2048  # MiB of a disk
ESP_TYPE = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
ROOT_TYPE = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"  # root of x86-64
OPTIONS = "rw rootwait console=tty0 console=ttyS0 panic=10 quiet systemd.firstboot=no systemd.gpt_auto=no"

ROOT = "root.tar"
TABLE = "disk.sfdisk"
SCRIPT = "disk.sh"
DISK = "disk.qcow2"
RAW = "disk.raw"
PACK = f"""\
qemu-img convert -O qcow2 -c -o compression_type=zstd {RAW} {DISK}
qemu-img check -q {DISK}
rm {RAW}
"""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything is, in MiB. The identifiers follow from `identity`: the same recipe gives the same disk."""

    slot: int
    identity: Digest

    @classmethod
    def of(cls, size: int, identity: Digest) -> Layout:
        """Two equal slots on a disk of this size, in bytes. Raises BadInput."""
        if size < SMALLEST * MIB:
            raise BadInput(
                f"a disk of {size // MIB} MiB is too small for two root file systems",
                resolution=f'Write disk = "{SMALLEST // 1024}GiB" or more in the image block.',
            )
        return cls((size // MIB - 2 - BOOT) // 2, identity)

    @property
    def starts(self) -> tuple[int, int]:
        """Of the two slots."""
        return 1 + BOOT, 1 + BOOT + self.slot

    @property
    def size(self) -> int:
        """Of the whole disk; the last MiB has the second copy of the table."""
        return 2 + BOOT + 2 * self.slot

    def identifier(self, what: str) -> uuid.UUID:
        """Of the table (`disk`), of a partition (`esp`, `root-a`, `root-b`)."""
        return uuid.uuid5(uuid.NAMESPACE_URL, f"{self.identity}#{what}")

    def table(self) -> str:
        """What sfdisk(8) reads."""
        a, b = self.starts
        rows = (
            (1, BOOT, ESP_TYPE, "esp"),
            (a, self.slot, ROOT_TYPE, "root-a"),
            (b, self.slot, ROOT_TYPE, "root-b"),
        )
        partitions = (
            f"start={start * 2048}, size={size * 2048}, type={kind}, uuid={self.identifier(name)}, name={name}\n"
            for start, size, kind, name in rows
        )
        return f"label: gpt\nlabel-id: {self.identifier('disk')}\nfirst-lba: 2048\n" + "".join(partitions)

    def entry(self, slot: str) -> str:
        """The boot loader's entry of slot a or b."""
        lines = (
            f"title Slot {slot}",
            "sort-key naust",
            f"linux /slot-{slot}/vmlinuz",
            f"initrd /slot-{slot}/initrd",
            f"options root=PARTUUID={self.identifier(f'root-{slot}')} {OPTIONS}",
        )
        return "\n".join(lines) + "\n"


def script(layout: Layout, epoch: int, *, raw: bool = False) -> str:
    """What the tools do, as a shell script of the folder with the root's tar and the table: DISK comes out, RAW with
    `raw`. `epoch` in seconds."""
    a, _ = layout.starts
    volume = layout.identifier("esp").hex[:8]
    identifier = layout.identifier("root-a")
    return f"""\
cd "$(dirname "$0")"
export SOURCE_DATE_EPOCH={epoch} TZ=UTC LC_ALL=C.UTF-8 TMPDIR=/smie/tmp MTOOLS_SKIP_CHECK=1
mkdir boot
tar --extract --file={ROOT} --directory=boot --wildcards 'boot/vmlinuz-*' 'boot/initrd.img-*' \\
  usr/lib/systemd/boot/efi/systemd-bootx64.efi
kernel=$(ls boot/boot/vmlinuz-* | sort -V | tail -n 1)
initrd=boot/boot/initrd.img-${{kernel#boot/boot/vmlinuz-}}
truncate --size={layout.size}M {RAW}
sfdisk --quiet {RAW} <{TABLE}
mkfs.vfat -F 32 -s 1 -i {volume} -n ESP --invariant --offset=2048 {RAW} $(({BOOT} * 1024)) >/dev/null
printf 'timeout 0\\ndefault a.conf\\neditor no\\n' >boot/loader.conf
cat >boot/a.conf <<'END'
{layout.entry("a")}END
cat >boot/b.conf <<'END'
{layout.entry("b")}END
touch --date=@{epoch} boot/*.conf "$kernel" "$initrd" boot/usr/lib/systemd/boot/efi/systemd-bootx64.efi
esp={RAW}@@{MIB}
mmd -i $esp ::/EFI ::/EFI/BOOT ::/loader ::/loader/entries ::/slot-a ::/slot-b
mcopy -m -i $esp boot/usr/lib/systemd/boot/efi/systemd-bootx64.efi ::/EFI/BOOT/BOOTX64.EFI
mcopy -m -i $esp boot/loader.conf ::/loader/loader.conf
mcopy -m -i $esp boot/a.conf boot/b.conf ::/loader/entries/
mcopy -m -i $esp "$kernel" ::/slot-a/vmlinuz
mcopy -m -i $esp "$initrd" ::/slot-a/initrd
mkfs.ext4 -q -F -L root-a -U {identifier} -m 0 \\
  -E hash_seed={identifier},offset={a * MIB},lazy_itable_init=1,lazy_journal_init=1 -d {ROOT} {RAW} {layout.slot}M
rm {ROOT}
{"" if raw else PACK}"""
