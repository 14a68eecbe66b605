base "debian-13" {
  summary  = "Debian 13"
  suite    = "trixie"
  packages = ["python3", "tini=1.0"]
}
