role "node-exporter" {
  type     = "service"
  summary  = "Counts what the node itself does, for Prometheus: network, file systems, memory, processors"
  packages = ["prometheus-node-exporter"]
  metrics  = 9100

  image "container" {
    base         = "debian-13"
    size_at_most = "160MiB"
  }

  parameter "disks" {
    type    = "flag"
    summary = "Count what disks and software RAID do; of use where the machine is the node's alone"
    default = false
  }

  process {
    command     = ["/usr/bin/prometheus-node-exporter", "@/etc/seter/now/node-exporter/flags"]
    user        = "node-exporter"
    uid         = 964
    listens     = [9100]
    reads       = ["/etc/seter/now/node-exporter"]
    restart     = "always"
    stop_within = "5s"
  }

  check "answers" {
    http   = "http://127.0.0.1:9100/metrics"
    expect = "200"
    within = "20s"
  }
}
