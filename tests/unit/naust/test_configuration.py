"""Stores by name, in naust.hcl."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from common.errors import BadDefinition, BadInput
from common.model import Secret
from naust.configuration import Configuration, secret
from naust.configuration import configuration as read_file
from naust.store import open_store, settings_file

FULL = """
default = "work"

store "work" {
  url   = "file:///srv/naust"
}

store "mirror" {
  url        = "s3://bucket/prefix"
  endpoint   = "https://s3.example"
  region     = "eu"
  access_key = "AK"
  secret_key = "env:MIRROR_KEY"
  idle       = "5s"
  at_once    = 9
  limit      = "10MiB"
}

store "deep" {
  url = "file:///srv/naust/deep/"
}
"""


def configuration() -> Configuration:
    """What is in force."""
    path = settings_file()
    assert path is not None
    return read_file(path)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NAUST_CONFIG", "")
    monkeypatch.setenv("NAUST_STORE", "")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    return tmp_path / "config" / "naust.hcl"


def test_where_there_is_no_file_nothing_is_configured(place: Path) -> None:
    assert settings_file() is None
    assert open_store().url == (place.parents[1] / ".naust").as_uri()


def test_a_store_is_known_by_its_name_and_by_its_url(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIRROR_KEY", "hush")
    place.write_text(FULL)
    read = configuration()
    mirror = read.named("mirror")
    assert mirror is not None and read.at("s3://bucket/prefix/more") == mirror and read.named("none") is None
    access = mirror.access()
    assert (access.endpoint, access.region, access.access_key) == ("https://s3.example", "eu", "AK")
    assert (access.secret_key, access.idle, access.at_once) == (Secret("hush"), timedelta(seconds=5), 9)
    assert access.limit == 10 << 20
    assert "hush" not in repr(access) + repr(mirror)


def test_of_two_urls_that_fit_the_longer_is_meant(place: Path) -> None:
    place.write_text(FULL)
    found = configuration().at("file:///srv/naust/deep")
    assert found is not None and found.name == "deep"
    assert configuration().at("file:///srv/naustier") is None


def test_the_default_and_names_open_stores(place: Path) -> None:
    place.write_text(FULL)
    assert open_store().url == "file:///srv/naust"
    assert open_store("deep").url == "file:///srv/naust/deep"


def test_the_file_that_the_variable_names_comes_first(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write_text(FULL)
    other = place.with_name("other.hcl")
    other.write_text('store "only" {\n  url = "file:///only"\n}\n')
    monkeypatch.setenv("NAUST_CONFIG", str(other))
    assert [each.name for each in configuration().stores] == ["only"]
    monkeypatch.setenv("NAUST_CONFIG", str(place.with_name("missing.hcl")))
    with pytest.raises(BadInput, match="no file"):
        configuration()


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('default = "x"', "there is no store 'x'"),
        ('store "a" {}', "url"),
        ('store "a" {\n url = "srv"\n}', "no URL"),
        ('store "a" {\n url = "https://u:p@h/"\n}', "credentials"),
        ('store "a" {\n url = "https://h"\n token = "s3cr3t"\n}', "secret itself has no place"),
        ('store "a" {\n url = "https://h"\n token = "file:"\n}', "secret itself has no place"),
        ('store "a" {\n url = "https://h"\n tokn = "env:X"\n}', "token"),
        ('store "a" {\n url = "https://h"\n idle = "soon"\n}', "soon"),
        ('store "a" {\n', "naust.hcl"),
    ],
)
def test_what_is_wrong_in_the_file_is_told_with_its_place(place: Path, text: str, part: str) -> None:
    place.write_text(text)
    with pytest.raises(BadDefinition) as error:
        configuration()
    assert part in str(error.value) and "naust.hcl" in str(error.value)
    assert "s3cr3t" not in str(error.value)


def test_secrets_come_from_files_variables_and_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("from a file\n")
    monkeypatch.setenv("THE_TOKEN", "from a variable")
    assert secret(f"file:{tmp_path}/token") == Secret("from a file")
    assert secret("env:THE_TOKEN") == Secret("from a variable")
    assert secret("command:echo 'from a program'") == Secret("from a program")
    assert secret("") is None


@pytest.mark.parametrize("place", ["file:/does/not/exist", "env:NO_SUCH_VARIABLE", "command:true"])
def test_a_secret_that_is_not_there_is_told(place: str) -> None:
    with pytest.raises(BadInput):
        secret(place)
