"""The page of a run in a real browser: on a phone and a desk, light and dark, on paper, without a network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from seter.report.model import Run
from seter.report.page import render
from tests.lab.browser import Look, chromium
from tests.lab.runs import make_earlier, make_evil, make_run

PHONE, DESK = 390, 1280  # CSS pixels of width
# Ratio of contrast by WCAG 2.2, "relative luminance", of every text with the ground behind it.
CONTRAST = """() => {
  const channel = value => { value /= 255; return value <= .04045 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4 };
  const light = ([r, g, b]) => .2126 * channel(r) + .7152 * channel(g) + .0722 * channel(b);
  const parts = text => text.match(/[\\d.]+/g).map(Number);
  const ground = e => { for (; e; e = e.parentElement) {
    const found = parts(getComputedStyle(e).backgroundColor); if (found.length === 3 || found[3] > 0) return found; }
    return [255, 255, 255] };
  const low = [];
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) || !e.getClientRects().length) continue;
    const style = getComputedStyle(e), ink = e.closest('svg') && e.tagName === 'text' ? style.fill : style.color;
    const [a, b] = [light(parts(ink)), light(ground(e))].sort((x, y) => y - x);
    if ((a + .05) / (b + .05) < 4.5) low.push(`${e.tagName}.${e.className} ${(a + .05) / (b + .05)}`);
  }
  return low }"""
STRUCTURE = """() => [
  document.documentElement.lang === 'en' ? '' : 'no language',
  ...['header', 'main', 'h1'].map(name => document.querySelectorAll(name).length === 1 ? '' : `not one ${name}`),
  ...[...document.querySelectorAll('th')].map(
    e => e.scope === (e.closest('thead') ? 'col' : 'row') ? '' : `no scope: ${e.outerHTML}`),
  ...[...document.querySelectorAll('h1, h2, h3')].map((e, i, all) =>
    i && +e.tagName[1] > +all[i - 1].tagName[1] + 1 ? `heading left out: ${e.textContent}` : ''),
  ...[...document.querySelectorAll('svg')].map(e => e.closest('[aria-hidden=true], [role=img][aria-label]')
    ? '' : `a picture without words: ${e.outerHTML.slice(0, 80)}`),
].filter(Boolean)"""
# Stroke, dashes and marker of each line in a picture, as they are drawn.
LINES = """() => [...document.querySelectorAll('figure')].map(
  figure => [...figure.querySelectorAll('.legend li')].map(e => {
    const line = getComputedStyle(e.querySelector('.curve'));
    const point = e.querySelector('circle, rect');
    return [line.strokeDasharray, point ? point.tagName : ''].join(' ') })).filter(each => each.length)"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@contextmanager
def showing(browser: Browser, file: Path, run: Run, look: Look, media: str = "screen") -> Iterator[Page]:
    """The page of a run, read from a file; a request, a script, a message or an error fails the test."""
    file.write_text(render(run, make_earlier(), (make_earlier(),)))
    context = browser.new_context(viewport={"width": look.width, "height": 800}, color_scheme=look.scheme, offline=True)
    told: list[str] = []
    try:
        page = context.new_page()
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("request", lambda request: told.append(request.url) if request.url != file.as_uri() else None)
        page.emulate_media(media="print" if media == "print" else "screen", color_scheme=look.scheme)
        page.goto(file.as_uri())
        yield page
        assert not told
    finally:
        context.close()


def open_all(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")


@pytest.mark.parametrize("width", [320, PHONE, DESK])
@pytest.mark.parametrize("run", [make_run(), make_evil()], ids=["usual", "evil"])
def test_the_page_does_not_scroll_sideways(browser: Browser, tmp_path: Path, width: int, run: Run) -> None:
    with showing(browser, tmp_path / "x.html", run, Look(width)) as page:
        open_all(page)
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width


def test_nothing_in_a_name_is_run(browser: Browser, tmp_path: Path) -> None:
    with showing(browser, tmp_path / "x.html", make_evil(), Look()) as page:
        open_all(page)
        assert page.title() != "broken" and "<script>" in page.title()
        assert page.evaluate("document.querySelectorAll('script, img').length") == 0


def test_what_got_through_all_the_same_would_not_be_run_or_fetched(browser: Browser, tmp_path: Path) -> None:
    """The policy of the page, tried by putting in what escaping keeps out."""
    file = tmp_path / "x.html"
    evil = '<script>document.title="broken"</script><img src="http://127.0.0.1:9/x.png"><p style="color:red">'
    file.write_text(render(make_run()).replace("<main>", f"<main>{evil}"))
    context = browser.new_context(offline=True)
    refused: list[str] = []
    try:
        page = context.new_page()
        page.on("console", lambda message: refused.append(message.text))
        page.goto(file.as_uri())
        assert page.title() != "broken"
        assert page.evaluate("getComputedStyle(document.querySelector('main > p')).color") != "rgb(255, 0, 0)"
        assert sum("Content Security Policy" in each for each in refused) == 3
    finally:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESK])
