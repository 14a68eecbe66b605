base "debian-13-host" {
  summary = "Debian 13 for machines: boots by UEFI, takes its addresses from DHCP or from who starts it, answers SSH"
  suite   = "trixie"
  kind    = "rootfs"
  size_at_most = "145MiB"
  packages = [
    "ca-certificates",
    "curl",
    "dbus",
    "dosfstools",
    "e2fsprogs",
    "initramfs-tools",
    "iproute2",
    "kmod",
    "linux-image-amd64",
    "openssh-server",
    "procps",
    "python3",
    "python3-apt",
    "systemd-boot",
    "systemd-boot-efi",
    "systemd-boot-tools",
    "systemd-resolved",
    "systemd-sysv",
    "tini",
    "udev",
    "zstd",
  ]
}
