"""JUnit XML, held against the rules of Jenkins' schema (xunit-plugin, junit-10.xsd), which others read too."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree.ElementTree import Element, fromstring

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seter.report.junit import junit
from seter.report.model import Experiment, Run
from tests.lab.runs import make_evil, make_run

# element → (attributes it must have, those it may have, children in order with how often at most)
MANY = 10**9
RULES: dict[str, tuple[set[str], set[str], dict[str, int]]] = {
    "testsuites": (set(), {"name", "time", "tests", "failures", "errors", "skipped", "disabled"}, {"testsuite": MANY}),
    "testsuite": (
        {"name", "tests", "failures", "errors"},
        {"time", "timestamp", "skipped", "hostname", "id", "package"},
        {"properties": 1, "testcase": MANY, "system-out": 1, "system-err": 1},
    ),
    "properties": (set(), set(), {"property": MANY}),
    "property": ({"name", "value"}, set(), {}),
    "testcase": (
        {"name"},
        {"classname", "time", "assertions", "status"},
        {"skipped": 1, "error": MANY, "failure": MANY, "system-out": 1, "system-err": 1},
    ),
    "skipped": (set(), {"message", "type"}, {}),
    "error": (set(), {"message", "type"}, {}),
    "failure": (set(), {"message", "type"}, {}),
}
PATTERNS = dict.fromkeys(("tests", "failures", "errors", "skipped"), re.compile(r"\d+")) | {
    "time": re.compile(r"\d+\.\d+"),
    "timestamp": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d([+-]\d\d:\d\d)?"),
}


def broken_rules(element: Element) -> list[str]:
    """What is against the schema, in this element and below."""
    must, may, children = RULES[element.tag]
    found = [f"{element.tag} has no {name}" for name in must - element.attrib.keys()]
    found += [f"{element.tag} has {name}" for name in element.attrib.keys() - must - may]
    names = [child.tag for child in element]
    found += [f"{name} in {element.tag}" for name in names if name not in children]
    order = list(children)
    if names != sorted(names, key=lambda name: order.index(name) if name in order else 0):
        found.append(f"children of {element.tag} are out of order")
    found += [f"{name} twice" for name, most in children.items() if names.count(name) > most]
    for name, pattern in PATTERNS.items():
        if name in element.attrib and not pattern.fullmatch(element.attrib[name]):
            found.append(f"{name}={element.attrib[name]}")
    if element.tag not in ("error", "failure") and (element.text or "").strip():
        found.append(f"{element.tag} has text")
    return [*found, *(each for child in element for each in broken_rules(child))]


def sound(run: Run) -> Element:
    root = fromstring(junit(run).encode())
    assert root.tag == "testsuites" and broken_rules(root) == []
    cases = list(root.iter("testcase"))
    for counted in (root, *root):
        assert counted.get("tests") == str(len(cases))
        for plural, name in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert counted.get(plural) == str(sum(case.find(name) is not None for case in cases))
    return root


def ends(root: Element) -> dict[str, str]:
    return {str(case.get("name")): next((child.tag for child in case), "passed") for case in root.iter("testcase")}


def test_each_experiment_is_a_case_that_ends_as_it_did() -> None:
    load = "what the load measured can be trusted"
    assert ends(sound(make_run())) == {
        "gateway-power": "passed",
        "slow-store": "failure",
        "clock-jump": "skipped",
        load: "passed",
    }
    assert ends(sound(replace(make_run(), lag=0.1)))[load] == "error"
    assert ends(sound(replace(make_run(), invalid=("the clock jumped",))))[load] == "error"
    assert load not in ends(sound(replace(make_run(), lag=None)))


def test_a_failure_says_what_was_measured_and_what_was_allowed() -> None:
    failure = sound(make_run()).find(".//failure")
    assert failure is not None and failure.get("message") == "latency, 99th percentile: 1.52 s, at most 1 s"
    assert "fault: answers 0.5 s later on gw2, 1:10 to 1:40" in (failure.text or "")


def test_what_was_interrupted_is_an_error_and_no_failure() -> None:
    run = make_run()
    stopped = replace(run, experiments=(replace(run.experiments[0], status="interrupted"),))
    assert ends(sound(stopped))["gateway-power"] == "error"


def test_names_that_would_break_out_are_escaped() -> None:
    case = sound(make_evil()).find(".//testcase")
    assert case is not None and "<script>" in str(case.get("name"))


@given(
    st.text(st.characters()),
    st.text(st.characters()),
    st.floats(-1e9, 1e9),
    st.sampled_from(["completed", "skipped", "x\x00"]),
)
@settings(max_examples=60)
def test_whatever_names_are_the_file_is_sound(name: str, why: str, end: float, status: str) -> None:
    one = Experiment(name, why, status, deviated=True, end=end, why=why)
    sound(replace(make_run(), kind=why, deployment=name, length=end, experiments=(one,)))


@pytest.mark.parametrize(
    "text", ["<testsuites><testcase/></testsuites>", '<testsuites><testsuite name="a"/></testsuites>']
)
def test_the_rules_refuse_what_is_against_them(text: str) -> None:
    assert broken_rules(fromstring(text))
