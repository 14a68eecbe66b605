# An example: virtual machines on this machine, which QEMU emulates. Timers are such that nobody is thought dead who is only
# slow. Its definitions are checked with all others; it was not deployed as a whole, which takes 8 GiB of memory.
target "virtual" {
  kind        = "virtual"
  experiments = true
  outage      = "3s" # a gateway that is gone is missed after 1.5 s

  machine "qemu" {
    memory = "512MiB"
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
      memory   = "2GiB"
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
      memory   = "768MiB"
    }
    node "gw2" {
      networks = ["fabric"]
      memory   = "768MiB"
    }
    node "gw3" {
      networks = ["fabric"]
      memory   = "768MiB"
    }
  }
  nodes "monitoring" {
    node "mo1" {
      networks = ["fabric", "clients"]
      parameters { interval = "15s" } # every exporter is asked so often
    }
  }
  nodes "clients" {
    node "cl1" {
      networks = ["clients"]
    }
  }
}
