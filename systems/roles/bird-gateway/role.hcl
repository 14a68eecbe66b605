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
  # Several services: each has its own.
  per_service = ["vips"]

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
  parameter "asn_each" {
    type    = "flag"
    summary = "Each gateway has a system of its own: asn for the first, and so on by its index; both sides have to know"
    default = false
  }
  parameter "peers" {
    type    = "nodes"
    summary = "Group of the routers"
  }
  parameter "peer_asn" {
    type    = "asn"
    summary = "Autonomous system of the routers"
  }
  parameter "ring" {
    type    = "nodes"
    summary = "Group of the gateways that hand flows to each other, this one among them (role second-chance); empty for none"
    default = ""
  }
  parameter "ttl_security" {
    type    = "flag"
    summary = "Take BGP from the routers' own link alone (GTSM, RFC 5082); both sides have to have it"
    default = false
  }
  parameter "agreed" {
    type    = "text"
    summary = "File on the operator's machine with a password that was agreed on; else one is drawn"
    default = ""
  }
  parameter "password" {
    type    = "flag"
    summary = "Sign BGP with the secret bgp-password (TCP-MD5, RFC 2385); both sides have to"
    default = false
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
    command      = ["/usr/local/lib/seter/bird-launch", "/etc/seter/secrets/bird-gateway/bgp-password",
                    "/usr/local/lib/seter/bird-watch", "--silence", "3", "--later", "2", "ring?b", "vip*", "--",
                    "bird", "-f", "-c", "/etc/seter/now/bird-gateway/bird.conf", "-s", "/run/bird/bird.ctl"]
    user         = "bird"
    uid          = 950
    capabilities = ["NET_ADMIN", "NET_RAW", "NET_BROADCAST", "NET_BIND_SERVICE"]
    # BFD is lost after three packets that are late; it takes a hundredth of a processor.
    cpu_weight   = 1000
    listens      = [179]
    reads        = ["/etc/seter/now/bird-gateway", "/etc/seter/secrets/bird-gateway"]
    writes       = ["/run/bird"]
    validate     = ["bird", "-p", "-c", "{root}/bird-gateway/bird.conf"]
    reload       = ["/usr/local/lib/seter/bird-launch", "/etc/seter/secrets/bird-gateway/bgp-password",
                    "birdc", "-s", "/run/bird/bird.ctl", "configure"]
    on_change    = "reload"
    stop_within  = "10s"
  }
  # The same on both sides. BIRD reads it from a file that bird-launch writes for it alone.
  secret "bgp-password" {
    make  = "password"
    given = "agreed"
    scope = "deployment"
  }
  open "bgp" {
    ports = [179]
    from  = ["peers"]
  }
  open "bfd" {
    ports    = [3784]
    protocol = "udp"
    from     = ["peers"]
  }
  status {
    command = ["/usr/local/lib/seter/bird-status"]
  }
  check "sessions" {
    command = ["/usr/local/lib/seter/bird-status", "--all-up"]
    within  = "20s"
  }
}
