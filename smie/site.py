"""Where artefacts are made: what all builds of one run share, and the way of one artefact from recipe to store."""

from __future__ import annotations

import json
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Event as Halt

from common.console import Report
from common.errors import Conflict, Error, Unavailable
from common.files import write_atomically
from common.lock import holder, lease
from common.model import Artifact, Event, Kind, Reference, Stage
from common.run import CommandFailed, find, run
from naust import listing, manifest
from naust.content import engine
from naust.push import Before, push_container, push_file
from naust.store.interface import Store
from smie import frozen, isolation, leftovers, otherwise, packer, parts, times
from smie.builder import builder, way
from smie.builder.container import CHECKED
from smie.builder.interface import BELOW, Builder, Built, FileImage, Parent, Work, cleared
from smie.builder.trial import tried
from smie.checks.kinds import check
from smie.checks.machine import check_machine
from smie.checks.running import LIMIT, Checked, ChecksFailed
from smie.disk import explained
from smie.documents import Making, looked_into, record
from smie.failed import BuildFailed, EngineLost, again
from smie.kept import left_open
from smie.log import told as told_in_log
from smie.otherwise import Otherwise
from smie.outcome import Outcome
from smie.plan import recorded
from smie.recipe import Recipe
from smie.software import programs
from smie.stored import copied, found, tools_tree
from smie.workspace import Workspace

TAR = "smie.rootfs.tar"  # annotation: the digest of a root file system before it was packed
ROLES = "roles"  # of the folder of a build: the roles as they were when it began
# Of Ansible with --debug: what it runs, and where, and what of that will not do for long.
TALKATIVE = {"ANSIBLE_VERBOSITY": "3", "ANSIBLE_DEPRECATION_WARNINGS": "1"}
POLL = timedelta(seconds=1)  # how often a halt is looked for while another smie builds the same


