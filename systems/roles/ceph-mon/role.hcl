role "ceph-mon" {
  type     = "service"
  summary  = "Keeps the map of the Ceph cluster and the keys of its daemons"
  packages = ["ceph-mon"]

  image "container" {
    base         = "ceph-common"
    size_at_most = "410MiB"
  }

  parameter "monitors" {
    type    = "nodes"
    summary = "All monitors of the cluster, this one among them"
  }

  parameter "replicas" {
    type    = "count"
    summary = "Copies of every object; 1 only where losing a disk may lose data"
    default = 1
  }

  parameter "placement_groups" {
    type    = "count"
    summary = "Placement groups of a new pool"
    default = 8
  }

  process {
    command     = ["/usr/local/lib/seter/ceph-launch", "/etc/seter/now/ceph-mon/ceph.conf"]
    user        = "ceph"
    uid         = 953
    listens     = [3300]
    reads       = ["/etc/seter"]
    writes      = ["/var/lib/seter/ceph-mon"]
    restart     = "always"
    stop_within = "20s"
  }

  secret "ceph-mon-key" {
    make  = "cephx"
    scope = "deployment"
  }

  secret "ceph-admin-key" {
    make  = "cephx"
    scope = "deployment"
  }

  secret "ceph-mgr-key" {
    make  = "cephx"
    scope = "deployment"
  }

  secret "ceph-osd-key" {
    make  = "cephx"
    scope = "deployment"
  }

  secret "ceph-rgw-key" {
    make  = "cephx"
    scope = "deployment"
  }

  open "cluster" {
    ports = [3300]
    from  = ["anyone"]
  }

  status {
    command = ["/usr/local/lib/seter/ceph-status", "/etc/seter/now/ceph-mon/ceph.conf"]
  }

  check "quorum" {
    command = ["/usr/local/lib/seter/ceph-status", "/etc/seter/now/ceph-mon/ceph.conf"]
    within  = "30s"
  }
}
