role "bird-exporter" {
  type     = "service"
  summary  = "Counts BIRD's sessions, BFD's, and how many ways there are to each prefix, for Prometheus"
  packages = ["python3"]
  metrics  = 9324

  image "container" {
    base         = "debian-13"
    size_at_most = "150MiB"
  }

  parameter "expects" {
    type    = "list(address)"
    summary = "Addresses that there should be ways to; on a router the virtual IPs"
    default = []
  }

  process {
    command     = ["/usr/local/lib/seter/bird-exporter", "run"]
    user        = "bird-exporter"
    uid         = 966
    groups      = ["bird"]
    listens     = [9324]
    reads       = ["/etc/seter/now/bird-exporter"]
    validate    = ["/usr/local/lib/seter/bird-exporter", "--config", "{root}/bird-exporter/bird-exporter.json", "check-config"]
    restart     = "always"
    stop_within = "5s"
  }

  status {
    command = ["/usr/local/lib/seter/bird-exporter", "status"]
  }

  check "hears-bird" {
    command = ["/usr/local/lib/seter/bird-exporter", "status"]
    within  = "20s"
  }
}
