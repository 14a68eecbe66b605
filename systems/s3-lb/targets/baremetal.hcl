# An example: hosts in a rack, reached by SSH over a bastion; the routers in front are the data centre's.
target "baremetal" {
  kind = "baremetal"
  user = "ops"
  jump = "ops@bastion.example.test"

  network "rack" {
    prefix  = "198.51.100.0/24"
    prefix6 = "2001:db8:20::/64"
  }

  nodes "storage" {
    node "mon1" {
      address  = "198.51.100.21"
      address6 = "2001:db8:20::21"
    }
  }
  # Looked up by their addresses and never touched; `seter document` prints what they have to be told.
  existing "routers" {
    node "rt1" {
      address  = "198.51.100.1"
      address6 = "2001:db8:20::1"
    }
    node "rt2" {
      address  = "198.51.100.2"
      address6 = "2001:db8:20::2"
    }
  }
  nodes "gateways" {
    node "gw1" {
      address  = "198.51.100.11"
      address6 = "2001:db8:20::11"
    }
    node "gw2" {
      address  = "198.51.100.12"
      address6 = "2001:db8:20::12"
    }
    node "gw3" {
      address  = "198.51.100.13"
      address6 = "2001:db8:20::13"
    }
  }
  nodes "monitoring" {
    node "mo1" {
      address  = "198.51.100.31"
      address6 = "2001:db8:20::31"
    }
  }
  nodes "clients" {
    node "cl1" {
      address  = "198.51.100.41"
      address6 = "2001:db8:20::41"
    }
  }

  # Switches a host's power for `seter prove` and for `deploy`, which starts a host that is off.
  power {
    off = ["ipmitool", "-f", "/etc/seter/ipmi", "-I", "lanplus", "-U", "ops", "-H", "{node}-bmc", "power", "off"]
    on  = ["ipmitool", "-f", "/etc/seter/ipmi", "-I", "lanplus", "-U", "ops", "-H", "{node}-bmc", "power", "on"]
  }
}
