"""common.model: nouns refuse what they cannot mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from common.errors import BadInput
from common.model import Digest, Reference


@pytest.mark.parametrize("text", ["container/traefik", "vm/a.b-c:3.7.15-20261124T221500Z", "file/x__y:_1"])
def test_a_reference_reads_back_as_it_was_written(text: str) -> None:
    assert str(Reference.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "traefik", "container/", "box/traefik", "container/../x", "container/A", "container/x:", "container/x:.a"],
)
def test_what_names_no_artefact_is_refused(text: str) -> None:
    if text == "container/x:":  # an empty tag stands for the newest
        assert Reference.parse(text).tag == ""
        return
    with pytest.raises(BadInput):
        Reference.parse(text)


@given(some.text(max_size=80))
def test_any_text_is_a_reference_or_one_clear_error(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except BadInput:
        return
    assert ".." not in reference.name
    assert "/" not in reference.tag


@given(some.binary())
def test_a_digest_reads_back(data: bytes) -> None:
    assert Digest.parse(str(Digest.of(data))) == Digest.of(data)


@pytest.mark.parametrize("text", ["", "sha256:", "sha256:" + "g" * 64, "md5:" + "0" * 32, "sha256:" + "0" * 63])
def test_what_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        Digest.parse(text)
