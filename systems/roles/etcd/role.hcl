role "etcd" {
  type     = "service"
  summary  = "Keeps the dynamic configuration of the balancers, the same on every member"
  packages = ["etcd-server", "etcd-client"]
  metrics  = 2381

  image "container" {
    base         = "debian-13"
    size_at_most = "215MiB"
  }

  parameter "members" {
    type    = "nodes"
    summary = "All members of the cluster, this one among them"
  }

  parameter "heartbeat" {
    type    = "duration"
    summary = "The leader is heard this often; about the round trip between members"
    default = "250ms"
  }

  parameter "election" {
    type    = "duration"
    summary = "Without a heartbeat for this long a member wants to lead; ten heartbeats"
    default = "2500ms"
  }

  parameter "quota" {
    type    = "size"
    summary = "The store may grow to this size; a full one takes no more writes"
    default = "512MiB"
  }

  process {
    command     = ["/usr/local/lib/seter/etcd-launch", "run"]
    user        = "etcd"
    uid         = 952
    listens     = [2379, 2380, 2381]
    reads       = ["/etc/seter"]
    writes      = ["/var/lib/seter/etcd"]
    restart     = "always"
    stop_within = "10s"
  }

  secret "member" {
    make      = "certificate"
    scope     = "node"
    names     = ["node"]
    on_change = "nothing"
  }

  open "members" {
    ports = [2379, 2380]
    from  = ["members"]
  }

  status {
    command = ["/usr/local/lib/seter/etcd-status"]
  }

  backup {
    command = ["/usr/local/lib/seter/etcd-backup", "save"]
  }

  restore {
    prepare = ["/usr/local/lib/seter/etcd-backup", "prepare", "{file}"]
    commit  = ["/usr/local/lib/seter/etcd-backup", "commit"]
  }

  maintain {
    command = ["/usr/local/lib/seter/etcd-maintain"]
  }

  check "healthy" {
    command = ["/usr/local/lib/seter/etcd-status"]
    within  = "30s"
  }

  check "answers-certificates-only" {
    command = ["/usr/local/lib/seter/etcd-status", "--mutual-tls"]
    within  = "30s"
  }
}
