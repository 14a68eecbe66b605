role "alertmanager" {
  type     = "service"
  summary  = "Tells people what Prometheus found: each thing once, to whom it concerns, nothing that follows from another"
  packages = ["prometheus-alertmanager", "python3"]
  metrics  = 9093

  image "container" {
    base         = "debian-13"
    size_at_most = "220MiB"
  }

  parameter "members" {
    type    = "nodes"
    summary = "All nodes with an Alertmanager, this one among them; they tell each other what was sent, so it comes once"
  }
  parameter "pages" {
    type    = "text"
    summary = "URL that is sent what cannot wait (Alertmanager's webhook, with the secret webhook-token as bearer token); empty for none"
    default = ""
  }
  parameter "tickets" {
    type    = "text"
    summary = "URL that is sent what can wait until the morning; empty for none"
    default = ""
  }
  parameter "pages_file" {
    type    = "text"
    summary = "Instead of pages: a file on the node that holds the URL, for one that is a secret itself"
    default = ""
  }
  parameter "tickets_file" {
    type    = "text"
    summary = "Instead of tickets: a file on the node that holds the URL"
    default = ""
  }
  parameter "mail_to" {
    type    = "text"
    summary = "Address that gets both by mail; empty for none"
    default = ""
  }
  parameter "mail_from" {
    type    = "text"
    summary = "Sender of the mail"
    default = ""
  }
  parameter "smarthost" {
    type    = "text"
    summary = "Mail server, HOST:PORT, which has to offer TLS"
    default = ""
  }
  parameter "mail_user" {
    type    = "text"
    summary = "User at the mail server; empty for none"
    default = ""
  }
  parameter "mail_login_file" {
    type    = "text"
    summary = "File on the node with that user's password"
    default = ""
  }
  parameter "page_wait" {
    type    = "duration"
    summary = "What belongs together is collected for this long before a page goes out"
    default = "5s"
  }
  parameter "page_updates" {
    type    = "duration"
    summary = "What came or ended since is told after this long at the earliest"
    default = "30s"
  }
  parameter "page_again" {
    type    = "duration"
    summary = "A page that still holds is sent again after this long"
    default = "1h"
  }

  process {
    command     = ["/usr/bin/prometheus-alertmanager", "@/etc/seter/now/alertmanager/flags"]
    user        = "alertmanager"
    uid         = 965
    listens     = [9093, 9094]
    reads       = ["/etc/seter/now/alertmanager", "/etc/seter/secrets/alertmanager"]
    writes      = ["/var/lib/seter/alertmanager"]
    validate    = ["/usr/bin/amtool", "check-config", "{root}/alertmanager/alertmanager.yml"]
    restart     = "always"
    stop_within = "10s"
  }

  # What a receiver may ask for, to know that it is told by this deployment.
  secret "webhook-token" {
    make  = "password"
    scope = "deployment"
  }

  # Members know each other by it.
  secret "member" {
    make  = "certificate"
    scope = "node"
    names = ["node"]
  }

  # Prometheus is one of the watchers of 9093; members tell each other.
  open "members" {
    ports = [9093, 9094]
    from  = ["members"]
  }

  status {
    command = ["/usr/local/lib/seter/alertmanager-status"]
  }

  check "ready" {
    http   = "http://127.0.0.1:9093/-/ready"
    expect = "200"
    within = "30s"
  }

  check "settings" {
    command = ["/usr/bin/amtool", "check-config", "/etc/seter/now/alertmanager/alertmanager.yml"]
    within  = "10s"
  }
}
