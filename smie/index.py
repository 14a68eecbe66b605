"""A private root for the host's apt: the index of one suite, resolving names against it, and fetching packages.

Nothing of the machine's own apt state is read or changed. apt checks the index against the keys of where it comes from
(`smie.origin`), and every package is checked against the index. The index is fetched once and stays as it is: that of a
mirror until `refresh`, that of a snapshot for ever. That pins what is built.
"""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

from common.errors import BadInput, Error, Unavailable
from common.files import write_atomically
from common.lock import lease
from common.model import Digest
from common.run import CommandFailed, run
from smie.origin import Online, Origin, apt, place
from smie.packages import Package, printed, records, status
from smie.workspace import Workspace

WAIT = timedelta(minutes=10)  # for another smie that fetches
TRIES = 3  # apt's own, for each file
ONLINE = Online()

_CONFIGURATION = """\
Dir "{root}";
Dir::Etc "etc";
Dir::Etc::sourcelist "sources.list";
Dir::Etc::sourceparts "-";
Dir::Etc::main "-";
Dir::Etc::parts "parts";
Dir::Etc::preferences "-";
Dir::Etc::preferencesparts "parts";
Dir::Etc::netrc "/etc/apt/auth.conf";
Dir::Etc::netrcparts "/etc/apt/auth.conf.d";
Dir::State "";
Dir::State::lists "lists";
Dir::State::status "status";
Dir::State::extended_states "extended_states";
Dir::Cache "";
Dir::Cache::archives "pool";
Dir::Log "log";
Dir::Bin::methods "/usr/lib/apt/methods";
APT::Architecture "{architecture}";
APT::Architectures "{architecture}";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "{tries}";
Acquire::ForceHash "SHA256";
Debug::NoLocking "true";
"""


@dataclass(frozen=True, slots=True)
class Index:
    """A fetched index. `date` is the newest of its release files', `version` Debian's point release or that date.

    `digest` is that of all its release files, and so of everything that they vouch for.
    """

    workspace: Workspace
    root: Path
    suite: str
    architecture: str
    digest: Digest
    date: datetime
    version: str
    origin: Origin = field(default=ONLINE, kw_only=True)

    @property
    def pool(self) -> Path:
        """Where the .debs are; a file in it has been checked, and never changes."""
        return self.root / "pool"

    def resolve(self, wanted: Sequence[str], installed: Sequence[Package]) -> tuple[Package, ...]:
        """What would be installed for these names or apt patterns where `installed` is. Raises BadInput.

        The answer is kept, so that asking again needs no apt.
        """
        key = Digest.of(json.dumps([sorted(wanted), [asdict(p) for p in installed], str(self.digest)]).encode())
        kept = self.workspace.resolution(key)
        if kept.exists():
            return tuple(Package(**fields) for fields in json.loads(kept.read_text()))
        found = self._resolved(wanted, installed) if wanted else ()
        write_atomically(kept, json.dumps([asdict(package) for package in found]))
        return found

    def _resolved(self, wanted: Sequence[str], installed: Sequence[Package]) -> tuple[Package, ...]:
        with self._status(installed) as options:
            # An archive that is there already would not be printed: a folder that is always empty.
            argv = ("apt-get", "install", "-qq", "--print-uris", *options, "-o", "Dir::Cache::archives=empty", *wanted)
            try:
                return printed(self._apt(*argv))
            except CommandFailed as error:
                raise _no_such_package(error, self.suite) from error

    def records(self, packages: Sequence[Package]) -> tuple[str, ...]:
        """The index's paragraph of each of these packages."""
        if not packages:
            return ()
        specs = [f"{package.name}={package.version}" for package in packages]
        found = records(self._apt("apt-cache", "show", "--no-all-versions", *specs))
        return tuple(found[package.name, package.version, package.architecture] for package in packages)

    def fetch(self, packages: Sequence[Package], *, halt: threading.Event | None = None) -> None:
        """See that the .debs are in the pool. Raises Unavailable, Corrupt; KeyboardInterrupt once `halt` is set."""
        if missing := self._missing(packages):
            with lease(self.workspace.lock(f"index-{self.root.name}"), "fetch packages", wait=WAIT):
                self.origin.packages(self.root, missing, halt)
            if lost := self._missing(packages):
                raise Unavailable(
                    f"the mirror did not give {', '.join(package.file for package in lost)}",
                    resolution="Run the command again with --update: the mirror may have moved on.",
                )

    def _missing(self, packages: Sequence[Package]) -> tuple[Package, ...]:
        return tuple(package for package in packages if not (self.pool / package.file).exists())

    @contextmanager
    def _status(self, installed: Sequence[Package]) -> Iterator[tuple[str, str]]:
        key = Digest.of(json.dumps([asdict(package) for package in installed]).encode())
        path = self.root / "status.d" / key.hex
        if not path.exists():
            write_atomically(path, status(self.records(installed)))
        yield ("-o", f"Dir::State::status={path}")

    def _apt(self, *argv: str) -> str:
        return apt(self.root, *argv)


