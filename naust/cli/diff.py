"""naust diff."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from common import console
from common.cli import Json, Store
from naust.cli.opened import bare, opened

if TYPE_CHECKING:
    from naust.diff import Difference, FileChange, Side

DIFFERENT = 3
_SHOWN = 200  # files for a person; --all and --json have the others


def diff(
    before: Annotated[str, typer.Argument(help="KIND/NAME:VERSION, KIND/NAME:CHANNEL, or a URI.")],
    after: Annotated[str, typer.Argument(help="The other one; a URI may name another store.")],
    store: Store = None,
    platform: Annotated[str, typer.Option(help="Which image of an index to compare, such as linux/amd64.")] = "",
    files: Annotated[bool, typer.Option(help="Read tars and layers, and compare the files in them.")] = True,
    all: Annotated[bool, typer.Option("--all", help="Name every file, however many.")] = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit 3 when there is a difference.")] = False,
    json: Json = False,
) -> None:
    """Compare two artefacts: what they say, how they run, packages, layers, files, sizes.

    Packages are those of their SBOMs, else those that dpkg lists in their files.

    Exit codes: 0 compared, the same or not; 2 no such artefact; 3 they differ, with --exit-code; 8 one is damaged; 9 a
    store does not answer.
    """
    from naust.diff import compare

    found = compare(_side(store, before, platform), _side(store, after, platform), with_files=files)
    if json:
        console.json_result(found)
    else:
        console.table(("", "what", "before", "after"), _rows(found, None if all else _SHOWN))
        for note in found.notes:
            console.note(note)
    if exit_code and not found.same:
        raise typer.Exit(DIFFERENT)


def _side(store: str | None, text: str, platform: str) -> Side:
    from naust.diff import side
    from naust.listing import resolve

    source, address = opened(store, text) if "://" not in text else opened(None, text)
    return side(source, resolve(source, bare(address)), platform)


def _rows(found: Difference, most: int | None) -> list[tuple[str, str, str, str]]:
    rows = [
        ("", "artefact", found.before, found.after),
        ("", "digest", str(found.before_digest), str(found.after_digest)),
        ("", "size", console.amount(found.before_size), console.amount(found.after_size)),
        *_totals(found),
    ]
    for title, changes in (
        ("annotation", found.annotations),
        ("configuration", found.configuration),
        ("package", found.packages),
    ):
        rows += [
            (each.how, f"{title} {_short(each.name)}", _short(each.before), _short(each.after)) for each in changes
        ]
    for part in sorted(found.parts, key=lambda each: (each.before, each.after)):
        how = "shared" if part.before and part.after else "removed" if part.before else "added"
        size = console.amount(part.size)
        title = f"{_short(part.what)} {part.digest.short}"
        rows.append((how, title, size if part.before else "", size if part.after else ""))
    changed = found.files or ()
    rows += [_file(each) for each in changed[:most]]
    if most is not None and len(changed) > most:
        rows.append(("", f"and {len(changed) - most} files more", "", ""))
    return rows


def _totals(found: Difference) -> Iterator[tuple[str, str, str, str]]:
    """How many of what there are, so that nobody has to count lines."""
    changes = (("packages", found.packages_from, found.packages), ("files", "files", found.files or ()))
    for title, known, each in changes:
        counts = Counter(one.how for one in each)
        if known and counts:
            yield "", title, "", ", ".join(f"{count} {how}" for how, count in sorted(counts.items()))


def _file(change: FileChange) -> tuple[str, str, str, str]:
    said = [
        f"{one.type} {one.mode & 0o7777:04o} {one.owner} {one.size}{f' -> {one.target}' if one.target else ''}"
        if one
        else ""
        for one in (change.before, change.after)
    ]
    how = f"{change.how}: {', '.join(change.what)}" if change.what else change.how
    return how, f"file {_short(change.path)}", said[0], said[1]


def _short(text: str) -> str:
    """A cell; what others wrote must not paint over a terminal."""
    from naust.untrusted import one_line

    return one_line(text)
