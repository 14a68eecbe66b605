role "s3-client" {
  type     = "service"
  summary  = "Stores and reads objects through the virtual IPs as a customer would, all the time and on demand"
  packages = ["python3-boto3", "python3", "ca-certificates"]
  needs    = ["network"]
  metrics  = 9552
  # Several services: each has its own.
  per_service = ["dns_name", "vips"]

  image "container" {
    base         = "debian-13"
    size_at_most = "270MiB"
  }

  parameter "dns_name" {
    type    = "name"
    summary = "Name of the S3 service; it is resolved to the virtual IPs without asking a DNS server"
  }
  parameter "vips" {
    type    = "list(address)"
    summary = "Virtual IPs of the service; requests take them in turn"
  }
  parameter "trust" {
    type    = "text"
    summary = "CA certificates (PEM) to trust, beside the deployment's CA and Debian's"
    default = ""
  }
  parameter "interval" {
    type    = "duration"
    summary = "Time between the starts of two rounds of the canary"
    default = "1s"
  }

  process {
    command     = ["/usr/local/lib/seter/s3-client", "run"]
    user        = "s3-client"
    uid         = 956
    # `drive` goes before what it measures where both share processors: by its priority, and where it can
    # have none by its share.
    capabilities = ["SYS_NICE"]
    cpu_weight   = 10000
    listens     = [9552]
    reads       = ["/etc/seter/now/s3-client", "/etc/seter/secrets/s3-client"]
    validate    = ["/usr/local/lib/seter/s3-client", "--config", "{root}/s3-client/s3-client.json", "check-config"]
    on_change   = "restart"
    restart     = "always"
    stop_within = "5s"
  }
  # Shared by name with the role radosgw, which makes the user.
  secret "s3-access-key" {
    make  = "password"
    scope = "deployment"
  }
  secret "s3-secret-key" {
    make  = "password"
    scope = "deployment"
  }
  secret "client" {
    make  = "certificate"
    scope = "node"
    names = ["node"]
  }
  status {
    command = ["/usr/local/lib/seter/s3-client", "status"]
  }
}
