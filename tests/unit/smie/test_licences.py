"""Licences get SPDX's names where that is certain, and keep their own where it is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smie.licences import LONGEST, cyclonedx, expression, of_debian, of_python, spdx

COPYRIGHT = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: thing

Files: *
Copyright: 2020 Somebody
License: GPL-2+
 long text

Files: debian/*
Copyright: 2021 Another
License: GPL-2+ or Artistic

License: GPL-2+
 License: not a field of files
"""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("GPL-2", "GPL-2.0-only"), ("GPL-2+", "GPL-2.0-or-later"), ("LGPL-2.1+", "LGPL-2.1-or-later"),
        ("GPL-2.0-only", "GPL-2.0-only"), ("gpl-3.0-or-later", "GPL-3.0-or-later"), ("Expat", "MIT"),
        ("BSD-3-clause", "BSD-3-Clause"), ("Apache-2.0", "Apache-2.0"), ("curl and ISC", "curl AND ISC"),
        ("LGPL-3+ or GPL-2+", "LGPL-3.0-or-later OR GPL-2.0-or-later"),
        ("GPL-1+ or Artistic", "GPL-1.0-or-later OR Artistic-1.0-Perl"),
        ("public-domain", ""), ("GPL", ""), ("GPL-2+ with OpenSSL exception", ""), ("GPL-2+, and MIT", ""),
        ("MIT or Something", ""), ("", ""),
    ],
)  # fmt: skip
def test_a_name_becomes_spdx_only_where_that_is_certain(name: str, expected: str) -> None:
    assert spdx(name) == expected


def test_the_names_of_a_machine_readable_copyright_are_those_of_its_files() -> None:
    assert of_debian(COPYRIGHT) == ("GPL-2+", "GPL-2+ or Artistic")
    assert of_debian("This package was debianized by hand.\n\nLicense: GPL\n") == ()


def test_all_that_hold_are_one_expression_and_one_unknown_name_keeps_all_as_they_are() -> None:
    assert expression(("GPL-2+ or Artistic", "MIT")) == "(GPL-2.0-or-later OR Artistic-1.0-Perl) AND MIT"
    assert cyclonedx(("GPL-2+", "Expat")) == [{"expression": "GPL-2.0-or-later AND MIT"}]
    assert cyclonedx(("Expat",)) == [{"license": {"id": "MIT"}}]
    assert cyclonedx(("Expat", "own")) == [{"license": {"id": "MIT"}}, {"license": {"name": "own"}}]
    assert cyclonedx(()) == []


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ("License-Expression: MIT OR ISC\nLicense: other\n", ("MIT OR ISC",)),
        ("License: BSD-3-Clause\nClassifier: License :: OSI Approved :: BSD License\n", ("BSD-3-Clause",)),
        ("License: UNKNOWN\n", ()),
        ("Classifier: Topic :: X\nClassifier: License :: OSI Approved :: MIT License\n", ("MIT License",)),
        ("Name: x\n", ()),
    ],
)
def test_a_distribution_says_its_licence_in_three_places(metadata: str, expected: tuple[str, ...]) -> None:
    assert of_python(metadata) == expected


@given(st.text(max_size=500) | st.text(alphabet="License: Files-+orand\n \x1b", max_size=500))
def test_whatever_somebody_wrote_names_are_short_and_on_one_line(text: str) -> None:
    found = (*of_debian("Format: x\n\n" + text), *of_python(text))
    assert all(each.isprintable() and len(each) <= LONGEST for each in found)
    cyclonedx(found)
