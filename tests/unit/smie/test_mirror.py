"""The machine's mirror is read from its apt configuration, in both formats."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import Missing
from smie import mirror
from smie.mirror import Source, carried_over, deb822, machine_sources, one_line

DEB822 = """
Types: deb deb-src
# a comment
URIs: http://one.example/debian/ http://two.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://one.example/debian-security
Suites: bookworm-security
Components: main

Types: deb
URIs: https://vendor.example/debian
Suites: bookworm
Components: main
Signed-By: /etc/apt/keyrings/vendor.asc

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb-src
URIs: http://sources.example/debian
Suites: bookworm
Components: main
"""

ONE_LINE = """
# deb http://off.example/debian bookworm main
deb http://one.example/debian bookworm main contrib # ours
deb [ arch=amd64 signed-by=/etc/apt/keyrings/vendor.asc ] https://vendor.example/debian bookworm main
deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://one.example/debian-security bookworm-security main
deb-src http://one.example/debian bookworm main
"""


def test_deb822_sources_of_debian_are_found() -> None:
    found = {(source.uri, source.suite) for source in deb822(DEB822)}
    assert found == {
        ("http://one.example/debian/", "bookworm"),
        ("http://one.example/debian/", "bookworm-updates"),
        ("http://two.example/debian", "bookworm"),
        ("http://two.example/debian", "bookworm-updates"),
        ("http://one.example/debian-security", "bookworm-security"),
    }


def test_one_line_sources_of_debian_are_found() -> None:
    assert list(one_line(ONE_LINE)) == [
        Source("http://one.example/debian", "bookworm", ("main", "contrib")),
        Source("http://one.example/debian-security", "bookworm-security", ("main",)),
    ]


def test_suites_are_carried_over_by_their_ending() -> None:
    found = carried_over(one_line(ONE_LINE), "bookworm", "trixie", ["main"])
    assert [(source.uri, source.suite, source.components) for source in found] == [
        ("http://one.example/debian", "trixie", ("main",)),
        ("http://one.example/debian-security", "trixie-security", ("main",)),
    ]


def test_other_suites_and_sources_without_main_are_left_out() -> None:
    others = (
        Source("http://one.example/debian", "bookworm-backports", ("main",)),
        Source("https://vendor.example", "bookworm", ("stable",)),
    )
    assert carried_over(others, "bookworm", "trixie", ["main"]) == ()


def test_a_machine_without_a_mirror_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SMIE_MIRROR", raising=False)
    with pytest.raises(Missing, match="no Debian mirror") as caught:
        machine_sources("trixie", ("main",), tmp_path)
    assert "SMIE_MIRROR" in caught.value.resolution


def test_another_mirror_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMIE_MIRROR", "http://mirror.example/debian/")
    assert machine_sources("trixie", ("main",)) == (Source("http://mirror.example/debian", "trixie", ("main",)),)


def test_missing_keys_are_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(mirror, "KEYRING", tmp_path / "none.gpg")
    with pytest.raises(Missing, match="keys") as caught:
        machine_sources("trixie", ("main",))
    assert "debian-archive-keyring" in caught.value.resolution


def test_a_source_becomes_a_line() -> None:
    line = Source("http://one.example/debian", "trixie", ("main", "contrib")).line(Path("/k.gpg"))
    assert line == "deb [signed-by=/k.gpg] http://one.example/debian trixie main contrib"
