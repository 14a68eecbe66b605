role "note" {
  type    = "service"
  summary = "Remembers what it read, at its start and at each reload"
  image "container" {
    base = "debian-13"
  }
  parameter "text" {
    type    = "text"
    summary = "What there is to read"
    default = "first"
  }
  process {
    command     = ["sh", "-c", "cp /etc/seter/now/note/text /run/note/read; exec sleep infinity"]
    user        = "www-data"
    uid         = 33
    writes      = ["/run/note"]
    validate    = ["grep", "-qv", "refused", "{root}/note/text"]
    reload      = ["cp", "/etc/seter/now/note/text", "/run/note/read"]
    on_change   = "reload"
    restart     = "no"
    stop_within = "1s"
  }
}
