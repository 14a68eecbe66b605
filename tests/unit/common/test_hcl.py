"""common.hcl: a literal comes out as it was meant, everything else is one message with its line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from common import hcl
from common.errors import BadDefinition, Problem
from common.values import shown

ROOT = Path(__file__).parents[3]


def problems(text: str) -> list[str]:
    with pytest.raises(BadDefinition) as caught:
        hcl.parse(text, "f.hcl")
    return [str(problem) for problem in caught.value.problems]


def value(text: str) -> hcl.Literal | None:
    return hcl.parse(f"a = {text}\n", "f.hcl").attributes[0].value


def test_blocks_and_attributes_carry_file_and_line() -> None:
    block = hcl.parse('role "x" {\n  # comment\n  port = 80\n  inner {}\n}\n', "f.hcl")
    assert block.blocks == (
        hcl.Block(
            "role",
            ("x",),
            (hcl.Attribute("port", 80, "f.hcl", 3),),
            (hcl.Block("inner", (), (), (), "f.hcl", 4),),
            "f.hcl",
            1,
        ),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5", 5),
        ("-5", -5),
        ("5.5", 5.5),
        ("1e3", 1000.0),
        ("true", True),
        ("false", False),
        ("[]", ()),
        ('[\n  1,\n  # why\n  "b",\n]', (1, "b")),
        ("[[1], [true]]", ((1,), (True,))),
        (r'"\n\r\t\"\\"', '\n\r\t"\\'),
        (r'"\u00e9\U0001F600"', "é😀"),
        (r'"a\\n"', "a\\n"),
        ('"$${x} %%{y} $5 100%"', "${x} %{y} $5 100%"),
        ('"é ü → 漢"', "é ü → 漢"),
        ('"\t"', "\t"),
        ('"# no // comment /* here"', "# no // comment /* here"),
    ],
)
def test_a_literal_arrives_as_it_is_meant(text: str, expected: hcl.Literal) -> None:
    assert value(text) == expected
    assert type(value(text)) is type(expected)


def test_crlf_ends_are_read_as_lf() -> None:
    assert hcl.parse('a = 1\r\nb = "x"\r\n', "f.hcl") == hcl.parse('a = 1\nb = "x"\n', "f.hcl")


LITERALS = 'write a literal ("text", 5, true) or a list of literals'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('a = "x${y}"', "a is text with an expression, ${…}; write the value itself, or $${ if ${ is meant"),
        (
            r'a = "${upper("a\"b")}"',
            "a is text with an expression, ${…}; write the value itself, or $${ if ${ is meant",
        ),
        ('a = "%{if x}y%{endif}"', "a is text with a directive, %{…}; write the value itself, or %%{ if %{ is meant"),
        ("a = upper(1)", f"a is a function call, not a literal; {LITERALS}"),
        ("a = list(object({id=string}))", f"a is a function call, not a literal; {LITERALS}"),
        ("a = gateways", 'a is a bare name, gateways; write "gateways" if text is meant'),
        ("a = [gateways]", 'a is a bare name, gateways; write "gateways" if text is meant'),
        ("a = null", "a is null; leave the attribute out"),
        ("a = {}", f"a is an object, not a literal; {LITERALS}"),
        ("a = 1 + 2", f"a is an expression, not a literal; {LITERALS}"),
        ("a = (1)", f"a is an expression, not a literal; {LITERALS}"),
        ("a = !true", f"a is an expression, not a literal; {LITERALS}"),
        ("a = x ? 1 : 2", f"a is a condition, not a literal; {LITERALS}"),
        ("a = [for x in y : x]", f"a is a for expression, not a literal; {LITERALS}"),
        ("a = x.y", f"a is an expression, not a literal; {LITERALS}"),
        ("a = <<EOT\nx\nEOT\n", f"a is a heredoc, not a literal; {LITERALS}"),
        ("a = <<-EOT\nx\nEOT\n", f"a is a heredoc, not a literal; {LITERALS}"),
        (r'a = "\q"', r"a is text with \q, which is no escape; write one of \n \r \t \" \\ \uXXXX"),
        (r'a = "\ud800"', r"a is text with \ud800, which is no escape; write one of \n \r \t \" \\ \uXXXX"),
        (r'a = "\u0000"', "a is text with a NUL character; leave it out: no program or file takes it"),
        ("a = 9999999999999999999", "a is a number of more than 18 digits; write a smaller one"),
        ("a = 1\na = 2", "a is given twice, first in line 1; keep one of the two"),
        ("a = 1 b = 2", "two definitions on one line; give each attribute and block its own line"),
        ('x "${y}" {}', "the label is text with an expression, ${…}; write the value itself, or $${ if ${ is meant"),
    ],
)
def test_what_is_no_literal_is_refused_with_line_and_fix(text: str, message: str) -> None:
    line = 2 if "\na = 2" in text else 1
    assert problems(text) == [f"f.hcl:{line}: {message}"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('x {\n  y {\n    a = "}" # }\n}\n', "1: { is never closed; add } where it ends"),
        ("x {\n  a = [\n    1,\n", "2: [ is never closed; add ] where it ends"),
        ("a = \n", '1: column 5: the line ends too early; write NAME = VALUE or BLOCK "LABEL" { … }'),
        ("\n}\n", "2: column 1: '}' does not belong here; write NAME = VALUE or BLOCK \"LABEL\" { … }"),
        ('a = "x\nb = "y"\n', '1: a string is not closed on its line; end it with ", and write a line break as \\n'),
        ("a = 1\n/* b = 2\n", "2: a comment is not closed; end it with */"),
        ('a = <<EOT\nit"s \\\nEOF\n', '1: a heredoc is not a literal; write "text", with \\n for line breaks'),
        (
            'a = "$${"\n',
            "1: the parser cannot read $${ without a } in the same string; write the $ as \\u0024",
        ),
        ("\ufeffa = 1\n", "1: column 1: '\\ufeffa' does not belong here; write NAME = VALUE or BLOCK \"LABEL\" { … }"),
    ],
)
def test_a_syntax_error_names_the_line_that_caused_it(text: str, message: str) -> None:
    assert problems(text) == [f"f.hcl:{message}"]


def test_deep_nesting_is_a_problem_and_no_crash() -> None:
    assert problems(f"a = {'[' * 3000}{']' * 3000}") == ["f.hcl: is nested too deeply to be read; write it flatter"]


def test_all_problems_of_a_file_come_at_once() -> None:
    text = 'a = foo\nb = 1\nb = 2\nc "x" {\n  d = "${e}"\n}\n'
    assert [each.split(":")[1] for each in problems(text)] == ["1", "3", "5"]


# Any text -------------------------------------------------------------------------------------------------------------

SNIPPETS = some.sampled_from(
    """a = |"|{|}|[|]|\n|$${|${|%{|<<EOT\n|EOT|\\|#|/*|*/|,|1|-|role |true|null|for |(|)|=>|~|é|\r\n|if |.""".split("|")  # noqa: SIM905
)


