role "ceph-osd" {
  type     = "service"
  summary  = "Keeps objects of the Ceph cluster"
  packages = ["ceph-osd"]

  image "container" {
    base         = "ceph-common"
    size_at_most = "500MiB"
  }

  parameter "monitors" {
    type    = "nodes"
    summary = "All monitors of the cluster"
  }

  parameter "backend" {
    type    = "choice"
    choices = ["bluestore", "memstore"]
    summary = "bluestore keeps objects in a file, memstore in memory and loses them when the process dies"
    default = "bluestore"
  }

  parameter "size" {
    type    = "size"
    summary = "What the store can hold; the file of bluestore is sparse"
    default = "6GiB"
  }

  parameter "memory" {
    type    = "size"
    summary = "Memory that the process aims at"
    default = "1GiB"
  }

  parameter "watch_timeout" {
    type    = "duration"
    summary = "A RadosGW that says nothing for this long is not waited for by those that make or remove a bucket"
    default = "15s"
  }

  process {
    command     = ["/usr/local/lib/seter/ceph-launch", "/etc/seter/now/ceph-osd/ceph.conf"]
    user        = "ceph"
    uid         = 953
    reads       = ["/etc/seter"]
    writes      = ["/var/lib/seter/ceph-osd"]
    restart     = "always"
    stop_within = "30s"
  }

  secret "ceph-osd-key" {
    make  = "cephx"
    scope = "deployment"
  }

  open "cluster" {
    ports = ["6800-7568"] # ms_bind_port_min and ms_bind_port_max
    from  = ["anyone"]
  }

  status {
    command = ["/usr/local/lib/seter/ceph-status", "/etc/seter/now/ceph-osd/ceph.conf"]
  }

  check "active" {
    command = ["/usr/local/lib/seter/ceph-status", "/etc/seter/now/ceph-osd/ceph.conf"]
    within  = "60s"
  }
}
