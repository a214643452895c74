"""A modeller's afternoon in a real browser: train, watch, lose the server, resume, compare, promote, take it back."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.keyboard import settled
from tests.server import Server, serving

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
OpenPage = Callable[..., Page]
LONG = 240_000.0  # milliseconds; a training on a busy machine
EPOCHS = 120
REASON = "Quieter on the same days"


def test_train_watch_lose_the_server_resume_compare_promote_and_roll_back(
    detected: Path, tmp_path: Path, new_page: OpenPage
) -> None:
    home = shutil.copytree(detected, tmp_path / "home")
    with serving(home) as server:
        page = new_page()
        page.goto(f"{server.address}/train?algorithm=lstm-autoencoder")
        job = start(page)
        moved(page, 1)
        page.reload()
        reached = moved(page, 2)
        second = new_page()
        second.goto(f"{server.address}/data")
        # the pill on any page leads to the job that runs
        second.get_by_role("link", name=re.compile(r"lstm-autoencoder \d+ %")).click()
        moved(second, reached)
        # the laptop is closed, and the server dies without a word
        second.context.close()
        page.context.close()
        server.process.kill()
        server.process.wait()
    with serving(home) as server:
        page = new_page()
        page.goto(f"{server.address}/train?job={job}")
        reached = moved(page, reached + 1)
        page.keyboard.press("x")
        expect(page.get_by_text("Cancelled; nothing was published.")).to_be_visible()
        expect(page.get_by_role("button", name="Resume")).to_be_visible()
        settled(page)
        page.keyboard.press("m")
        expect(page.get_by_text("Published as version")).to_be_visible(timeout=LONG)
        expect(page.get_by_text("resumed", exact=True).first).to_be_visible()
        curve = server.ask(f"/api/jobs/{job}/curve")["curve"]
        epochs = [row["epoch"] for row in curve if row["validation"] is not None]
        assert epochs == list(range(1, EPOCHS + 1))
        change = compare_and_promote(page, server)
        follow(page, server, change)
        roll_back(page, server)


def start(page: Page) -> str:
    """Fill the form for a training of many slow epochs, and start it; returns the job."""
    page.get_by_text("Parameters", exact=True).click()
    for name, value in (("Epochs", EPOCHS), ("Patience", 100), ("Batch", 8), ("Hidden", 8)):
        page.get_by_label(name, exact=True).fill(str(value))
        page.keyboard.press("Enter")
        settled(page)
    page.get_by_role("button", name="Start training").click()
    expect(page).to_have_url(re.compile(r"[?&]job=[0-9a-f]{32}"))
    return page.url.rpartition("job=")[2]


def epoch(page: Page) -> Locator:
    """The number that says which epoch it is."""
    return page.get_by_test_id("stMetric").filter(has_text="Epoch").get_by_test_id("stMetricValue")


def moved(page: Page, least: int) -> int:
    """Wait until the page tells of epoch `least` or a later one; returns which."""
    later = "|".join(str(number) for number in range(least, EPOCHS + 1))
    expect(epoch(page)).to_have_text(re.compile(rf"^\s*({later}) of {EPOCHS}"), timeout=LONG)
    return int(epoch(page).inner_text().split()[0])


def compare_and_promote(page: Page, server: Server) -> dict[str, Any]:
    """From the finished training to the new champion; returns an open alert that should change."""
    page.get_by_role("link", name="Compare with the champion").click()
    expect(page.get_by_text(re.compile(r"Would change \d+ open alert"))).to_be_visible(timeout=LONG)
    changes = server.ask("/api/models/compare", "POST", json={})["changed"]
    change = next(row for row in changes if row["kind"] == "severity")
    expect(page.get_by_text(change["name"]).first).to_be_attached()
    page.get_by_placeholder("Why promote it").fill(REASON)
    page.get_by_role("button", name=re.compile("^Promote")).click()
    expect(page.get_by_text("scores from now on")).to_be_visible(timeout=LONG)
    return change


def follow(page: Page, server: Server, change: dict[str, Any]) -> None:
    """After the next detection the open alert is what the comparison said."""
    path = f"/api/anomaly/alerts/{change['alert']}"
    assert server.ask(path)["alert"]["severity"] == change["before"]
    page.get_by_role("link", name="Data").click()
    page.get_by_role("button", name="Run detection").click()
    expect(page.get_by_test_id("stProgress")).to_be_visible()
    expect(page.get_by_test_id("stProgress")).to_have_count(0, timeout=LONG)
    assert server.ask(path)["alert"]["severity"] == change["after"]


def roll_back(page: Page, server: Server) -> None:
    """One click, and who scored before scores again."""
    promoted = server.ask("/api/models/promotions")["promotions"][0]
    assert (promoted["verb"], promoted["reason"][: len(REASON)]) == ("promote", REASON)
    page.get_by_role("link", name="Models").click()
    page.get_by_role("button", name=re.compile("^Roll back to")).click()
    expect(page.get_by_text(f"Rolled back: {promoted['champion'][-8:]}")).to_be_visible()
    champion = next(
        row for row in server.ask("/api/models")["models"] if "champion" in row["aliases"]
    )
    assert champion["id"] == promoted["previous"]
