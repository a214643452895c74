"""A hundred before lunch, in a real browser by keyboard: none lost, none doubled, also when the server is killed."""

from __future__ import annotations

import re
import shutil
import statistics
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, Locator, Page, expect

from core.domains.ads import ADS
from data import alert_store
from data.records import LabelItem
from tests.findings import new_alert
from tests.server import Server, serving
from workbench.context import open_context
from workbench.services.taxonomy import SHIPPED
from workbench.settings import Settings

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
OpenPage = Callable[..., Page]
TENANT = "local"
CAUSES = [word.name for word in SHIPPED["ads"].active]
KEYS = [word.key for word in SHIPPED["ads"].active]
WORDS = [word.label for word in SHIPPED["ads"].active]
SUBMIT = "Control+Enter"
LOST = (TimeoutError, Error, AssertionError)

# from the last key to the frame in which the form of the next item stands and its charts are drawn
SUBMIT_TO_NEXT = """
(cause) => new Promise((resolve) => {
  const host = [...document.querySelectorAll("*")].find((node) => node.shadowRoot?.querySelector(".form"));
  const form = host.shadowRoot.querySelector(".form");
  const before = form.dataset.shown;
  const press = (key, more) =>
    document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, composed: true, ...more }));
  press(cause);
  const started = performance.now();
  press("Enter", { ctrlKey: true });
  const look = () => {
    const drawn = [...document.querySelectorAll(".js-plotly-plot")].every((chart) => chart.querySelector(".main-svg"));
    if (form.dataset.shown && form.dataset.shown !== before && drawn) resolve(performance.now() - started);
    else requestAnimationFrame(look);
  };
  look();
})
"""


def fill(home: Path, many: int) -> dict[int, int]:
    """Put items on as many alerts of entities that have data into the home's queue: item → alert."""
    with open_context(Settings(home=home, tenant=TENANT, user="ana")) as context:
        panel = context.metrics.panel(TENANT, ADS)
        newest = context.metrics.newest(TENANT, ADS)
        assert newest is not None
        # three episodes of each entity, days apart, so that they are as many alerts
        found = [
            new_alert(
                entity,
                onset=newest - timedelta(days=ago),
                last_seen=newest - timedelta(days=ago - 1),
            )
            for ago in (4, 14, 24)
            for entity in panel.entities
        ][:many]
        assert len(found) == many

        def write(session: Any) -> dict[int, int]:
            about = {"tenant": TENANT, "actor": "detection", "now": newest}
            alerts = alert_store.upsert(session, found=found, **about).ids
            items = [
                LabelItem(
                    tenant=TENANT,
                    domain="ads",
                    subject_kind="alert",
                    subject_id=alert,
                    slice="hard",
                    reason="The detectors disagree: 0.91 and 0.22",
                    priority=float(-place),
                    created_at=newest,
                )
                for place, alert in enumerate(dict.fromkeys(alerts))
            ]
            session.add_all(items)
            session.flush()
            return {item.id: item.subject_id for item in items}

        return context.records.write(TENANT, write)


@pytest.fixture
def home(detected: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(detected, tmp_path / "home"))


def opened(page: Page, server: Server) -> Locator:
    """The form of the Label page, once an item stands in it."""
    page.goto(f"{server.address}/label?domain=ads")
    form = page.locator(".form")
    expect(form).to_have_attribute("data-shown", re.compile(r"\d+"))
    return form


def at(form: Locator) -> tuple[int, str]:
    """Which item is shown, and the mark of its being shown."""
    return int(form.get_attribute("data-item") or 0), form.get_attribute("data-shown") or ""


def moved(form: Locator, shown: str) -> None:
    """Wait until another item, or the same one anew, stands in the form."""
    expect(form).to_have_attribute("data-shown", re.compile(rf"^(?!{shown}$)\d+$"))


def labels(server: Server) -> list[dict[str, Any]]:
    """The labels that stand, oldest first."""
    found: list[dict[str, Any]] = server.ask("/api/labels?domain=ads&limit=1000")["labels"]
    return found[::-1]


def test_everything_by_keyboard_skip_undo_previous_note_and_component(
    home: Path, new_page: OpenPage
) -> None:
    items = list(fill(home, 6))
    with serving(home) as server:
        page = new_page()
        form = opened(page, server)
        assert at(form)[0] == items[0]
        # without a cause a real one is refused, and nothing that was written is lost
        page.keyboard.press("n")
        page.keyboard.type("bids 2x")
        page.keyboard.press(SUBMIT)
        expect(form.get_by_role("status")).to_contain_text("the cause of something real must be")
        page.keyboard.press("Escape")
        page.keyboard.press(KEYS[1])
        page.keyboard.press("w")
        form.get_by_label("Component", exact=True).select_option("Not in the graph…")
        form.get_by_label("Name of the component").fill("Hats")
        shown = at(form)[1]
        page.keyboard.press(SUBMIT)
        moved(form, shown)
        expect(form.get_by_role("status")).to_contain_text("Kept on alert")
        assert at(form)[0] == items[1]
        (label,) = labels(server)
        told = (label["cause"], label["confidence"], label["note"], label["component"])
        assert told == (CAUSES[1], 0.6, "bids 2x", "Hats")
        assert server.ask("/api/graph/proposals")["proposals"][0]["name"] == "Hats"

        # nothing of what was written of one that is put aside stands in the form of the next
        shown = at(form)[1]
        page.keyboard.press("e")
        page.keyboard.press("n")
        page.keyboard.type("not sure")
        page.keyboard.press("Escape")
        page.keyboard.press("s")
        expect(form).to_contain_text("Why do you put it aside?")
        page.keyboard.press("1")
        moved(form, shown)
        assert at(form)[0] == items[2]
        expect(form.get_by_label("Note", exact=True)).to_have_value("")
        expect(form.get_by_role("button", name="Real")).to_have_attribute("aria-pressed", "true")
        shown = at(form)[1]
        page.keyboard.press("e")
        page.keyboard.press(SUBMIT)
        moved(form, shown)
        assert labels(server)[1]["disposition"] == "expected"
        for back in (items[2], items[1], items[0]):
            shown = at(form)[1]
            page.keyboard.press("u")
            moved(form, shown)
            assert at(form)[0] == back
        assert labels(server) == []
        # what was said of it stands in the form again
        expect(form.get_by_label("Note", exact=True)).to_have_value("bids 2x")
        shown = at(form)[1]
        page.keyboard.press(SUBMIT)
        moved(form, shown)
        shown = at(form)[1]
        page.keyboard.press("p")
        moved(form, shown)
        assert at(form)[0] == items[0]
        page.keyboard.press("3")
        shown = at(form)[1]
        page.keyboard.press(SUBMIT)
        moved(form, shown)
        assert [row["cause"] for row in labels(server)] == [CAUSES[2]]


