role "bird-router" {
  type     = "service"
  summary  = "Takes the virtual IPs from the gateways and spreads flows over all that announce them; announces its client networks"
  packages = ["bird2", "python3"]
  needs    = ["network"]
  sysctls = [
    "net.ipv4.ip_forward=1",
    "net.ipv6.conf.all.forwarding=1",
  ]

  image "container" {
    base         = "debian-13"
    size_at_most = "150MiB"
  }

  parameter "vips" {
    type    = "list(address)"
    summary = "Addresses that gateways may announce; anything else is refused"
  }
  parameter "asn" {
    type    = "asn"
    summary = "Autonomous system of the routers"
  }
  parameter "peers" {
    type    = "nodes"
    summary = "Group of the gateways"
  }
  parameter "peer_asn" {
    type    = "asn"
    summary = "Autonomous system of the gateways"
  }
  parameter "bfd_interval" {
    type    = "duration"
    summary = "Time between two BFD packets, both ways"
    default = "100ms"
  }
  parameter "bfd_multiplier" {
    type    = "count"
    summary = "So many BFD packets in a row have to be lost until the other side counts as dead"
    default = 3
  }

  process {
    command      = ["bird", "-f", "-c", "/etc/seter/now/bird-router/bird.conf", "-s", "/run/bird/bird.ctl"]
    user         = "bird"
    uid          = 950
    capabilities = ["NET_ADMIN", "NET_RAW", "NET_BROADCAST", "NET_BIND_SERVICE"]
    listens      = [179]
    reads        = ["/etc/seter/now/bird-router"]
    writes       = ["/run/bird"]
    validate     = ["bird", "-p", "-c", "{root}/bird-router/bird.conf"]
    reload       = ["birdc", "-s", "/run/bird/bird.ctl", "configure"]
    on_change    = "reload"
    stop_within  = "10s"
  }
  status {
    command = ["/usr/local/lib/seter/bird-status"]
  }
  check "answers" {
    command = ["/usr/local/lib/seter/bird-status"]
    within  = "20s"
  }
}
