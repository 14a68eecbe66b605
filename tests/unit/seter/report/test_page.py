"""The page as text: what a browser makes of it is tried in tests/integration/test_report_page.py."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from xml.etree.ElementTree import Element

import html5lib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seter.report.model import Experiment, Fault, Outcome, Run
from seter.report.page import render
from seter.report.stored import from_json, to_json
from seter.report.text import clean
from tests.lab.runs import EVIL, make_earlier, make_evil, make_run

HTML = "{http://www.w3.org/1999/xhtml}"
SVG = "{http://www.w3.org/2000/svg}"
# What names another resource; of links only the page's own parts are allowed.
LOADING = ("src", "srcset", "href", "{http://www.w3.org/1999/xlink}href", "data", "poster", "action", "background")


def parsed(page: str) -> Element:
    """The document. Raises html5lib's ParseError where the standard's parser would report an error."""
    document: Element = html5lib.HTMLParser(strict=True).parse(page)
    return document


def texts(found: Element | None) -> str:
    assert found is not None
    return " ".join(" ".join(found.itertext()).split())


def every(document: Element, name: str) -> Iterator[Element]:
    return document.iter(HTML + name)


def faults_of(document: Element) -> list[str]:
    """What no page of ours may have."""
    found = []
    for each in document.iter():
        tag = str(each.tag).rpartition("}")[2]
        if tag in ("script", "img", "iframe", "object", "embed", "link", "base", "form", "image", "use"):
            found.append(tag)
        for name, value in each.attrib.items():
            if name.startswith("on") or name == "style" or (name in LOADING and not value.startswith("#")):
                found.append(f"{tag} {name}={value}")
    return found


def table(document: Element, caption: str) -> list[str]:
    for each in every(document, "table"):
        if caption in texts(each):
            return [texts(row) for row in each.iter(f"{HTML}tr")]
    raise AssertionError(caption)


@pytest.fixture(scope="module")
def page() -> Element:
    return parsed(render(make_run(), make_earlier(), (make_earlier(),)))


def test_the_verdict_is_above_all_else(page: Element) -> None:
    first = next(each for each in every(page, "p") if "verdict" in each.get("class", ""))
    assert texts(first) == "✗ broken 3 experiments: 1 held, 1 broken and 1 skipped."
    assert texts(next(every(page, "title"))).startswith("broken: chaos of s3-lb/container/main, 2026-11-30")


def test_experiments_stand_beside_their_allowance(page: Element) -> None:
    rows = table(page, "Each measured value beside")
    assert "gateway-power ✓ held time in which requests fail 310 ms at most 1 s" in rows
    assert "slow-store ✗ broken latency, 99th percentile 1.52 s ✗ not kept at most 1 s" in rows
    assert "slow-store as above next hops 3 at least 3" in rows
    assert "clock-jump · skipped containers share the clock of their host none none" in rows


def test_each_fault_is_marked_with_begin_and_end(page: Element) -> None:
    assert "2 answers 0.5 s later gw2 1:10 1:40" in table(page, "Broken at")
    first = next(each for each in page.iter(f"{SVG}svg") if each.find(f"{SVG}rect[@class='named']") is not None)
    assert [texts(each) for each in first.iter(f"{SVG}text")] == ["1", "2", "3"]


def test_what_is_different_from_the_earlier_run_is_said(page: Element) -> None:
    rows = table(page, "Results")
    assert "slow-store held broken ▼ worse" in rows and "gateway-power held held same" in rows
    assert "slow-store: latency, 99th percentile 900 ms 1.52 s ▼ worse" in rows
    assert "kernel 6.17.3 6.18.0 different" in table(page, "Environment What")


def test_the_environment_and_the_command_are_there_to_repeat_it(page: Element) -> None:
    assert texts(page.find(f".//{HTML}pre")) == "seter chaos s3-lb --target container --seed 'a b'"
    facts = " ".join(texts(each) for each in every(page, "dl"))
    for part in ("seter 0.1.0", "sha256:abab", "container/balancer:3.7.15-20261124 sha256:cdcd", "cores 2"):
        assert part in facts


def test_a_run_alone_is_compared_with_nothing() -> None:
    assert "Comparison" not in texts(parsed(render(make_run())))


def test_another_deployment_is_not_compared_in_silence() -> None:
    other = replace(make_earlier(), deployment="s3-lb/baremetal/main")
    assert "That is another deployment." in texts(parsed(render(make_run(), other)))


def test_requests_that_failed_are_listed_with_node_and_reason_and_the_rest_is_counted(page: Element) -> None:
    assert "0:20.4 GET not known 10 s no answer within 10 s" in table(page, "The first 2; 12 more are not listed.")
    many = replace(make_run(), requests=make_run().requests * 200)
    assert "The first 200; 212 more are not listed." in texts(parsed(render(many)))


def test_a_run_of_nothing_is_a_page_too() -> None:
    empty = replace(make_run(), experiments=(), seconds=(), notes=(), requests=(), untold=0, lag=None)
    assert "Nothing was broken on purpose." in texts(parsed(render(empty)))


def test_a_load_that_came_late_is_not_taken_for_a_result() -> None:
    late = replace(make_run(), lag=0.02)
    assert "cannot be trusted: requests were sent late, 99th percentile 20 ms." in texts(parsed(render(late)))


def test_the_page_needs_nothing_from_elsewhere(page: Element) -> None:
    assert faults_of(page) == []
    assert "url(http" not in render(make_run()) and "@import" not in render(make_run())


def test_links_lead_to_parts_that_are_there(page: Element) -> None:
    ids = [each.get("id") for each in page.iter() if each.get("id")]
    links = [each.get("href", "") for each in every(page, "a")]
    assert len(set(ids)) == len(ids) and links and {link.removeprefix("#") for link in links} <= set(ids)


def test_pictures_have_words_beside_them(page: Element) -> None:
    pictures = [each for each in every(page, "div") if each.get("class") == "plot"]
    assert pictures and all(each.get("aria-label") or each.get("aria-hidden") == "true" for each in pictures)
    assert "The most that failed in a second are 7, at 0:20." in texts(page)
    assert "0:20 to 0:22 100 14" in " ".join(table(page, "p50 is that of the median"))


def test_a_name_cannot_break_out_of_where_it_stands() -> None:
    document = parsed(render(make_evil(), make_evil(), (make_evil(),)))
    assert faults_of(document) == []
    assert clean(EVIL) in texts(document.find(f".//{HTML}h1"))


def test_an_hour_is_a_small_page_and_needs_little_memory() -> None:
    stored = to_json(make_run(3600))
    tracemalloc.start()
    try:
        page = render(from_json(stored), from_json(stored))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(page.encode()) < 1 << 18 and most < 16 << 20


NAMES = st.text(st.characters() | st.sampled_from("<>&\"'`=/\\\x00\x0c\u2028\ufffe{}%#"), max_size=24) | st.just(EVIL)


@given(NAMES, NAMES, st.sampled_from(["completed", "failed", "skipped", "<b>"]), st.booleans())
@settings(max_examples=60)
def test_whatever_names_are_the_page_is_sound(name: str, other: str, status: str, deviated: bool) -> None:
    run = make_run(40)
    one = Experiment(name, other, status, deviated, 1, 9, why=other, faults=(Fault(other, name, 3, None),))
    evil: Run = replace(run, kind=other, deployment=name, experiments=(one, *run.experiments))
    document = parsed(render(evil, run))
    assert faults_of(document) == []
    assert clean(name).split() == [] or clean(name).split()[0] in texts(document.find(f".//{HTML}h1"))


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_has_a_sign_of_its_own(outcome: Outcome) -> None:
    from seter.report.page import sign

    assert [sign(each) for each in Outcome].count(sign(outcome)) == 1
