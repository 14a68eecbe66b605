role "web" {
  type    = "endpoint"
  summary = "Serves one page that says what it was told"
  needs   = ["setup"]
  image "container" {
    base = "debian-13"
  }
  parameter "greeting" {
    type    = "text"
    summary = "What the page says"
    default = "hello"
  }
  parameter "pace" {
    type    = "duration"
    summary = "A duration, to see what templates get"
    default = "100ms"
  }
  parameter "peers" {
    type    = "nodes"
    summary = "The other servers"
  }
  process {
    command      = ["python3", "-m", "http.server", "--directory", "/etc/seter/now/web", "80"]
    user        = "www-data"
    uid         = 33
    capabilities = ["NET_BIND_SERVICE"]
    listens     = [80]
    writes      = ["/run/web"]
    validate    = ["grep", "-q", "says", "{root}/web/index.html"]
    stop_within = "2s"
  }
  secret "server" {
    make  = "certificate"
    scope = "node"
    names = ["node"]
  }
  secret "token" {
    make  = "password"
    scope = "deployment"
  }
  status {
    command = ["cat", "/etc/seter/now/web/status.json"]
  }
  check "ready" {
    http   = "http://127.0.0.1/index.html"
    expect = "200"
    within = "15s"
  }
  check "token" {
    command = ["test", "-r", "/etc/seter/secrets/web/token"]
    within  = "5s"
  }
}
