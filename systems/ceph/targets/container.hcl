target "container" {
  kind        = "container"
  image       = "debian-13"
  experiments = true

  network "fabric" {}

  nodes "monitors" {
    node "mon1" {
      networks = ["fabric"]
    }
    node "mon2" {
      networks = ["fabric"]
    }
    node "mon3" {
      networks = ["fabric"]
    }
  }
  nodes "disks" {
    node "disk1" {
      networks = ["fabric"]
    }
    node "disk2" {
      networks = ["fabric"]
    }
  }
  nodes "gateways" {
    node "rgw1" {
      networks = ["fabric"]
    }
    node "rgw2" {
      networks = ["fabric"]
    }
  }
}
