role "setup" {
  type    = "service"
  summary = "Leaves a file under /run before anything else starts"
  sysctls = ["net.ipv4.ip_unprivileged_port_start=1024"]
  image "container" {
    base = "debian-13"
  }
  process {
    command = ["sh", "-c", "date >/run/setup/was-here"]
    type    = "oneshot"
    writes  = ["/run/setup"]
    restart = "no"
  }
}
