role "etcd" {
  type     = "service"
  summary  = "Keeps the configuration"
  packages = ["etcd-server"]
  needs    = ["loop"]
  metrics  = 443
  image "container" {
    base = "debian-12"
  }
  parameter "members" {
    type    = "nodes"
    summary = "All members"
  }
  parameter "heartbeat" {
    type    = "duration"
    summary = "How often the leader is heard"
    default = 100
  }
  process {
    command      = ["/usr/bin/etcd"]
    user         = "etcd"
    uid          = 952
    capabilities = ["CAP_NET_BIND_SERVICE"]
    listens      = [2379, 70000]
    stop_within  = "ten seconds"
  }
}
