"""Where the machine's apt gets Debian from."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Missing
from naust.source.apt_machine import Login, carried_over, deb822, logins, one_line, places, with_login

DEB822 = """\
Types: deb
# a comment
URIs: http://deb.example.org/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb deb-src
URIs: https://security.example.org/debian-security
Suites: bookworm-security
Components: main contrib

Types: deb
Enabled: no
URIs: http://off.example.org
Suites: bookworm
Components: main

Types: deb
URIs: http://other.example.org
Suites: bookworm
Components: main
Signed-By: /usr/share/keyrings/other.gpg
"""


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "auth.conf.d").mkdir()
    (tmp_path / "sources.list.d" / "debian.sources").write_text(DEB822)
    return tmp_path


def test_suites_are_carried_over_by_their_ending(etc: Path) -> None:
    assert places(["trixie", "trixie-updates", "trixie-security"], etc, "bookworm") == {
        "trixie": "http://deb.example.org/debian",
        "trixie-updates": "http://deb.example.org/debian",
        "trixie-security": "https://security.example.org/debian-security",
    }


def test_a_suite_without_a_place_is_told_with_what_to_do(etc: Path) -> None:
    with pytest.raises(Missing, match="trixie-backports") as refused:
        places(["trixie-backports"], etc, "bookworm")
    assert "url" in refused.value.resolution


def test_the_one_line_form_is_read_with_its_options() -> None:
    text = (
        "deb [arch=amd64 signed-by=/k/debian-archive-x.gpg] http://a/ bookworm main contrib # why\n#deb http://b c d\n"
    )
    text += "deb [signed-by=/k/other.gpg] http://o bookworm main\ndeb-src http://a bookworm main\n"
    assert [(each.uri, each.suite, each.components) for each in one_line(text)] == [
        ("http://a/", "bookworm", ("main", "contrib"))
    ]


def test_what_is_not_on_the_web_is_passed_over() -> None:
    known = one_line("deb cdrom:[x]/ bookworm main\ndeb file:/srv/debian bookworm main\ndeb http://a bookworm main\n")
    assert carried_over(known, "bookworm") == {"": "http://a"}


def test_a_login_of_auth_conf_is_used_where_it_belongs(etc: Path) -> None:
    (etc / "auth.conf.d" / "x.conf").write_text(
        "machine security.example.org/debian-security\nlogin me\npassword p@ss/word\n# machine a\n"
        "machine deb.example.org login you password two\n"
    )
    found = places(["trixie", "trixie-security"], etc, "bookworm")
    assert found["trixie-security"] == "https://me:p%40ss%2Fword@security.example.org/debian-security"
    assert found["trixie"] == "http://deb.example.org/debian"  # without a scheme a login is for https alone


def test_a_login_in_the_url_itself_stays() -> None:
    assert with_login("https://a:b@host/x", [Login("host", "c", "d")]) == "https://a:b@host/x"


@pytest.mark.parametrize(
    ("machine", "fits"),
    [("host", True), ("https://host", True), ("http://host", False), ("host/deb", True), ("host/other", False),
     ("host:443", False), ("ost", False), ("evil.host", False)],
)  # fmt: skip
def test_a_login_goes_to_its_own_place_alone(machine: str, fits: bool) -> None:
    assert Login(machine, "u", "p").fits("https://host/debian") is fits


def test_passwords_do_not_show() -> None:
    (found,) = logins("machine host login me password zo2t")
    (source,) = one_line("deb http://me:zo2t@host/debian bookworm main")
    assert "zo2t" not in repr(found) + repr(source)


@given(st.text(max_size=200))
def test_no_text_is_more_than_passed_over(text: str) -> None:
    list(one_line(text))
    list(deb822(text))
