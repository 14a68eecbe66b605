role "bird-gateway" {
  type     = "service"
  summary  = "Announces the virtual IPs to the routers by BGP, and takes the client networks from them"
  packages = ["bird2", "python3"]
  needs    = ["network"]
  # A gateway ends connections; it never passes packets on.
  sysctls = [
    "net.ipv4.ip_forward=0",
    "net.ipv6.conf.all.forwarding=0",
  ]

  image "container" {
    base         = "debian-13"
    size_at_most = "150MiB"
  }

  parameter "vips" {
    type    = "list(address)"
    summary = "Addresses to announce, all together, once the health agent admits the node"
  }
  parameter "asn" {
    type    = "asn"
    summary = "Autonomous system of the gateways"
  }
  parameter "peers" {
    type    = "nodes"
    summary = "Group of the routers"
  }
  parameter "peer_asn" {
    type    = "asn"
    summary = "Autonomous system of the routers"
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
    command      = ["bird", "-f", "-c", "/etc/seter/now/bird-gateway/bird.conf", "-s", "/run/bird/bird.ctl"]
    user         = "bird"
    uid          = 950
    capabilities = ["NET_ADMIN", "NET_RAW", "NET_BROADCAST", "NET_BIND_SERVICE"]
    listens      = [179]
    reads        = ["/etc/seter/now/bird-gateway"]
    writes       = ["/run/bird"]
    validate     = ["bird", "-p", "-c", "{root}/bird-gateway/bird.conf"]
    reload       = ["birdc", "-s", "/run/bird/bird.ctl", "configure"]
    on_change    = "reload"
    stop_within  = "10s"
  }
  status {
    command = ["/usr/local/lib/seter/bird-status"]
  }
  check "sessions" {
    command = ["/usr/local/lib/seter/bird-status", "--all-up"]
    within  = "20s"
  }
}
