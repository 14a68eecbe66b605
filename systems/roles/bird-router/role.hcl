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
  parameter "asn_each" {
    type    = "flag"
    summary = "Each gateway has a system of its own: peer_asn for the first, and so on by its index; both sides have to know"
    default = false
  }
  parameter "peer_asn" {
    type    = "asn"
    summary = "Autonomous system of the gateways"
  }
  parameter "ttl_security" {
    type    = "flag"
    summary = "Take BGP from the gateways' own link alone (GTSM, RFC 5082); both sides have to have it"
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
    command      = ["/usr/local/lib/seter/bird-launch", "/etc/seter/secrets/bird-router/bgp-password",
                    "bird", "-f", "-c", "/etc/seter/now/bird-router/bird.conf", "-s", "/run/bird/bird.ctl"]
    user         = "bird"
    uid          = 950
    capabilities = ["NET_ADMIN", "NET_RAW", "NET_BROADCAST", "NET_BIND_SERVICE"]
    # BFD is lost after three packets that are late; it takes a hundredth of a processor.
    cpu_weight   = 1000
    listens      = [179]
    reads        = ["/etc/seter/now/bird-router", "/etc/seter/secrets/bird-router"]
    writes       = ["/run/bird"]
    validate     = ["bird", "-p", "-c", "{root}/bird-router/bird.conf"]
    reload       = ["/usr/local/lib/seter/bird-launch", "/etc/seter/secrets/bird-router/bgp-password",
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
  check "answers" {
    command = ["/usr/local/lib/seter/bird-status"]
    within  = "20s"
  }
}
