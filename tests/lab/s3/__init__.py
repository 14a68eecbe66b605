"""S3 as it is on the wire: requests that no library would send, signed, to a RadosGW and through the balancer."""
