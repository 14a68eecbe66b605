"""sources.hcl: what is read, and that everything wrong is named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import BadDefinition, BadInput
from common.model import Digest
from naust.source.definition import EVERYTHING, Keep
from naust.source.shapes import load, manual
from naust.source.states import fingerprint
from naust.source.upstreams import UPSTREAMS, upstream

ROOT = Path(__file__).parents[4]
DIGEST = f"sha256:{'0' * 64}"
FILE = f'  file "a/b" {{\n    url = "https://host.test/b"\n    digest = "{DIGEST}"\n  }}\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "sources.hcl"
    path.write_text(text)
    return path


def wrong(folder: Path, text: str) -> str:
    with pytest.raises(BadDefinition) as told:
        load(written(folder, text))
    return told.value.details


def test_every_type_of_block_is_read_and_has_an_upstream(tmp_path: Path) -> None:
    text = (
        'apt "debian" {\n  suites = ["trixie"]\n  keep {\n    last = 2\n  }\n}\n'
        'pypi "tools" {\n  lock = ["requirements.txt"]\n}\n'
        'oci "images" {\n  images = ["docker://host.test/name:1"]\n}\n'
        f'files "binaries" {{\n{FILE}}}\n'
        'terraform "providers" {\n  provider "hashicorp/null" {\n    versions = ["3.2.4"]\n  }\n}\n'
        'set "build" {\n  sources = ["tools", "debian"]\n}\n'
    )
    found = load(written(tmp_path, text))
    assert [each.type for each in found.sources] == ["apt", "pypi", "oci", "files", "terraform"]
    assert {each.type for each in found.sources} == set(UPSTREAMS)
    assert found.apt[0].keep == Keep(last=2)
    assert found.pypi[0].lock == (str(tmp_path / "requirements.txt"),)
    assert found.files[0].files[0].digest == Digest.parse(DIGEST)
    assert found.set("build").sources == ("tools", "debian")
    for block in found.sources:
        assert upstream(block)


def test_without_a_set_there_is_one_of_everything(tmp_path: Path) -> None:
    found = load(written(tmp_path, f'files "one" {{\n{FILE}}}\nfiles "two" {{\n{FILE}}}\n'))
    assert found.set(EVERYTHING).sources == ("one", "two")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f'files "a" {{\n{FILE}}}\napt "a" {{\n  suites = ["trixie"]\n}}\n', ":7: "),
        (f'files "a" {{\n{FILE}}}\nset "a" {{\n  sources = ["a"]\n}}\n', "is a name already"),
        (f'files "all" {{\n{FILE}}}\n', "the set of all"),
        (f'files "a" {{\n{FILE}}}\nset "s" {{\n  sources = ["b"]\n}}\n', "no source 'b'"),
        ('files "a" {\n}\n', "holds no file"),
        ('files "a" {\n  mode = "local"\n}\n', "folder and mode local"),
        ('oci "a" {\n  images = ["docker://host.test/a:1"]\n  mode = "proxy"\n}\n', "naust copy"),
        ('terraform "a" {\n  mode = "proxy"\n  provider "a/b" {\n    versions = ["1"]\n  }\n}\n', "no mode proxy"),
        ('oci "a" {\n  images = ["docker://host.test/a:1"]\n  mode = "local"\n}\n', "naust push"),
        ('pypi "a" {\n}\n', "neither lock nor packages"),
        ('terraform "a" {\n}\n', "holds no provider"),
        ('apt "a" {\n  suites = ["trixie"]\n  mode = "miror"\n}\n', 'did you mean "mirror"?'),
        (f'files "a" {{\n{FILE.replace("a/b", "../b")}}}\n', "write one such as"),
        (f'files "a" {{\n{FILE.replace("a/b", "/b")}}}\n', "write one such as"),
        (f'files "a" {{\n{FILE.replace(DIGEST, "sha256:12")}}}\n', "is no digest"),
        (f'files "a" {{\n{FILE.replace("https://", "https://me:secret@")}}}\n', "must not hold credentials"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    details = wrong(tmp_path, text)
    assert told in details
    assert f"{tmp_path / 'sources.hcl'}:" in details


def test_all_problems_are_named_at_once_and_no_secret_among_them(tmp_path: Path) -> None:
    bad = FILE.replace("https://", "https://me:hunter2@").replace(DIGEST, "sha256:1")
    details = wrong(tmp_path, f'files "a" {{\n{bad}}}\npypi "b" {{\n  speed = 1\n}}\n')
    assert len(details.splitlines()) >= 3
    assert "hunter2" not in details


def test_a_source_or_set_that_is_not_there_is_named(tmp_path: Path) -> None:
    found = load(written(tmp_path, f'files "binaries" {{\n{FILE}}}\n'))
    with pytest.raises(BadInput, match="no source"):
        found.source("binary")
    with pytest.raises(BadInput, match="no set"):
        found.set("build")


def test_what_a_block_asks_for_is_the_same_wherever_its_file_is(tmp_path: Path) -> None:
    text = 'pypi "tools" {\n  lock = ["r.txt"]\n  python = "3.11"\n}\n'
    prints = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        prints.append(fingerprint(load(written(folder, text)).pypi[0]))
    assert prints[0] == prints[1]
    assert fingerprint(load(written(tmp_path, text.replace("3.11", "3.13"))).pypi[0]) != prints[0]


def test_the_reference_of_sources_is_what_the_schema_says() -> None:
    assert (ROOT / "systems" / "SOURCES.md").read_text() == manual()


def test_the_sources_of_this_repository_have_every_package_that_a_base_or_role_names() -> None:
    from common.catalog import Catalog

    catalog = Catalog.open(ROOT / "systems")
    found = load(ROOT / "systems" / "sources.hcl")
    named = {package for role in catalog.roles() for package in role.packages}
    named |= set(catalog.base("debian-13").packages)
    assert named - set(found.apt[0].packages) == set()
    software = {role.software.removeprefix("pypi:") for role in catalog.roles()} - {""}
    assert software == set(found.pypi[0].packages)
