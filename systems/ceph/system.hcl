system "ceph" {
  summary = "Ceph object storage by itself: monitors, managers, disks and RadosGW, each on as many nodes as the target has"

  parameters {
    monitors = "monitors"
    dns_name = "s3.example.test"
  }

  group "monitors" {
    summary = "They agree on the map of the cluster: an odd number, three where losing a node must not stop it"
    role "network" {}
    role "ceph-mon" {
      replicas = 2
    }
    role "ceph-mgr" {}
  }

  group "disks" {
    summary  = "At least as many as every object has copies"
    at_least = 2
    role "network" {}
    role "ceph-osd" {}
  }

  group "gateways" {
    summary = "RadosGW; balancers reach it by TLS"
    role "network" {}
    role "radosgw" {
      balancers = "gateways"
    }
  }

  check "serves" {
    command = ["/usr/local/lib/seter/ceph-status", "/etc/seter/now/radosgw/ceph.conf"]
    on      = "gateways"
    within  = "60s"
  }

  rollout {
    canary     = 1
    at_once    = 1
    budget     = 0
    on_failure = "stop"
  }
}
