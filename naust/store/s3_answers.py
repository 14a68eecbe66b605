"""What an S3 server says, as the rest of naust wants it: descriptions of objects, pages of listings, errors.

Amazon S3 API reference: "Error responses", "ListObjectsV2", "Common response headers". Other servers say the same with
other words now and then; where one does, it is named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from common.errors import BadInput, Conflict, Corrupt, Denied, Error, NotFound, Unavailable
from naust.wire.transport import Answer, retry_after

_CODE = re.compile(r"<Code>\s*(\w+)\s*</Code>")
_NO_BUCKET = ("NoSuchBucket", "InvalidBucketName")
_WHO = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "XAdminUserNotFound")  # the last is versitygw's, with a 404
# The request did not arrive as it was sent, whatever the status.
_AGAIN = ("RequestTimeout", "BadDigest", "XAmzContentSHA256Mismatch", "IncompleteBody", "InternalError", "SlowDown")
_BUSY = (408, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Seen:
    """An object as the server described it. `age` is by the server's own clock, and rather too little than too much,
    because dates in headers have whole seconds."""

    key: str
    size: int
    etag: str  # without quotes: RadosGW compares If-Match with the bare one
    age: timedelta
    sha256: str = ""  # what its writer said of it


@contextmanager
def told(bucket: str) -> Iterator[None]:
    """Errors of the transport with what S3 says in the body, which is more than the status."""
    try:
        yield
    except Error as error:
        status, _, said = error.details.partition(" ")
        code = _CODE.search(said)
        if code is None or not status.isdigit():
            raise
        what = " ".join(error.message.split()[:2])  # method and URL
        better = failure(bucket, what, int(status), code[1], error.details)
        if isinstance(better, Unavailable):
            better.retry_after = getattr(error, "retry_after", None)
        raise (error if type(better) is type(error) and code[1] not in _WHO else better) from None


@contextmanager
def explained(bucket: str) -> Iterator[None]:
    """Errors of boto3 as ours."""
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError, SSLError

    try:
        yield
    except ClientError as error:
        raise _of_client(bucket, error) from error
    except SSLError as error:
        raise Error(
            f"the certificate of the server of s3://{bucket} is not trusted",
            details=str(error),
            resolution="Name the certificates to trust as `ca` of the store in naust.hcl, if you are sure of them.",
        ) from error
    except NoCredentialsError as error:
        raise Denied(f"nobody says who we are to s3://{bucket}", resolution="Set access_key and secret_key.") from error
    except HTTPClientError as error:  # no connection, a time-out, a connection that ended
        raise Unavailable(
            f"the server of s3://{bucket} does not answer", details=str(error), resolution="Try again later."
        ) from error
    except BotoCoreError as error:
        raise Error(f"s3://{bucket} cannot be used", details=str(error), resolution="See the details above.") from error


def _of_client(bucket: str, error: Exception) -> Error:
    response = getattr(error, "response", {})
    said, meta = response.get("Error", {}), response.get("ResponseMetadata", {})
    status = int(meta.get("HTTPStatusCode", 0))
    what = f"{getattr(error, 'operation_name', 'a request')} on s3://{bucket}"
    found = failure(bucket, what, status, str(said.get("Code", "")), f"{status} {said.get('Code')}: {error}")
    if isinstance(found, Unavailable):
        found.retry_after = retry_after(str(meta.get("HTTPHeaders", {}).get("retry-after", "")))
    return found


def failure(bucket: str, what: str, status: int, code: str, details: str) -> Error:
    """The error that a status and S3's own code stand for."""
    if code in _NO_BUCKET:
        return BadInput(f"there is no bucket {bucket}", details=details, resolution="Make it, or name another one.")
    if code == "RequestTimeTooSkewed":
        return Denied(f"{what}: the clocks differ too much", details=details, resolution="Set this machine's clock.")
    if code in _WHO or status in (401, 403):
        return Denied(
            f"{what} is not allowed",
            details=details,
            resolution="See that access_key and secret_key of the store are right and may do this.",
        )
    if code in _AGAIN or status in _BUSY:
        return Unavailable(f"{what} is not answered now", details=details, resolution="Try again later.")
    if status in (404, 410):
        return NotFound(f"{what} found nothing", details=details, resolution="`naust list` shows what there is.")
    if status in (409, 412):
        return Conflict(f"{what} met another state", details=details, resolution="See what is there, then decide.")
    return Error(f"{what} was refused", details=details, resolution="See what the server says above.")


def seen(key: str, answer: Answer) -> Seen:
    """The object that an answer to GET or HEAD is about."""
    age = since(answer.header("Last-Modified"), answer.header("Date"))
    size = answer.header("Content-Length")
    return Seen(
        key, int(size) if size.isdigit() else 0, bare(answer.header("ETag")), age, answer.header("x-amz-meta-sha256")
    )


def page(answer: Answer, skip: int) -> tuple[list[Seen], str]:
    """A page of ListObjectsV2, keys without their first `skip` characters, and the token for the next, or ''."""
    try:
        root = ElementTree.fromstring(answer.content())
    except ElementTree.ParseError as error:
        raise Corrupt(
            "the server's listing cannot be read", details=str(error), resolution="See that it is an S3 server."
        ) from error
    space = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
    coded = (root.findtext(f"{space}EncodingType") or "") == "url"
    now = answer.header("Date")
    found = []
    for each in root.iterfind(f"{space}Contents"):
        said = {child.tag[len(space) :]: child.text or "" for child in each}
        key = unquote_plus(said["Key"]) if coded else said["Key"]
        found.append(Seen(key[skip:], int(said["Size"]), bare(said["ETag"]), since(said["LastModified"], now)))
    more = (root.findtext(f"{space}IsTruncated") or "") == "true"
    return found, (root.findtext(f"{space}NextContinuationToken") or "") if more else ""


def bare(etag: str) -> str:
    """The ETag without what HTTP puts around it."""
    return etag.removeprefix("W/").strip('"')


def since(then: str | datetime, now: str) -> timedelta:
    """How long ago that was, both by the server's clock. A date without fractions may be up to a second later than it
    says, so that much is taken off."""
    moment = then if isinstance(then, datetime) else _date(then)
    passed = _date(now) - moment - (timedelta(0) if moment.microsecond else timedelta(seconds=1))
    return max(timedelta(0), passed)


def _date(text: str) -> datetime:
    """As headers (RFC 9110, section 5.6.7) or listings (RFC 3339) have it; now, if it is neither."""
    from email.utils import parsedate_to_datetime

    try:
        found = datetime.fromisoformat(text) if text[:1].isdigit() else parsedate_to_datetime(text)
    except ValueError:
        return datetime.now(UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
