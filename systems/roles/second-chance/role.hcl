role "second-chance" {
  type     = "service"
  summary  = "Hands packets of flows that are another gateway's round the ring of gateways, so no flow breaks when routes change"
  packages = ["iproute2", "nftables", "python3"]
  needs    = ["network"]
  metrics  = 9553

  image "container" {
    base         = "debian-13"
    size_at_most = "150MiB"
  }

  parameter "vips" {
    type    = "list(address)"
    summary = "Addresses whose flows are handed on"
  }
  parameter "ports" {
    type    = "list(port)"
    summary = "TCP ports of the service, which listens on all addresses of the node (a socket bound to one cannot be told from a flow)"
    default = [80, 443]
  }
  parameter "members" {
    type    = "nodes"
    summary = "Group of the gateways, this one among them; they share a network"
  }
  parameter "rate" {
    type    = "count"
    summary = "So many packets a second from the routers are handed on, at most: what a flood of packets of nobody's may cost the others"
    default = 20000
  }

  process {
    command      = ["/usr/local/lib/seter/second-chance", "run"]
    user         = "second-chance"
    uid          = 957
    capabilities = ["NET_ADMIN"]
    listens      = [9553]
    reads        = ["/etc/seter/now/second-chance"]
    validate     = ["/usr/local/lib/seter/second-chance", "--config", "{root}/second-chance/second-chance.json", "check-config"]
    on_change    = "restart"
    restart      = "always"
    stop_within  = "5s"
  }
  status {
    command = ["/usr/local/lib/seter/second-chance", "status"]
  }
  check "in-place" {
    command = ["/usr/local/lib/seter/second-chance", "status", "--in-place"]
    within  = "20s"
  }
}
