role "firewall" {
  type     = "service"
  summary  = "Lets in what the roles of the node say that others reach, and nothing else"
  packages = ["nftables", "python3"]
  metrics  = 9558

  image "container" {
    base         = "debian-13"
    size_at_most = "150MiB"
  }

  parameter "watchers" {
    type    = "nodes"
    summary = "Group whose nodes may read the metrics of this node's roles"
    default = ""
  }
  parameter "management" {
    type    = "list(address)"
    summary = "Who may reach SSH; empty is everybody, so that no update locks anybody out by itself"
    default = []
  }
  parameter "new_per_second" {
    type    = "count"
    summary = "So many new connections a second may one client address make to ports that are for anyone; 0 is no limit"
    default = 0
  }

  process {
    command      = ["/usr/local/lib/seter/firewall", "run"]
    user         = "firewall"
    uid          = 959
    capabilities = ["NET_ADMIN"]
    listens      = [9558]
    reads        = ["/etc/seter/now/firewall"]
    validate     = ["/usr/local/lib/seter/firewall", "--config", "{root}/firewall/firewall.json", "check-config"]
    on_change    = "restart"
    cuts_off     = true
    restart      = "always"
    stop_within  = "5s"
  }
  status {
    command = ["/usr/local/lib/seter/firewall", "status"]
  }
  check "in-place" {
    command = ["/usr/local/lib/seter/firewall", "status", "--in-place"]
    within  = "20s"
  }
}
