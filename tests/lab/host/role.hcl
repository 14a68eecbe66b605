role "lab-host" {
  type     = "component"
  summary  = "A machine of a lab: systemd as process 1, an SSH server, a user who may use sudo"
  packages = ["dbus", "iputils-ping", "kmod", "nftables", "openssh-server", "sudo", "systemd-sysv", "udev"]
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
