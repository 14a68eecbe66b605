"""Multipart uploads and copies, which the server does by itself (Amazon S3 user guide, "Uploading and copying objects
using multipart upload"). Nobody sees anything of an upload before it is completed; what was sent costs space until
then, so whoever gives up aborts it, and what a killed one left is found by `uploads`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO, TypeVar, cast

from common.errors import NotFound
from naust.store.s3_answers import explained, since
from naust.store.s3_bucket import Bucket
from naust.store.s3_signing import UNSIGNED
from naust.wire.bodies import Outgoing
from naust.wire.patience import TRIES, patiently

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, CopySourceTypeDef

T = TypeVar("T")
LARGEST_COPY = 5 << 30  # bytes that a server copies in one call
# Of a copy in parts: small, for a server may say nothing while it copies one, and must not look dead meanwhile.
COPIED_PART = 32 << 20  # bytes
MOST_PARTS = 10_000  # of one upload (Amazon S3 user guide, multipart upload limits)
_TRIES = 10  # of a part: much is lost with it


@dataclass(frozen=True, slots=True)
class Upload:
    """A multipart upload that is under way."""

    key: str
    id: str


class Multipart:
    """Uploads and copies in one bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def begin(self, key: str, sha256: str = "") -> Upload:
        """Begin an upload; `sha256` is that of the whole, if it is known."""
        answer = self._asked(
            lambda: self._client.create_multipart_upload(
                Bucket=self._bucket.name,
                Key=self._full(key),
                Metadata={"sha256": sha256} if sha256 else {},
                ContentType="application/octet-stream",
            )
        )
        return Upload(key, answer["UploadId"])

    def put_part(self, upload: Upload, number: int, size: int, body: Callable[[], BinaryIO]) -> str:
        """Send one part; returns its ETag. `body` gives its bytes from the beginning, as often as it is asked.

        Where others could change it on its way it is signed with its own SHA-256, which the server checks.
        """
        payload = UNSIGNED if self._bucket.signer.is_encrypted else _sha256(body())
        query = {"partNumber": str(number), "uploadId": upload.id}

        def send() -> str:
            sent = Outgoing(body(), size)
            with self._bucket.request("PUT", upload.key, query=query, body=sent, payload=payload) as answer:
                return answer.header("ETag")

        return patiently(send, _TRIES)

    def complete(self, upload: Upload, etags: Sequence[str], size: int) -> None:
        """The parts, in order, become an object of this size."""
        parts: list[CompletedPartTypeDef] = [{"ETag": etag, "PartNumber": n} for n, etag in enumerate(etags, 1)]
        try:
            self._asked(
                lambda: self._client.complete_multipart_upload(
                    Bucket=self._bucket.name,
                    Key=self._full(upload.key),
                    UploadId=upload.id,
                    MultipartUpload={"Parts": parts},
                ),
                _TRIES,
            )
        except NotFound:
            # The answer to a first try was lost: the second finds the upload over and the object there.
            there = self._bucket.head(upload.key)
            if there is None or there.size != size:
                raise

    def abort(self, upload: Upload) -> None:
        """Give it up; that it is over already is success."""
        try:
            self._asked(
                lambda: self._client.abort_multipart_upload(
                    Bucket=self._bucket.name, Key=self._full(upload.key), UploadId=upload.id
                )
            )
        except NotFound:
            return

    def uploads(self) -> Iterator[tuple[Upload, timedelta]]:
        """All that are under way, each with the time since it was begun."""
        key, mark = "", ""
        while True:
            page = self._asked(
                lambda key=key, mark=mark: self._client.list_multipart_uploads(  # type: ignore[misc]  # a lambda
                    Bucket=self._bucket.name, Prefix=self._bucket.prefix, KeyMarker=key, UploadIdMarker=mark
                )
            )
            now = page["ResponseMetadata"]["HTTPHeaders"].get("date", "")
            for each in page.get("Uploads", ()):
                yield Upload(each["Key"][len(self._bucket.prefix) :], each["UploadId"]), since(each["Initiated"], now)
            key, mark = page.get("NextKeyMarker", ""), page.get("NextUploadIdMarker", "")
            if not page.get("IsTruncated") or not key:
                return

    def copy(self, key: str, target: str, size: int, sha256: str) -> None:
        """The server copies an object, also onto itself. Raises NotFound if it is not there."""
        if size > LARGEST_COPY:
            self.copy_in_parts(key, target, size, sha256)
            return
        self._asked(
            lambda: self._client.copy_object(
                Bucket=self._bucket.name,
                Key=self._full(target),
                CopySource=self._source(key),
                MetadataDirective="REPLACE",
                Metadata={"sha256": sha256},
            )
        )

    def copy_in_parts(self, key: str, target: str, size: int, sha256: str) -> None:
        """The same, as an upload whose parts the server takes from the object."""
        upload = self.begin(target, sha256)
        try:
            step = max(COPIED_PART, -(-size // MOST_PARTS))
            starts = range(0, size, step)
            etags = [
                self._copy_part(key, upload, number, start, min(size, start + step) - 1)
                for number, start in enumerate(starts, 1)
            ]
            self.complete(upload, etags, size)
        except BaseException:
            self.abort(upload)
            raise

    def _copy_part(self, key: str, upload: Upload, number: int, first: int, last: int) -> str:
        answer = self._asked(
            lambda: self._client.upload_part_copy(
                Bucket=self._bucket.name,
                Key=self._full(upload.key),
                UploadId=upload.id,
                PartNumber=number,
                CopySource=self._source(key),
                CopySourceRange=f"bytes={first}-{last}",
            )
        )
        return answer["CopyPartResult"]["ETag"]

    def _source(self, key: str) -> CopySourceTypeDef:
        return {"Bucket": self._bucket.name, "Key": self._full(key)}

    def _full(self, key: str) -> str:
        return self._bucket.prefix + key

    @property
    def _client(self) -> S3Client:
        return self._bucket.signer.client

    def _asked(self, act: Callable[[], T], tries: int = TRIES) -> T:
        def ask() -> T:
            with explained(self._bucket.name):
                return act()

        return patiently(ask, tries)


def _sha256(body: BinaryIO) -> str:
    return hashlib.file_digest(cast(BytesIO, body), "sha256").hexdigest()
