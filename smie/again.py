"""`smie build --check`: what is asked for is built twice more, under other conditions (`smie.conditions`), and
compared.

Nothing is written into the store. What the asked stands on is taken from the store if it is there, so that a difference
is that of the artefact itself; else it is built twice as well.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from itertools import islice
from pathlib import Path
from threading import Lock

from common.catalog import Catalog
from common.console import Report
from common.errors import Error
from common.model import Artifact, Digest, Event, Kind
from common.run import CommandFailed, run
from naust import listing
from naust.copy import Options, copy
from naust.store import open_store
from naust.store.interface import Store
from smie import isolation, leftovers
from smie.conditions import FIRST, SECOND, Conditions, command, definitions, environment, without
from smie.difference import Difference, blobs, differences
from smie.recipe import Recipe
from smie.twin import CACHE, STORE, Request
from smie.workspace import Workspace

MOST = 50  # differences of one artefact that are told
LOGS = "logs"  # of a workspace
_OTHER = "the one in the store has other content, which another smie or another machine made"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says, and what it means here."""

    names: Sequence[str]
    kinds: Sequence[Kind]
    every: bool
    snapshot: str
    catalog: Catalog
    store: Store
    workspace: Workspace
    jobs: int | None = None
    memory: int | None = None
    limit: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Twice:
    """How it came out for one artefact: the digests of the two builds; what the same recipe gave in the store, if it is
    there, and whether that has the same content; what differs between the two (the first MOST), and how much in all."""

    recipe: Recipe
    digests: tuple[Digest, Digest]
    stored: Digest | None
    stored_is_same: bool | None
    differences: tuple[Difference, ...]
    count: int
    conditions: tuple[dict[str, object], dict[str, object]]

    @property
    def is_same(self) -> bool:
        """Whether the two are one."""
        return self.digests[0] == self.digests[1]

    def shown(self) -> dict[str, object]:
        """As `--json` prints it."""
        return {
            "artifact": self.recipe.title,
            "made_from": self.recipe.fingerprint,
            "reproducible": self.is_same,
            "digests": self.digests,
            "stored": self.stored,
            "stored_is_same": self.stored_is_same,
            "builds": self.conditions,
            "count": self.count,
            "differences": [asdict(each) for each in self.differences],
        }

    def __str__(self) -> str:
        if not self.is_same:
            return f"{self.recipe.title} differs"
        there = {None: "it is not in the store", True: "the one in the store has the same content", False: _OTHER}
        more = there[self.stored_is_same]
        return f"{self.recipe.title} is reproducible: same digest {self.digests[0]} twice; {more}"


class NotReproducible(Error):
    """Two builds from the same inputs gave different artefacts."""

    def __init__(self, found: Sequence[Twice]) -> None:
        details = "\n".join(line for each in found for line in _told(each))
        super().__init__(
            f"{', '.join(each.recipe.title for each in found)} came out differently, from the same inputs",
            details=details,
            resolution="Let the task that writes it write no date, name, path or order of this machine; what only a "
            "build needs is taken out in smie/normal.py. --json has all that was compared.",
        )


def check(asked: Asked, recipes: Sequence[Recipe], report: Report) -> tuple[Twice, ...]:
    """Build twice, compare. `recipes` are those of what is asked and of what it stands on.

    Raises what a build raises, Missing for libfaketime; nothing for a difference.
    """
    wanted = tuple(recipe for recipe in recipes if is_meant(recipe, asked))
    isolation.check(recipes)
    with asked.workspace.build(leftovers.identity("check")) as root:
        builds = tuple(_Build.prepared(asked, recipes, wanted, each, root / each.folder) for each in (FIRST, SECOND))
        for number, each in enumerate(builds, 1):
            report(Event("builds", f"build {number} of 2", each.told))
            each.run(report)
        return tuple(_compared(asked, recipe, builds, root) for recipe in wanted)


def is_meant(recipe: Recipe, asked: Asked) -> bool:
    """Whether a recipe is asked for itself, and not only stood on: named, or of a role, group or system that is."""
    if asked.every or recipe.name in asked.names:
        return True
    return recipe.parent is not None and any(name in asked.catalog.systems() for name in asked.names)


def failure(found: Sequence[Twice]) -> Error | None:
    """What to raise when all has been compared."""
    different = [each for each in found if not each.is_same]
    return NotReproducible(different) if different else None


