target "container" {
  kind        = "container"
  image       = "debian-13"
  experiments = true

  # A lab is looked at while it is broken: who is called is whoever runs alert-listen there, and soon.
  parameters {
    pages        = "http://127.0.0.1:9599/pages"
    tickets      = "http://127.0.0.1:9599/tickets"
    patience     = "10s"
    page_updates = "5s"
  }

  network "fabric" {}
  network "clients" {}

  nodes "storage" {
    node "st1" {
      networks = ["fabric"]
    }
  }
  nodes "routers" {
    node "rt1" {
      networks = ["fabric", "clients"]
    }
    node "rt2" {
      networks = ["fabric", "clients"]
    }
  }
  nodes "gateways" {
    node "gw1" {
      networks = ["fabric"]
    }
    node "gw2" {
      networks = ["fabric"]
    }
    node "gw3" {
      networks = ["fabric"]
    }
  }
  nodes "monitoring" {
    node "mo1" {
      networks = ["fabric", "clients"] # it also watches what clients see
    }
  }
  nodes "clients" {
    node "cl1" {
      networks = ["clients"]
    }
  }
}
