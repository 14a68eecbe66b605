"""Keys that S3 allows and proxies repair, in both styles of address, with each operation on an object."""

from __future__ import annotations

from urllib.parse import quote

from tests.lab.s3.compare import Note
from tests.lab.s3.sides import Side

KEYS = {
    "plain": "a",
    "two slashes": "a//b",
    "leading slash": "/lead",
    "two leading slashes": "//lead",
    "trailing slash": "trail/",
    "two trailing slashes": "trail//",
    "only a slash": "/",
    "percent 2F": "a%2Fb",
    "percent 252F": "a%252Fb",
    "percent": "a%",
    "percent and no hex": "a%zz",
    "plus": "a+b",
    "space": "a b",
    "spaces at the ends": " a ",
    "semicolon": "a;b=c",
    "parent folder": "a/../b",
    "only a parent folder": "..",
    "this folder": "./a",
    "folder at the end": "a/.",
    "three dots": "a/.../b",
    "question mark": "a?b=c&d",
    "number sign": "a#b",
    "backslash": "a\\b",
    "backslash and parent folder": "a\\..\\b",
    "umlaut": "ü",
    "kanji": "日本/語",
    "beyond 16 bits": "a\U0001f600b",
    "unnormalised": "e\u0301",
    "punctuation": "a'()*!~",
    "reserved": "a&b=c:d@e,f$g",
    "brackets": "[a]{b}|c^`d`\"<e>",
    "1,024 bytes": "k" * 512 + "/" + "ö" * 255 + "k",
    "tilde and under": "~a_b-c.d",
    "newline": "a\nb",
    "like a challenge": ".well-known/acme-challenge/a",
    "like swift": "swift/v1/a",
    "like a health check": "swift/healthcheck",
}  # fmt: skip

# Written on the wire otherwise than it is signed, which has to mean the same object. The target is sent as it is.
WIRE = {
    "semicolon raw": ("a;b", "a;b"),
    "plus raw": ("a+b", "a+b"),
    "slash as %2F": ("a/b", "a%2Fb"),
    "slash as %2f": ("a/b", "a%2fb"),
    "two slashes as %2F": ("a//b", "a%2F%2Fb"),
    "letter encoded": ("ab", "%61b"),
    "lower case hex": ("ü", "%c3%bc"),
    "dots encoded": ("a/../b", "a/%2E%2E/b"),
    "dots in part": ("a/../b", "a/.%2e/b"),
    "tilde encoded": ("a~b", "a%7Eb"),
    "punctuation raw": ("a'()*!", "a'()*!"),
    "reserved raw": ("a&b=c:d@e,f$g", "a&b=c:d@e,f$g"),
    "brackets raw": ("[a]", "[a]"),
    "utf-8 raw": ("ü", "ü"),
    "pipe raw": ("a|b", "a|b"),
}  # fmt: skip


def keys(side: Side, note: Note) -> None:
    """Each key: stored, found, read, read by a signed URL, copied, tagged and deleted."""
    for style in ("path", "virtual"):
        bucket = f"keys-{style}"
        note(f"{bucket}: made", side.ask("PUT", bucket))
        for word, key in KEYS.items():
            body = f"this is {key}".encode()
            cell = f"key {word} | {style} |"
            note(f"{cell} PUT", side.ask("PUT", bucket, key, body=body, style=style))
            note(f"{cell} HEAD", side.ask("HEAD", bucket, key, style=style))
            note(f"{cell} GET", side.ask("GET", bucket, key, style=style))
            note(f"{cell} GET signed URL", side.ask("GET", bucket, key, style=style, how="query"))
            note(f"{cell} GET version 2", side.ask("GET", bucket, key, style=style, how="v2"))
            source = (("x-amz-copy-source", quote(f"/{side.bucket(bucket)}/{key}")),)
            note(f"{cell} copy", side.ask("PUT", bucket, f"copy/{key}", headers=source, style=style))
            note(f"{cell} list", side.ask("GET", bucket, None, f"prefix={quote(key, safe='')}", style=style))
            note(f"{cell} PUT signed URL", side.ask("PUT", bucket, key, body=body * 2, style=style, how="query"))
        for page in ("", "encoding-type=url", "list-type=2&encoding-type=url&delimiter=%2F"):
            note(f"{bucket}: list {page}", side.ask("GET", bucket, None, page, style=style))
        for word, key in KEYS.items():
            note(f"key {word} | {style} | DELETE", side.ask("DELETE", bucket, key, style=style))
        note(f"{bucket}: list after", side.ask("GET", bucket, style=style))


def wire(side: Side, note: Note) -> None:
    """Keys that are written otherwise than they are signed."""
    for style in ("path", "virtual"):
        bucket = f"wire-{style}"
        note(f"{bucket}: made", side.ask("PUT", bucket))
        for word, (key, raw) in WIRE.items():
            cell = f"wire {word} | {style} |"
            note(f"{cell} PUT", side.ask("PUT", bucket, key, body=word.encode(), style=style, wire=raw))
            note(f"{cell} GET", side.ask("GET", bucket, key, style=style, wire=raw))
            note(f"{cell} GET signed URL", side.ask("GET", bucket, key, style=style, how="query", wire=raw))
        note(f"{bucket}: list", side.ask("GET", bucket, style=style))


def no_other_buckets(side: Side, note: Note) -> None:
    """Nothing was taken for a bucket that was meant as an object."""
    answer = side.ask("GET", "")
    found = sorted(name.partition("</Name>")[0] for name in answer.text.split("<Name>")[1:])
    ours = ("cmp-", "canary", "flows", "round-trip", "load", "uploads", "drive", "seter-breaker", "naust-test")
    strange = [name for name in found if not name.startswith(ours)]
    note("buckets that nobody made", type(answer)(answer.status, {}, " ".join(strange).encode()))
