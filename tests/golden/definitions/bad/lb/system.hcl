system "lb" {
  summary = "Everything that can be wrong"
  parameters {
    vips = ["192.0.2.10", "192.0.2.999"]
  }
  group "gateways" {
    at_least = 3
    role "bird" {
      asn       = 4294967295
      announces = ["192.0.2.1/24"]
      asn       = 64512
    }
    role "etcd" {
      members = gateways
    }
    role "traefik" {
      backend   = "gateways"
      backends  = "gatways"
      http_port = 0
    }
    role "trafik" {}
    role "broken" {}
  }
  group "empty" {
    role "traefik" {
      backends = "${var.backends}"
    }
  }
  check "spread" {
    routes = "vip"
    on     = "routers"
  }
  rollout {
    on_failure = "rollback"
  }
}
