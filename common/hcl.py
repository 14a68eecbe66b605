"""HCL text → blocks and attributes with file and line. Values are literals: HCL is data here, not a language.

The only importer of hcl2, and a lazy one: its import and its first parse cost 0.2 to 2 s. What was parsed without a
problem is kept by content in `$XDG_CACHE_HOME/seter/hcl` (else `~/.cache`), so reading it again takes well under 1 ms.

python-hcl2 is lenient where HCL is not (newlines in strings, several attributes on one line, the last of two equal
attributes wins), so the rules are walked here and each of these is refused. Nothing is ever written back through it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from common.errors import BadDefinition, Error, Problem
from common.files import write_atomically

FORMAT = 1  # of cached files; a change of the nouns below or of what is accepted takes the next number
KEPT = 1000  # cached files; a system has about twenty
LONGEST_NUMBER = 18  # digits; fits 64 bits

_Rule: TypeAlias = Any  # a rule of hcl2, whose classes carry no types
Literal: TypeAlias = "str | int | float | bool | tuple[Literal, ...]"

_LITERALS = 'write a literal ("text", 5, true) or a list of literals'
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)", re.DOTALL)
_NOT_LITERAL = {
    "identifier": "a bare name",
    "function_call": "a function call",
    "heredoc_template": "a heredoc",
    "heredoc_template_trim": "a heredoc",
    "object": "an object",
    "interpolation": "an expression, ${…}",
    "for_tuple_expr": "a for expression",
    "for_object_expr": "a for expression",
    "conditional": "a condition",
    "binary_op": "an expression",
    "unary_op": "an expression",
}


@dataclass(frozen=True, slots=True)
class Attribute:
    """`name = value`. The value is None when it was refused; the problem is recorded then."""

    name: str
    value: Literal | None
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Block:
    """`type "label" … { … }`. A whole file is a block whose type is empty."""

    type: str
    labels: tuple[str, ...]
    attributes: tuple[Attribute, ...]
    blocks: tuple[Block, ...]
    file: str
    line: int


def parse(text: str, file: str) -> Block:
    """The text as one block. `file` is what messages call it. Raises BadDefinition with all problems."""
    problems: list[Problem] = []
    block = _parsed(text, file, problems)
    if block is None or problems:
        raise BadDefinition(problems)
    return block


def read(path: Path, file: str, problems: list[Problem]) -> Block | None:
    """The file as one block, from the cache when its content was parsed before.

    Appends every problem to `problems`; what could be read is returned all the same, None when nothing could.
    """
    try:
        data = path.read_bytes()
        text = data.decode()
    except OSError as error:
        problems.append(Problem(file, 0, f"cannot be read ({error.strerror})", "make it readable"))
        return None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problems.append(Problem(file, line, "is not UTF-8", "save the file as UTF-8 text"))
        return None
    cached = _cache_folder() / f"{hashlib.sha256(data).hexdigest()}.json"
    return _recalled(cached, file) or _remembered(cached, text, file, problems)


# The cache ------------------------------------------------------------------------------------------------------------


def _cache_folder() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or ""
    # The XDG specification says that a relative path is to be ignored.
    return (Path(home) if Path(home).is_absolute() else Path.home() / ".cache") / "seter" / "hcl"


def _recalled(cached: Path, file: str) -> Block | None:
    """The block of a cached file; None when there is none, or when it is damaged or of another format."""
    try:
        digest, body = cached.read_bytes().split(b"\n", 1)
    except (OSError, ValueError):
        return None
    if digest.decode("ascii", "replace") != hashlib.sha256(body).hexdigest():
        return None
    content = json.loads(body)
    return _unpacked(content["block"], file) if content["format"] == FORMAT else None


def _remembered(cached: Path, text: str, file: str, problems: list[Problem]) -> Block | None:
    found: list[Problem] = []
    block = _parsed(text, file, found)
    problems.extend(found)
    if block is not None and not found:
        body = json.dumps({"format": FORMAT, "block": _packed(block)}).encode()
        try:
            write_atomically(cached, hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
            _forget_oldest(cached.parent)
        except (Error, OSError):
            # Only a cache: a full or read-only disk costs time, never the result.
            return block
    return block


def _forget_oldest(folder: Path) -> None:
    entries = list(folder.glob("*.json"))
    if len(entries) > KEPT:
        for path in sorted(entries, key=lambda path: path.stat().st_mtime)[: len(entries) - KEPT]:
            path.unlink(missing_ok=True)


def _packed(block: Block) -> list[Any]:
    attributes = [[each.name, each.value, each.line] for each in block.attributes]
    return [block.type, block.labels, attributes, [_packed(each) for each in block.blocks], block.line]


def _unpacked(data: list[Any], file: str) -> Block:
    kind, labels, attributes, blocks, line = data
    return Block(
        kind,
        tuple(labels),
        tuple(Attribute(name, _frozen(value), file, at) for name, value, at in attributes),
        tuple(_unpacked(each, file) for each in blocks),
        file,
        line,
    )


def _frozen(value: Literal | list[Literal]) -> Literal:
    return tuple(_frozen(each) for each in value) if isinstance(value, list) else value


# The parser -----------------------------------------------------------------------------------------------------------


def _parsed(text: str, file: str, problems: list[Problem]) -> Block | None:
    import hcl2
    from lark.exceptions import LarkError, UnexpectedInput

    try:
        return _Walk(text, file, problems).body("", (), hcl2.parses(text).body, 1)
    except UnexpectedInput as error:
        problems.append(_syntax_problem(text, file, error.line, error.column))
    except (LarkError, RecursionError):
        problems.append(Problem(file, 0, "is nested too deeply to be read", "write it flatter"))
    return None


def _syntax_problem(text: str, file: str, line: int, column: int) -> Problem:
    """Where the text stops being HCL. An earlier unclosed string, comment or heredoc is the cause, so it is named."""
    opened = next(_unclosed(text), None)
    if opened is not None and (line < 1 or opened[0] <= line):
        return Problem(file, opened[0], opened[1], opened[2])
    lines = text.splitlines()
    if line < 1 or line > len(lines):
        return Problem(file, *_open_bracket(text, max(len(lines), 1)))
    at = lines[line - 1][max(column - 1, 0) :].split()
    what = f"{at[0][:30]!r} does not belong here" if at else "the line ends too early"
    return Problem(file, line, f"column {column}: {what}", 'write NAME = VALUE or BLOCK "LABEL" { … }')


# One alternative eats what may hold quotes (comments, whole strings); the named ones are what is wrong.
_TOKENS = re.compile(
    r"""
      (?P<template>"(?:\\.|[^"\\\n])*?(?<!\$)\$\$\{[^}"\n]*["\n])
    | "(?:\\.|[^"\\\n])*"
    | (?P<string>"(?:\\.|[^"\\\n])*(?:\\?\n|\\?\Z))
    | (?:\#|//)[^\n]*
    | /\*.*?\*/
    | (?P<comment>/\*)
    | (?P<heredoc><<-?[A-Za-z])
    """,
    re.VERBOSE | re.DOTALL,
)


def _unclosed(text: str) -> Iterator[tuple[int, str, str]]:
    """Line, message and fix of each string or comment that is opened and not closed, and of heredocs."""
    for found in _TOKENS.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        if found["string"] is not None:
            yield line, "a string is not closed on its line", 'end it with ", and write a line break as \\n'
        elif found["template"] is not None:
            yield line, "the parser cannot read $${ without a } in the same string", "write the $ as \\u0024"
        elif found["comment"] is not None:
            yield line, "a comment is not closed", "end it with */"
        elif found["heredoc"] is not None:
            yield line, "a heredoc is not a literal", 'write "text", with \\n for line breaks'


def _open_bracket(text: str, last_line: int) -> tuple[int, str, str]:
    """The innermost bracket that is never closed: where, message and fix."""
    code = _TOKENS.sub(lambda found: "\n" * found[0].count("\n"), text)
    opened: list[tuple[int, str]] = []
    for found in re.finditer(r"[\[({})\]]", code):
        if found[0] in "[({":
            opened.append((code.count("\n", 0, found.start()) + 1, found[0]))
        elif opened:
            opened.pop()
    if not opened:
        return last_line, "the file ends too early", "write what is missing"
    line, bracket = opened[-1]
    closing = {"[": "]", "(": ")", "{": "}"}[bracket]
    return line, f"{bracket} is never closed", f"add {closing} where it ends"


class _Refused(Exception):
    """A value that is no literal; says what it is and what to write."""

    def __init__(self, message: str, fix: str = _LITERALS) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix


class _Walk:
    """From the parser's rules to blocks. Rules are told apart by `lark_name()`, the name in the grammar."""

    def __init__(self, text: str, file: str, problems: list[Problem]) -> None:
        self.text = text
        self.file = file
        self.problems = problems

    def body(self, kind: str, labels: tuple[str, ...], body: _Rule, line: int) -> Block:
        attributes: dict[str, Attribute] = {}
        blocks: list[Block] = []
        last_line = 0
        for rule in body.children:
            name = rule.lark_name()
            if name not in ("attribute", "block"):
                continue
            if rule._meta.line == last_line:
                self.problem(last_line, "two definitions on one line", "give each attribute and block its own line")
            last_line = rule._meta.end_line
            if name == "block":
                blocks.append(self.block(rule))
                continue
            attribute = self.attribute(rule)
            self.add(attributes, attribute)
            if attribute.value is None:
                last_line = 0  # what was refused may reach over the end of its last line, as a heredoc does
        return Block(kind, labels, tuple(attributes.values()), tuple(blocks), self.file, line)

    def block(self, rule: _Rule) -> Block:
        kind, *labels = rule.labels
        line = rule._meta.line
        return self.body(kind.token.value, tuple(self.label(label, line) for label in labels), rule.body, line)

    def label(self, rule: _Rule, line: int) -> str:
        if rule.lark_name() != "string":
            return str(rule.token.value)
        try:
            return _string(rule)
        except _Refused as refused:
            self.problem(line, f"the label is {refused.message}", refused.fix)
            return ""

    def add(self, attributes: dict[str, Attribute], attribute: Attribute) -> None:
        first = attributes.setdefault(attribute.name, attribute)
        if first is not attribute:
            message = f"{attribute.name} is given twice, first in line {first.line}"
            self.problem(attribute.line, message, "keep one of the two")

    def attribute(self, rule: _Rule) -> Attribute:
        name = str(rule.identifier.token.value)
        line = rule._meta.line
        value: Literal | None = None
        try:
            value = _literal(rule.expression)
        except _Refused as refused:
            self.problem(line, f"{name} is {refused.message}", refused.fix)
        return Attribute(name, value, self.file, line)

    def problem(self, line: int, message: str, fix: str) -> None:
        self.problems.append(Problem(self.file, line, message, fix))


def _literal(rule: _Rule) -> Literal:
    name = rule.lark_name()
    parts = [child for child in rule.children if child is not None]
    if name == "expr_term" and len(parts) == 1:
        return _literal(parts[0])
    if name == "string":
        return _string(rule)
    if name == "tuple":
        return tuple(_literal(each) for each in rule.elements)
    if name == "int_lit":
        return _number(rule.token.value, int)
    if name == "float_lit":
        return _number(rule.token.value, float)
    if name == "literal_value" and rule.token.value in ("true", "false"):
        return bool(rule.token.value == "true")
    return _other(name, rule, parts)


def _other(name: str, rule: _Rule, parts: list[_Rule]) -> Literal:
    """A negative number, which the grammar sees as an operator; all else is refused."""
    if name == "unary_op" and parts[0].value == "-":
        value = _literal(parts[1])
        if isinstance(value, int | float) and not isinstance(value, bool):
            return -value
    if name == "identifier":
        raise _Refused(f"a bare name, {rule.token.value}", f'write "{rule.token.value}" if text is meant')
    if name == "literal_value":
        raise _Refused("null", "leave the attribute out")
    raise _Refused(f"{_NOT_LITERAL.get(name, 'an expression')}, not a literal", _LITERALS)


def _number(digits: str, kind: type[int] | type[float]) -> int | float:
    if len(digits.lstrip("-")) > LONGEST_NUMBER:
        raise _Refused(f"a number of more than {LONGEST_NUMBER} digits", "write a smaller one")
    return kind(digits)


def _string(rule: _Rule) -> str:
    parts = []
    for part in rule.string_parts:
        content = part.content
        name = content.lark_name()
        if name == "STRING_CHARS":
            parts.append(_unescaped(content.value))
        elif name in ("ESCAPED_INTERPOLATION", "ESCAPED_DIRECTIVE"):
            parts.append(_unescaped(content.value[1:]))
        elif name == "interpolation":
            raise _Refused("text with an expression, ${…}", "write the value itself, or $${ if ${ is meant")
        else:
            raise _Refused("text with a directive, %{…}", "write the value itself, or %%{ if %{ is meant")
    return "".join(parts)


def _unescaped(raw: str) -> str:
    # The parser lets a string run over lines, and `$${` run past its end.
    if "\n" in raw or re.search(r'(?<!\\)(?:\\\\)*"', raw):
        raise _Refused("text that does not end on its line", 'end it with ", and write a line break as \\n')
    text = _ESCAPE.sub(_escape, raw)
    if "\0" in text:
        raise _Refused("text with a NUL character", "leave it out: no program or file takes it")
    return text


def _escape(found: re.Match[str]) -> str:
    code = found[1]
    if code in _ESCAPES:
        return _ESCAPES[code]
    number = int(code[1:], 16) if len(code) > 1 else -1
    if number < 0 or 0xD800 <= number < 0xE000 or number > 0x10FFFF:
        raise _Refused(f"text with {found[0]}, which is no escape", 'write one of \\n \\r \\t \\" \\\\ \\uXXXX')
    return chr(number)