@dataclass(slots=True)
class Site:
    """What all builds of one run share. `halt` is set when everything has to stop; with `debug` a build that fails is
    left open; with `other` all is built to be compared alone (`smie.again`): nobody looks at it, explains it or uses
    it. `stopped` are the builds that a halt has cut off."""

    store: Store
    workspace: Workspace
    report: Report
    builders: Mapping[str, Builder]  # by way
    packer: tuple[int, int]
    revision: str
    skip_boot: bool = False
    limit: timedelta | None = None  # for installing, and for checks; else as they say
    debug: bool = False  # what fails is left open
    other: Otherwise | None = None
    halt: Halt = field(default_factory=Halt)
    stopped: list[str] = field(default_factory=list)

    @classmethod
    def open(
        cls,
        store: Store,
        workspace: Workspace,
        report: Report,
        recipes: Sequence[Recipe],
        limit: timedelta | None = None,
        *,
        skip_boot: bool = False,
        debug: bool = False,
        other: Otherwise | None = None,
    ) -> Site:
        """See that all programs are there, and clear away what dead builds left. Raises Missing, Denied, BadInput,
        Unavailable."""
        isolation.check(recipes)
        builders = {name: builder(name) for name in dict.fromkeys(map(way, recipes))}
        for name, one in builders.items():
            for program in one.programs([recipe for recipe in recipes if way(recipe) == name]):
                find(program)
        titles = {recipe.title for recipe in recipes}
        for is_gone, why in (
            (leftovers.is_dead, "was left by a build that was killed"),
            (partial(leftovers.is_replaced, titles=titles), "was left open by --debug"),
        ):
            swept = (w for one in builders.values() for w in one.sweep(is_gone))
            for what in (*swept, *leftovers.sweep_folders(workspace, is_gone)):
                report(Event("swept", what, why))
        version = packer.installed_version() if any(recipe.parent for recipe in recipes) else (0, 0)
        known = "" if other else revision(recipes)
        return cls(store, workspace, report, builders, version, known, skip_boot, limit, debug, other)

    def prefetch(self, recipes: Sequence[Recipe]) -> None:
        """Fetch what all of these need, in this order."""
        for recipe in recipes:
            # The build that needs it fetches again, and says what is wrong.
            with suppress(Error):
                self._fetch(recipe)
            if self.halt.is_set():
                raise KeyboardInterrupt

    def make(self, recipe: Recipe, reasons: Sequence[str]) -> Outcome:
        """Make one artefact, or take it from another smie that is just making it."""
        with self._lease(recipe):
            if there := listing.find(self.store, recipe.fingerprint, recipe.kind, recipe.name):
                self.report(Event("taken", recipe.title, "another smie built it meanwhile", stage=Stage.ENDS))
                return Outcome(recipe, "taken", there)
            self.report(Event("builds", recipe.title, summary(reasons), stage=Stage.BEGINS))
            try:
                return self._make(recipe)
            except (Error, OSError, tarfile.TarError) as error:
                found = explained(error, recipe.title, self.workspace)
                self.report(Event("failed", recipe.title, found.message, stage=Stage.ENDS))
                if found is error:
                    raise
                raise found from error
            except KeyboardInterrupt:
                self.stopped.append(recipe.title)
                raise

    @contextmanager
    def _lease(self, recipe: Recipe) -> Iterator[None]:
        path, told = self.workspace.lock(recipe.fingerprint.hex), False
        with ExitStack() as held:
            while True:
                if self.halt.is_set():
                    raise KeyboardInterrupt
                try:
                    held.enter_context(lease(path, f"build {recipe.title}", wait=POLL))
                    break
                except Conflict:
                    if not told:
                        self.report(Event("waits", recipe.title, f"is being built by {holder(path)}"))
                    told = True
            yield

    def _make(self, recipe: Recipe) -> Outcome:
        clock, identity = Clock(), leftovers.identity(recipe.name, kept=recipe.kind if self.debug else "")
        with self.workspace.build(identity, keep_failed=self.debug) as folder:
            work = self._work(recipe, folder, identity)
            clock.lap("fetch")
            with self._left_open(recipe, work), self._cleared(self.builders[way(recipe)], identity):
                one = self.builders[way(recipe)]
                made = one.base(recipe, work) if recipe.parent is None else self._packed(recipe, work, clock)
            clock.lap("collect")
            with cleared(self.builders[way(recipe)], identity):
                artifact = self._stored(recipe, made, lambda unnamed: self._before(unnamed, recipe, made, work, clock))
                if recipe.kind == Kind.CONTAINER and not self.other:
                    engine.load(self.store, artifact)
            clock.lap("publish")
        times.keep(self.workspace, recipe, sum(clock.steps.values()))
        self.report(Event("built", recipe.title, str(clock), stage=Stage.ENDS))
        return Outcome(recipe, "built", artifact, clock.steps)

    def _before(self, unnamed: Artifact, recipe: Recipe, made: Built, work: Work, clock: Clock) -> None:
        """What has to be done before it gets a name: it is looked at, and its documents go with it."""
        if self.other:
            return
        held = self._check(recipe, made, unnamed, work, clock)
        self._explain(unnamed, recipe, made, work, clock, held)
        clock.lap("explain")

    def _check(self, recipe: Recipe, made: Built, unnamed: Artifact, work: Work, clock: Clock) -> tuple[str, ...]:
        """Look at it as the store has it. Raises ChecksFailed, TrialFailed, and then it gets no name."""
        clock.lap("store")
        log = self.workspace.log(recipe.kind, f"{recipe.name}.checks")
        limit = self.limit or LIMIT
        if isinstance(made, FileImage) and recipe.kind == Kind.VM:
            checked = self._boot(recipe, made, unnamed.size, work, log, limit)
        else:
            checked = check(self.store, unnamed, recipe, work.folder, log, work.identity, limit=limit, halt=self.halt)
        if checked is None:
            return ()
        if checked.failed:
            mend = f"Nothing was stored. Mend the role, or the check, and run: {again(recipe.title)}"
            raise ChecksFailed(checked, log, f"{mend}.")
        self.report(Event("checked", recipe.title, f"{len(checked.checks)} checks hold"))
        clock.lap("check")
        return tuple(each.promise for each in checked.checks)

    def _boot(
        self, recipe: Recipe, made: FileImage, size: int, work: Work, log: Path, limit: timedelta
    ) -> Checked | None:
        """Boot the disk and look at what runs; None if disks are not to be booted. Raises TrialFailed, Missing."""
        if self.skip_boot:
            return None
        self.report(Event("task", recipe.title, "boots, in an emulated machine"))
        with tried(made.path, recipe, work) as machine:
            self.report(Event("task", recipe.title, f"answered SSH after {machine.seconds:.0f} s; is looked at"))
            return check_machine(recipe, machine, size, work.folder, log, limit=limit, halt=self.halt)

    def _explain(
        self, unnamed: Artifact, recipe: Recipe, made: Built, work: Work, clock: Clock, held: Sequence[str]
    ) -> None:
        """Attach the documents that go with it, before it gets a name."""
        parent = found(self.store, recipe.parent) if recipe.parent else None
        roles = work.folder / ROLES
        making = Making(
            recipe,
            parent,
            looked_into(self.store, unnamed, recipe, made, parent),
            log=told_in_log(work.log.path, self.workspace, work.identity, roles),
            revision=self.revision,
            checks=held,
            tools=found(self.store, recipe.tools) if recipe.tools else None,
            steps=clock.steps,
        )
        record(self.store, self.workspace, unnamed, making)

    def _stored(self, recipe: Recipe, made: Built, before: Before) -> Artifact:
        """Under its name, whole: what is pushed is read and hashed on the way."""
        said = self._annotations(recipe)
        if isinstance(made, manifest.ContainerImage):
            return push_container(
                self.store, made, name=recipe.name, version=recipe.version, annotations=said,
                made_from=recipe.fingerprint, before=before,
            )  # fmt: skip
        if made.tar is not None:
            said[TAR] = str(made.tar.digest)
        reference = Reference(recipe.kind, recipe.name)
        return push_file(
            self.store, made.path, reference, version=recipe.version, annotations=said,
            made_from=recipe.fingerprint, before=before,
        )  # fmt: skip

    def _work(self, recipe: Recipe, folder: Path, identity: str) -> Work:
        software = self._fetch(recipe)
        path = self.workspace.log(recipe.kind, recipe.name)
        log = packer.Log(path, lambda task: self.report(Event("task", recipe.title, task)))
        parent = self._parent(recipe, identity) if recipe.kind == Kind.CONTAINER else None
        if recipe.kind != Kind.CONTAINER and recipe.parent:
            copied(self.store, found(self.store, recipe.parent), folder / BELOW)
        tools = tools_tree(self.store, self.workspace, recipe.tools, folder) if recipe.tools else None
        limit = self.limit or packer.LIMIT
        return Work(
            folder, identity, self.packer, log, self.halt, parent, software, tools, limit, self.debug, self.other
        )

    def _fetch(self, recipe: Recipe) -> dict[str, Path]:
        recipe.index.fetch(recipe.packages, halt=self.halt)
        if recipe.kind == Kind.VM:
            return {}
        roles = recipe.roles[-1:] if recipe.kind == Kind.CONTAINER else recipe.roles
        return {
            role.name: programs(
                self.workspace, role.software, role.software_sha256, recipe.index.origin, halt=self.halt
            )
            for role in roles
            if role.software
        }

    def _parent(self, recipe: Recipe, identity: str) -> Parent | None:
        if recipe.parent is None:
            return None
        there = found(self.store, recipe.parent)
        # What is built to be compared takes no name of the engine that others use; see `ContainerBuilder.sweep`.
        own = f"{CHECKED}:{identity}" if self.other else ""
        image = engine.load_image(self.store, there, name=own).id
        name = f"{there.reference.kind}/{there.reference.name}"
        read = manifest.parse(self.store.manifest(name, str(there.digest)), name)
        assert read.config is not None, "a container image has a configuration"
        with self.store.read(name, read.config.digest) as file:
            return Parent(str(image), file.read(), read.layers, name, there.digest)

    def _packed(self, recipe: Recipe, work: Work, clock: Clock) -> Built:
        one = self.builders[way(recipe)]
        with (
            leftovers.scratch(work.identity) as scratch,
            otherwise.roles(work.folder / ROLES, work.identity, self.other) as roles,
        ):
            frozen.roles(recipe, roles, backwards=bool(self.other and self.other.backwards))
            if work.parent:
                first = parts.first(recipe, work.parent.image, work.folder, roles, self.workspace)
                work = replace(work, first=first)
            one.prepare(recipe, work)
            template = json.dumps(one.template(recipe, work), indent=2)
            write_atomically(work.folder / packer.TEMPLATE, template)
            told = TALKATIVE if self.debug else {}
            env = one.environment(work, scratch, roles) | told
            enclose = partial(one.enclosed, recipe, work)
            try:
                packer.build(
                    recipe.title, work.folder, env, work.log, self.halt, work.limit, enclose, keep_failed=self.debug
                )
            except BuildFailed as error:
                raise _cause(error, one, recipe, work) from error.__cause__
            finally:
                if work.first:
                    parts.keep(work.first, work.folder)
        clock.lap("install")
        return one.collect(recipe, work)

    @contextmanager
    def _cleared(self, one: Builder, identity: str) -> Iterator[None]:
        """Whatever happens, the engine holds nothing of this build afterwards, if it can be reached; but for what is
        left open."""
        try:
            yield
        except BaseException as error:
            if not (self.debug and isinstance(error, Exception)):
                with suppress(Error):  # what went wrong before is what has to be told
                    one.sweep(identity.__eq__)
            raise
        one.sweep(identity.__eq__)

    @contextmanager
    def _left_open(self, recipe: Recipe, work: Work) -> Iterator[None]:
        """With `debug`, an error says how to look into what is left of the build."""
        try:
            yield
        except (Error, OSError, tarfile.TarError) as error:
            if not self.debug:
                raise
            entry = ""
            with suppress(Error):  # the engine may be what failed
                entry = self.builders[way(recipe)].entry(recipe, work)
            told = left_open(explained(error, recipe.title, self.workspace), recipe, work.folder, entry)
            if told is error:  # an error that is its own cause would never be read to its end
                raise
            raise told from error

    def _annotations(self, recipe: Recipe) -> dict[str, str]:
        # Not the revision: the same inputs out of another commit make the same artefact. It is in the provenance.
        return {manifest.INPUTS: json.dumps(recorded(recipe), separators=(",", ":"))}


