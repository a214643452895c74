"""The workbench as an analyst meets it: from an empty page to a named root cause, in a real browser."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.contrast import faint
from tests.e2e.keyboard import press, press_to
from tests.server import Server, serving
from workbench.context import open_context
from workbench.services import tokens
from workbench.settings import Settings

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]
LONG = 90_000.0  # milliseconds; a first detection trains


def bring(page: Page, files: Sequence[Path], downloaded: str) -> None:
    """Upload files on the Data page and import them."""
    page.get_by_text("Where the files do not say it").click()
    page.locator("input[type=file]").first.set_input_files(files)
    page.get_by_test_id("stDateInput").get_by_role("spinbutton").first.click()
    page.keyboard.type(downloaded.replace("-", ""))
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")  # the calendar
    page.get_by_role("button", name="Import", exact=True).click()


def incident_of(server: Server, number: int) -> dict[str, Any]:
    """The incident as the REST API of the same server tells it."""
    found: dict[str, Any] = server.ask(f"/api/incidents/{number}")["incident"]
    return found


def status(server: Server, kind: str, number: int) -> str:
    """The state that an alert or incident is in."""
    path = f"/api/incidents/{number}" if kind == "incident" else f"/api/anomaly/alerts/{number}"
    return str(server.ask(path)[kind]["status"])


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Server]:
    """A server of a home in which nothing is yet."""
    with serving(tmp_path / "home") as server:
        yield server


def test_from_report_files_to_the_planted_root_and_back(
    fresh: Server, world: Path, truth: list[dict[str, Any]], new_page: OpenPage
) -> None:
    page = new_page()
    page.goto(f"{fresh.address}/triage")
    expect(page.get_by_text("No data yet. Import report files to begin.")).to_be_visible()
    page.get_by_role("link", name="Go to data").click()
    history = sorted((world / "history").rglob("sp[!S]*.gz"))
    bring(page, [world / "profiles.json", *history], "2026-03-01")
    expect(page.get_by_text("Import: 7 files, 9,211 new rows stored, 0 refused")).to_be_visible()
    page.reload()
    bring(page, sorted((world / "2026-03-15").glob("sp[!S]*.gz")), "2026-03-15")
    expect(page.get_by_text("Import: 3 files, 2,114 new rows stored, 0 refused")).to_be_visible()
    expect(page.get_by_text("data to 14 Mar 2026")).to_be_visible()

    page.get_by_role("button", name="Run detection").click()
    expect(page.get_by_text("last run")).to_be_visible(timeout=LONG)
    page.get_by_role("link", name="Triage").click()
    top = fresh.ask("/api/incidents")["incidents"][0]
    expect(page.get_by_text(top["title"])).to_be_visible()
    page.get_by_role("button", name=re.compile("Open$")).first.click()

    expect(page).to_have_url(re.compile(r"/cause\?alert=\d+$"))
    expect(page.get_by_text(top["title"])).to_be_visible()
    expect(page.get_by_text(f"at campaign {top['root_name']}")).to_be_visible()
    planted = {f"{row['level']}:{row['root_id']}": row["cause_type"] for row in truth}
    assert planted[top["root_entity"]] == top["cause_type"]

    page.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_text(f"Acknowledged incident {top['id']}.")).to_be_visible()
    assert status(fresh, "incident", top["id"]) == "acknowledged"
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Undid your last action.")).to_be_visible()
    assert status(fresh, "incident", top["id"]) == "open"


@pytest.fixture(scope="module")
def running(detected: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of an account that was checked."""
    home = shutil.copytree(detected, tmp_path_factory.mktemp("running") / "home")
    with serving(home) as server:
        yield server


def test_keys_choose_acknowledge_and_undo(running: Server, new_page: OpenPage) -> None:
    page = new_page()
    page.goto(f"{running.address}/triage")
    first, second = running.ask("/api/anomaly/alerts/active?limit=2")["alerts"]
    assert shown(page, first)
    press(page, "j")
    assert shown(page, second)
    press(page, "k")
    assert shown(page, first)
    press(page, "a")
    expect(page.get_by_text(f"Acknowledged alert {first['id']}.")).to_be_visible()
    assert status(running, "alert", first["id"]) == "acknowledged"
    press(page, "u")
    expect(page.get_by_text("Undid your last action.")).to_be_visible()
    assert status(running, "alert", first["id"]) == "open"


