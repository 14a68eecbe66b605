# What `seter bench s3-lb` compares. REFERENCE.md lists every block and attribute.

bench "s3-lb" {
  rate    = 60
  profile = "bench.json"

  strategy "local" {
    summary = "In turn, a gateway's own RadosGW ten times as often: as the system ships"
    role "traefik" {
      strategy      = "wrr"
      local_weight  = 10
      remote_weight = 1
    }
  }
  strategy "even" {
    summary = "In turn, all alike"
    role "traefik" {
      strategy      = "wrr"
      local_weight  = 1
      remote_weight = 1
    }
  }
  strategy "two-choices" {
    summary = "Of two that are drawn, the one with fewer requests under way"
    role "traefik" {
      strategy      = "p2c"
      local_weight  = 1
      remote_weight = 1
    }
  }
  strategy "least-time" {
    summary = "The one that answered fastest, by requests under way"
    role "traefik" {
      strategy      = "leasttime"
      local_weight  = 1
      remote_weight = 1
    }
  }
  strategy "by-client" {
    summary = "Always the same one for a client's address"
    role "traefik" {
      strategy      = "hrw"
      local_weight  = 1
      remote_weight = 1
    }
  }
  strategy "local-once" {
    summary = "As the system ships, and no second try"
    role "traefik" {
      strategy      = "wrr"
      local_weight  = 10
      remote_weight = 1
      attempts      = 1
    }
  }

  strategy "no-breaker" {
    summary = "As the system ships, and a RadosGW that fails requests is not taken out"
    role "radosgw-breaker" {
      fall = 100000
    }
  }

  condition "calm" {
    summary = "All is well"
  }
  condition "uneven" {
    summary = "Half of all requests come to one gateway"
    uneven  = true
  }
  condition "one-cold" {
    summary = "One RadosGW begins anew, without its caches"
    cold    = "radosgw"
  }
  condition "one-slow" {
    summary = "One RadosGW stands still for 60 % of the time"
    slow    = "radosgw"
    percent = 60
  }
}
