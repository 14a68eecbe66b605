"""common.schema: every problem of a block is told, each once; the manual says what the reader takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from common import hcl, system_shapes, target_shapes
from common.errors import Problem
from common.manual import manual
from common.role import NOWHERE, Place, Role
from common.role_shapes import ROLE
from common.schema import Inner, Setting, Shape, read, read_only, reference
from common.system import Group, System, Target
from common.values import Wrong, as_count, as_port, as_text

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Leaf:
    name: str
    port: int = 80
    place: Place = NOWHERE


@dataclass(frozen=True)
class Tree:
    summary: str
    leaves: tuple[Leaf, ...] = ()
    count: int = 1
    extra: tuple[tuple[str, object], ...] = ()


def faults(leaf: Leaf) -> list[Wrong]:
    return [Wrong("666 is no port for a leaf", "take another", "port")] if leaf.port == 666 else []


LEAF = Shape(
    "leaf", "A leaf", Leaf, "name", "its name", settings=(Setting("port", "port", as_port, "A port"),), faults=faults
)
TREE = Shape(
    name="tree",
    summary="A tree",
    make=Tree,
    settings=(
        Setting("summary", "text", as_text, "What it is", True),
        Setting("count", "count", as_count, "How many"),
    ),
    inner=(Inner(LEAF, "leaves"),),
)


def reading(text: str, shape: Shape[Tree] = TREE) -> tuple[Tree | None, list[str]]:
    problems: list[Problem] = []
    block = hcl.parse(text, "f.hcl").blocks[0]
    return read(shape, block, problems), [str(problem) for problem in problems]


def test_a_block_becomes_its_noun_with_its_place() -> None:
    tree, problems = reading('tree {\n  summary = "x"\n  leaf "a" { port = 81 }\n  leaf "b" {}\n}\n')
    assert problems == []
    assert tree == Tree("x", (Leaf("a", 81, Place("f.hcl", 3)), Leaf("b", 80, Place("f.hcl", 4))))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "1: summary is missing; add summary = text"),
        ('summary = "x"\nsumary = 1', '3: unknown attribute sumary; did you mean "summary"?'),
        ('summary = "x"\nzzz = 1', "3: unknown attribute zzz; attributes here are: count, summary"),
        ('summary = "x"\nleave "a" {}', '3: unknown block leave; did you mean "leaf"?'),
        ('summary = "x"\nleaf = 1', "3: leaf is a block, not an attribute; write leaf { … }, without ="),
        ('summary = "x"\ncount {}', "3: count is an attribute, not a block; write count = …"),
        ("summary = 5", '2: summary: 5 is not text; write it in quotes, "…"'),
        ('summary = "x"\ncount = -1', "3: count: -1 is no count; write 0 or more"),
        ('summary = "x"\nleaf {}', '3: leaf: leaf has 0 labels; write leaf "NAME" { … }'),
        ('summary = "x"\nleaf "a" "b" {}', '3: leaf "a" "b": leaf has 2 labels; write leaf "NAME" { … }'),
        (
            'summary = "x"\nleaf "A" {}',
            '3: leaf "A": label: "A" is no name; write a to z, 0 to 9 and - inside, 63 characters at most',
        ),
        (
            'summary = "x"\nleaf "a" {}\nleaf "a" {}',
            '4: a second leaf "a", the first is in line 3; keep one of the two',
        ),
        ('summary = "x"\nleaf "a" { port = 666 }', '3: leaf "a": port: 666 is no port for a leaf; take another'),
        ('summary = "x"\nleaf "a" { port = 0 }', '3: leaf "a": port: 0 is no port; ports are 1 to 65535'),
    ],
)
def test_a_wrong_block_is_told_with_line_and_fix(body: str, message: str) -> None:
    assert reading(f"tree {{\n{body}\n}}\n")[1] == [f"f.hcl:{message}"]


def test_all_problems_of_a_block_come_at_once_and_the_rest_is_read() -> None:
    tree, problems = reading('tree {\ncount = "x"\nsummary = "s"\nleaf "a" { port = 0 }\nleaf "b" {}\nfoo = 1\n}\n')
    assert [problem.split(":")[1] for problem in problems] == ["2", "6", "4"]
    assert tree is not None
    assert [leaf.name for leaf in tree.leaves] == ["a", "b"]
    assert tree.count == 1


def test_a_block_that_must_be_there_is_missed() -> None:
    shape = Shape("tree", "A tree", Tree, settings=TREE.settings, inner=(Inner(LEAF, "leaves", required=True),))
    assert reading('tree {\nsummary = "x"\n}\n', shape)[1] == ['f.hcl:1: holds no leaf; add leaf "…" { … }']


def test_an_open_block_takes_any_name_but_no_fraction() -> None:
    shape = Shape("tree", "A tree", Tree, settings=TREE.settings, open="extra")
    tree, problems = reading('tree {\nsummary = "x"\na = [1, "b"]\nc = [1.5]\n}\n', shape)
    assert tree == Tree("x", extra=(("a", (1, "b")),))
    assert problems == ["f.hcl:4: c: 1.5 is a fraction; write a whole number"]


def test_a_file_holds_its_one_block() -> None:
    problems: list[Problem] = []
    file = hcl.parse('x = 1\ntree { summary = "a" }\nbush {}\ntree { summary = "b" }\n', "f.hcl")
    assert read_only(TREE, file, problems) == Tree("a")
    assert [str(problem) for problem in problems] == [
        'f.hcl:1: attribute x stands outside of every block; move it into tree "…" { … }',
        "f.hcl:3: unknown block bush; this file holds one block, tree",
        "f.hcl:4: a second tree, the first is in line 2; give it a file of its own",
    ]


def test_an_empty_file_says_what_it_should_hold() -> None:
    problems: list[Problem] = []
    assert read_only(TREE, hcl.parse("", "f.hcl"), problems) is None
    assert [str(problem) for problem in problems] == ['f.hcl:1: holds no tree; write tree "…" { … }']


def test_the_manual_says_what_the_reader_takes() -> None:
    assert reference("Trees", "How to write them.", [("tree.hcl", TREE)]) == (
        "# Trees\n\nHow to write them.\n\n## `tree.hcl`\n\n### `tree`\n\nA tree.\n\n"
        "| attribute | value | default | meaning |\n|---|---|---|---|\n"
        "| `summary` | text | **required** | What it is |\n"
        "| `count` | count | `1` | How many |\n\n"
        "Blocks inside: `leaf` (any number).\n\n"
        '#### `tree > leaf "NAME"`\n\nA leaf. NAME: its name.\n\n'
        "| attribute | value | default | meaning |\n|---|---|---|---|\n| `port` | port | `80` | A port |\n"
    )


def test_the_printed_manual_is_that_of_the_schema() -> None:
    assert (ROOT / "systems" / "REFERENCE.md").read_text() == manual(), "run python -m common.specs"


@pytest.mark.parametrize(
    ("draft", "noun"),
    [(system_shapes.GroupDraft, Group), (system_shapes.SystemDraft, System), (target_shapes.TargetDraft, Target)],
)
def test_a_draft_has_the_defaults_of_its_noun(draft: type, noun: type) -> None:
    ours = {name: field.default for name, field in draft.__dataclass_fields__.items()}
    theirs = {name: field.default for name, field in noun.__dataclass_fields__.items()}
    for name in ours.keys() & theirs.keys() - {"roles", "groups", "nodes", "networks", "parameters", "rollout"}:
        assert ours[name] == theirs[name], name


def test_every_setting_of_a_role_is_a_field_of_it() -> None:
    assert {setting.field or setting.name for setting in ROLE.settings} <= set(Role.__dataclass_fields__)
    assert {inner.field for inner in ROLE.inner} <= set(Role.__dataclass_fields__)