class Clock:
    """Where the time goes, in seconds by step."""

    def __init__(self) -> None:
        self.steps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, step: str) -> None:
        """The step ends now."""
        now = time.monotonic()
        self.steps[step] = round(now - self._last, 2)
        self._last = now

    def __str__(self) -> str:
        parts = ", ".join(f"{step} {seconds:.1f}" for step, seconds in self.steps.items())
        return f"in {sum(self.steps.values()):.1f} s ({parts})"


def _cause(error: BuildFailed, one: Builder, recipe: Recipe, work: Work) -> Error:
    """The error, or that what was built with is gone, which looks like anything from inside."""
    try:
        one.answers()
    except Unavailable as lost:
        return EngineLost(recipe.title, work.log, lost)
    if told := one.witness(work):
        work.log.write(told)
        error.details += f"\nThe console of the machine ends:\n{told}"
    return error


def summary(reasons: Sequence[str]) -> str:
    """The first reasons, and how many more there are."""
    more = f" and {len(reasons) - 3} more" if len(reasons) > 3 else ""
    return "; ".join(reasons[:3]) + more


def revision(recipes: Sequence[Recipe]) -> str:
    """What git calls the definitions as they are; empty when they are not in a git checkout, or git is not there."""
    folder = next((role.folder for recipe in recipes for role in recipe.roles), recipes[0].base.file.parent)
    with suppress(CommandFailed, Error):
        return run(("git", "-C", str(folder), "describe", "--always", "--dirty", "--tags")).stdout.strip()
    return ""