@dataclass(frozen=True, slots=True)
class _Build:
    """One of the two: its folder, and whether it has to be root's."""

    conditions: Conditions
    folder: Path
    request: Request
    root: bool
    store: Store
    cache: Path  # of the person

    @classmethod
    def prepared(
        cls, asked: Asked, recipes: Sequence[Recipe], wanted: Sequence[Recipe], conditions: Conditions, folder: Path
    ) -> _Build:
        """Lay out the folder: definitions, a store with what is stood on, programs that were fetched."""
        systems = definitions(conditions, asked.catalog.folder, folder / "definitions")
        store = open_store(f"file://{folder / STORE}")
        taken = _take(asked, [recipe for recipe in recipes if recipe not in wanted], store)
        # Programs come from one place; what is kept of a first part (smie.parts) the first build takes, the second not.
        kept = [f"parts/{recipe.name}" for recipe in wanted if conditions is FIRST]
        for name in ("software", *dict.fromkeys(kept)):
            if (there := asked.workspace.root / name).is_dir():
                with suppress(OSError):  # another build may be just forgetting it
                    shutil.copytree(there, folder / CACHE / name, copy_function=os.link)
        request = Request(
            tuple(asked.names), tuple(asked.kinds), asked.every, asked.snapshot, str(systems), asked.store.url,
            str(asked.workspace.root), str(folder), conditions.later.total_seconds(), conditions.host,
            conditions.backwards, asked.jobs, asked.memory, asked.limit.total_seconds() if asked.limit else None,
        )  # fmt: skip
        (folder / "request.json").write_text(json.dumps(asdict(request)))
        made = [recipe for recipe in recipes if recipe.fingerprint not in taken]
        root = any(recipe.kind != Kind.CONTAINER or recipe.parent is None for recipe in made)
        return cls(conditions, folder, request, root, store, asked.workspace.root)

    @property
    def told(self) -> str:
        """For people."""
        days = f", {self.conditions.later.days} days ahead" if self.conditions.later else ""
        who = "root" if self.root else f"user {self.conditions.uid}"
        return f"as {self.conditions.user} ({who}), umask {self.conditions.umask:03o}{days}, in {self.folder}"

    def run(self, report: Report) -> None:
        """Build, in a process of its own. Raises the error that the build ended with."""
        argv = (sys.executable, "-m", "smie.twin", str(self.folder / "request.json"))
        env = without(os.environ) | environment(self.conditions, self.folder)
        lock, lines = Lock(), Lines(report)

        def tell(stream: str, line: str) -> None:
            with lock:
                lines.take(stream, line)

        try:
            run(command(self.conditions, argv, root=self.root), cwd=self.folder, env=env, on_line=tell)
        except CommandFailed as error:
            raise ended(error, self.folder / CACHE, self.cache) from error

    def artifact(self, recipe: Recipe) -> Artifact:
        """What came out for a recipe, with all that its manifest says."""
        found = listing.find(self.store, recipe.fingerprint, recipe.kind, recipe.name)
        if found is None:
            raise Error(
                f"the inputs of {recipe.title} are others in a copy of the definitions",
                details=f"Expected {recipe.fingerprint}.",
                resolution="Did the definitions change meanwhile, or depend on where they lie? Run it again.",
            )
        return listing.resolve(self.store, found.reference)


class Lines:
    """What the build's process says: its progress goes on to the person."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def take(self, stream: str, line: str) -> None:
        """One line; those that are not events (`common.console.reporter`) are left out."""
        seconds, _, rest = line.strip().partition("s  ")
        kind, _, text = rest.partition(" ")
        if stream == "stderr" and kind and seconds.replace(".", "").isdigit():
            self._report(Event(kind, text.strip(), ""))


def ended(error: CommandFailed, cache: Path, kept: Path) -> Error:
    """The error of the build's process as it was raised there. Its logs, in `cache`, go to where logs are `kept`."""
    here, there = cache / LOGS, kept / LOGS / "check"
    with suppress(OSError):
        shutil.copytree(here, there, dirs_exist_ok=True)
    try:
        said = json.loads(error.result.stdout)
        words = [said[name].replace(str(here), str(there)) for name in ("message", "details", "resolution")]
        raised = Error(words[0], details=words[1], resolution=words[2])
        raised.exit_code = said["code"]
    except (ValueError, KeyError, TypeError):
        return error
    return raised


def _take(asked: Asked, recipes: Sequence[Recipe], store: Store) -> frozenset[Digest]:
    """Copy what is stood on from the store of the person, as far as it is there; the fingerprints."""
    taken = set()
    for recipe in recipes:
        there = listing.find(asked.store, recipe.fingerprint, recipe.kind, recipe.name)
        if there is not None:
            (result,) = copy(asked.store, store, (str(there.reference),), Options(referrers=False))
            if not result.error:
                taken.add(recipe.fingerprint)
    return frozenset(taken)


def _compared(asked: Asked, recipe: Recipe, builds: Sequence[_Build], root: Path) -> Twice:
    one, two = ((each.store, each.artifact(recipe)) for each in builds)
    (scratch := root / "compared").mkdir(exist_ok=True)
    found = differences(one, two, scratch)
    told = tuple(islice(found, MOST))
    stored = listing.find(asked.store, recipe.fingerprint, recipe.kind, recipe.name)
    equal = blobs(asked.store, stored) == blobs(*one) if stored else None
    first, second = (each.conditions.said(each.root) for each in builds)
    return Twice(
        recipe, (one[1].digest, two[1].digest), stored.digest if stored else None, equal, told,
        len(told) + sum(1 for _ in found), (first, second),
    )  # fmt: skip


def _told(found: Twice) -> Iterator[str]:
    yield f"{found.recipe.title}: {found.digests[0]} and {found.digests[1]}"
    yield from (f"  {each}" for each in found.differences)
    if found.count > len(found.differences):
        yield f"  and {found.count - len(found.differences)} more"
