"""Definitions that a verb changes: the lines it means and no others."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import BadInput, Error
from common.hcl import parse
from common.role import Place
from seter.acts import RolledBack, RolloutStopped
from seter.edit import edited, pinned, with_node, without_block
from seter.logs import lines

SYSTEM = """\
system "s" {
  group "g" {
    role "one" {}
    # the "two" { } of a comment
    role "two" {
      artifact = "container/two:1" # why
      text     = "a } in a text"
    }
    role "three" { text = "x" }
  }
}
"""
TARGET = """\
target "t" {
  nodes "g" {
    node "n1" {
      networks = ["front"]
    }
    # the second
    node "n2" {
      networks = ["front"]
    }
  }
}
"""
NEW = "container/x:2-20261129T120000Z"


def changed(before: str, after: str) -> tuple[list[str], list[str]]:
    """Lines that went, and lines that came."""
    old, new = before.splitlines(), after.splitlines()
    return [line.strip() for line in old if line not in new], [line.strip() for line in new if line not in old]


@pytest.mark.parametrize(
    ("line", "artifact", "went", "came"),
    [
        (3, NEW, ['role "one" {}'], ['role "one" {', f'artifact = "{NEW}"']),
        (5, NEW, ['artifact = "container/two:1" # why'], [f'artifact = "{NEW}"']),
        (5, "", ['artifact = "container/two:1" # why'], []),
        (9, NEW, ['role "three" { text = "x" }'], ['role "three" {', f'artifact = "{NEW}"', 'text = "x"']),
    ],
)  # fmt: skip
def test_a_role_names_another_artefact_or_none(line: int, artifact: str, went: list[str], came: list[str]) -> None:
    text = pinned(SYSTEM, line, artifact)
    assert changed(SYSTEM, text) == (went, came)
    parse(text, "system.hcl")


def test_what_was_pinned_and_is_not_any_more_is_as_it_was() -> None:
    bare = SYSTEM.replace('      artifact = "container/two:1" # why\n', "")
    assert pinned(pinned(bare, 5, NEW), 5, "") == bare
    assert pinned(pinned(SYSTEM, 3, NEW), 3, "").count("artifact") == 1


def test_a_node_comes_last_in_its_group_and_one_goes_with_what_is_said_of_it() -> None:
    grown = with_node(TARGET, 2, "n3", (("networks", '["front"]'),))
    assert changed(TARGET, grown) == ([], ['node "n3" {'])
    parse(grown, "target.hcl")
    assert without_block(grown, 10) == TARGET
    assert changed(TARGET, without_block(TARGET, 7)) == (["# the second", 'node "n2" {'], [])


def test_a_block_that_does_not_end_is_refused() -> None:
    with pytest.raises(BadInput, match="line 3"):
        without_block(TARGET[:40], 3)


@given(st.text(alphabet='{}"#/ ax\n', max_size=80), st.integers(1, 8))
def test_whatever_a_file_says_it_is_changed_or_refused(text: str, line: int) -> None:
    if line <= len(text.splitlines()):
        try:
            assert NEW in pinned(text, line, NEW)
        except BadInput as refused:
            assert "does not end" in refused.message


@pytest.mark.parametrize(
    ("error", "stays"),
    [(BadInput("no", resolution=""), False), (RolledBack("back", resolution=""), False),
     (RolloutStopped("stopped", resolution=""), True)],
)  # fmt: skip
def test_the_file_says_again_what_it_said_when_nothing_came_of_it(tmp_path: Path, error: Error, stays: bool) -> None:
    file = tmp_path / "system.hcl"
    file.write_text("before")
    file.chmod(0o640)

    def act() -> None:
        assert file.read_text() == "after"
        raise error

    with pytest.raises(type(error)):
        edited(Place(str(file), 1), lambda text: text.replace("before", "after"), act)
    assert file.read_text() == ("after" if stays else "before")
    assert file.stat().st_mode & 0o777 == 0o640


@given(st.lists(st.binary(max_size=9)))
def test_lines_are_whole_however_they_come(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    found = list(lines(pieces))
    assert b"".join(found).removesuffix(b"\n") == whole.removesuffix(b"\n")
    assert all(line.count(b"\n") == 1 and line.endswith(b"\n") for line in found)
