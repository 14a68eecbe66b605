"""Operations on buckets: listings, versions, locks, rules that are kept with them, and uploads in parts."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable
from urllib.parse import quote

from tests.lab.s3 import signing
from tests.lab.s3.compare import Note
from tests.lab.s3.sides import Side
from tests.lab.s3.signing import md5
from tests.lab.s3.wire import Answer, Headers

NAMES = ("a", "a/1", "a/2", "a//3", "b+c", "b c", "d%2F", "e;f", "ü", "z/y/x", "?q", "<x>&")
PAGES = (
    "", "max-keys=3", "max-keys=0", "prefix=a", "prefix=a%2F", "delimiter=%2F", "delimiter=%2F&prefix=a%2F",
    "marker=b", "marker=b%20c&max-keys=2", "encoding-type=url", "encoding-type=url&delimiter=%2F", "delimiter=%C3%BC",
    "list-type=2", "list-type=2&max-keys=3", "list-type=2&start-after=b", "list-type=2&fetch-owner=true", "uploads",
    "list-type=2&encoding-type=url&prefix=b%2B", "list-type=2&delimiter=%2F&max-keys=1", "versions", "prefix=",
    "versions&max-keys=2", "versions&encoding-type=url&prefix=b%20", "location", "prefix=e%3Bf", "prefix=%3Fq",
    "list-type=2&continuation-token=a", "list-type=1", "max-keys=x", "allow-unordered=true", "marker=%C3%BC",
)  # fmt: skip
_XMLNS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
# Sub-resource → what is stored there.
RULES = {
    "cors": "<CORSConfiguration><CORSRule><AllowedOrigin>https://*.example.test</AllowedOrigin><AllowedMethod>GET"
    "</AllowedMethod><AllowedMethod>PUT</AllowedMethod><AllowedHeader>x-amz-*</AllowedHeader><ExposeHeader>ETag"
    "</ExposeHeader><MaxAgeSeconds>60</MaxAgeSeconds></CORSRule></CORSConfiguration>",
    "lifecycle": "<LifecycleConfiguration><Rule><ID>a;b</ID><Filter><Prefix>tmp/</Prefix></Filter><Status>Enabled"
    "</Status><Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>",
    "tagging": "<Tagging><TagSet><Tag><Key>k+1</Key><Value>v 2</Value></Tag></TagSet></Tagging>",
    "versioning": f"<VersioningConfiguration {_XMLNS}><Status>Enabled</Status></VersioningConfiguration>",
    "website": "<WebsiteConfiguration><IndexDocument><Suffix>index.html</Suffix></IndexDocument><ErrorDocument><Key>"
    "error.html</Key></ErrorDocument></WebsiteConfiguration>",
    "publicAccessBlock": "<PublicAccessBlockConfiguration><BlockPublicAcls>false</BlockPublicAcls>"
    "</PublicAccessBlockConfiguration>",
    "encryption": f"<ServerSideEncryptionConfiguration {_XMLNS}><Rule><ApplyServerSideEncryptionByDefault>"
    "<SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>",
    "requestPayment": f"<RequestPaymentConfiguration {_XMLNS}><Payer>Requester</Payer></RequestPaymentConfiguration>",
    "logging": "<BucketLoggingStatus/>",
    "policy": "",
}  # fmt: skip
# RadosGW 18 takes their removal for the removal of the bucket.
_NOT_REMOVED = ("versioning", "requestPayment", "logging")


def policy(
    side: Side, bucket: str, action: str = "s3:GetObject", condition: object = None, effect: str = "Allow"
) -> bytes:
    """Everybody may do this with the objects of a bucket, or may not."""
    statement: dict[str, object] = {
        "Effect": effect,
        "Principal": "*",
        "Action": action,
        "Resource": f"arn:aws:s3:::{side.bucket(bucket)}/*",
    }
    statement |= {"Condition": condition} if condition else {}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}).encode()


def listings(side: Side, note: Note) -> None:
    """Lists of a bucket with names of every kind, in both styles."""
    note("listings: made", side.ask("PUT", "listings"))
    for key in NAMES:
        side.ask("PUT", "listings", key, body=key.encode())
    for page, style in itertools.product(PAGES, ("path", "virtual")):
        note(f"list {page} | {style}", side.ask("GET", "listings", None, page, style=style))
    for page in PAGES[:8]:
        note(f"list {page} | signed URL", side.ask("GET", "listings", None, page, how="query"))
    note("list | HEAD", side.ask("HEAD", "listings"))
    note("bucket with objects | DELETE", side.ask("DELETE", "listings"))


def rules(side: Side, note: Note) -> None:
    """What is kept with a bucket: read before, stored, read, removed, read."""
    note("rules: made", side.ask("PUT", "rules"))
    for name, text in RULES.items():
        body = policy(side, "rules") if name == "policy" else text.encode()
        steps = [("before", "GET", b""), ("stored", "PUT", body), ("read", "GET", b""), ("no sense", "PUT", b"<a>")]
        steps += [] if name in _NOT_REMOVED else [("removed", "DELETE", b""), ("after", "GET", b"")]
        for word, method, data in steps:
            headers: Headers = (("Content-MD5", md5(data)),) if data else ()
            note(f"rules {name} | {word}", side.ask(method, "rules", None, name, body=data, headers=headers))
    side.ask("PUT", "rules", "key", body=b"key")
    for query in ("acl", "tagging", "retention", "legal-hold", "torrent", "attributes"):
        note(f"rules of an object {query} | read", side.ask("GET", "rules", "key", query))
    tags = b"<Tagging><TagSet><Tag><Key>a</Key><Value>b/c</Value></Tag></TagSet></Tagging>"
    note("rules of an object tagging | stored", side.ask("PUT", "rules", "key", "tagging", body=tags))
    note("rules of an object tagging | read again", side.ask("GET", "rules", "key", "tagging"))
    note("rules of an object tagging | removed", side.ask("DELETE", "rules", "key", "tagging"))
    for acl, where in itertools.product(("private", "public-read", "public-read-write", "nonsense"), (None, "key")):
        headers = (("x-amz-acl", acl),)
        note(f"acl {acl} | {where} | stored", side.ask("PUT", "rules", where, "acl", headers=headers))
        note(f"acl {acl} | {where} | read", side.ask("GET", "rules", where, "acl"))
        note(f"acl {acl} | {where} | used", side.ask("GET", "rules", where, how="none"))


def versions(side: Side, note: Note) -> None:
    """An object with three versions, one of them a mark that it is deleted."""
    note("versions: made", side.ask("PUT", "versions"))
    note("versions: on", side.ask("PUT", "versions", None, "versioning", body=RULES["versioning"].encode()))
    first = note("versions: first", side.ask("PUT", "versions", "a;b", body=b"1")).headers.get("x-amz-version-id", "")
    note("versions: second", side.ask("PUT", "versions", "a;b", body=b"22"))
    note("versions: read", side.ask("GET", "versions", "a;b"))
    for method in ("GET", "HEAD"):
        note(f"versions: {method} the first", side.ask(method, "versions", "a;b", f"versionId={first}"))
        note(f"versions: {method} none", side.ask(method, "versions", "a;b", "versionId=none"))
    note("versions: mark", side.ask("DELETE", "versions", "a;b"))
    note("versions: read the mark", side.ask("GET", "versions", "a;b"))
    note("versions: list", side.ask("GET", "versions", None, "versions"))
    source = (("x-amz-copy-source", f"/{side.bucket('versions')}/a%3Bb?versionId={quote(first)}"),)
    note("versions: copy the first", side.ask("PUT", "versions", "copy", headers=source))
    note("versions: remove the first", side.ask("DELETE", "versions", "a;b", f"versionId={first}"))
    note("versions: list after", side.ask("GET", "versions", None, "versions"))
    note("lock: made", side.ask("PUT", "lock", headers=(("x-amz-bucket-object-lock-enabled", "true"),)))
    note("lock: read", side.ask("GET", "lock", None, "object-lock"))
    kept = (("x-amz-object-lock-mode", "GOVERNANCE"), ("x-amz-object-lock-retain-until-date", "2038-01-01T00:00:00Z"))
    headers = (*kept, ("Content-MD5", md5(b"kept")))
    version = note("lock: stored", side.ask("PUT", "lock", "a", headers=headers, body=b"kept")).headers.get(
        "x-amz-version-id", ""
    )
    note("lock: HEAD", side.ask("HEAD", "lock", "a"))
    note("lock: retention", side.ask("GET", "lock", "a", "retention"))
    note("lock: removed in vain", side.ask("DELETE", "lock", "a", f"versionId={version}"))
    hold = b"<LegalHold><Status>ON</Status></LegalHold>"
    note("lock: hold", side.ask("PUT", "lock", "a", "legal-hold", body=hold, headers=(("Content-MD5", md5(hold)),)))
    note("lock: hold read", side.ask("GET", "lock", "a", "legal-hold"))


def multipart(side: Side, note: Note) -> None:
    """Uploads in parts, in both styles and with two kinds of body."""
    part = bytes(5 << 20)  # the least that a part may have which is not the last
    for style, key, how in (("path", "a//b+c;d", "v4"), ("virtual", "ü/..", signing.CHUNKED)):
        bucket, cell = f"parts-{style}", f"parts {style} |"
        note(f"{cell} made", side.ask("PUT", bucket))
        headers: Headers = (("x-amz-meta-a", "b"),)
        upload = upload_of(
            note(f"{cell} begun", side.ask("POST", bucket, key, "uploads", style=style, headers=headers))
        )
        note(f"{cell} uploads", side.ask("GET", bucket, None, "uploads", style=style))
        query = f"partNumber=1&uploadId={upload}"
        first = note(f"{cell} part 1", side.ask("PUT", bucket, key, query, body=part, how=how, style=style))
        side.ask("PUT", bucket, "source", body=bytes(range(256)) * 40)
        source = (("x-amz-copy-source", f"/{side.bucket(bucket)}/source"), ("x-amz-copy-source-range", "bytes=5-10000"))
        query = f"partNumber=2&uploadId={upload}"
        second = note(f"{cell} part 2, copied", side.ask("PUT", bucket, key, query, headers=source, style=style))
        for query in ("", "&max-parts=1", "&part-number-marker=1", "&encoding-type=url"):
            note(f"{cell} list{query}", side.ask("GET", bucket, key, f"uploadId={upload}{query}", style=style))
        etags = (
            first.headers.get("etag", ""),
            re.sub(r".*<ETag>(?:&quot;)?([^<&]*).*", r"\1", second.text, flags=re.DOTALL),
        )
        _complete(side, note, cell, (bucket, key, f"uploadId={upload}", style), etags)
        note(f"{cell} HEAD", side.ask("HEAD", bucket, key, style=style))
        note(f"{cell} HEAD of a part", side.ask("HEAD", bucket, key, "partNumber=2", style=style))
        headers = (("Range", "bytes=5242870-5242890"),)
        note(f"{cell} range over parts", side.ask("GET", bucket, key, style=style, headers=headers))
        dropped = upload_of(note(f"{cell} begun again", side.ask("POST", bucket, key, "uploads", style=style)))
        for word, method, more in (
            ("dropped", "DELETE", ""),
            ("dropped twice", "DELETE", ""),
            ("part", "PUT", "partNumber=1&"),
        ):
            query, data = f"{more}uploadId={dropped}", b"a" if more else b""
            note(f"{cell} again: {word}", side.ask(method, bucket, key, query, body=data, style=style))
        note(f"{cell} uploads after", side.ask("GET", bucket, None, "uploads", style=style))


def _complete(side: Side, note: Note, cell: str, where: tuple[str, str, str, str], etags: Iterable[str]) -> None:
    bucket, key, query, style = where
    parts = [
        f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number, etag in enumerate(etags, 1)
    ]
    whole = "".join(parts)
    for word, text in (
        ("no sense", "<a>"),
        ("wrong part", whole.replace(">2<", ">9<")),
        ("done", whole),
        ("again", whole),
    ):
        body = f"<CompleteMultipartUpload>{text}</CompleteMultipartUpload>".encode()
        note(f"{cell} completed: {word}", side.ask("POST", bucket, key, query, body=body, style=style))


def upload_of(answer: Answer) -> str:
    """Its identifier."""
    return answer.text.partition("<UploadId>")[2].partition("</UploadId>")[0]
