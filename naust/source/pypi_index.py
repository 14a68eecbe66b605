"""The pages of our own index, out of the files that are there.

Simple repository API, HTML (PEP 503) and JSON (PEP 691, version 1.1 of PEP 700), with metadata beside the files
(PEP 658, keys of PEP 714) and yanked files marked (PEP 592):
https://packaging.python.org/en/latest/specifications/simple-repository-api/. Links are relative, so that the pages
hold wherever they are served, and the bytes depend on the files alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

from common.model import Digest
from naust import manifest as oci

VERSION = "1.1"
FOLDER = "packages"
METADATA = ".metadata"


@dataclass(frozen=True, slots=True)
class Offered:
    """A file that the index has. `size` -1 if nobody knows it yet; `yanked` as naust.source.pypi_page.Listed has it."""

    project: str
    version: str
    filename: str
    digest: Digest
    size: int
    requires_python: str = ""
    yanked: str | None = None
    metadata: Digest | None = None
    uploaded: str = ""


def pages(offered: Sequence[Offered]) -> Mapping[str, bytes]:
    """All pages by path: of every project, and of all projects."""
    projects: dict[str, list[Offered]] = {}
    for each in sorted(offered, key=lambda file: (file.project, file.filename)):
        projects.setdefault(each.project, []).append(each)
    made = {"simple/index.html": _html_root(projects), "simple/index.json": _json_root(projects)}
    for project, files in projects.items():
        made[f"simple/{project}/index.html"] = _html_page(project, files)
        made[f"simple/{project}/index.json"] = _json_page(project, files)
    return made


def _html_root(projects: Mapping[str, object]) -> bytes:
    return _document("Simple index", (f'<a href="{name}/">{name}</a>' for name in projects))


def _html_page(project: str, files: Sequence[Offered]) -> bytes:
    return _document(f"Links for {project}", (_anchor(file) for file in files))


def _document(title: str, anchors: Iterator[str]) -> bytes:
    head = f'<meta name="pypi:repository-version" content="{VERSION}"><title>{title}</title>'
    body = "".join(f"    {anchor}<br>\n" for anchor in anchors)
    return f"<!DOCTYPE html>\n<html>\n  <head>{head}</head>\n  <body>\n{body}  </body>\n</html>\n".encode()


def _anchor(file: Offered) -> str:
    said = {"href": f"{_target(file)}#sha256={file.digest.hex}"}
    if file.requires_python:
        said["data-requires-python"] = file.requires_python
    if file.metadata:
        said |= dict.fromkeys(("data-core-metadata", "data-dist-info-metadata"), f"sha256={file.metadata.hex}")
    if file.yanked is not None:
        said["data-yanked"] = file.yanked
    attributes = " ".join(f'{name}="{escape(value)}"' for name, value in said.items())
    return f"<a {attributes}>{escape(file.filename)}</a>"


def _json_root(projects: Mapping[str, object]) -> bytes:
    return oci.encode({"meta": {"api-version": VERSION}, "projects": [{"name": name} for name in projects]})


def _json_page(project: str, files: Sequence[Offered]) -> bytes:
    from packaging.version import Version

    versions = sorted({file.version for file in files}, key=Version)
    listed = [_described(file) for file in files]
    return oci.encode({"meta": {"api-version": VERSION}, "name": project, "versions": versions, "files": listed})


def _described(file: Offered) -> dict[str, object]:
    hashes = {"sha256": file.digest.hex}
    said: dict[str, object] = {"filename": file.filename, "url": _target(file), "hashes": hashes}
    if file.size >= 0:
        said["size"] = file.size
    if file.requires_python:
        said["requires-python"] = file.requires_python
    if file.metadata:
        said["core-metadata"] = said["dist-info-metadata"] = {"sha256": file.metadata.hex}
    if file.yanked is not None:
        said["yanked"] = file.yanked or True
    if file.uploaded:
        said["upload-time"] = file.uploaded
    return said


def _target(file: Offered) -> str:
    """From a project's page."""
    return f"../../{FOLDER}/{quote(file.filename)}"
