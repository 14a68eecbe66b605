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
      peers = "gateways"
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

  # Beside nodes, roles and routes, which seter looks at itself. Rates are those of the last 15 s.
  watch {
    on         = "monitoring"
    prometheus = "http://127.0.0.1:9090"
    row "requests" {
      query = "sum by (node) (rate(traefik_service_requests_total{service=~\"radosgw(-.+)?@file\"}[15s]))"
      unit  = "/s"
      by    = "node"
    }
    row "failed requests" {
      query = "(sum(rate(traefik_service_requests_total{service=~\"radosgw(-.+)?@file\",code=~\"5..\"}[15s])) or vector(0)) / (sum(rate(traefik_service_requests_total{service=~\"radosgw(-.+)?@file\"}[15s])) > 0)"
      unit  = "ratio"
      warn  = "> 0.001"
      bad   = "> 0.01"
    }
    row "answered within, 99 %" {
      query = "histogram_quantile(0.99, sum by (node, le) (rate(traefik_service_request_duration_seconds_bucket{service=~\"radosgw(-.+)?@file\"}[1m])))"
      unit  = "s"
      by    = "node"
      warn  = "> 1.2"
      bad   = "> 5"
    }
    row "a client's round trip" {
      query = "s3_client_round_seconds"
      unit  = "s"
      by    = "vip"
      warn  = "> 1.2"
      bad   = "> 5"
    }
    row "rounds that failed, 1 m" {
      query = "sum(increase(s3_client_rounds_total{outcome=\"bad\"}[1m])) or vector(0)"
      warn  = "> 0"
      bad   = "> 3"
    }
    row "gateways not announced" {
      query = "scalar(count(up{job=\"health\"})) - sum by (service) (health_announced)"
      by    = "service"
      warn  = "> 0"
      bad   = "> 1"
    }
    row "BGP sessions down" {
      query = "count(bird_bgp_up == 0) or vector(0)"
      warn  = "> 0"
    }
    row "BFD sessions down" {
      query = "count(bird_bfd_up == 0) or vector(0)"
      warn  = "> 0"
    }
    row "certificate ends in" {
      query = "min by (vip) (s3_client_certificate_not_after_seconds) - time()"
      unit  = "s"
      by    = "vip"
      bad   = "< 86400"
    }
    row "life of it left" {
      query = "min(s3:certificate:left_ratio)"
      unit  = "ratio"
      warn  = "< 0.2"
      bad   = "< 0.07"
    }
    row "trees behind etcd" {
      query = "count(traefik_guard_applied_revision != traefik_guard_stored_revision) or vector(0)"
      warn  = "> 0"
    }
    row "etcd without a leader" {
      query = "count(etcd_server_has_leader == 0) or vector(0)"
      warn  = "> 0"
      bad   = "> 1"
    }
    row "backends taken out" {
      query = "sum(radosgw_breaker_out) or vector(0)"
      warn  = "> 0"
      bad   = "> 1"
    }
    row "state free" {
      query = "min by (node) (node_filesystem_avail_bytes{mountpoint=\"/var/lib/seter\"} / node_filesystem_size_bytes{mountpoint=\"/var/lib/seter\"})"
      unit  = "ratio"
      by    = "node"
      warn  = "< 0.08"
      bad   = "< 0.03"
    }
    row "not heard of" {
      query = "count by (node) (up == 0) or on () vector(0)"
      by    = "node"
      warn  = "> 0"
    }
    row "alerts" {
      query = "count(ALERTS{alertstate=\"firing\"}) or vector(0)"
      warn  = "> 0"
    }
  }
}
