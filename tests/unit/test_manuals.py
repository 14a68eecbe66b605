"""The manuals name only what is there: verbs, options, make targets, files."""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Iterator
from contextlib import redirect_stdout
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from common.cli import main

ROOT = Path(__file__).parents[2]
TOOLS = ("smie", "naust", "seter")
MANUALS = [ROOT / "README.md", *sorted(ROOT.glob("[a-z]*/README.md"))]
EVERYWHERE = {"--help", "--debug", "--version"}  # of the frame, not of a verb
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
LINK = re.compile(r"\]\((?!https?://)([^)#]+)")
RUN_BY_HAND = 3  # blocks of shell that no test runs; more would be a manual that nobody holds to its word

each_manual = pytest.mark.parametrize("page", MANUALS, ids=lambda page: str(page.relative_to(ROOT)))


def texts(page: Path) -> Iterator[str]:
    """Every piece of code of a page: the lines of its blocks, and what stands between backquotes."""
    content = page.read_text()
    for language, block in FENCED.findall(content):
        if language in ("", "console", "sh"):
            yield from block.splitlines()
    yield from INLINE.findall(FENCED.sub("", content))


def commands(page: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Tool, verb and the words after it, of every command of ours that the page shows."""
    for text in texts(page):
        words = shlex.split(text.removeprefix("$ ").strip().replace("[", " ").replace("]", " "), comments=True)
        if len(words) > 1 and words[0] in TOOLS:
            yield words[0], words[1], words[2:]


@cache
def verbs(tool: str) -> dict[str, str]:
    """What `TOOL VERB --help` prints, for each verb."""
    module = import_module(f"{tool}.cli")
    printed = {}
    for verb in module.VERBS:
        with redirect_stdout(io.StringIO()) as out:
            assert main(tool, module.SUMMARY, module.VERBS, [verb, "--help"]) == 0
        printed[verb] = out.getvalue()
    return printed


def options(tool: str, verb: str) -> set[str]:
    return set(OPTION.findall(verbs(tool)[verb])) | EVERYWHERE


def test_the_manuals_are_found_and_show_commands() -> None:
    names = {str(page.relative_to(ROOT)) for page in MANUALS}
    assert names >= {"README.md", "smie/README.md", "naust/README.md", "seter/README.md", "systems/README.md"}
    shown = {(tool, verb) for page in MANUALS for tool, verb, _ in commands(page)}
    assert shown >= {(tool, verb) for tool in TOOLS for verb in verbs(tool)}


@each_manual
def test_every_verb_that_a_manual_shows_exists(page: Path) -> None:
    wrong = [
        f"{tool} {verb}"
        for tool, verb, _ in commands(page)
        if verb not in verbs(tool) and verb not in EVERYWHERE and not verb.isupper()
    ]
    assert not wrong


@each_manual
def test_every_option_that_a_manual_shows_exists(page: Path) -> None:
    wrong = []
    for tool, verb, words in commands(page):
        own = words[: words.index("--")] if "--" in words else words
        asked = {option for word in own for option in OPTION.findall(word)}
        if verb in verbs(tool):
            wrong += [f"{tool} {verb} {option}" for option in sorted(asked - options(tool, verb))]
    known = {option for tool in TOOLS for verb in verbs(tool) for option in options(tool, verb)}
    alone = {OPTION.findall(text)[0] for text in INLINE.findall(page.read_text()) if text.startswith("--")}
    assert not wrong + sorted(alone - known)


@each_manual
def test_every_make_target_that_a_manual_shows_exists(page: Path) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    shown = [match for text in texts(page) for match in re.findall(r"^make ([a-z-]+)", text)]
    assert not set(shown) - set(targets)


@each_manual
def test_every_file_that_a_manual_links_to_exists(page: Path) -> None:
    assert not [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]


@each_manual
def test_few_commands_of_a_manual_are_run_by_nobody(page: Path) -> None:
    assert sum(language == "sh" for language, _ in FENCED.findall(page.read_text())) <= RUN_BY_HAND


@pytest.mark.parametrize("tool", TOOLS)
def test_every_verb_says_its_exit_codes(tool: str) -> None:
    assert not [verb for verb, text in verbs(tool).items() if "Exit code" not in " ".join(text.split())]


def test_the_reference_of_policies_is_what_the_schema_says() -> None:
    from common.entry import start

    with redirect_stdout(io.StringIO()) as out:
        assert start("naust", ["verify", "--manual"]) == 0
    assert (ROOT / "naust" / "POLICY.md").read_text() == out.getvalue()


def test_every_decision_is_in_their_list_once_and_in_order() -> None:
    folder = ROOT / "common" / "decisions"
    listed = re.findall(r"^\| \[\d{4}\]\((.+?)\)", (folder / "README.md").read_text(), re.MULTILINE)
    assert listed == sorted(path.name for path in folder.glob("[0-9]*.md"))
