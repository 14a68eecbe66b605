"""What every kind of request needs: where the service is, who asks, and its name resolved without DNS."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import boto3
from botocore.config import Config as BotoConfig

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

PORT = 443
REGION = "us-east-1"  # RadosGW takes any region that is signed for


@dataclass(frozen=True, slots=True)
class Service:
    """What seter wrote. `interval` is seconds; the keys are read from their files when they are needed."""

    dns_name: str
    vips: tuple[str, ...]
    interval: float
    ca: Path
    access_key_file: Path = field(repr=False)
    secret_key_file: Path = field(repr=False)
    metrics_port: int
    metrics_address: str
    trust: str = ""  # PEM

    @classmethod
    def read(cls, path: str, name: str = "") -> Service:
        """The service of this name, or the first. Raises ValueError with the reason."""
        services = cls.read_all(path)
        if name and name not in services:
            raise ValueError(f"there is no service {name!r}; there is {', '.join(services)}")
        return services[name or next(iter(services))]

    @classmethod
    def read_all(cls, path: str) -> dict[str, Service]:
        """By their names, the first one first; there is one at least. Raises ValueError with the reason."""
        try:
            found = json.loads(Path(path).read_text(encoding="utf-8"))
            services = {str(each["name"]): cls._of(found, each) for each in found["services"]}
        except (OSError, KeyError, TypeError, ValueError) as fault:
            raise ValueError(f"{path} cannot be used: {type(fault).__name__}: {fault}") from fault
        if not services or any(not each.vips or each.interval <= 0 for each in services.values()):
            raise ValueError(f"{path}: each service has a virtual IP, and the interval is above 0")
        return services

    @classmethod
    def _of(cls, found: Mapping[str, Any], each: Mapping[str, Any]) -> Service:
        return cls(
            dns_name=str(each["dns_name"]),
            vips=tuple(str(vip) for vip in each["vips"]),
            interval=float(found["interval"]),
            ca=Path(found["ca"]),
            trust=str(found.get("trust", "")),
            access_key_file=Path(found["access_key"]),
            secret_key_file=Path(found["secret_key"]),
            metrics_port=int(found["metrics_port"]),
            metrics_address=str(found["metrics_address"]),
        )

    def keys(self) -> tuple[str, str]:
        """Access key and secret key. Raises OSError."""
        return _line(self.access_key_file), _line(self.secret_key_file)

    def tls(self) -> ssl.SSLContext:
        """Verifies by the CAs that clients may trust. Raises OSError."""
        return ssl.create_default_context(cafile=str(self.authorities))

    @property
    def authorities(self) -> Path:
        """A file of the deployment's CA, public ones, and those that the operator names, made at first use. Raises
        OSError."""
        ours = self.ca.read_text(encoding="utf-8") + self.trust
        file = (
            Path(tempfile.gettempdir()) / f"trusted-{os.geteuid()}-{hashlib.sha256(ours.encode()).hexdigest()[:16]}.pem"
        )
        if not file.exists():
            public = Path(ssl.get_default_verify_paths().openssl_cafile)
            new = file.with_suffix(f".{os.getpid()}")
            new.write_text(ours + (public.read_text(encoding="utf-8") if public.exists() else ""))
            new.replace(file)
        return file

    def client(self, *, timeout: float = 10.0, attempts: int = 1) -> S3Client:
        """A boto3 client. `timeout` in seconds is for connecting and for each read. Raises OSError."""
        access, secret = self.keys()
        return boto3.client(
            "s3",
            endpoint_url=f"https://{self.dns_name}",
            region_name=REGION,
            aws_access_key_id=access,
            aws_secret_access_key=secret,
            verify=str(self.authorities),
            config=BotoConfig(
                signature_version="s3v4",
                s3={"addressing_style": "path"},  # buckets below the name would need a wildcard in DNS
                connect_timeout=timeout,
                read_timeout=timeout,
                retries={"total_max_attempts": attempts, "mode": "standard"},
                # RadosGW 18 takes checksum trailers without verifying them: they would promise what is not kept.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )


def _line(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()


@contextmanager
def resolved(dns_name: str, vip: str) -> Iterator[None]:
    """While it lasts, this process finds `dns_name` at `vip`, like curl's --resolve; the URL and SNI keep the name."""
    lookup = socket.getaddrinfo

    def answer(
        host: str | bytes | None,
        port: str | int | None,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> object:
        return lookup(vip if host == dns_name else host, port, family, type, proto, flags)

    with mock.patch.object(socket, "getaddrinfo", answer):
        yield
