"""Debian's Chromium without a window, driven by Playwright; it reaches the loopback and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, Route, sync_playwright

from tests.lab.programs import program

PHONE, DESK = 375, 1280  # CSS pixels of width
# Quiet: nothing of its own over the network. No sandbox, because tests run as root in containers.
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass(frozen=True, slots=True)
class Look:
    """How a visitor looks at pages."""

    width: int = DESK
    scheme: Literal["light", "dark"] = "light"
    scripts: bool = True


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser with a profile of its own, which goes with it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program("chromium"), args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visiting(browser: Browser, base: str, look: Look = Look(), token: str = "") -> Iterator[Page]:
    """An empty page of a visitor of the site at `base`; requests that leave the site are refused and fail the test."""
    context = browser.new_context(
        base_url=base,
        viewport={"width": look.width, "height": 800},
        color_scheme=look.scheme,
        java_script_enabled=look.scripts,
        http_credentials={"username": "visitor", "password": token} if token else None,
        ignore_https_errors=True,
    )
    strangers = _kept_in(context, base)
    try:
        yield context.new_page()
        assert not strangers, f"the page asked for {strangers}"
    finally:
        context.close()


def _kept_in(context: BrowserContext, base: str) -> list[str]:
    strangers: list[str] = []
    home = urlsplit(base).netloc

    def decide(route: Route) -> None:
        if urlsplit(route.request.url).netloc == home:
            route.continue_()
        else:
            strangers.append(route.request.url)
            route.abort()

    context.route("**/*", decide)
    return strangers
