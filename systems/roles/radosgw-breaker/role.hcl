role "radosgw-breaker" {
  type     = "service"
  summary  = "Asks the RadosGW of its node for real objects, and takes it out of the balancers' pool while it answers probes but not requests"
  packages = ["python3", "curl"]
  needs    = ["radosgw", "etcd"]
  metrics  = 9562

  image "container" {
    base         = "debian-13"
    size_at_most = "150MiB"
  }

  parameter "interval" {
    type    = "duration"
    summary = "Time between the starts of two requests"
    default = "1s"
  }
  parameter "timeout" {
    type    = "duration"
    summary = "A request may take this long; the object is a few bytes"
    default = "2s"
  }
  parameter "fall" {
    type    = "count"
    summary = "So many failures in a row take the RadosGW out, unless another one of the fleet is out already"
    default = 3
  }
  parameter "rise" {
    type    = "count"
    summary = "So many good answers in a row let it in again"
    default = 10
  }
  parameter "agent" {
    type    = "count"
    summary = "Port of this node at whose /status the health agent says whether any router hears the node; 0 for none"
    default = 0
  }
  parameter "peers" {
    type    = "nodes"
    summary = "Nodes with a RadosGW, whose clocks say whether this node's is wrong; at least two beside it are needed"
    default = ""
  }

  process {
    command     = ["/usr/local/lib/seter/radosgw-breaker", "run"]
    user        = "ceph"
    uid         = 953
    listens     = [9562]
    reads       = ["/etc/seter/now/radosgw-breaker", "/etc/seter/secrets/radosgw-breaker"]
    writes      = ["/run/radosgw"]
    validate    = ["/usr/local/lib/seter/radosgw-breaker", "--config", "{root}/radosgw-breaker/radosgw-breaker.json", "check-config"]
    restart     = "always"
    stop_within = "10s"
  }
  secret "etcd-client" {
    make  = "certificate"
    scope = "node"
    names = ["node"]
  }
  secret "s3-access-key" {
    make  = "password"
    scope = "deployment"
  }
  secret "s3-secret-key" {
    make  = "password"
    scope = "deployment"
  }
  status {
    command = ["/usr/local/lib/seter/radosgw-breaker", "status"]
  }
  check "closed" {
    command = ["/usr/local/lib/seter/radosgw-breaker", "status", "--closed"]
    within  = "60s"
  }
}
