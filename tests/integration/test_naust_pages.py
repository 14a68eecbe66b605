"""The pages of a real `naust serve` in a real browser."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from common.model import Artifact
from naust.serve import pages
from naust.store.directory import DirectoryStore
from tests.lab.browser import DESK, PHONE, Look, chromium, visiting
from tests.lab.catalogue import NAME, Furnished, furnish
from tests.lab.programs import ROOT, TOOLS
from tests.lab.serving import ask, process, token

SMALL = 320  # CSS pixels; WCAG 2.2, 1.4.10 "Reflow"


@dataclass(frozen=True)
class Site:
    """A server with something to look at."""

    port: int
    folder: Path
    there: Furnished
    token: str  # may read container/… alone

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def paths(self) -> tuple[str, ...]:
        """A page of each sort, and one that is not there."""
        old, middle, new = map(path_of, self.there.versions)
        tags = [each.reference.tag for each in self.there.versions]
        difference = f"/{NAME}/diff?a={tags[1]}&b={tags[2]}"
        return ("/", "/?q=nonsense", f"/{NAME}", old, middle, new, path_of(self.there.disk), difference, "/vm/nothing")


def path_of(artifact: Artifact) -> str:
    return f"/{artifact.reference.kind}/{artifact.reference.name}/{artifact.reference.tag}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    there = furnish(DirectoryStore(folder / "store"), folder, packages=200)
    limited = token(folder / "tokens", "reader", "read:container/*")
    options = ("--tokens", str(folder / "tokens"), "--anonymous", "read")
    with process(folder / "store", *options, log=folder / "log") as server:
        yield Site(server.port, folder, there, limited)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


def number(page: Page, script: str) -> float:
    return float(page.evaluate(script))


@pytest.mark.parametrize("width", [SMALL, PHONE, DESK])
def test_no_page_scrolls_sideways(browser: Browser, site: Site, width: int) -> None:
    with visiting(browser, site.base, Look(width, scripts=False)) as page:
        for path in site.paths:
            page.goto(path)
            assert number(page, "document.scrollingElement.scrollWidth") <= width, path


def test_without_javascript_a_visitor_searches_and_gets_to_an_artefact(browser: Browser, site: Site) -> None:
    with visiting(browser, site.base, Look(PHONE, scripts=False)) as page:
        page.goto("/")
        page.get_by_label("Search").fill("traefik 3.7.14")
        page.get_by_label("Kind").select_option("container")
        page.get_by_role("button", name="Search").click()
        expect(page.get_by_text("1 artefact with")).to_be_visible()
        assert page.get_by_label("Search").input_value() == "traefik 3.7.14"
        page.get_by_role("link", name="3.7.14-").click()
        expect(page).to_have_url(site.base + path_of(site.there.versions[1]))
        expect(page.get_by_text(str(site.there.versions[1].digest))).to_be_visible()
        page.get_by_label("Search packages").fill("openssl")
        page.get_by_role("search", name="Packages").get_by_role("button").click()
        expect(page.get_by_text("1 package with")).to_be_visible()
        expect(page.get_by_role("row", name="openssl 3.0.16-1 deb")).to_be_visible()


def test_two_versions_are_compared_from_the_page_of_their_name(browser: Browser, site: Site) -> None:
    with visiting(browser, site.base, Look(scripts=False)) as page:
        page.goto(f"/{NAME}")
        page.get_by_role("button", name="Compare").click()
        assert "/diff?a=3.7.14-" in page.url
        expect(page.get_by_role("row", name="openssl changed 3.0.16-1 3.0.17-1")).to_be_visible()
        expect(page.get_by_role("row", name="libnew added none 2.0")).to_be_visible()
        expect(page.get_by_text("1 added, 1 removed, 1 changed, 200 the same")).to_be_visible()


@pytest.mark.parametrize(("scheme", "ground"), [("light", "rgb(255, 255, 255)"), ("dark", "rgb(17, 23, 29)")])
def test_the_ground_is_light_or_dark_as_the_visitor_likes_it(
    browser: Browser, site: Site, scheme: str, ground: str
) -> None:
    with visiting(browser, site.base, Look(scheme="dark" if scheme == "dark" else "light")) as page:
        page.goto("/")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == ground


FOCUSED = "document.activeElement.id || document.activeElement.className || document.activeElement.textContent.trim()"


def test_tab_goes_from_the_skip_link_over_the_search_to_the_first_result(browser: Browser, site: Site) -> None:
    with visiting(browser, site.base) as page:
        page.goto("/")
        order = []
        for _ in range(8):
            page.keyboard.press("Tab")
            order.append(page.evaluate(FOCUSED))
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", order
        # What was published last is the list of revocations.
        assert order == ["skip", "brand", "q", "kind", "show", "Search", "file/revocations", "long"]
        page.keyboard.press("Enter")
        expect(page).to_have_url(f"{site.base}/file/revocations/current")


def test_the_skip_link_leads_past_the_header(browser: Browser, site: Site) -> None:
    with visiting(browser, site.base) as page:
        page.goto(path_of(site.there.versions[2]))
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "content"


def test_tab_into_a_command_selects_the_whole_of_it(browser: Browser, site: Site) -> None:
    with visiting(browser, site.base) as page:
        page.goto(path_of(site.there.versions[2]))
        for _ in range(20):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.readOnly === true"):
                break
        picked = page.evaluate(
            "(e => e.value.slice(e.selectionStart, e.selectionEnd))(document.activeElement)",
        )
        assert picked == f"naust pull {site.base}{path_of(site.there.versions[2])}"


def test_a_digest_is_short_on_the_screen_and_whole_when_selected(browser: Browser, site: Site) -> None:
    with visiting(browser, site.base) as page:
        page.goto(f"/{NAME}")
        shown = page.locator(".digest").first
        assert shown.evaluate("e => e.scrollWidth > e.clientWidth")
        shown.click()
        assert page.evaluate("getSelection().toString()") in [str(each.digest) for each in site.there.versions]


def test_every_page_has_landmarks_labels_and_one_heading_above_all(browser: Browser, site: Site) -> None:
    with visiting(browser, site.base, Look(scripts=False)) as page:
        for path in site.paths:
            page.goto(path)
            faults = page.evaluate(
                """() => [
                    document.documentElement.lang === 'en' ? '' : 'no language',
                    document.title ? '' : 'no title',
                    ...['header', 'main', 'footer', 'h1'].map(
                        name => document.querySelectorAll(name).length === 1 ? '' : `not one ${name}`),
                    ...[...document.querySelectorAll('input, select')].map(
                        e => e.labels.length && e.labels[0].textContent.trim() ? '' : `no label: ${e.outerHTML}`),
                    ...[...document.querySelectorAll('thead th, tbody th')].map(
                        e => e.scope === (e.closest('thead') ? 'col' : 'row') ? '' : `no scope: ${e.outerHTML}`),
                    ...[...document.querySelectorAll('h1, h2, h3')].map((e, i, all) =>
                        i && +e.tagName[1] > +all[i - 1].tagName[1] + 1 ? `heading left out: ${e.textContent}` : ''),
                    new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size
                        === document.querySelectorAll('[id]').length ? '' : 'an id twice',
                ].filter(Boolean)"""
            )
            assert not faults, path


def test_nothing_on_a_page_is_refused_by_its_own_policy(browser: Browser, site: Site) -> None:
    with visiting(browser, site.base) as page:
        told: list[str] = []
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        for path in site.paths:
            answer = page.goto(path)
            assert answer is not None and answer.headers["content-security-policy"] == pages.POLICY
        assert [text for text in told if "404" not in text] == []


def test_what_is_revoked_cannot_be_overlooked(browser: Browser, site: Site) -> None:
    with visiting(browser, site.base, Look(PHONE)) as page:
        page.goto(path_of(site.there.versions[0]))
        banner = page.get_by_role("alert")
        expect(banner).to_be_in_viewport()
        expect(banner).to_contain_text("Revoked: do not use this artefact.")
        expect(page.get_by_label("Pull with Docker")).to_be_hidden()
        page.get_by_text("show the commands all the same").click()
        expect(page.get_by_label("Pull with Docker")).to_be_visible()
        banner.get_by_role("link").click()
        expect(page).to_have_url(f"{site.base}/{NAME}")


def test_on_paper_commands_and_digests_are_whole(browser: Browser, site: Site) -> None:
    with visiting(browser, site.base) as page:
        page.emulate_media(media="print")
        page.goto(path_of(site.there.versions[2]))
        expect(page.locator("code.paper").first).to_be_visible()
        assert page.locator(".digest").first.evaluate("e => e.scrollWidth <= e.clientWidth + 1")


def test_a_program_gets_the_manifest_where_a_browser_gets_the_page(site: Site) -> None:
    path = path_of(site.there.disk)
    plain, html = ask(site.port, "GET", path), ask(site.port, "GET", path, Accept="text/html,*/*")
    assert plain.headers["content-type"] == "application/vnd.oci.image.manifest.v1+json"
    assert html.headers["content-type"] == "text/html; charset=utf-8"
    assert ask(site.port, "GET", f"{path}?download", Accept="text/html").body == b"disk" * 1000


def test_a_visitor_logs_in_with_a_token_and_sees_what_it_is_for(browser: Browser, site: Site, tmp_path: Path) -> None:
    with process(site.folder / "store", "--tokens", str(site.folder / "tokens"), log=tmp_path / "log") as server:
        base = f"http://{server.host}"
        for path in ("/", path_of(site.there.disk), "/vm/nothing", "/nonsense"):
            locked = ask(server.port, "GET", path, Accept="text/html")
            assert locked.status == 401
            assert locked.headers["www-authenticate"].startswith("Basic ")
            assert b"any user name, and a token as password" in locked.body
            assert ask(server.port, "GET", path).headers["content-type"] == "application/json"
        with visiting(browser, base, token=site.token) as page:
            page.goto("/")
            expect(page.get_by_role("link", name="container/traefik").first).to_be_visible()
            assert page.get_by_text("gateway").count() == 0
            page.goto("/vm/gateway")
            expect(page.get_by_role("heading", name="Not allowed")).to_be_visible()


def test_a_token_shows_no_more_to_a_visitor_who_could_see_it_without(site: Site) -> None:
    path = path_of(site.there.disk)
    refused = ask(site.port, "GET", path, token=site.token, Accept="text/html")
    assert refused.status == 403
    assert "you may not see vm/gateway" in refused.body.decode()
    assert "gateway" not in ask(site.port, "GET", "/", token=site.token, Accept="text/html").body.decode()


def test_a_browser_gets_a_page_where_there_is_none_and_a_program_gets_json(site: Site) -> None:
    page, plain = (
        ask(site.port, "GET", "/nonsense/<b>".replace("<", "%3C"), Accept="text/html"),
        ask(site.port, "GET", "/x"),
    )
    assert (page.status, plain.status) == (404, 404)
    assert b"What to do next" in page.body and b"/nonsense/&lt;b&gt;" in page.body
    assert plain.code == "NAME_UNKNOWN"


def test_commands_work_as_they_are_pasted(browser: Browser, site: Site, tmp_path: Path) -> None:
    with visiting(browser, site.base, Look(scripts=False)) as page:
        commands = []
        for found in (site.there.versions[2], site.there.disk):
            page.goto(path_of(found))
            commands += [each.input_value() for each in page.locator(".command input").all()]
    tried = set()
    path = f"{TOOLS}:{ROOT / '.venv' / 'bin'}:/usr/bin:/bin"
    for count, command in enumerate(commands):
        name = shlex.split(command)[0]
        if name in ("docker", "seter") or " verify " in command or (name == "naust" and "container" in command):
            continue  # they need an engine, a system or keys, and have tests of their own
        folder = tmp_path / str(count)
        folder.mkdir()
        env = {"PATH": path, "HOME": str(tmp_path)}
        done = subprocess.run(["sh", "-c", command], cwd=folder, env=env, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        files = list(folder.iterdir())
        assert len(files) == 1, command
        if name != "crane":
            assert files[0].name == "disk image.qcow2"
            assert files[0].read_bytes() == b"disk" * 1000
        tried.add(name)
    assert tried == {"naust", "crane", "oras", "curl"}
