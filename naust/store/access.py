"""How a store is reached: what its URL does not say, because it is secret or differs from desk to desk."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from common.model import Secret

IDLE = timedelta(seconds=30)  # that a server may say nothing


@dataclass(frozen=True, slots=True)
class Access:
    """Credentials and the like; empty is what most stores need. A back-end takes what it understands."""

    token: Secret | None = None  # https: sent as bearer
    user: str = ""
    password: Secret | None = None  # docker
    endpoint: str = ""  # s3: URL of the server, else AWS
    region: str = ""
    access_key: str = ""
    secret_key: Secret | None = None
    virtual_host: bool = False  # s3: bucket in the host name instead of the path
    ca: Path | None = None  # certificates to trust instead of the system's
    idle: timedelta = IDLE
    at_once: int = 4  # transfers that run side by side
    limit: int = 0  # bytes a second in each direction; 0 is no limit


NOTHING = Access()