def test_the_way_back_leads_to_what_was_looked_at(running: Server, new_page: OpenPage) -> None:
    page = new_page()
    alert = next(
        row
        for row in running.ask("/api/anomaly/alerts/active?limit=20")["alerts"]
        if row["incident_id"] not in (None, row["id"])
    )
    page.goto(f"{running.address}/alert?alert={alert['id']}")
    for key, there in (("i", r"/incidents\?.*incident=\d+$"), ("g", r"/cause\?alert=\d+")):
        press_to(page, key, re.compile(there))
        page.go_back()
        expect(page).to_have_url(re.compile(rf"/alert\?alert={alert['id']}&"))
        expect(page.get_by_role("heading", name=alert["entity_name"])).to_be_visible()


def shown(page: Page, alert: dict[str, Any]) -> Locator:
    """The preview, once it is that of the alert."""
    preview = page.get_by_text(alert["sentence"], exact=True)
    expect(preview).to_be_visible()
    return preview


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_opens_in_light_and_dark(
    running: Server, new_page: OpenPage, scheme: str
) -> None:
    page = new_page(scheme)
    alert = running.ask("/api/anomaly/alerts/active?limit=1")["alerts"][0]["id"]
    for path, heading in (
        ("/triage", "When it broke"),
        (f"/alert?alert={alert}", "What the score rests on"),
        (f"/cause?alert={alert}", "Candidates, best first"),
        ("/data", "What has arrived"),
        ("/train", "Nothing was trained here yet."),
        ("/models", "No challenger waits"),
        ("/experiments", "No experiment yet."),
        ("/drift", "Retraining"),
    ):
        page.goto(running.address + path)
        expect(page.get_by_text(heading).first).to_be_visible()
        expect(page.get_by_test_id("stAlert")).to_have_count(0)
        background = page.get_by_test_id("stApp").evaluate(
            "e => getComputedStyle(e).backgroundColor"
        )
        assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(14, 20, 23)"}[scheme]
        assert faint(page) == []


FIRST_REQUESTS = (
    ("/triage", "No data yet. Import report files to begin."),
    ("/alert?alert=999", "Alert 999 not found."),
    ("/train?job=x", "No data yet. Import report files to begin."),
)
"""A page of the navigation, a hidden one and one with its own parameters; each takes a server of its own."""


@pytest.mark.parametrize(("path", "told"), FIRST_REQUESTS, ids=[path for path, _ in FIRST_REQUESTS])
def test_the_first_request_of_a_server_may_be_any_page(
    fresh: Server, new_page: OpenPage, path: str, told: str
) -> None:
    page = new_page()
    page.goto(fresh.address + path)
    expect(page.get_by_text(told)).to_be_visible()
    # the frame is around it: navigation and header
    expect(page.get_by_test_id("stTopNavLink").first).to_have_text(re.compile("Triage"))
    expect(page.get_by_text("search never run")).to_be_visible()


def test_where_others_can_reach_it_a_page_asks_for_a_token_first(
    detected: Path, tmp_path: Path, new_page: OpenPage
) -> None:
    home = shutil.copytree(detected, tmp_path / "home")
    with open_context(Settings(home=home, tenant="local", user="ana")) as context:
        secret = tokens.create(context, "local", user="bob")
    with serving(home, host="0.0.0.0") as server:
        page = new_page()
        page.goto(f"{server.address}/triage")
        expect(page.get_by_label("Token", exact=True)).to_be_visible()
        expect(page.get_by_text("Paused on campaign")).to_have_count(0)
        sign_in(page, "hw.local.000000000000.guess")
        expect(page.get_by_text("This token is unknown, expired or revoked.")).to_be_visible()
        expect(page.get_by_text("Where it started")).to_have_count(0)
        sign_in(page, secret)
        expect(page.get_by_text("Where it started")).to_be_visible()
        expect(page.get_by_text("bob", exact=False).first).to_be_visible()
        # and a second visitor is asked again
        stranger = new_page()
        stranger.goto(f"{server.address}/cause?alert=1")
        expect(stranger.get_by_label("Token", exact=True)).to_be_visible()
        expect(stranger.get_by_text("Candidates, best first")).to_have_count(0)
        stranger.close()
        page.close()


def sign_in(page: Page, secret: str) -> None:
    """Give a token to the gate."""
    page.get_by_label("Token", exact=True).fill(secret)
    page.get_by_role("button", name="Sign in").click()
