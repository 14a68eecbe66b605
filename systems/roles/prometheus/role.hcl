role "prometheus" {
  type     = "service"
  summary  = "Collects and keeps the metrics of every node"
  packages = ["prometheus"]
  metrics  = 9090

  image "container" {
    base         = "debian-13"
    size_at_most = "355MiB"
  }

  parameter "interval" {
    type    = "duration"
    summary = "Every target is asked this often"
    default = "5s"
  }

  parameter "keep_for" {
    type    = "duration"
    summary = "Metrics are kept this long"
    default = "360h"
  }

  parameter "keep_bytes" {
    type    = "size"
    summary = "Metrics may use this much disk; the oldest go first"
    default = "2GiB"
  }

  parameter "patience" {
    type    = "duration"
    summary = "What is mended within this time calls nobody"
    default = "60s"
  }

  parameter "alertmanagers" {
    type    = "nodes"
    summary = "Nodes with an Alertmanager (role alertmanager), which tells people; empty for none"
    default = ""
  }

  parameter "errors_per_million" {
    type    = "count"
    summary = "Objective of availability: so many requests of a million may be answered with 5xx, over 30 days"
    default = 1000
  }

  parameter "slow_per_million" {
    type    = "count"
    summary = "Objective of latency: so many GET requests of a million may take longer than 1.2 s"
    default = 10000
  }

  process {
    command     = ["/usr/bin/prometheus", "@/etc/seter/now/prometheus/flags"]
    user        = "prometheus"
    uid         = 954
    listens     = [9090]
    reads       = ["/etc/seter"]
    writes      = ["/var/lib/seter/prometheus"]
    validate    = ["/usr/bin/promtool", "check", "config", "{root}/prometheus/prometheus.yml"]
    reload      = ["/usr/local/lib/seter/prometheus-reload"]
    on_change   = "reload"
    restart     = "always"
    stop_within = "30s"
  }

  status {
    command = ["/usr/local/lib/seter/prometheus-targets"]
  }

  check "ready" {
    http   = "http://127.0.0.1:9090/-/ready"
    expect = "200"
    within = "30s"
  }
}