def open_index(
    workspace: Workspace, suite: str, components: Sequence[str], *, origin: Origin = ONLINE, refresh: bool = False
) -> Index:
    """The index of a suite, read if it is not there, or anew. Raises Missing, Unavailable; BadInput if a snapshot has
    no such suite, Corrupt if it is damaged."""
    root = place(workspace, suite, components, origin)
    facts = root / "index.json"  # written last: without it the index is not whole
    if refresh or not facts.exists():
        with lease(workspace.lock(f"index-{root.name}"), "fetch the package index", wait=WAIT):
            if refresh or not facts.exists():
                architecture = _prepare(root, suite, components, origin)
                try:
                    apt(root, "apt-get", "update", "-qq", "-o", "APT::Update::Error-Mode=any")
                except CommandFailed as error:
                    raise origin.unreadable(error) from error
                write_atomically(facts, json.dumps(_facts(root / "lists", suite) | {"architecture": architecture}))
    known = json.loads(facts.read_text())
    return Index(
        workspace, root, suite, known["architecture"], Digest.parse(known["digest"]),
        datetime.fromisoformat(known["date"]), known["version"], origin=origin,
    )  # fmt: skip


def _prepare(root: Path, suite: str, components: Sequence[str], origin: Origin) -> str:
    """Lay out apt's root and return the machine's architecture, as dpkg calls it."""
    shutil.rmtree(root / "status.d", ignore_errors=True)
    for folder in ("etc/parts", "lists/partial", "pool/partial", "empty/partial", "log", "incoming"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    architecture = run(("dpkg", "--print-architecture")).stdout.strip()
    lines = origin.sources(root, suite, components, architecture)
    write_atomically(root / "etc" / "sources.list", "\n".join(lines) + "\n", 0o600)
    write_atomically(root / "status", "")
    write_atomically(root / "apt.conf", _CONFIGURATION.format(root=root, architecture=architecture, tries=TRIES))
    return architecture


def _facts(lists: Path, suite: str) -> dict[str, str]:
    texts = {path.name: path.read_text() for path in sorted(lists.glob("*InRelease"))}
    own = [text for name, text in texts.items() if name.endswith(f"_{suite}_InRelease")]
    date = max(parsedate_to_datetime(_field(text, "Date")).replace(tzinfo=UTC) for text in texts.values())
    return {
        "digest": str(Digest.of("\0".join(texts.values()).encode())),
        "date": date.isoformat(),
        "version": next(filter(None, (_field(text, "Version") for text in own)), f"{date:%Y%m%d}"),
    }


def _field(text: str, name: str) -> str:
    match = re.search(rf"^{name}: *(.*)$", text, re.M)
    return match[1].strip() if match else ""


def _no_such_package(error: CommandFailed, suite: str) -> Error:
    names = re.findall(r"(?:Unable to locate package |Package ')([a-z0-9][a-z0-9.+-]+)", error.details)
    if not names:
        return error
    return BadInput(
        f"{suite} has no package {', '.join(dict.fromkeys(names))}",
        details=error.details,
        resolution="Correct `packages` of the role or base, or refresh the index with `smie build --update`.",
    )
