"""Where the scripts `smie`, `naust` and `seter` start.

`TOOL --help` is read from the source of the tool's command line instead of loading it: Typer alone costs more than the
rest of the answer. A test holds what is printed here against what the loaded command line says.
"""

from __future__ import annotations

import ast
import atexit
import gc
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

HELP = ("--help", "-h", "help")
COLLECT_AFTER = 50_000  # objects; Python's own 700 suits programs that run longer
EXIT_CODES = """Exit codes: 0 done or no change, 1 failed, 2 bad input, 3 changes (plan --exit-code), 4 partial,
5 stopped by the failure budget, 6 rolled back, 7 lease or conflict, 8 corrupt or unsafe, 9 unavailable,
130 interrupted."""


class Verbs(Mapping[str, Callable[..., None]]):
    """Verbs whose module is imported when one of them is asked for. `where` says which module of `package` has it."""

    def __init__(self, package: str, where: Mapping[str, str]) -> None:
        self._package, self._where = package, where

    def __getitem__(self, verb: str) -> Callable[..., None]:
        module = import_module(f"{self._package}.{self._where[verb]}")
        found: Callable[..., None] = getattr(module, function_of(verb))
        return found

    def __contains__(self, verb: object) -> bool:
        return verb in self._where

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def __len__(self) -> int:
        return len(self._where)


def function_of(verb: str) -> str:
    """Name of the function that does it; Python has a few of the words itself."""
    return f"{verb}_" if verb in ("list", "import") else verb


def smie() -> None:
    """The script `smie`."""
    sys.exit(start("smie", sys.argv[1:]))


def naust() -> None:
    """The script `naust`."""
    sys.exit(start("naust", sys.argv[1:]))


def seter() -> None:
    """The script `seter`."""
    sys.exit(start("seter", sys.argv[1:]))


def start(tool: str, words: Sequence[str]) -> int:
    """Answer a call for help at once, or load the tool's command line and run it; the exit code."""
    if not words or words[0] in HELP:
        print_overview(tool)
        return 0
    # What imports make lives to the end: looking through it for garbage, again and again and once more at the end, is
    # an eighth of the time of a short command.
    gc.set_threshold(COLLECT_AFTER)
    atexit.register(gc.freeze)
    command_line = import_module(f"{tool}.cli")
    from common.cli import main

    return main(tool, command_line.SUMMARY, command_line.VERBS, words)


def print_overview(tool: str) -> None:
    """`TOOL --help`, from the source: SUMMARY, WHERE and the first line of each verb's docstring."""
    spec = find_spec(f"{tool}.cli")
    assert spec is not None and spec.origin is not None
    summary, verbs = "", {}
    tree = ast.parse(Path(spec.origin).read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name) and target.id == "SUMMARY":
                summary = str(ast.literal_eval(node.value))
            elif isinstance(target, ast.Name) and target.id == "WHERE":
                verbs = _verbs_of_folder(Path(spec.origin).parent, ast.literal_eval(node.value))
    sys.stdout.write(overview(tool, summary, verbs) + "\n")


def _verbs_of_folder(folder: Path, where: Mapping[str, str]) -> dict[str, str]:
    """Verb → first line of what its function says of itself. Found as text: to parse a score of modules takes longer
    than the rest of the answer."""
    found = {}
    for verb, module in where.items():
        text = (folder / f"{module}.py").read_text()
        said = re.search(rf'^def {function_of(verb)}\(.*?^\) -> None:\n    """(.*?)(?:"""|\n)', text, re.M | re.S)
        assert said is not None, verb
        found[verb] = said[1]
    return found


def overview(name: str, summary: str, verbs: Mapping[str, str]) -> str:
    """The text of `TOOL --help`; `verbs` says each verb in a line."""
    width = max(map(len, verbs))
    return "\n".join(
        (
            f"{name}: {summary}",
            "",
            f"Usage: {name} VERB [OPTIONS] [ARGUMENTS]",
            "",
            *(f"  {verb:<{width}}  {line}" for verb, line in verbs.items()),
            "",
            f"{name} VERB --help says more; --debug shows where an error came from; --version.",
            EXIT_CODES,
        )
    )


def first_line(docstring: str | None) -> str:
    """The first line of a docstring, or nothing."""
    return (docstring or "").strip().partition("\n")[0]
