role "traefik-guard" {
  type    = "service"
  summary = "Gives this node's Traefik the dynamic configuration that etcd has, if it is good; else the last that was"
  needs   = ["etcd"]
  metrics = 9554

  # With the programs that know what this Traefik takes.
  image "container" {
    base         = "traefik"
    size_at_most = "340MiB"
  }

  parameter "api_from" {
    type    = "list(address)"
    summary = "Who may read Traefik's API and dashboard; empty is nobody but the node itself"
    default = []
  }

  process {
    command     = ["/usr/local/lib/seter/traefik-guard", "run"]
    user        = "traefik"
    uid         = 951
    listens     = [9554]
    reads       = ["/etc/seter"]
    writes      = ["/var/lib/seter/traefik-guard"]
    validate    = ["/usr/local/lib/seter/traefik-guard", "--config", "{root}/traefik-guard/traefik-guard.json", "check-config"]
    restart     = "always"
    stop_within = "5s"
  }

  secret "etcd-client" {
    make      = "certificate"
    scope     = "node"
    names     = ["node"]
    on_change = "nothing"
  }

  status {
    command = ["/usr/local/lib/seter/traefik-guard", "status"]
  }

  check "in-step" {
    command = ["/usr/local/lib/seter/traefik-guard", "status", "--in-step"]
    within  = "20s"
  }
}
