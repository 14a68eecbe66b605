"""Trees of dynamic configuration for tests."""

from __future__ import annotations

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\nMAAA\n-----END PRIVATE KEY-----\n"
POOL = "http/services/radosgw/loadBalancer"


def good_tree(servers: int = 2) -> dict[str, str]:
    """A small tree like the one that the role writes."""
    tree = {
        "http/routers/s3/rule": "Host(`s3.example.test`) || HostRegexp(`^[^.]+\\.s3\\.example\\.test$`)",
        "http/routers/s3/service": "radosgw",
        "http/routers/s3/middlewares/0": "again",
        "http/routers/s3/tls": "true",
        "http/middlewares/again/retry/attempts": "3",
        f"{POOL}/strategy": "wrr",
        f"{POOL}/serversTransport": "radosgw",
        f"{POOL}/healthCheck/path": "/swift/healthcheck",
        f"{POOL}/healthCheck/interval": "250ms",
        "http/serversTransports/radosgw/forwardingTimeouts/dialTimeout": "300ms",
        "tls/certificates/0/certFile": CERTIFICATE,
        "tls/certificates/0/keyFile": KEY,
    }
    width = len(str(servers - 1))
    for place in range(servers):
        tree[f"{POOL}/servers/{place:0{width}}/url"] = f"http://10.0.0.{place}:7480"
        tree[f"{POOL}/servers/{place:0{width}}/weight"] = "1"
    return tree
