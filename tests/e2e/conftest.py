"""Headless Chromium that notes everything a page should not do."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
KNOWN = re.compile(r"/_stcore/(health|host-config)$")
"""Streamlit asks for these below a page's own path first and is told that they are not there."""
PATIENCE = 30_000.0  # milliseconds

T = TypeVar("T")


@dataclass
class Faults:
    """Console errors, exceptions of scripts, and requests that left this machine."""

    console: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        """Note what happens on this page from now on."""
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.console.append(str(error)))
        page.on("request", self._asked)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not KNOWN.search(message.location["url"]):
            self.console.append(f"{message.text} ({message.location['url']})")

    def _asked(self, request: Request) -> None:
        place = urlsplit(request.url)
        if place.scheme not in ("data", "blob") and place.hostname != "127.0.0.1":
            self.outside.append(request.url)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all stories."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=list(SWITCHES))
        yield started
        started.close()


@pytest.fixture
def new_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open a page as a new visitor; at the end no page may have failed, complained or asked the world."""
    with _watched(browser) as open_page:
        yield open_page


@contextmanager
def _watched(browser: Browser) -> Iterator[Callable[..., Page]]:
    faults, pages = Faults(), list[Page]()

    def open_page(scheme: str = "light") -> Page:
        context = browser.new_context(
            color_scheme=scheme, viewport={"width": 1366, "height": 768}, locale="en-GB"
        )
        context.set_default_timeout(PATIENCE)
        pages.append(context.new_page())
        faults.watch(pages[-1])
        return pages[-1]

    yield open_page
    for page in (page for page in pages if not page.is_closed()):
        expect(page.get_by_test_id("stException")).to_have_count(0)
        page.context.close()
    assert faults.console == []
    assert faults.outside == []
