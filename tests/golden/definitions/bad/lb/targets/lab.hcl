target "lab" {
  kind = "baremetal"
  user = "ops"
  nodes "gateways" {
    node "gw1" {
      address = "10.0.0.1"
      parameters {
        router_id = "10.0.0.1"
      }
    }
    node "gw3" {
      address = "10.0.0.1"
      parameters {
        router_id = "10.0.0.1"
      }
    }
    node "gw2" {
      adress = "10.0.0.2"
    }
  }
  nodes "gateway" {
    node "gw4" {
      address = "10.0.0.256"
    }
  }
}
