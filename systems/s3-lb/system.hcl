system "s3-lb" {
  summary = "One address for S3: routers spread it over gateways, each ends TLS and prefers its own RadosGW"

  # These reach every role below that declares the name; a role's parameter may also name one of them as its value.
  parameters {
    vips     = ["192.0.2.10", "2001:db8::10"]
    dns_name = "s3.example.test"
    monitors = "storage"
  }

  group "storage" {
    summary = "The Ceph cluster behind: ours in a lab, another team's elsewhere"
    role "network" {}
    role "ceph-mon" {}
    role "ceph-mgr" {}
    role "ceph-osd" {}
    role "node-exporter" {}
  }

  group "routers" {
    summary  = "The neighbours: ours in a lab, the data centre's elsewhere"
    at_least = 2
    role "network" {}
    role "bird-router" {
      asn      = 64512
      peers    = "gateways"
      peer_asn = 64513

      ttl_security = true
      password     = true
    }
    role "bird-exporter" {
      expects = "vips"
    }
    role "node-exporter" {}
  }

  group "clients" {
    summary = "Behind the routers: as a customer would, all the time; before the gateways, so that it trusts what they will show"
    role "network" {
      routes_to = "vips"
      reaches   = "gateways"
      via       = "routers"
    }
    role "s3-client" {}
  }

  group "gateways" {
    summary  = "Each announces the virtual IPs, ends TLS and balances to RadosGW; roles start in this order"
    at_least = 3
    role "network" {
      addresses = "vips"
    }
    role "firewall" {
      watchers = "monitoring"
    }
    role "etcd" {
      members = "gateways"
    }
    role "radosgw" {
      monitors  = "storage"
      balancers = "gateways"
    }
    role "radosgw-exporter" {}
    role "radosgw-breaker" {
      agent = 9551 # health
    }
    role "traefik-guard" {}
    role "traefik" {
      backends      = "gateways"
      local_weight  = 10
      remote_weight = 1
    }
    # Without a directory the certificate of the deployment's CA is served.
    role "acme" {
      members   = "gateways"
      directory = ""
    }
    role "second-chance" {
      members = "gateways"
    }
    role "bird-gateway" {
      asn      = 64513
      peers    = "routers"
      peer_asn = 64512
      ring     = "gateways"

      ttl_security = true
      password     = true
    }
    role "bird-exporter" {}
    role "health" {
      proof = 9562 # radosgw-breaker
    }
    role "node-exporter" {}
    withdraw {
      command = ["/usr/local/lib/seter/health", "withdraw"]
    }
    idle {
      ports = [443]
    }
  }

  group "monitoring" {
    role "network" {}
    role "node-exporter" {}
    role "alertmanager" {
      members = "monitoring"
    }
    role "prometheus" {
      alertmanagers = "monitoring"
    }
  }

  check "spread" {
    routes = "vips"
    on     = "routers"
    expect = "gateways"
    within = "30s"
  }

  check "round-trip" {
    s3     = "dns_name"
    on     = "clients"
    within = "30s"
  }

  # After a gateway was changed, and before it gets traffic: what breaks only large uploads shows here too.
  check "each-gateway" {
    s3      = "dns_name"
    on      = "clients"
    through = "gateways"
    sizes   = ["1KiB", "24MiB"]
    within  = "20s"
  }

  # Begins before a roll-out and ends after it; each part of it may meet another gateway.
  check "long-upload" {
    s3         = "dns_name"
    on         = "clients"
    throughout = true
  }

  check "watched" {
    command = ["/usr/local/lib/seter/prometheus-targets"]
    on      = "monitoring"
    within  = "60s"
  }

  rollout {
    canary     = 1
    at_once    = 1
    watch      = "3s"
    budget     = 0
    on_failure = "roll back"
  }
}
