"""A source's files as an artefact: made, compared with what was published last, published if anything differs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import PurePath

from common.console import Report
from common.errors import Corrupt
from common.model import Artifact, Digest, Kind
from naust import manifest as oci
from naust.manifest import Blob
from naust.source import state as form
from naust.source.definition import Pypi, Source
from naust.source.fetch import blob_of
from naust.source.interface import Kept, Survey
from naust.source.snapshot import AGAIN, Snapshot, publish_newest
from naust.source.state import File, checked_path
from naust.store.interface import Store
from naust.transfer.push_blobs import put_bytes, silent
from naust.untrusted import record, text

DEFINED = "naust.source.definition"  # annotation of a state: digest of the block that it was made by
ITEMS = "naust.source.items"  # annotation of a state: how many items upstream had
_NOT_CONTENT = frozenset({"name", "place", "keep", "key", "keyring", "folder", "may_miss", "mode"})
_PASSING = (form.MARK, form.DATE, form.DATES)  # what may differ although the files are the same


def fingerprint(block: Source) -> str:
    """What a block asks for, as a digest: the same on every machine, whatever folder the file is in."""
    said = {each.name: _plain(getattr(block, each.name)) for each in fields(block) if each.name not in _NOT_CONTENT}
    if isinstance(block, Pypi):
        said["lock"] = [PurePath(path).name for path in block.lock]  # what is in it is its upstream's to know
    return str(Digest.of(oci.encode(said)))


def files_of(store: Store, name: str, kept: Sequence[Kept], survey: Survey, made: Mapping[str, bytes]) -> list[File]:
    """All files of the source, sorted by path: the items, upstream's own and those that naust made, which are stored
    here. Raises Corrupt if two have one path."""
    found = {checked_path(each.item.path): File(each.item.path, blob_of(each), each.item.package) for each in kept}
    for path, data in (*survey.extra.items(), *made.items()):
        blob = put_bytes(store, name, data, oci.file_type(path), silent)
        if path in found and found[path].blob.digest != blob.digest and path not in made:
            raise _twice(path)
        found[checked_path(path)] = File(path, blob, None, path in made)
    return [found[path] for path in sorted(found)]


def publish_state(
    store: Store,
    block: Source,
    survey: Survey,
    files: Sequence[File],
    last: Snapshot | None,
    *,
    whole: bool,
    now: datetime | None = None,
    report: Report = silent,
) -> tuple[Artifact, bool]:
    """The state that these files make; whether it is a new one. Not `whole`: something may miss and does, so that the
    next run has to look again although upstream did not change."""
    name = f"{Kind.SNAPSHOT}/{block.name}"
    document = document_of(store, name, files, _annotations(block, survey, whole))
    if last is not None and _content(document) == _content(store.manifest(name, str(last.artifact.digest))):
        return last.artifact, False
    return publish_newest(store, block.name, document, now, report)


def _annotations(block: Source, survey: Survey, whole: bool) -> dict[str, str]:
    said = {oci.KIND: str(Kind.SNAPSHOT), form.TYPE: block.type, DEFINED: fingerprint(block)}
    said[ITEMS] = str(len(survey.items))
    said |= {form.MARK: survey.mark} if whole else {}
    if survey.dates:
        parts = {part: date.astimezone(UTC).isoformat() for part, date in survey.dates.items()}
        said[form.DATES] = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return said | ({form.DATE: survey.date.astimezone(UTC).isoformat()} if survey.date else {})


def went_back(survey: Survey, said: Mapping[str, str]) -> str:
    """What is older upstream than in a state that says this, in words; '' if nothing is. Parts are looked at one by
    one: of three suites, one that is held back hides behind the newest."""
    dated = said.get(form.DATE)
    if dated and survey.date is not None and survey.date < datetime.fromisoformat(dated):
        return f"it is of {survey.date.isoformat()}, the last state of {dated}"
    before = record(json.loads(said.get(form.DATES, "{}")))
    for part, date in sorted(survey.dates.items()):
        if part in before and date < datetime.fromisoformat(text(before[part])):
            return f"{part} is of {date.isoformat()}, and was of {before[part]} in the last state"
    return ""


def document_of(store: Store, name: str, files: Sequence[File], said: Mapping[str, str]) -> bytes:
    """The manifest of a state with these files, sorted by path; its parts are stored here."""
    parts = list(_parts(store, name, files, {} if len(files) > form.MOST else said))
    if len(files) <= form.MOST:
        return parts[0]
    children = []
    for data in parts:
        blob = Blob(Digest.of(data), len(data), oci.MANIFEST)
        store.put_manifest(name, str(blob.digest), data)
        children.append((blob, dict[str, str]()))
    return form.index(children, form.STATE, said)


def _parts(store: Store, name: str, files: Sequence[File], said: Mapping[str, str]) -> Iterator[bytes]:
    for begin in range(0, max(len(files), 1), form.MOST):
        some = files[begin : begin + form.MOST]
        packages = put_bytes(store, name, form.packages_of(some), form.PACKAGES, silent)
        yield form.part(some, packages, said)


def _content(document: bytes) -> object:
    """A state without what may differ although its files are the same."""
    read = json.loads(document)
    passing = (*_PASSING, AGAIN)
    read["annotations"] = {key: value for key, value in read.get("annotations", {}).items() if key not in passing}
    return read


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if hasattr(value, "__dataclass_fields__") and not isinstance(value, Digest):
        return {key: _plain(getattr(value, key)) for key in value.__dataclass_fields__ if key != "place"}
    return value if isinstance(value, str | int | bool | None) else str(value)


def _twice(path: str) -> Corrupt:
    return Corrupt(f"upstream has two files {path}", resolution="Name one of them only, or tell whoever runs it.")
