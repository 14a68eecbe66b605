role "ceph-common" {
  type     = "component"
  summary  = "What every Ceph daemon shares: libraries, the user ceph, and the program that prepares and starts a daemon"
  packages = ["ceph-common", "ceph-base"]

  image "container" {
    base         = "debian-13"
    size_at_most = "390MiB"
  }
}
