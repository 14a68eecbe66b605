"""The shape of the code is a promise too: import contracts are in pyproject.toml, sizes are here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("common", "smie", "naust", "seter")
LONGEST_MODULE = 400  # lines
LONGEST_FUNCTION = 60  # lines, docstring included
FENCED = {"typer": "cli"}  # package → module or folder that may import it


def modules() -> list[Path]:
    return sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_can_be_read_in_one_sitting(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= LONGEST_MODULE
    tree = ast.parse(text)
    long = [f"{f.name}: {length(f)}" for f in functions(tree) if length(f) > LONGEST_FUNCTION]
    assert not long
    if text.strip():
        assert ast.get_docstring(tree), "a module says what it is for"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_fenced_stays_in_its_module(path: Path) -> None:
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(path.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    for package, where in FENCED.items():
        assert package not in imported or where in (path.stem, path.parent.name)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_public_function_says_what_it_does(path: Path) -> None:
    silent = [
        function.name
        for function in ast.parse(path.read_text()).body
        if isinstance(function, ast.FunctionDef)
        and not function.name.startswith(("_", "test_"))  # a test's name is what it promises
        and not ast.get_docstring(function)
    ]
    assert not silent


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1
