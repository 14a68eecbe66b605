"""Bundles: their bytes are those that others expect, and what is none is refused."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import BadInput, Corrupt
from common.model import Digest
from naust import untrusted
from naust.proof import bundle
from naust.proof.bundle import Subject, predicate_type, read_bundle, read_statement, signed_bytes
from naust.sign import checked_purpose, sealed
from tests.lab.proofs import key

DIGEST = Digest.of(b"it")


def made() -> bytes:
    said = bundle.statement(Subject((str(DIGEST),), "file/it"), bundle.SIGNATURE, {})
    return sealed(key("release"), said)


def test_the_signed_bytes_are_those_of_the_specification() -> None:
    """The example of DSSE's protocol.md."""
    assert signed_bytes("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_a_bundle_reads_back_as_what_was_signed() -> None:
    read = read_bundle(made(), "it")
    assert read.statement.about(DIGEST) == Subject((str(DIGEST),), "file/it")
    assert read.statement.about(Digest.of(b"other")) is None
    assert key("release").public.verifies(read.signature, read.signed)
    assert read.hint == key("release").public.hint


@given(st.data())
def test_no_changed_byte_of_a_bundle_goes_unnoticed(data: st.DataObject) -> None:
    """It is refused, or its signature fails, or what is signed is the same."""
    good = made()
    place = data.draw(st.integers(0, len(good) - 1))
    value = data.draw(st.integers(0, 255).filter(lambda each: each != good[place]))
    try:
        read = read_bundle(good[:place] + bytes([value]) + good[place + 1 :], "it")
    except Corrupt:
        return
    same = read.payload == read_bundle(good, "it").payload
    assert same or not key("release").public.verifies(read.signature, read.signed)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_in_our_own_words(data: bytes) -> None:
    for read in (read_bundle, read_statement):
        with pytest.raises(Corrupt):
            read(data, "it")


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(["mediaType", "dsseEnvelope", "verificationMaterial"]), _VALUES)
def test_any_value_anywhere_is_read_or_refused(field: str, value: object) -> None:
    try:
        read_bundle(json.dumps(json.loads(made()) | {field: value}).encode(), "it")
    except Corrupt:
        return


@given(st.sampled_from(["_type", "subject", "predicateType", "predicate"]), _VALUES)
def test_any_statement_is_read_or_refused(field: str, value: object) -> None:
    document = json.loads(base64.b64decode(json.loads(made())["dsseEnvelope"]["payload"]))
    try:
        found = read_statement(json.dumps(document | {field: value}).encode(), "it")
    except Corrupt:
        return
    found.about(DIGEST)


def test_documents_that_are_too_large_or_too_deep_are_refused() -> None:
    with pytest.raises(Corrupt, match="allowed"):
        untrusted.document(b"{}", "it", largest=1)
    for depth, good in ((90, True), (110, False), (100_000, False)):
        data = b'{"a":' + b"[" * depth + b"]" * depth + b"}"
        if good:
            untrusted.document(data, "it")
        else:
            with pytest.raises(Corrupt):
                untrusted.document(data, "it")


def test_numbers_without_end_and_keys_that_are_there_twice_are_refused() -> None:
    for data in (
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":1,"a":2}',
        b'{"b":{"a":1,"a":1}}',
        b'{"a":' + b"9" * 10_000 + b"}",
    ):
        with pytest.raises(Corrupt):
            untrusted.document(data, "it")


def test_cosign_s_words_for_predicate_types_are_known_and_uris_pass() -> None:
    assert predicate_type("cyclonedx") == "https://cyclonedx.org/bom"
    assert predicate_type("slsaprovenance1") == "https://slsa.dev/provenance/v1"
    assert predicate_type("https://example.org/x") == "https://example.org/x"
    for word in ("", "x", "a b:c", "a:\n"):
        with pytest.raises(BadInput):
            predicate_type(word)


def test_a_purpose_is_a_word() -> None:
    assert checked_purpose("release-2.x_y") == "release-2.x_y"
    for purpose in ("-", "a b", "ü", "a\n", "a" * 64, "²"):
        with pytest.raises(BadInput):
            checked_purpose(purpose)
