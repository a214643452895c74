"""Keys as a person strikes them: once the page is there and rests."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

SETTLES = 1_000
"""Milliseconds after which a page that rests runs no more by itself: a first visit runs the script twice."""


def settled(page: Page) -> None:
    """Wait until the page's script has run to its end."""
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")


def press(page: Page, key: str) -> None:
    """A key, once the page rests: before that, nobody listens."""
    settled(page)
    page.wait_for_timeout(SETTLES)
    settled(page)
    page.keyboard.press(key)


def press_to(page: Page, key: str, url: re.Pattern[str]) -> None:
    """A key that leads elsewhere, struck again as a person would if the first visit's second run swallowed it."""
    press(page, key)
    try:
        expect(page).to_have_url(url, timeout=8_000)
    except AssertionError:
        press(page, key)
        expect(page).to_have_url(url)
