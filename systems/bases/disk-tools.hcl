base "disk-tools" {
  summary = "What smie writes disks with: Debian 12's own mkfs.ext4 cannot fill a file system from an archive"
  suite   = "trixie"
  kind    = "rootfs"
  size_at_most = "50MiB"
  packages = [
    "dosfstools",
    "e2fsprogs",
    "fdisk",
    "libarchive13t64",
    "mtools",
    "qemu-utils",
  ]
}
