"""How checks went: read from the JUnit file that pytest writes, and put together into one for several artefacts.

Format: https://docs.pytest.org/en/stable/how-to/output.html (junitxml, family xunit2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

LINES, WIDTH = 20, 300  # of what a failed check says; all of it is in the log
EVERY = "every artefact"
UNREAD = "a file of checks"  # which pytest could not read, so that it does not know what is in it
OF, NAME = "of", "name"  # properties: whose a check is, and its name without the place where testinfra looks


@dataclass(frozen=True, slots=True)
class Check:
    """One check. `about` is the role that it belongs to, or 'every artefact'; `promise` what it says in words; `fault`
    why it does not hold, '' if it does. `seconds` is how long it took."""

    about: str
    promise: str
    fault: str = ""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether it holds."""
        return not self.fault


def read(path: Path) -> tuple[Check, ...]:
    """The checks in a JUnit file, in its order. Raises OSError, ElementTree.ParseError."""
    return tuple(_check(case) for case in _root(path).iter("testcase"))


def joined(suites: Sequence[tuple[str, Path]]) -> bytes:
    """One JUnit file of several: `suites` are what was checked, and its file."""
    whole = ElementTree.Element("testsuites", name="smie test")
    for title, path in suites:
        for suite in _root(path).iter("testsuite"):
            suite.set("name", title)
            for case in suite.iter("testcase"):
                case.set("classname", _property(case, OF) or UNREAD)
                case.set("name", _property(case, NAME) or case.get("name", ""))
            whole.append(suite)
    text: bytes = ElementTree.tostring(whole, encoding="utf-8", xml_declaration=True)
    return text


def promise(name: str) -> str:
    """What the name of a check says: `test_it_starts[a]` is `it starts [a]`."""
    words, bracket, parameter = name.partition("[")
    return words.removeprefix("test_").replace("_", " ") + (f" {bracket}{parameter}" if bracket else "")


def _property(case: ElementTree.Element, name: str) -> str:
    return next((one.get("value", "") for one in case.iter("property") if one.get("name") == name), "")


def _check(case: ElementTree.Element) -> Check:
    faults = [child for child in case if child.tag in ("failure", "error", "skipped")]
    fault = "\n".join(_fault(child) for child in faults)
    name = _property(case, NAME) or case.get("name", "")
    return Check(_property(case, OF) or UNREAD, promise(name), fault, float(case.get("time", "0")))


def _fault(child: ElementTree.Element) -> str:
    if child.tag == "skipped":
        return f"it was skipped, which no check may be: {child.get('message', '')}"
    lines = [line.removeprefix("E").strip() for line in (child.text or "").splitlines() if line.startswith("E  ")]
    return (
        "\n".join(line[:WIDTH] for line in lines[:LINES])
        or child.get("message", "")
        or "it failed and does not say why"
    )


def _root(path: Path) -> ElementTree.Element:
    return ElementTree.parse(path).getroot()
