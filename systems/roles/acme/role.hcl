role "acme" {
  type     = "service"
  summary  = "Orders and renews the certificate of all gateways: one of them leads, and each Traefik has it at once"
  packages = ["python3-acme", "python3-dnspython", "python3", "ca-certificates"]
  needs    = ["traefik"]
  metrics  = 9560
  # Several services: each has its own.
  per_service = ["dns_name"]

  image "container" {
    base         = "debian-13"
    size_at_most = "180MiB"
  }

  parameter "members" {
    type    = "nodes"
    summary = "Group of the gateways, this one among them: a server's challenge may reach each"
  }
  parameter "directory" {
    type    = "text"
    summary = "URL of the ACME server's directory; without one nothing is ordered and the deployment's own certificate is served"
    default = ""
  }
  parameter "terms_agreed" {
    type    = "flag"
    summary = "You have read the server's terms of service and agree to them; nothing is ordered before"
    default = false
  }
  parameter "contact" {
    type    = "text"
    summary = "Where the server may write to, as in mailto:ops@example.com"
    default = ""
  }
  parameter "eab_kid" {
    type    = "text"
    summary = "Name that the server's owner gave you, where accounts are for customers (external account binding); empty for none"
    default = ""
  }
  parameter "eab_key" {
    type    = "text"
    summary = "File on the operator's machine with the key that came with that name (HMAC, base64url)"
    default = ""
  }
  parameter "trust" {
    type    = "text"
    summary = "CA certificates (PEM) of a private ACME server, in place of those of Debian"
    default = ""
  }
  parameter "dns_name" {
    type    = "name"
    summary = "Name that clients use; the certificate is for it and for all directly below it"
  }
  parameter "names" {
    type    = "list(text)"
    summary = "Other names for the certificate, in place of these two"
    default = []
  }
  parameter "challenge" {
    type    = "choice"
    choices = ["http-01", "dns-01"]
    summary = "How names without * are proved; those with one are by dns-01 always"
    default = "http-01"
  }
  parameter "renew_at" {
    type    = "count"
    summary = "Per cent of its lifetime after which a certificate is renewed, up to 5 later; a server that offers ARI decides itself"
    default = 67
  }
  parameter "retry" {
    type    = "duration"
    summary = "Wait after a failure, doubled with each in a row; a server that asks for more gets it"
    default = "10m"
  }
  parameter "retry_most" {
    type    = "duration"
    summary = "Longest of these waits"
    default = "12h"
  }
  parameter "lease" {
    type    = "duration"
    summary = "A leader that is silent for so long is none; etcd grants no less than 1.5 times its election"
    default = "10s"
  }
  parameter "dns_server" {
    type    = "text"
    summary = "Address of the name server that takes dynamic updates (RFC 2136) for dns-01"
    default = ""
  }
  parameter "dns_port" {
    type    = "port"
    summary = "Its TCP port"
    default = 53
  }
  parameter "dns_zone" {
    type    = "text"
    summary = "Zone that is updated; the service's name is in it"
    default = ""
  }
  parameter "dns_key" {
    type    = "text"
    summary = "Name of the TSIG key; its secret is the deployment's secret acme-dns-key"
    default = "seter-acme"
  }
  parameter "dns_algorithm" {
    type    = "choice"
    choices = ["hmac-sha256", "hmac-sha384", "hmac-sha512"]
    summary = "Algorithm of the TSIG key"
    default = "hmac-sha256"
  }
  parameter "dns_record" {
    type    = "text"
    summary = "Name of the record to change if _acme-challenge is an alias (CNAME) of it, in a zone that takes updates"
    default = ""
  }
  parameter "dns_wait" {
    type    = "duration"
    summary = "After an update, so long until all name servers of the zone have it"
    default = "10s"
  }

  process {
    command     = ["/usr/local/lib/seter/acme", "run"]
    user        = "acme"
    uid         = 970
    listens     = [9560, 9561]
    reads       = ["/etc/seter/now/acme", "/etc/seter/secrets/acme"]
    validate    = ["/usr/local/lib/seter/acme", "--config", "{root}/acme/acme.json", "check-config"]
    on_change   = "restart"
    restart     = "always"
    stop_within = "5s"
  }
  secret "etcd-client" {
    make  = "certificate"
    scope = "node"
    names = ["node"]
  }
  secret "acme-eab-key" {
    make  = "password"
    given = "eab_key"
    scope = "deployment"
  }
  secret "acme-dns-key" {
    make  = "password"
    scope = "deployment"
  }
  # Whichever gateway a challenge reaches, its Traefik may ask any agent.
  open "challenges" {
    ports = [9561]
    from  = ["members"]
  }

  status {
    command = ["/usr/local/lib/seter/acme", "status"]
  }
  check "answers" {
    http   = "http://127.0.0.1:9560/status"
    expect = "200"
    within = "20s"
  }
}
