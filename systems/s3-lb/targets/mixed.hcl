# An example: the gateways are virtual machines on this machine, which QEMU emulates, on the same network as the containers
# that the rest is. Timers are such that nobody is thought dead who is only slow.
# It was not deployed as a whole: while its roles were started a gateway took two thirds of an emulated core, so three want
# more than two cores.
target "mixed" {
  kind        = "container"
  image       = "debian-13"
  experiments = true
  outage      = "3s" # a gateway that is gone is missed after 1.5 s

  machine "qemu" {
    memory = "1GiB"
    cores  = 1
    disk   = "1GiB"
  }

  parameters {
    bfd_interval   = "500ms"
    bfd_multiplier = 3
    heartbeat      = "500ms"
    election       = "5000ms"
    interval       = "1s" # of health and of radosgw-breaker
    pages          = "http://127.0.0.1:9599/pages"
    tickets        = "http://127.0.0.1:9599/tickets"
    patience       = "10s"
    page_updates   = "5s"
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
    kind = "virtual"
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
