"""Pictures of the pages for the README: `python docs/screenshots.py URL`, with a workbench open at URL.

Walks the way an analyst does (triage, alert, root cause, data), light and dark, and fails on a console error.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

OUT = Path(__file__).parent / "screenshots"
SIZE = {"width": 1366, "height": 768}
WHOLE = 1700
CHROMIUM = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# Streamlit asks beside a deep link before it asks at the root; nothing else may fail.
KNOWN = ("_stcore/health", "_stcore/host-config")


@contextmanager
def visitor(browser: Browser, scheme: str, errors: list[str]) -> Iterator[Page]:
    """A fresh visitor; what the console complains of is added to `errors`."""
    page = browser.new_page(viewport=SIZE, color_scheme=scheme)
    page.on(
        "console",
        lambda message: (
            errors.append(f"{message.text} ({message.location.get('url', '')})")
            if message.type == "error"
            and not any(known in str(message.location.get("url", "")) for known in KNOWN)
            else None
        ),
    )
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.close()


def settle(page: Page) -> None:
    """Wait until the script has run and the charts are drawn."""
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=60_000)
    page.wait_for_function(
        "[...document.querySelectorAll('.js-plotly-plot')].every(chart => chart.querySelector('.main-svg'))"
    )
    page.wait_for_function("document.querySelectorAll('[data-testid=stSkeleton]').length === 0")


def walk(page: Page, url: str, scheme: str, out: Path) -> None:
    """Triage, the first alert, its root cause, and the data behind it."""

    def picture(name: str) -> None:
        settle(page)
        page.screenshot(path=out / f"{name}-{scheme}.png", animations="disabled")
        page.set_viewport_size({**SIZE, "height": WHOLE})
        settle(page)
        page.screenshot(path=out / f"{name}-{scheme}-whole.png", animations="disabled")
        page.set_viewport_size(SIZE)

    page.goto(f"{url}/triage")
    expect(page.get_by_text("Where it started")).to_be_visible(timeout=60_000)
    picture("triage")
    page.keyboard.press("o")
    expect(page.get_by_text("against expected")).to_be_visible(timeout=60_000)
    picture("alert")
    page.keyboard.press("g")
    expect(page.get_by_text("From cause to effect")).to_be_visible(timeout=60_000)
    picture("cause")
    page.goto(f"{url}/data")
    expect(page.get_by_text("Bring files in")).to_be_visible(timeout=60_000)
    picture("data")


def main(url: str, out: Path = OUT) -> int:
    """Take every picture; the number of console errors is the exit status."""
    out.mkdir(parents=True, exist_ok=True)
    errors: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=[*CHROMIUM])
        for scheme in ("light", "dark"):
            with visitor(browser, scheme, errors) as page:
                walk(page, url.rstrip("/"), scheme, out)
        browser.close()
    for error in errors:
        print(error, file=sys.stderr)
    return min(len(errors), 1)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2], *(Path(path) for path in sys.argv[2:3])))
