"""Which layout a bucket has, and which conditions its server really looks at; kept in the object `.format`.

S3 knows If-None-Match and If-Match on writing since 2024 ("Conditional requests"), and a server that does not know them
ignores them in silence: two writers of one name would both believe that they have it. So it is tried out, once per
bucket and address of the server, before the first name is given.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass

from common.errors import Conflict, Denied, Error, Unavailable
from naust.store.s3_bucket import Bucket

KEY = ".format"
FORMAT = 1
_WRONG = "0" * 32  # no object's ETag


@dataclass(frozen=True, slots=True)
class Format:
    """What was found. `swaps`: writing only if nothing is there, or only over what was seen, is looked at;
    `deletes`: so is deleting only what was seen."""

    swaps: bool
    deletes: bool
    endpoint: str = ""

    def encoded(self) -> bytes:
        """As the object has it."""
        found = {"format": FORMAT, "endpoint": self.endpoint, "swaps": self.swaps, "deletes": self.deletes}
        return json.dumps(found).encode() + b"\n"


def known(bucket: Bucket) -> Format | None:
    """What the bucket says of itself; None if it has no store yet. Raises Error if a newer naust made it."""
    found = bucket.get(KEY)
    if found is None:
        return None
    try:
        said = json.loads(found[0])
        number = said["format"]
        read = Format(bool(said["swaps"]), bool(said["deletes"]), str(said["endpoint"]))
    except (ValueError, KeyError, TypeError) as error:
        raise Error(
            f"{KEY} in s3://{bucket.name}/{bucket.prefix} is none of naust's",
            details=str(error),
            resolution="Name another bucket or prefix; or, if it is damaged, delete that object: it is made anew.",
        ) from error
    if number != FORMAT:
        raise Error(
            f"the store s3://{bucket.name}/{bucket.prefix} has format {number}, and this naust knows format {FORMAT}",
            resolution="Use the newer naust that made it.",
        )
    return read


def settled(bucket: Bucket) -> Format:
    """What holds for whoever writes now. Tries it out if nobody has, or if the server was reached by another address
    then: there may be another server behind it, or one in between."""
    said = known(bucket)
    endpoint = bucket.signer.endpoint
    if said is not None and said.endpoint == endpoint:
        return said
    found = tried(bucket)
    if said is None:
        try:
            bucket.put(KEY, found.encoded(), new=found.swaps, media_type="application/json")
        except Conflict:
            return settled(bucket)  # somebody else was faster, and may come from elsewhere
    return found


def tried(bucket: Bucket) -> Format:
    """Try it out with an object that nobody else knows."""
    key = f".probe/{os.urandom(8).hex()}"
    try:
        swaps = _swaps(bucket, key)
        deletes = _refuses(lambda: bucket.delete(key, only=_WRONG)) and bucket.head(key) is not None
    finally:
        bucket.delete(key)
    return Format(swaps, deletes, bucket.signer.endpoint)


def _swaps(bucket: Bucket, key: str) -> bool:
    try:
        bucket.put(key, b"1", new=True)
    except Conflict:
        pass  # it is ours: the answer to a first try was lost
    except (Denied, Unavailable):
        raise
    except Error:  # it knows the header and cannot do it (501)
        bucket.put(key, b"1")
        return False
    if not _refuses(lambda: bucket.put(key, b"2", new=True)):
        return False
    if not _refuses(lambda: bucket.put(key, b"3", instead_of=_WRONG)):
        return False
    seen = bucket.head(key)
    return seen is not None and not _refuses(lambda: bucket.put(key, b"4", instead_of=seen.etag))


def _refuses(act: Callable[[], None]) -> bool:
    try:
        act()
    except Conflict:
        return True
    except (Denied, Unavailable):
        raise
    except Error:
        return True
    return False