def test_every_text_stands_out_from_its_ground(browser: Browser, tmp_path: Path, scheme: str, width: int) -> None:
    look = Look(width, "dark" if scheme == "dark" else "light")
    with showing(browser, tmp_path / "x.html", make_run(), look) as page:
        open_all(page)
        assert page.evaluate(CONTRAST) == []
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == ("rgb(17, 23, 29)" if scheme == "dark" else "rgb(255, 255, 255)")


def test_headings_tables_and_pictures_can_be_read_aloud(browser: Browser, tmp_path: Path) -> None:
    with showing(browser, tmp_path / "x.html", make_run(), Look()) as page:
        open_all(page)
        assert page.evaluate(STRUCTURE) == []
        expect(page.get_by_role("img", name="Failed requests a second. The most that failed").first).to_be_visible()
        expect(page.get_by_role("heading", name="Experiments against their allowance")).to_be_visible()


def test_lines_can_be_told_apart_without_colour(browser: Browser, tmp_path: Path) -> None:
    with showing(browser, tmp_path / "x.html", make_run(), Look()) as page:
        pictures = page.evaluate(LINES)
        assert pictures and all(len(set(lines)) == len(lines) > 1 for lines in pictures)


def test_on_paper_all_is_black_on_white_and_nothing_is_folded(browser: Browser, tmp_path: Path) -> None:
    with showing(browser, tmp_path / "x.html", make_run(), Look(800, "dark"), "print") as page:
        colours = page.evaluate(
            """() => [...new Set([...document.querySelectorAll('body, .curve, .bar, .point, .mark, svg text')].flatMap(
                e => { const s = getComputedStyle(e); return [s.color, s.stroke, s.fill, s.backgroundColor] }))]"""
        )
        numbers = [
            [float(part) for part in each[each.index("(") + 1 : -1].split(",")[:3]] for each in colours if "(" in each
        ]
        assert numbers and all(max(each) - min(each) == 0 for each in numbers)
        assert page.evaluate(CONTRAST) == []
        assert page.get_by_text("every object comes back").bounding_box() is not None


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_lines_and_bars_stand_out_from_their_ground_as_greys(browser: Browser, tmp_path: Path, scheme: str) -> None:
    """At least 3:1 (WCAG 2.2, 1.4.11)."""
    look = Look(scheme="dark" if scheme == "dark" else "light")
    with showing(browser, tmp_path / "x.html", make_run(), look) as page:
        ground = luminance(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        for part in (".bar", ".curve.solid", ".curve.dashed", ".curve.dotted", ".from", ".to", ".point"):
            ink = "e => { const s = getComputedStyle(e); return s.stroke === 'none' ? s.fill : s.stroke }"
            found = luminance(page.locator(part).first.evaluate(ink))
            high, low = max(ground, found) + 0.05, min(ground, found) + 0.05
            assert high / low >= 3, part


def luminance(colour: str) -> float:
    """Of `rgb(…)`, by WCAG 2.2."""
    parts = (int(each) / 255 for each in colour[4:-1].split(","))
    red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_a_link_leads_from_the_table_to_the_experiment(browser: Browser, tmp_path: Path) -> None:
    with showing(browser, tmp_path / "x.html", make_run(), Look(PHONE)) as page:
        page.get_by_role("link", name="slow-store").click()
        expect(page.get_by_role("heading", name="slow-store: A store answers slowly")).to_be_in_viewport()


def test_what_did_not_hold_is_open_and_what_held_is_folded(browser: Browser, tmp_path: Path) -> None:
    with showing(browser, tmp_path / "x.html", make_run(), Look()) as page:
        steps = page.get_by_text("every object comes back")
        expect(steps).to_be_hidden()
        page.get_by_text("Timeline and steps of gateway-power").click()
        expect(steps).to_be_visible()
        expect(page.get_by_text("Who is hit")).to_be_visible()


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_marks_of_faults_lie_in_the_picture_where_they_happened(browser: Browser, tmp_path: Path, width: int) -> None:
    held = replace(make_run(), experiments=make_run().experiments[:1])
    with showing(browser, tmp_path / "x.html", held, Look(width)) as page:
        area = page.locator("figure", has_text="Failed requests a second").first.locator(".area")
        whole = area.bounding_box()
        begin, end = (area.locator(each).bounding_box() for each in (".from", ".to"))
        bar = area.locator(".bar").first.bounding_box()
        assert whole and begin and end and bar
        assert (begin["x"] - whole["x"]) / whole["width"] == pytest.approx(20 / 120, abs=0.01)
        assert (end["x"] - whole["x"]) / whole["width"] == pytest.approx(30 / 120, abs=0.01)
        assert bar["x"] == pytest.approx(begin["x"], abs=2)
