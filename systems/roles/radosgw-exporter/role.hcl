role "radosgw-exporter" {
  type     = "service"
  summary  = "Counts the requests of this node's RadosGW, their failures, bytes and waits, for Prometheus"
  packages = ["python3"]
  needs    = ["radosgw"]
  metrics  = 9926

  # With the program that speaks to a daemon's admin socket.
  image "container" {
    base         = "ceph-common"
    size_at_most = "400MiB"
  }

  # As the user of RadosGW: Ceph opens an admin socket to nobody else.
  process {
    command     = ["/usr/local/lib/seter/radosgw-exporter", "run"]
    user        = "ceph"
    uid         = 953
    listens     = [9926]
    reads       = ["/etc/seter/now/radosgw-exporter"]
    validate    = ["/usr/local/lib/seter/radosgw-exporter", "--config", "{root}/radosgw-exporter/radosgw-exporter.json", "check-config"]
    restart     = "always"
    stop_within = "5s"
  }

  status {
    command = ["/usr/local/lib/seter/radosgw-exporter", "status"]
  }

  check "hears-radosgw" {
    command = ["/usr/local/lib/seter/radosgw-exporter", "status"]
    within  = "30s"
  }
}
