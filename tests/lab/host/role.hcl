role "lab-host" {
  type     = "component"
  summary  = "A machine of a lab: systemd as process 1, an SSH server, a user who may use sudo"
  packages = [
    "cpio",
    "dbus",
    "dosfstools",
    "e2fsprogs",
    "iputils-ping",
    "kmod",
    "nftables",
    "openssh-server",
    "sudo",
    "systemd-sysv",
    "udev",
    "zstd",
  ]
  setuid = [
    "/usr/bin/ping",
    "/usr/bin/ssh-agent",
    "/usr/bin/sudo",
    "/usr/lib/dbus-1.0/dbus-daemon-launch-helper",
    "/usr/lib/openssh/ssh-keysign",
  ]
  image "container" {
    base = "debian-13"
  }
}
