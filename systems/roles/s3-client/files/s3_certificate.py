"""How long the certificate that a client is shown lasts."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping

from s3_service import PORT, Service

EVERY = 60.0  # seconds between two looks; a certificate that was exchanged is seen this soon


def life(service: Service, vip: str, timeout: float) -> tuple[float, float]:
    """Since when and until when (seconds since 1970) the certificate at this virtual IP holds. Raises OSError.

    `timeout` is seconds. It is verified as a client does, so one that has ended or is another's is an error.
    """
    with (
        socket.create_connection((vip, PORT), timeout=timeout) as plain,
        service.tls().wrap_socket(plain, server_hostname=service.dns_name) as connection,
    ):
        return dates(connection.getpeercert() or {})


def dates(certificate: Mapping[str, object]) -> tuple[float, float]:
    """Of what `SSLSocket.getpeercert` gives. Raises OSError when it names none. Pure."""
    since, until = certificate.get("notBefore"), certificate.get("notAfter")
    if not isinstance(since, str) or not isinstance(until, str):
        raise OSError("the certificate does not say how long it holds")
    return ssl.cert_time_to_seconds(since), ssl.cert_time_to_seconds(until)
