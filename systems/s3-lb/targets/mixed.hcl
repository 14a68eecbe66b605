# An example: the gateways are virtual machines on this machine, which QEMU emulates, on the same network as the containers
# that the rest is. Timers are such that nobody is thought dead who is only slow.
# It was not deployed as a whole: all that runs on a gateway takes more than one emulated core, so three want more than
# two cores.
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
    interval       = "2s" # of health and of radosgw-breaker
    probe_interval = "2s" # three gateways ask each RadosGW so often
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
      parameters { interval = "15s" } # every exporter is asked so often
    }
  }
  nodes "clients" {
    node "cl1" {
      networks = ["clients"]
    }
  }
}
