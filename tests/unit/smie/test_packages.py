"""Packages are read from what apt prints, and told to apt again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from common.errors import BadInput
from common.run import CommandFailed, Result
from smie.index import _facts, _no_such_package
from smie.origin import without_passwords
from smie.packages import Package, installed, packages_file, printed, records, release_file, status

SHA = "5b6825de4263824b78c4c51f6476414f3b4e89c2ab63e81dc8b9b5501e867cf6"
PRINTED = f"""\
'http://m.example/pool/t/tini_0.19.0-3%2bb8_amd64.deb' tini_0.19.0-3+b8_amd64.deb 280384 SHA256:{SHA}
'http://m.example/pool/d/diffutils_3.10-4_amd64.deb' diffutils_1%3a3.10-4_amd64.deb 10 SHA256:{SHA}
W: something else
"""
TINI = Package("tini", "0.19.0-3+b8", "amd64", SHA, 280384)
DIFF = Package("diffutils", "1:3.10-4", "amd64", SHA, 10)
PARAGRAPHS = """\
Package: tini
Version: 0.19.0-3+b8
Architecture: amd64
Filename: pool/main/t/tini/tini.deb
Description: small
 second line

Package: diffutils
Version: 1:3.10-4
Architecture: amd64
Filename: pool/main/d/diffutils.deb
"""


def test_what_apt_would_fetch_is_read_with_epochs_and_sorted() -> None:
    assert printed(PRINTED) == (DIFF, TINI)


def test_a_file_has_the_name_that_apt_gives_it() -> None:
    assert DIFF.file == "diffutils_1%3a3.10-4_amd64.deb"


def test_a_repository_names_only_the_chosen_packages_in_its_pool() -> None:
    known = records(PARAGRAPHS)
    text = packages_file((DIFF,), (known["diffutils", "1:3.10-4", "amd64"],))
    assert text == (
        "Package: diffutils\nVersion: 1:3.10-4\nArchitecture: amd64\nFilename: pool/diffutils_1%3a3.10-4_amd64.deb\n\n"
    )


def test_a_release_vouches_for_its_packages() -> None:
    text = release_file("trixie", datetime(2026, 11, 23, 11, 22, 38, tzinfo=UTC), "amd64", "abc")
    assert "Date: Mon, 23 Nov 2026 11:22:38 GMT\n" in text
    assert text.endswith(
        " ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad 3 main/binary-amd64/Packages\n"
    )


def test_a_status_file_reads_back_as_installed() -> None:
    text = status(records(PARAGRAPHS).values())
    assert installed(text) == {("tini", "0.19.0-3+b8", "amd64"), ("diffutils", "1:3.10-4", "amd64")}


def test_removed_packages_with_configuration_left_are_not_installed() -> None:
    text = "Package: a\nStatus: deinstall ok config-files\nVersion: 1\nArchitecture: all\n"
    assert installed(text) == set()


@pytest.mark.parametrize(
    "said", ["E: Unable to locate package birdd2", "E: Package 'birdd2' has no installation candidate"]
)
def test_an_unknown_package_is_named(said: str) -> None:
    error = _no_such_package(CommandFailed(("apt-get",), Result(100, "", said)), "trixie")
    assert isinstance(error, BadInput)
    assert error.message == "trixie has no package birdd2"


def test_other_failures_of_apt_stay_what_they_are() -> None:
    error = CommandFailed(("apt-get",), Result(100, "", "E: unmet dependencies"))
    assert _no_such_package(error, "trixie") is error


def test_passwords_of_mirrors_are_not_shown() -> None:
    assert without_passwords("Err http://me:geheim@m.example/debian x") == "Err http://***@m.example/debian x"


def test_facts_of_an_index_come_from_its_signed_files(tmp_path: Path) -> None:
    base, security = tmp_path / "m_dists_trixie_InRelease", tmp_path / "m_dists_trixie-security_InRelease"
    base.write_text("Suite: stable\nVersion: 13.1\nDate: Sat, 06 Sep 2026 08:00:00 UTC\n")
    security.write_text("Suite: stable-security\nVersion: 13\nDate: Mon, 08 Sep 2026 08:00:00 UTC\n")
    facts = _facts(tmp_path, "trixie")
    assert facts["version"] == "13.1"
    assert facts["date"] == "2026-09-08T08:00:00+00:00"
    security.write_text(security.read_text() + "x")
    assert _facts(tmp_path, "trixie")["digest"] != facts["digest"]
