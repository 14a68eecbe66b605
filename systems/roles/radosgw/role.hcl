role "radosgw" {
  type     = "service"
  summary  = "Speaks S3 for the Ceph cluster: plain HTTP to the balancer on its node, TLS to those on others"
  packages = ["radosgw"]

  image "container" {
    base         = "ceph-common"
    size_at_most = "450MiB"
  }

  parameter "monitors" {
    type    = "nodes"
    summary = "All monitors of the Ceph cluster"
  }

  parameter "dns_name" {
    type    = "name"
    summary = "Name that clients use; buckets answer below it too"
  }

  parameter "balancers" {
    type    = "nodes"
    summary = "Nodes whose balancers send it requests, by TLS"
  }

  parameter "backend_idle" {
    type    = "duration"
    summary = "A connection on which a balancer says nothing is closed after this; it must have given it up before"
    default = "65s"
  }

  process {
    command     = ["/usr/local/lib/seter/watched", "--url=http://127.0.0.1:7480/swift/healthcheck", "--drain", "/run/radosgw/drained", "1.5", "--", "/usr/local/lib/seter/ceph-launch", "/etc/seter/now/radosgw/ceph.conf"]
    user        = "ceph"
    uid         = 953
    listens     = [7443, 7480]
    reads       = ["/etc/seter"]
    writes      = ["/var/lib/seter/radosgw", "/run/radosgw"]
    restart     = "always"
    stop_within = "20s"
  }

  secret "tls" {
    make  = "certificate"
    scope = "node"
    names = ["node", "dns_name"]
  }

  secret "ceph-rgw-key" {
    make  = "cephx"
    scope = "deployment"
  }

  secret "s3-access-key" {
    make  = "password"
    scope = "deployment"
  }

  secret "s3-secret-key" {
    make  = "password"
    scope = "deployment"
  }

  open "balancers" {
    ports = [7443]
    from  = ["balancers"]
  }

  status {
    command = ["/usr/local/lib/seter/ceph-status", "/etc/seter/now/radosgw/ceph.conf"]
  }

  check "ready" {
    http   = "http://127.0.0.1:7480/swift/healthcheck"
    expect = "200"
    within = "60s"
  }
}
