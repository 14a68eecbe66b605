"""A run as JUnit XML, which CI systems read. Pure.

The format has no standard; this is what Jenkins' schema takes and what GitLab, Azure and GitHub actions read
(https://github.com/jenkinsci/xunit-plugin, junit-10.xsd): `properties` first, then cases, at most one of `skipped`,
`error` and `failure` in each. What did not hold is a failure, what came to no result an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree

from seter.report.figures import exceeded, reason
from seter.report.model import Experiment, Outcome, Run
from seter.report.text import clean, clock, latency

_ELEMENTS = {
    Outcome.BROKEN: "failure",
    Outcome.STOPPED: "error",
    Outcome.INVALID: "error",
    Outcome.SKIPPED: "skipped",
}


def junit(run: Run) -> str:
    """The run as one suite: a case for each experiment, and one for the load if there was one."""
    cases = [*map(_case, run.experiments), *_load(run)]
    numbers = {
        "tests": str(len(cases)),
        "failures": _number(cases, "failure"),
        "errors": _number(cases, "error"),
        "skipped": _number(cases, "skipped"),
        "time": f"{max(0.0, run.length):.3f}",
    }
    root = ElementTree.Element("testsuites", {"name": f"seter {clean(run.kind)}", **numbers})
    began = run.began.replace(microsecond=0).isoformat()
    suite = ElementTree.SubElement(root, "testsuite", {"name": clean(run.deployment), "timestamp": began, **numbers})
    _properties(suite, run)
    suite.extend(cases)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _number(cases: list[ElementTree.Element], name: str) -> str:
    return str(sum(case.find(name) is not None for case in cases))


def _properties(suite: ElementTree.Element, run: Run) -> None:
    environment = run.environment
    pairs = [("seter", environment.seter), ("definitions", environment.definitions)]
    listed = ElementTree.SubElement(suite, "properties")
    for name, value in (*pairs, *environment.versions, *environment.artefacts, *environment.machine):
        ElementTree.SubElement(listed, "property", {"name": clean(name), "value": clean(value)})


def _case(experiment: Experiment) -> ElementTree.Element:
    took = max(0.0, experiment.end - experiment.begin)
    case = _made(experiment.name, "experiments", took)
    if (name := _ELEMENTS.get(experiment.outcome)) is not None:
        # A skipped case has a message and nothing else.
        text = "" if name == "skipped" else "\n".join(_lines(experiment))
        _complaint(case, name, reason(experiment), experiment.outcome.value, text)
    return case


def _load(run: Run) -> Iterator[ElementTree.Element]:
    if run.lag is None and not run.invalid:
        return
    case = _made("what the load measured can be trusted", "load", max(0.0, run.length))
    if not run.is_trusted:
        why = "; ".join(run.invalid) or f"99th percentile of lag: {latency(run.lag)}"
        _complaint(case, "error", why, Outcome.INVALID.value, "")
    yield case


def _made(name: str, suite: str, took: float) -> ElementTree.Element:
    return ElementTree.Element("testcase", {"name": clean(name), "classname": f"seter.{suite}", "time": f"{took:.3f}"})


def _complaint(case: ElementTree.Element, name: str, message: str, kind: str, text: str) -> None:
    given = {"message": clean(message)} | ({"type": kind} if name != "skipped" else {})
    ElementTree.SubElement(case, name, given).text = clean(text) or None


def _lines(experiment: Experiment) -> Iterator[str]:
    yield experiment.title
    for each in experiment.allowances:
        yield f"{'kept' if each.is_kept else 'NOT KEPT'}: {each.what}: {exceeded(each)}"
    for fault in experiment.faults:
        until = clock(fault.end) if fault.end is not None else "not mended"
        yield f"fault: {fault.name} on {fault.node}, {clock(fault.begin)} to {until}"
    for step in experiment.steps:
        yield f"{'good' if step.ok else 'BAD'}: {step.part}: {step.name} ({step.took:.1f} s) {step.said}".rstrip()