def test_a_crossing_verdict_is_shown_beside_ones_own(home: Path, new_page: OpenPage) -> None:
    items = fill(home, 3)
    alert = next(iter(items.values()))
    with serving(home) as server:
        page = new_page()
        form = opened(page, server)
        server.ask(
            f"/api/anomaly/alerts/{alert}/label",
            "POST",
            json={"disposition": "expected", "note": "a sale"},
            headers={"x-headwater-user": "bob"},
        )
        page.keyboard.press(KEYS[0])
        page.keyboard.press(SUBMIT)
        told = form.get_by_role("status")
        expect(told).to_contain_text("Expected · high · a sale")
        expect(told).to_contain_text(f"Real · {WORDS[0]} · high")
        expect(told).to_contain_text("bob said so on")
        shown = at(form)[1]
        page.keyboard.press(SUBMIT)
        moved(form, shown)
        both = {row["labelled_by"]: row["disposition"] for row in labels(server)}
        assert both == {"bob": "expected", "ana": "real"}


def test_it_fits_on_one_screen_light_and_dark(home: Path, new_page: OpenPage) -> None:
    fill(home, 2)
    with serving(home) as server:
        for scheme in ("light", "dark"):
            page = new_page(scheme)
            form = opened(page, server)
            expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
            size = page.get_by_test_id("stMain").evaluate("e => [e.scrollHeight, innerHeight]")
            assert size[0] <= size[1] == 768
            expect(form.get_by_role("button", name="Submit")).to_be_in_viewport()
            page.close()


@pytest.mark.slow
def test_two_hundred_labels_by_keyboard_none_lost_none_doubled(
    home: Path, new_page: OpenPage, record_property: Callable[[str, object], None]
) -> None:
    fill(home, 200)
    with serving(home) as server:
        page = new_page()
        form = opened(page, server)
        said: dict[int, str] = {}
        took: list[float] = []
        for turn in range(200):
            item, shown = at(form)
            place = (item * 7 + turn) % len(CAUSES)
            said[item] = CAUSES[place]
            if turn % 2 and turn < 199:
                took.append(page.evaluate(SUBMIT_TO_NEXT, KEYS[place]))
            else:
                page.keyboard.press(KEYS[place])
                page.keyboard.press(SUBMIT)
                page.keyboard.press(SUBMIT)  # a second stroke on the way is none
                if turn < 199:
                    moved(form, shown)
        expect(page.get_by_text("Nothing waits to be labelled.")).to_be_visible()
        kept = labels(server)
        assert len(kept) == len(said) == 200
        assert {row["item_id"]: row["cause"] for row in kept} == said
    took.sort()
    for name, value in (
        ("p50", statistics.median(took)),
        ("p95", took[int(0.95 * len(took)) - 1]),
    ):
        record_property(f"submit_to_next_{name}_ms", round(value))
        print(f"submit to next item, {len(took)} of them: {name} {value:.0f} ms")


@pytest.mark.slow
def test_a_server_killed_in_the_middle_loses_no_acknowledged_label(
    home: Path, browser: Browser
) -> None:
    fill(home, 120)
    acknowledged: dict[int, str] = {}
    tried: dict[int, set[str]] = {}
    for life in range(3):
        with serving(home) as server:
            # a page of its own: that the server is gone is what it complains of
            page = browser.new_page(viewport={"width": 1366, "height": 768})
            form = opened(page, server)
            page.set_default_timeout(4_000)
            killer = threading.Timer(4.0 + 1.3 * life, server.process.kill)
            killer.start()
            for turn in range(40):
                try:
                    item, shown = at(form)
                    cause = (item + turn + life) % len(CAUSES)
                    tried.setdefault(item, set()).add(CAUSES[cause])
                    page.keyboard.press(KEYS[cause])
                    page.keyboard.press(SUBMIT)
                    expect(form).to_have_attribute(
                        "data-shown", re.compile(rf"^(?!{shown}$)\d+$"), timeout=4_000
                    )
                except LOST:
                    break
                acknowledged[item] = CAUSES[cause]
            killer.join()
            page.close()
    with serving(home) as server:
        kept = labels(server)
        by_item = {row["item_id"]: row["cause"] for row in kept}
        assert len(by_item) == len(kept), "none doubled"
        assert acknowledged.items() <= by_item.items(), "none lost"
        assert set(by_item) <= set(tried)
        assert all(cause in tried[item] for item, cause in by_item.items())
        print(f"{len(acknowledged)} acknowledged, {len(kept)} kept, 3 kills")
        assert len(acknowledged) >= 3
