"""What browsers and strangers ask: CORS, forms, websites of buckets, other names in Host, and Swift."""

from __future__ import annotations

import datetime
import itertools
import json

from tests.lab.s3 import signing
from tests.lab.s3.compare import Note
from tests.lab.s3.sides import HOST, Side
from tests.lab.s3.signing import md5
from tests.lab.s3.table_buckets import RULES, policy
from tests.lab.s3.wire import Headers

SITE = f"website.{HOST}"


def cors(side: Side, note: Note) -> None:
    """What browsers ask, and how answers read to them."""
    note("cors: made", side.ask("PUT", "cors"))
    body = RULES["cors"].encode()
    note("cors: stored", side.ask("PUT", "cors", None, "cors", body=body, headers=(("Content-MD5", md5(body)),)))
    side.ask("PUT", "cors", "a b", body=b"cors", headers=(("x-amz-acl", "public-read"),))
    for origin, method, more, style in itertools.product(
        ("https://a.example.test", "https://elsewhere.test"),
        ("GET", "DELETE"),
        ("", "x-amz-meta-a", "x-other"),
        ("path", "virtual"),
    ):
        headers: Headers = (("Origin", origin), ("Access-Control-Request-Method", method))
        headers += (("Access-Control-Request-Headers", more),) if more else ()
        answer = side.ask("OPTIONS", "cors", "a b", headers=headers, how="none", style=style)
        note(f"preflight {origin} {method} {more} | {style}", answer)
    for origin, how, method in itertools.product(
        ("https://a.example.test", "https://elsewhere.test", "null"), ("none", "v4"), ("GET", "HEAD", "PUT")
    ):
        headers = (("Origin", origin),)
        note(
            f"origin {origin} | {how} | {method}",
            side.ask(method, "cors", "a b", headers=headers, how=how, body=b"c" if method == "PUT" else b""),
        )


def forms(side: Side, note: Note) -> None:
    """Uploads by a browser's form."""
    note("forms: made", side.ask("PUT", "forms"))
    now = datetime.datetime.now(datetime.UTC)
    day, stamp = now.strftime("%Y%m%d"), now.strftime("%Y%m%dT%H%M%SZ")
    credential = f"{side.keys.access}/{day}/{signing.REGION}/s3/aws4_request"
    given = (("x-amz-algorithm", "AWS4-HMAC-SHA256"), ("x-amz-credential", credential), ("x-amz-date", stamp))
    for keys, status, size in itertools.product((side.keys, side.keys.wrong()), ("200", "201", "204"), (10, 70000)):
        conditions = [
            {"bucket": side.bucket("forms")},
            ["starts-with", "$key", ""],
            {"success_action_status": status},
            *({name: value} for name, value in given),
        ]
        text = json.dumps(
            {"expiration": (now + datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ"), "conditions": conditions}
        ).encode()
        fields = (
            ("key", "form a+b/${filename}"),
            ("success_action_status", status),
            *given,
            *signing.form_fields(keys, text, day),
        )
        parts = "".join(
            f'--b0undary\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields
        )
        named = 'Content-Disposition: form-data; name="file"; filename="f 1.txt"'
        file = f"--b0undary\r\n{named}\r\nContent-Type: text/plain\r\n\r\n".encode()
        body = parts.encode() + file + b"f" * size + b"\r\n--b0undary--\r\n"
        answer = side.ask(
            "POST",
            "forms",
            None,
            how="none",
            body=body,
            headers=(("Content-Type", "multipart/form-data; boundary=b0undary"),),
        )
        word = "right" if keys == side.keys else "wrong"
        note(f"form | {word} secret | {status} | {size}", answer)
        note(f"form | {word} secret | {status} | {size} | read back", side.ask("GET", "forms", "form a+b/f 1.txt"))
    note("forms: list", side.ask("GET", "forms"))


def sites(side: Side, note: Note) -> None:
    """A bucket that everybody may read, as objects and as a website."""
    note("sites: made", side.ask("PUT", "sites"))
    html = (("Content-Type", "text/html"),)
    for key in ("index.html", "dir/index.html", "error.html", "a b/ü;+.html"):
        side.ask("PUT", "sites", key, body=key.encode(), headers=html)
    moved = (("x-amz-website-redirect-location", "https://example.test/a?b=c"),)
    note("sites: moved", side.ask("PUT", "sites", "moved", headers=moved))
    body = RULES["website"].encode()
    note("sites: closed", side.ask("GET", "sites", "index.html", how="none"))
    note("sites: website", side.ask("PUT", "sites", None, "website", body=body, headers=(("Content-MD5", md5(body)),)))
    note("sites: website read", side.ask("GET", "sites", None, "website"))
    note("sites: policy", side.ask("PUT", "sites", None, "policy", body=policy(side, "sites")))
    keys = ("index.html", "dir/index.html", "dir/", "dir", "", "no", "a b/ü;+.html", "moved", "a//b", "../x")
    for key, method in itertools.product(keys, ("GET", "HEAD")):
        for style in ("path", "virtual"):
            note(f"sites: object {key} | {style} | {method}", side.ask(method, "sites", key, how="none", style=style))
        note(f"sites: page {key} | {method}", side.ask(method, "sites", key, how="none", style="virtual", host=SITE))
    note("sites: page | PUT", side.ask("PUT", "sites", "new", style="virtual", host=SITE, body=b"a"))


def hosts(side: Side, note: Note) -> None:
    """The same name in other letters, with a port and with the last dot; buckets with dots in their names."""
    note("hosts: made", side.ask("PUT", "hosts"))
    side.ask("PUT", "hosts", "a", body=b"hosts")
    for host, style in itertools.product(
        (HOST, f"{HOST}:443", f"{HOST}:8443", HOST.upper(), f"{HOST}."), ("path", "virtual")
    ):
        note(f"host {host} | {style}", side.ask("GET", "hosts", "a", style=style, host=host))
    note("hosts: dots", side.ask("PUT", "a.b.c"))
    for style in ("path", "virtual"):
        note(f"hosts: dots | {style} | PUT", side.ask("PUT", "a.b.c", "a", body=b"dots", style=style))
        note(f"hosts: dots | {style} | GET", side.ask("GET", "a.b.c", "a", style=style))


OTHERS = ("swift/healthcheck", "swift/info", "info", "swift/v1", "swift/v1/no", "auth", "auth/v1.0", "admin/usage")


def others(side: Side, note: Note) -> None:
    """Paths that belong to other APIs of RadosGW."""
    for path, method in itertools.product(OTHERS, ("GET", "HEAD")):
        note(f"other API {path} | {method}", side.ask(method, "", path, how="none"))
