target "container" {
  kind        = "container"
  image       = "debian-13"
  experiments = true
  network "front" {}
  network "back" {}
  nodes "servers" {
    node "w1" {
      networks = ["front", "back"]
    }
    node "w2" {
      networks = ["front"]
    }
  }
  nodes "extra" {
    node "x1" {
      networks = ["back"]
    }
  }
}
