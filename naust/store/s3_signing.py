"""Who we are to an S3 server, and where it is: endpoint, region and credentials, and requests signed with them.

Signature version 4 ("Authenticating Requests: Using the Authorization Header", Amazon S3 API reference) is botocore's.
What the configuration does not say is found as boto3 finds it: AWS_* variables, AWS_ENDPOINT_URL_S3, ~/.aws, roles of
the machine. boto3 itself is loaded only for that and for what changes things (see `client`): it costs half a second.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from common.errors import BadInput, Denied
from naust.store.access import Access

if TYPE_CHECKING:
    from botocore.credentials import ReadOnlyCredentials
    from botocore.session import Session
    from mypy_boto3_s3 import S3Client

REGION = "us-east-1"  # where nobody says any; servers that are not AWS take it
UNSIGNED = "UNSIGNED-PAYLOAD"
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # SHA-256 of nothing


class Signer:
    """Makes URLs of one bucket, and the headers that prove who asks. Any number of threads may use one."""

    def __init__(self, bucket: str, access: Access) -> None:
        self._bucket = bucket
        self._access = access
        self._lock = threading.Lock()
        if access.access_key and access.secret_key is None:
            raise BadInput(
                f"the store s3://{bucket} has an access key and no secret key",
                resolution="Say in naust.hcl where it is: secret_key.",
            )

    @cached_property
    def base(self) -> str:
        """URL of the bucket, without a slash at its end."""
        endpoint = self._access.endpoint or self.client.meta.endpoint_url
        parts = urlsplit(endpoint.rstrip("/"))
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadInput(
                f"{endpoint!r} is no address of an S3 server", resolution="Write https://HOST or http://HOST."
            )
        if self._access.virtual_host:
            return parts._replace(netloc=f"{self._bucket}.{parts.netloc}").geturl()
        return f"{parts.geturl()}/{quote(self._bucket)}"

    @property
    def endpoint(self) -> str:
        """URL of the server."""
        return self._access.endpoint or str(self.client.meta.endpoint_url)

    @property
    def is_encrypted(self) -> bool:
        """Whether nobody on the way can change what is sent."""
        return self.base.startswith("https://")

    @cached_property
    def ca(self) -> Path | None:
        """The certificates to trust instead of the system's."""
        if self._access.ca is not None:
            return self._access.ca
        told = os.environ.get("AWS_CA_BUNDLE", "")
        if not told and not self._is_told:
            told = self._session.get_config_variable("ca_bundle")
        return Path(told) if told else None

    @property
    def _is_told(self) -> bool:
        """Whether the configuration says all, or with the environment, so that boto3's chain need not be loaded."""
        if self._access.access_key:
            return bool(self._access.endpoint)
        settings = Path(os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config").expanduser()
        return bool(self._access.endpoint and os.environ.get("AWS_ACCESS_KEY_ID") and not settings.exists())

    def access(self) -> Access:
        """How the transport reaches the server."""
        return replace(self._access, ca=self.ca, token=None, user="", password=None)

    def url(self, key: str, query: Mapping[str, str] | None = None) -> str:
        """The object's URL; with parameters, in the order that signing wants."""
        pairs = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in (query or {}).items())
        path = f"{self.base}/{quote(key, safe='-_.~/')}" if key or self._access.virtual_host else self.base
        return f"{path}?{'&'.join(f'{name}={value}' for name, value in pairs)}" if pairs else path

    def headers(self, method: str, url: str, more: Mapping[str, str], payload: str = EMPTY) -> dict[str, str]:
        """`more` and what proves that we sent it. `payload` is the body's SHA-256, or UNSIGNED."""
        request = AWSRequest(method=method, url=url, headers=dict(more))
        request.context["naust_payload"] = payload
        _Auth(self._frozen(), "s3", self.region).add_auth(request)
        return dict(request.headers.items())

    @cached_property
    def region(self) -> str:
        """The server's region."""
        if self._access.region:
            return self._access.region
        if self._is_told:
            return os.environ.get("AWS_DEFAULT_REGION") or REGION
        return str(self._session.get_config_variable("region") or REGION)

    @property
    def client(self) -> S3Client:
        """boto3's client, for what it does better than we could. Thread-safe."""
        with self._lock:
            return self._client

    @cached_property
    def _client(self) -> S3Client:
        import boto3
        from botocore.config import Config

        own = self._access
        return boto3.session.Session(botocore_session=self._session).client(
            "s3",
            endpoint_url=own.endpoint or None,
            region_name=self.region,
            aws_access_key_id=own.access_key or None,
            aws_secret_access_key=own.secret_key.value if own.access_key and own.secret_key else None,
            verify=str(self.ca) if self.ca else None,
            config=Config(
                connect_timeout=own.idle.total_seconds(),
                read_timeout=own.idle.total_seconds(),
                # Since 1.36 the defaults add checksum trailers, which many servers do not understand.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                retries={"total_max_attempts": 1},  # we try again ourselves, and tell of it
                max_pool_connections=32,
                s3={"addressing_style": "virtual" if own.virtual_host else "path"},
            ),
        )

    @cached_property
    def _session(self) -> Session:
        from botocore.session import Session

        return Session()

    @cached_property
    def _credentials(self) -> Credentials:
        own = self._access
        if own.access_key and own.secret_key:
            return Credentials(own.access_key, own.secret_key.value)
        key, secret = (os.environ.get(name, "") for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
        if key and secret:  # the first place where boto3 looks; its chain need not be loaded
            return Credentials(key, secret, os.environ.get("AWS_SESSION_TOKEN") or None)
        found = self._session.get_credentials()
        if found is None:
            raise Denied(
                f"nobody says who we are to s3://{self._bucket}",
                resolution="Set access_key and secret_key of the store in naust.hcl, or AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY.",
            )
        return found

    def _frozen(self) -> ReadOnlyCredentials:
        """Credentials as they are now: those of a role change."""
        from botocore.exceptions import BotoCoreError

        try:
            return self._credentials.get_frozen_credentials()
        except BotoCoreError as error:
            raise Denied(
                f"the credentials for s3://{self._bucket} cannot be had",
                details=str(error),
                resolution="Log in again, or name others in naust.hcl.",
            ) from error


class _Auth(S3SigV4Auth):
    """botocore's, for bodies whose SHA-256 is known or is not to be signed."""

    def payload(self, request: AWSRequest) -> str:
        return str(request.context["naust_payload"])
