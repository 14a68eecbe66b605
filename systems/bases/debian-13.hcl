base "debian-13" {
  summary = "Debian 13, small, with what Ansible and a supervised process need"
  suite   = "trixie"
  host    = "debian-13-host"
  size_at_most = "150MiB"
  packages = [
    "ca-certificates",
    "curl",
    "iproute2",
    "procps",
    "python3",
    "python3-apt",
    "tini",
  ]
}
