"""What was deployed, by whom, and how it ended: each run an artefact of kind `deployment`.

    deployment/SYSTEM.TARGET.INSTANCE:NUMBER-DATE

It holds the run itself (who, when, why, digests, steps, result), the definitions, every node's configuration without
secrets, and what was there afterwards. A run is written when it begins and again when it ends, with the same number;
the second takes the place of the first. What did not change since an earlier run is stored once.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from getpass import getuser
from typing import TYPE_CHECKING

from common.errors import BadInput, Conflict, Corrupt, NotFound
from common.model import Artifact, Kind, Reference, Secret
from seter.definition import packed
from seter.lease import change

if TYPE_CHECKING:
    from naust.manifest import Blob
    from seter.keep import Keep
    from seter.tree import Files

FORMAT = 1
EPOCH = datetime.fromtimestamp(0, UTC)
RUN, DEFINITION, CONFIGURATION, STATES = "run.json", "definition.json.gz", "configuration.json.gz", "states.json.gz"
MEDIA_TYPE = "application/vnd.seter.deployment.v1+json"
RUNNING, DONE, BACK, PAUSED, INTERRUPTED = "running", "done", "rolled back", "paused", "interrupted"
SETTLED = (DONE, BACK, PAUSED)  # results of a run that left no node withdrawn
_SAYS = "seter.run."  # annotations
_LONGEST = 800  # characters of an annotation: listings leave out those of more than 1024
_SHORTEST = 6  # characters of a secret that is looked for in texts


@dataclass(frozen=True, slots=True)
class Run:
    """One run. `artifacts` has each reference and the digest that it stood for; `groups` and `limit` (nodes, or
    `role:NAME`) are empty for all; `words` say what was taken from whom; `plan` is the id of the saved plan that it
    carried out; `origin` the run that it went back to or made again. What listings have is without artefacts, steps and
    words."""

    deployment: str
    verb: str
    artifacts: Mapping[str, str]
    steps: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    limit: tuple[str, ...] = ()
    reason: str = ""
    words: tuple[str, ...] = ()
    plan: str = ""
    origin: str = ""
    who: str = ""
    number: int = 0
    started: datetime = EPOCH
    finished: datetime | None = None
    result: str = RUNNING

    @property
    def seconds(self) -> float | None:
        """How long it took; None while nobody can say."""
        return (self.finished - self.started).total_seconds() if self.finished else None

    @property
    def left_nothing_open(self) -> bool:
        """No node is withdrawn because of it, and no check is owed."""
        return self.result.partition(":")[0] in SETTLED

    @property
    def is_done(self) -> bool:
        """It got through, its checks too."""
        return self.result == DONE


@dataclass(frozen=True, slots=True)
class Written:
    """A run as it was written last: its parts, and the tag that it has."""

    run: Run
    parts: tuple[tuple[str, Blob], ...]
    tag: str


class History:
    """The runs of one deployment."""

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self._name = keep.name

    def begin(self, run: Run, parts: Mapping[str, bytes]) -> Written:
        """Write down that it runs, under the next number."""
        number = change(self._keep.cells, lambda book: replace(book, runs=max(book.runs, self._last()) + 1)).runs
        begun = replace(run, number=number, who=f"{getuser()}@{socket.gethostname()}", started=datetime.now(UTC))
        blobs = tuple((title, self._put(data)) for title, data in parts.items())
        return Written(begun, blobs, self._publish(begun, blobs))

    def conclude(self, written: Written, result: str, parts: Mapping[str, bytes]) -> Run:
        """Write down how it ended."""
        ended = replace(written.run, finished=datetime.now(UTC), result=result)
        blobs = (*written.parts, *((title, self._put(data)) for title, data in parts.items()))
        if self._publish(ended, blobs) != written.tag and self._keep.store.traits().deletes_names:
            self._keep.store.delete_tag(self._name, written.tag)
        return ended

    def runs(self) -> tuple[Run, ...]:
        """All runs, the newest first, as listings have them; what is damaged is left out."""
        return tuple(_brief(found) for found in self._listed().values())

    def last(self) -> Run | None:
        """The newest run, as listings have it."""
        return next(iter(self.runs()), None)

    def find(self, number: int) -> Run:
        """All of one run. Raises NotFound, Corrupt."""
        return _whole(self.part(number, RUN), f"run {number}")

    def part(self, number: int, title: str) -> bytes:
        """One part of a run. Raises NotFound, Corrupt."""
        from naust.transfer.verified import content

        found = self._artifact(number)
        for each, blob in _titled(self._keep.store.manifest(self._name, str(found.digest)), str(found.reference)):
            if each == title:
                return content(self._keep.store, self._name, blob, str(found.reference))
        raise NotFound(f"run {number} has no {title}", resolution="Look at another one; seter history lists them.")

    def forget(self) -> None:
        """Take the names of all runs away."""
        for tag in list(self._keep.store.tags(self._name)):
            self._keep.store.delete_tag(self._name, tag)

    def _last(self) -> int:
        return max((run.number for run in self.runs()), default=0)

    def _artifact(self, number: int) -> Artifact:
        listed = self._listed()
        if number not in listed:
            numbers = ", ".join(map(str, listed)) or "none"
            raise NotFound(f"{self._keep.deployment} has no run {number}", resolution=f"There are: {numbers}.")
        return listed[number]

    def _listed(self) -> dict[int, Artifact]:
        """By number, the newest first; of two with one number the one that says how it ended."""
        from naust.listing import artifacts

        found: dict[int, Artifact] = {}
        name = self._name.partition("/")[2]
        for each in artifacts(self._keep.store, Kind.DEPLOYMENT, name, damaged=lambda error: None):
            number = int(each.annotation(f"{_SAYS}number") or 0)
            if number and (number not in found or each.annotation(f"{_SAYS}finished")):
                found[number] = each
        return dict(sorted(found.items(), reverse=True))

    def _put(self, data: bytes) -> Blob:
        from naust.transfer.push_blobs import put_bytes, silent

        return put_bytes(self._keep.store, self._name, data, MEDIA_TYPE, silent)

    def _publish(self, run: Run, parts: Iterable[tuple[str, Blob]]) -> str:
        """Its tag. The run itself is a part too."""
        from naust import manifest as oci
        from naust.push import publish
        from naust.transfer.push_blobs import put_bytes, silent

        config = put_bytes(self._keep.store, self._name, oci.EMPTY_CONFIG, oci.EMPTY, silent)
        layers = [blob.described(title) for title, blob in ((RUN, self._put(_written(run))), *parts)]
        said = oci.annotated(Kind.DEPLOYMENT, str(run.number), more=_annotations(run))
        document = {"config": config.described(), "layers": layers, "artifactType": oci.artifact_type(Kind.DEPLOYMENT)}
        manifest = oci.encode({"schemaVersion": 2, "mediaType": oci.MANIFEST, **document, "annotations": said})
        return publish(self._keep.store, Reference.parse(self._name), str(run.number), manifest).reference.tag


def configuration(trees: Mapping[str, Files], secrets: Iterable[Secret]) -> bytes:
    """Every node's files, as they are kept; should a secret have got into one, it is masked."""
    hidden = words_of(secrets)

    def shown(data: bytes) -> str:
        return masked(data.decode(errors="replace"), hidden)

    nodes = {
        node: {
            role: {file.path: [file.mode, file.uid, shown(file.data)] for file in content}
            for role, content in files.items()
        }
        for node, files in trees.items()
    }
    return packed({"format": FORMAT, "nodes": nodes})


