role "network" {
  type     = "service"
  summary  = "Gives a node the addresses and routes that are not its network's, and the kernel settings of the data plane"
  packages = ["iproute2", "python3"]
  # Hop interfaces of a node inherit "default"; an address is answered for only where it is (arp_*); flows are spread by
  # their five fields (0x37), over next hops that are there. Forwarding is the business of the BIRD roles.
  sysctls = [
    "net.ipv4.conf.all.arp_announce=2",
    "net.ipv4.conf.all.arp_ignore=1",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
    "net.ipv4.fib_multipath_hash_fields=55",
    "net.ipv4.fib_multipath_hash_policy=3",
    "net.ipv4.fib_multipath_use_neigh=1",
    "net.ipv4.ip_unprivileged_port_start=1024",
    "net.ipv6.conf.all.disable_ipv6=0",
    "net.ipv6.conf.default.disable_ipv6=0",
    "net.ipv6.fib_multipath_hash_fields=55",
    "net.ipv6.fib_multipath_hash_policy=3",
  ]

  image "container" {
    base         = "debian-13"
    size_at_most = "150MiB"
  }

  parameter "addresses" {
    type    = "list(address)"
    summary = "Addresses that the node has on its loopback: it takes packets for them, and never asks for them on a network"
    default = []
  }
  parameter "routes_to" {
    type    = "list(address)"
    summary = "Addresses that this node reaches over the nodes of 'via', spread per flow"
    default = []
  }
  parameter "via" {
    type    = "nodes"
    summary = "Group whose nodes are the next hops to 'routes_to' and 'reaches'"
    default = ""
  }
  parameter "reaches" {
    type    = "nodes"
    summary = "Group whose nodes, each by its own address, this node reaches over the nodes of 'via'"
    default = ""
  }

  process {
    command      = ["/usr/local/lib/seter/network", "apply", "/etc/seter/now/network/network.json"]
    type         = "oneshot"
    cuts_off     = true
    capabilities = ["NET_ADMIN"]
    reads        = ["/etc/seter/now/network"]
    validate     = ["/usr/local/lib/seter/network", "check", "{root}/network/network.json"]
    restart      = "no"
  }
}
