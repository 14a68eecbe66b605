"""What people type is read as what they mean, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import BadInput
from common.model import Artifact, Digest, Kind, Reference
from naust.address import Address, parse, uri

HEX = "ab" * 32
FULL = "3.7.15-20261124T221500Z"


def of(tag: str = "", *, kind: Kind = Kind.CONTAINER, name: str = "traefik") -> Reference:
    return Reference(kind, name, tag)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("container/traefik", Address(of())),
        ("container/traefik:3.7.15", Address(of("3.7.15"), "3.7.15")),
        (f"container/traefik:{FULL}", Address(of(FULL), FULL)),
        ("container/traefik:1:2.3+b1~x", Address(of("2.3_b1-pre.x"), "1:2.3+b1~x")),
        (f"container/traefik@sha256:{HEX}", Address(of(), digest=Digest("sha256", HEX))),
        (f"container/traefik:1@sha256:{HEX}", Address(of("1"), "1", Digest("sha256", HEX))),
        (f"file:///srv/naust/container/traefik/{FULL}", Address(of(FULL), FULL, store="file:///srv/naust")),
        (f"file:///srv/naust/container/traefik:{FULL}", Address(of(FULL), FULL, store="file:///srv/naust")),
        ("file:///srv/naust/container/traefik", Address(of(), store="file:///srv/naust")),
        ("file:///a%20b/vm/file/1.0", Address(of("1.0", kind=Kind.VM, name="file"), "1.0", store="file:///a%20b")),
        (
            f"s3://bucket/container/traefik@sha256:{HEX}",
            Address(of(), digest=Digest("sha256", HEX), store="s3://bucket"),
        ),
    ],
)
def test_an_address_is_read(text: str, expected: Address) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "traefik", "containr/traefik", "container/", "container/traefik:", "container/../x", "container/a/b",
        "container/traefik:../../x", "container/traefik:a b", "container/traefik@sha256:ab", "container/traefik@",
        "container/Traefik", "/container/traefik", "file:///traefik", "file:///srv/container/traefik/../../x",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        parse(text)


@given(st.text())
def test_any_text_is_refused_or_becomes_an_address_that_reads_the_same_again(text: str) -> None:
    try:
        found = parse(text)
    except BadInput:
        return
    assert Reference.parse(str(found.reference)) == found.reference
    assert ".." not in str(found.reference).split("/")


@given(
    kind=st.sampled_from(list(Kind)),
    name=st.from_regex(r"[a-z0-9]+(-[a-z0-9]+){0,2}", fullmatch=True),
    tag=st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}", fullmatch=True),
)
def test_a_uri_leads_back_to_the_artefact(kind: Kind, name: str, tag: str) -> None:
    artifact = Artifact(Reference(kind, name, tag), "1", Digest("sha256", HEX), 1, "", datetime.now(UTC))
    found = parse(uri("file:///srv/naust", artifact))
    assert (found.store, found.reference) == ("file:///srv/naust", artifact.reference)


def test_an_artefact_without_a_tag_is_named_by_its_digest() -> None:
    artifact = Artifact(of(), "1", Digest("sha256", HEX), 1, "", datetime.now(UTC))
    assert uri("file:///s", artifact) == f"file:///s/container/traefik@sha256:{HEX}"