def words_of(secrets: Iterable[Secret]) -> list[str]:
    """What must not show: the values, and each line of those that have several."""
    every = dict.fromkeys(line for each in secrets for line in (each.value, *each.value.splitlines()))
    return [line for line in every if len(line) >= _SHORTEST and not line.startswith("-----")]


def masked(text: str, hidden: Iterable[str]) -> str:
    """The text with stars for secrets."""
    for value in hidden:
        if value in text:
            text = text.replace(value, "***")
    return text


def by_digest(artifacts: Mapping[str, str]) -> dict[str, str]:
    """What each reference of a run stood for, by digest alone: the name that it had then may have gone."""
    return {name: f"{full.partition(':')[0]}@{full.partition('@')[2]}" for name, full in artifacts.items()}


def refuse_used(history: History, plan: str) -> None:
    """A saved plan is carried out once. Raises Conflict."""
    used = next((run for run in history.runs() if plan and run.plan == plan), None)
    if used is not None:
        raise Conflict(
            f"this plan was carried out already: run {used.number}, by {used.who}",
            resolution="Make a new one with seter plan --out.",
        )


def number_of(text: str) -> int:
    """The number of a run as it was typed. Raises BadInput."""
    if not text.isdecimal():
        raise BadInput(f"{text!r} is no run", resolution="Give the number that seter history shows.")
    return int(text)


def _written(run: Run) -> bytes:
    said = asdict(run) | {"started": run.started.isoformat(), "finished": run.finished and run.finished.isoformat()}
    return json.dumps({"format": FORMAT, **said}, sort_keys=True).encode()


def _whole(data: bytes, what: str) -> Run:
    try:
        said = json.loads(data)
        if said.pop("format") > FORMAT:
            raise Corrupt(f"{what} was written by a newer seter", resolution="Use that version, or a newer one.")
        moments = {key: datetime.fromisoformat(said[key]) for key in ("started", "finished") if said[key]}
        lists = {key: tuple(said[key]) for key in ("steps", "groups", "limit", "words")}
        return Run(**{**said, **lists, **moments})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Corrupt(f"{what} cannot be read", details=str(error), resolution="Look at another run.") from error


def _annotations(run: Run) -> dict[str, str]:
    said = {
        "number": str(run.number),
        "verb": run.verb,
        "who": run.who,
        "started": run.started.isoformat(),
        "finished": run.finished.isoformat() if run.finished else "",
        "result": run.result,
        "reason": run.reason,
        "groups": " ".join(run.groups),
        "limit": " ".join(run.limit),
        "plan": run.plan,
        "origin": run.origin,
    }
    return {f"{_SAYS}{key}": value[:_LONGEST] for key, value in said.items() if value}


def _brief(found: Artifact) -> Run:
    said = {key.removeprefix(_SAYS): value for key, value in found.annotations if key.startswith(_SAYS)}
    return Run(
        deployment=found.reference.name.replace(".", "/"),
        verb=said.get("verb", ""),
        artifacts={},
        groups=tuple(said.get("groups", "").split()),
        limit=tuple(said.get("limit", "").split()),
        reason=said.get("reason", ""),
        plan=said.get("plan", ""),
        origin=said.get("origin", ""),
        who=said.get("who", ""),
        number=int(said["number"]),
        started=datetime.fromisoformat(said["started"]),
        finished=datetime.fromisoformat(said["finished"]) if "finished" in said else None,
        result=said.get("result", ""),
    )


def _titled(manifest: bytes, what: str) -> list[tuple[str, Blob]]:
    from naust import manifest as oci

    try:
        layers = json.loads(manifest)["layers"]
        return [(str(each["annotations"][oci.TITLE]), oci.descriptor(each)) for each in layers]
    except (BadInput, ValueError, KeyError, TypeError) as error:
        raise Corrupt(f"{what} is no run", details=str(error), resolution="Look at another run.") from error
