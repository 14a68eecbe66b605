system "small" {
  summary = "Two web servers and one more, to see seter work"
  parameters {
    greeting = "hello"
  }
  group "servers" {
    at_least = 2
    role "setup" {
      artifact = "container/debian-13"
    }
    role "web" {
      artifact = "container/debian-13"
      peers = "servers"
    }
  }
  group "extra" {
    role "setup" {
      artifact = "container/debian-13"
    }
    role "web" {
      artifact = "container/debian-13"
      peers    = "servers"
      greeting = "extra"
    }
    role "note" {
      artifact = "container/debian-13"
    }
  }
  rollout {
    watch = "0s"
  }
}
