role "radosgw" {
  type     = "service"
  summary  = "Speaks S3 for the Ceph cluster: plain HTTP to the balancer on its node, TLS to those on others"
  packages = ["radosgw"]

  answers_as = true

  image "container" {
    base         = "ceph-common"
    size_at_most = "450MiB"
  }

  parameter "monitors" {
    type    = "nodes"
    summary = "All monitors of the Ceph cluster; empty where it is another team's, see mon_host"
  }

  parameter "mon_host" {
    type    = "list(text)"
    summary = "Monitors of a cluster that is there already, as addresses (10.0.0.1, or v2:10.0.0.1:3300 in brackets)"
    default = []
  }

  parameter "fsid" {
    type    = "text"
    summary = "Identifier of the cluster (ceph fsid) that is there already; empty for the one of this deployment"
    default = ""
  }

  parameter "client" {
    type    = "text"
    summary = "Name that it knows RadosGW by; what it has to allow is in the manual"
    default = "client.rgw"
  }

  parameter "key" {
    type    = "text"
    summary = "File on the operator's machine with the key of that name, or a keyring with it; else one is drawn"
    default = ""
  }

  parameter "tenant" {
    type    = "text"
    summary = "Tenant of the S3 user that looks whether all works, which keeps its buckets apart from those of others"
    default = ""
  }

  parameter "dns_name" {
    type    = "name"
    summary = "Name that clients use; buckets answer below it too"
  }

  parameter "balancers" {
    type    = "nodes"
    summary = "Nodes whose balancers send it requests, by TLS"
  }

  parameter "swift" {
    type    = "flag"
    summary = "Users of Swift may log in, too, at /auth/v1.0 (TempAuth, by subusers with a Swift key); S3 is there in any case"
    default = false
  }

  parameter "backend_idle" {
    type    = "duration"
    summary = "A connection on which a balancer says nothing is closed after this; it must have given it up before"
    default = "65s"
  }

  process {
    command     = ["/usr/local/lib/seter/watched", "--url=http://127.0.0.1:7480/swift/healthcheck", "--drain", "/run/radosgw/drained", "1.5",
                   "--busy", "/usr/local/lib/seter/ceph-status --busy /etc/seter/now/radosgw/ceph.conf", "20", "--", "/usr/local/lib/seter/ceph-launch", "/etc/seter/now/radosgw/ceph.conf"]
    user        = "ceph"
    uid         = 953
    listens     = [7443, 7480]
    reads       = ["/etc/seter"]
    writes      = ["/var/lib/seter/radosgw", "/run/radosgw"]
    restart     = "always"
    # Other balancers' uploads may take a while; RadosGW cuts them off when it ends.
    stop_within = "30s"
  }

  secret "tls" {
    make  = "certificate"
    scope = "node"
    names = ["node", "dns_name"]
  }

  secret "ceph-rgw-key" {
    make  = "cephx"
    scope = "deployment"
    given = "key"
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
