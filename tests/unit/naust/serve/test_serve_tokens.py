"""Tokens: what is written is a digest, what may be done is in the scopes, and what is doubtful lets nobody in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import BadInput, Conflict, Denied, Error, NotFound
from naust.serve.tokens import Holder, Right, Scope, Tokens, described, lifetime, new, read, revoke

EVERYTHING = (Scope(Right.ADMIN, "*"),)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


def test_a_token_is_shown_once_and_kept_as_a_digest(path: Path) -> None:
    token = new(path, "ci", EVERYTHING, None)
    assert token.value not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert "***" in f"{token} {token!r}"
    found = Tokens(path).holder(token.value)
    assert found is not None
    assert found.name == "ci"
    assert token.value not in str(described(found))


def test_what_is_no_token_gets_nobody(path: Path) -> None:
    token = new(path, "ci", EVERYTHING, None).value
    tokens = Tokens(path)
    for wrong in ("", token[:-1], token + "x", token.upper(), "\udcff", path.read_text().split()[1]):
        assert tokens.holder(wrong) is None


@pytest.mark.parametrize(
    ("scope", "right", "name", "expected"),
    [
        ("read:container/*", Right.READ, "container/app", True),
        ("read:container/*", Right.WRITE, "container/app", False),
        ("read:container/*", Right.READ, "file/app", False),
        ("write:file/app-*", Right.READ, "file/app-1", True),
        ("write:file/app-*", Right.WRITE, "file/app", False),
        ("write:file/app", Right.WRITE, "file/app", True),
        ("write:file/app", Right.WRITE, "file/app2", False),
        ("write:file/app", Right.ADMIN, "file/app", False),
        ("admin:*", Right.ADMIN, "vm/x", True),
    ],
)
def test_a_scope_covers_its_names_and_lesser_rights(scope: str, right: Right, name: str, expected: bool) -> None:
    assert Scope.parse(scope).covers(right, name) is expected
    assert str(Scope.parse(scope)) == scope


@pytest.mark.parametrize(
    "text", ["", "read", "read:", "own:*", "read:a b", "read:*a", "READ:*", "read:a*b", "read:a,b"]
)
def test_what_is_no_scope_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        Scope.parse(text)


def test_only_a_star_alone_is_everywhere() -> None:
    assert Holder("a", (Scope.parse("admin:*"),)).may_everywhere(Right.READ)
    assert not Holder("a", (Scope.parse("admin:f*"),)).may_everywhere(Right.READ)


def test_a_file_that_others_may_read_is_refused(path: Path) -> None:
    token = new(path, "ci", EVERYTHING, None).value
    tokens = Tokens(path)
    path.chmod(0o640)
    with pytest.raises(Denied, match="others"):
        Tokens(path)
    assert tokens.holder(token) is None
    path.chmod(0o600)
    assert tokens.holder(token) is not None


def test_a_revoked_token_is_worth_nothing_at_once(path: Path) -> None:
    first, second = new(path, "a", EVERYTHING, None).value, new(path, "b", EVERYTHING, None).value
    tokens = Tokens(path)
    revoke(path, "a")
    assert tokens.holder(first) is None
    assert tokens.holder(second) is not None
    with pytest.raises(NotFound):
        revoke(path, "a")


def test_a_token_ends_at_its_time(path: Path) -> None:
    late = new(path, "late", EVERYTHING, datetime.now(UTC) - timedelta(seconds=1)).value
    good = new(path, "good", EVERYTHING, lifetime("1h")).value
    tokens = Tokens(path)
    assert tokens.holder(late) is None
    assert tokens.holder(good) is not None
    assert described(read(path)[0])["expires"].endswith("(expired)")
    assert lifetime("") is None
    with pytest.raises(BadInput):
        lifetime("soon")


def test_names_are_taken_once_and_are_names(path: Path) -> None:
    new(path, "a", EVERYTHING, None)
    with pytest.raises(Conflict):
        new(path, "a", EVERYTHING, None)
    for wrong in ("", "a b", "-a", "a\n", "#"):
        with pytest.raises(BadInput):
            new(path, wrong, EVERYTHING, None)
    with pytest.raises(BadInput):
        new(path, "b", (), None)


def test_a_missing_file_says_how_to_make_one(path: Path) -> None:
    with pytest.raises(NotFound) as error:
        Tokens(path)
    assert "naust token new" in error.value.resolution


@given(text=st.text(max_size=200))
def test_no_file_makes_the_reader_fail(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("t") / "tokens"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    path.chmod(0o600)
    try:
        read(path)
    except Error as error:
        assert str(path) in error.message
