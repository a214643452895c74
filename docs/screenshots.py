"""Pictures of the pages for the README: `python docs/screenshots.py [URL]`.

Without a URL the demo world is built in a temporary home and served from there. Walks the way an analyst does
(triage, alert, root cause, data), a labeler (incidents, label, agreement) and a modeller (train, models,
experiments, drift), light and dark, and fails on a console error.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

OUT = Path(__file__).parent / "screenshots"
SIZE = {"width": 1366, "height": 768}
CHROMIUM = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
ROOMS = {
    "incidents": ("incidents?domain=services", "What happened when"),
    "label": ("label?domain=services", "What else moved"),
    "agreement": ("agreement?domain=services", "Do people judge alike?"),
    "train": ("train", "Start training"),
    "models": ("models", "Would change"),
    "experiments": ("experiments", "Try it in shadow"),
    "drift": ("drift", "Retrain with this window"),
}
"""Picture → address, and what stands there once it is drawn."""
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
    """Triage, the first alert, its root cause, the data behind it; then the other rooms, and a web of calls."""

    def picture(name: str) -> None:
        settle(page)
        page.screenshot(path=out / f"{name}-{scheme}.png", animations="disabled")

    page.goto(f"{url}/triage")
    expect(page.get_by_text("Where it started").first).to_be_visible(timeout=60_000)
    picture("triage")
    page.keyboard.press("o")
    expect(page.get_by_text("against expected").first).to_be_visible(timeout=60_000)
    picture("alert")
    page.keyboard.press("g")
    expect(page.get_by_text("From cause to effect").first).to_be_visible(timeout=60_000)
    picture("cause")
    page.goto(f"{url}/data")
    expect(page.get_by_text("Bring files in").first).to_be_visible(timeout=60_000)
    picture("data")
    page.goto(f"{url}/triage?domain=services")
    expect(page.get_by_text("Where it started").first).to_be_visible(timeout=60_000)
    settle(page)
    page.keyboard.press("o")
    expect(page.get_by_text("against expected").first).to_be_visible(timeout=60_000)
    settle(page)
    page.keyboard.press("g")
    expect(page.get_by_text("From cause to effect").first).to_be_visible(timeout=60_000)
    picture("calls")
    for name, (address, sign) in ROOMS.items():
        page.goto(f"{url}/{address}")
        expect(page.get_by_text(sign).first).to_be_visible(timeout=60_000)
        picture(name)


@contextmanager
def demo() -> Iterator[str]:
    """The demo world, served on a free port from a temporary home."""
    headwater = str(Path(sys.executable).with_name("headwater"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="headwater-tour-") as home:
        environment = {**os.environ, "HEADWATER_HOME": home, "HEADWATER_USER": "ana"}
        queue = ["labels", "queue", "--fill", "50", "--domain", "services"]
        for command in (["demo", "--no-serve"], ["train", "ensemble"], queue):
            subprocess.run([headwater, *command], env=environment, check=True)
        serving = subprocess.Popen([headwater, "serve", "--port", str(port)], env=environment)
        try:
            url = f"http://127.0.0.1:{port}"
            answering(f"{url}/api/health")
            yield url
        finally:
            serving.terminate()
            serving.wait(30)


def answering(url: str, patience: float = 60.0) -> None:
    """Return once something answers at `url`."""
    until = time.monotonic() + patience
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def main(url: str, out: Path = OUT) -> int:
    """Take every picture; 1 when the console complained."""
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
    given, places = sys.argv[1:2], [Path(place) for place in sys.argv[2:3]]
    with contextlib.nullcontext(given[0]) if given else demo() as address:
        status = main(address, *places)
    sys.exit(status)
