role "health" {
  type     = "service"
  summary  = "Lets BIRD announce the virtual IPs while this node serves S3, and withdraws all of them at once when it does not"
  packages = ["python3", "ca-certificates"]
  needs    = ["bird-gateway", "traefik"]
  metrics  = 9551
  # Several services: each has its own.
  per_service = ["dns_name", "vips"]

  image "container" {
    base         = "debian-13"
    size_at_most = "150MiB"
  }

  parameter "dns_name" {
    type    = "name"
    summary = "Name that clients use; the agent asks Traefik for it as they do"
  }
  parameter "vips" {
    type    = "list(address)"
    summary = "Addresses that come and go with the verdict, all those of a service together"
  }
  parameter "trust" {
    type    = "text"
    summary = "CA certificates (PEM) to trust, beside the deployment's CA and Debian's"
    default = ""
  }
  parameter "interval" {
    type    = "duration"
    summary = "Time between the starts of two checks"
    default = "100ms"
  }
  parameter "timeout" {
    type    = "duration"
    summary = "An answer may take this long; a busy node is slow, and slow is not dead"
    default = "1s"
  }
  parameter "connect_within" {
    type    = "duration"
    summary = "Traefik passes over a RadosGW that takes no connection for this long; a check must have time for two of them"
    default = "300ms"
  }
  parameter "fall" {
    type    = "count"
    summary = "So many timeouts in a row withdraw the node; a refusal or a wrong answer withdraws it at once"
    default = 2
  }
  parameter "rise" {
    type    = "count"
    summary = "So many good answers in a row admit the node"
    default = 2
  }
  parameter "calm" {
    type    = "duration"
    summary = "A node that falls again within this time needs twice as many good answers to come back"
    default = "60s"
  }
  parameter "most" {
    type    = "count"
    summary = "More good answers than these are never needed"
    default = 300
  }
  parameter "proof" {
    type    = "count"
    summary = "Port of this node at whose /status somebody says whether real requests succeed (`proven`): a node that is out stays out until they do; 0 for none"
    default = 0
  }
  parameter "fresh_every" {
    type    = "count"
    summary = "Every so many checks a new TLS connection is made, the others keep the one that is open"
    default = 10
  }

  process {
    command     = ["/usr/local/lib/seter/health", "run"]
    user        = "health"
    uid         = 955
    groups      = ["bird"]
    # It judges balancers that may be busy, and is not to be late for that.
    cpu_weight  = 1000
    listens     = [9551]
    reads       = ["/etc/seter/now/health", "/etc/seter/secrets/health"]
    writes      = ["/run/health"]
    validate    = ["/usr/local/lib/seter/health", "--config", "{root}/health/health.json", "check-config"]
    on_change   = "restart"
    restart     = "always"
    stop_within = "5s"
  }
  # Only ca.crt is used: the agent verifies, as a client does, and has no certificate to show.
  secret "health" {
    make  = "certificate"
    scope = "node"
    names = ["node"]
  }
  status {
    command = ["/usr/local/lib/seter/health", "status"]
  }
  check "admitted" {
    command = ["/usr/local/lib/seter/health", "status", "--settled"]
    within  = "30s"
  }
}
