role "bird" {
  type    = "service"
  summary = "Speaks BGP"
  needs   = ["loop"]
  sysctls = ["net.ipv4.ip_forward=1"]
  parameter "asn" {
    type    = "asn"
    summary = "Its number"
  }
  parameter "router_id" {
    type    = "address"
    summary = "Its name in BGP"
  }
  parameter "announces" {
    type    = "list(prefix)"
    summary = "What it announces"
  }
  parameter "vips" {
    type    = "list(address)"
    summary = "Virtual addresses"
  }
  process {
    command = ["/usr/sbin/bird"]
    listens = [179]
  }
}
