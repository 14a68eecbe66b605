role "traefik" {
  type    = "endpoint"
  summary = "Balances"
  sysctls = ["net.ipv4.ip_forward=0"]
  image "container" {
    base = "debian-13"
  }
  parameter "backends" {
    type    = "nodes"
    summary = "Where requests go"
  }
  parameter "http_port" {
    type    = "port"
    summary = "Where requests come"
    default = 80
  }
  process {
    command = ["/usr/bin/traefik"]
    listens = [80, 179]
  }
}
