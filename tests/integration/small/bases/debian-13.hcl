base "debian-13" {
  summary  = "What the test's nodes and processes are made of"
  suite    = "trixie"
  packages = ["python3", "tini"]
}