@settings(max_examples=300, deadline=None)
@given(some.one_of(some.text(max_size=60), some.lists(SNIPPETS, max_size=25).map("".join)))
def test_any_text_is_read_or_is_one_clear_error(text: str) -> None:
    try:
        hcl.parse(text, "f.hcl")
    except BadDefinition as error:
        assert error.problems
        assert all(0 <= problem.line <= text.count("\n") + 1 for problem in error.problems)


LITERAL = some.recursive(
    some.one_of(
        some.lists(some.sampled_from(["$", "%", "{", "}", "\\", '"', "n", "u0041", "\n", "\r"]), max_size=6).map(
            "".join
        ),
        some.text(some.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
        some.integers(-(10**18) + 1, 10**18 - 1),
        some.booleans(),
    ),
    lambda inner: some.lists(inner, max_size=4).map(tuple),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(LITERAL)
def test_a_literal_that_is_written_reads_back_as_itself(literal: hcl.Literal) -> None:
    assert value(shown(literal)) == literal


# Files and the cache --------------------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "seter" / "hcl"


def read(path: Path, shown: str = "f.hcl") -> tuple[hcl.Block | None, list[str]]:
    found: list[Problem] = []
    return hcl.read(path, shown, found), [str(problem) for problem in found]


def test_what_comes_from_the_cache_equals_what_was_parsed(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "x.hcl"
    path.write_text('a = ["x", 1, true, 2.5, ["y"]]\nb "c" {\n  d = "é"\n}\n')
    first = read(path)
    assert len(list(cache.glob("*.json"))) == 1
    assert read(path) == first == (hcl.parse(path.read_text(), "f.hcl"), [])


def test_the_cache_knows_content_and_not_names(tmp_path: Path, cache: Path) -> None:
    for name in ("x.hcl", "y.hcl"):
        (tmp_path / name).write_text("a = 1\n")
        block, _ = read(tmp_path / name, name)
        assert block is not None
        assert block.attributes[0].file == name
    assert len(list(cache.glob("*.json"))) == 1


@pytest.mark.parametrize("damage", [b"", b"x", b"\n", b"{}", b"0\n{}", b"\xff\xfe\n\x00"])
def test_a_damaged_cache_is_ignored_and_mended(tmp_path: Path, cache: Path, damage: bytes) -> None:
    path = tmp_path / "x.hcl"
    path.write_text("a = 1\n")
    good = read(path)
    (entry,) = cache.glob("*.json")
    whole = entry.read_bytes()
    entry.write_bytes(damage)
    assert read(path) == good
    assert entry.read_bytes() == whole


def test_a_changed_value_in_the_cache_is_noticed(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "x.hcl"
    path.write_text("a = 64512\n")
    good = read(path)
    (entry,) = cache.glob("*.json")
    entry.write_bytes(entry.read_bytes().replace(b"64512", b"64513"))
    assert read(path) == good


def test_a_cache_of_another_format_is_not_read(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.hcl"
    path.write_text("a = 1\n")
    monkeypatch.setattr(hcl, "FORMAT", 999)
    good = read(path)
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache.parents[1]))
    assert read(path) == good
    (entry,) = cache.glob("*.json")
    assert json.loads(entry.read_bytes().split(b"\n", 1)[1])["format"] == hcl.FORMAT


def test_the_cache_does_not_grow_without_end(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hcl, "KEPT", 3)
    path = tmp_path / "x.hcl"
    for number in range(6):
        path.write_text(f"a = {number}\n")
        read(path)
    assert len(list(cache.glob("*.json"))) == 3


def test_without_a_place_for_the_cache_files_are_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    path = tmp_path / "x.hcl"
    path.write_text("a = 1\n")
    assert read(path) == (hcl.parse("a = 1\n", "f.hcl"), [])


def test_a_file_with_a_problem_is_not_cached(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "x.hcl"
    path.write_text("a = b\nc = 1\n")
    block, found = read(path)
    assert block is not None
    assert [attribute.value for attribute in block.attributes] == [None, 1]
    assert found == ['f.hcl:1: a is a bare name, b; write "b" if text is meant']
    assert not list(cache.glob("*.json"))


def test_a_file_that_is_not_utf8_or_not_there_is_a_problem(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "x.hcl"
    path.write_bytes(b"a = 1\nb = \xff\n")
    assert read(path) == (None, ["f.hcl:2: is not UTF-8; save the file as UTF-8 text"])
    missing = "f.hcl: cannot be read (No such file or directory); make it readable"
    assert read(tmp_path / "y.hcl") == (None, [missing])


def test_a_warm_load_of_a_system_imports_no_parser(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from common.catalog import Catalog; "
        "Catalog.open(Path('systems')).system('s3-lb'); "
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'hcl2', 'lark', 'yaml', 'rich', 'typer'}))"
    )
    env = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    runs = [
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
        for _ in range(2)
    ]
    assert [run.stdout.strip() for run in runs] == ["['hcl2', 'lark']", "[]"], runs[0].stderr
