role "ceph-mgr" {
  type     = "service"
  summary  = "Counts what the Ceph cluster holds and does"
  packages = ["ceph-mgr", "ceph-mgr-modules-core"]
  metrics  = 9283

  image "container" {
    base         = "ceph-common"
    size_at_most = "430MiB"
  }

  parameter "monitors" {
    type    = "nodes"
    summary = "All monitors of the cluster"
  }

  process {
    command     = ["/usr/local/lib/seter/ceph-launch", "/etc/seter/now/ceph-mgr/ceph.conf"]
    user        = "ceph"
    uid         = 953
    listens     = [9283]
    reads       = ["/etc/seter"]
    writes      = ["/var/lib/seter/ceph-mgr"]
    environment = ["PYTHONPATH=/usr/local/lib/seter/ceph-mgr", "PYTHONDONTWRITEBYTECODE=1"]
    restart     = "always"
    stop_within = "10s"
  }

  secret "ceph-mgr-key" {
    make  = "cephx"
    scope = "deployment"
  }

  open "cluster" {
    ports = ["6800-7568"] # ms_bind_port_min and ms_bind_port_max
    from  = ["anyone"]
  }

  status {
    command = ["/usr/local/lib/seter/ceph-status", "/etc/seter/now/ceph-mgr/ceph.conf"]
  }

  check "answers" {
    command = ["/usr/local/lib/seter/ceph-status", "/etc/seter/now/ceph-mgr/ceph.conf"]
    within  = "30s"
  }
}
