"""From the pager to the root cause's eve: a signed event comes in, is opened by keyboard, and what preceded it stands there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.keyboard import press, press_to
from tests.server import Server, serving
from workbench.api.webhooks import PAGERDUTY
from workbench.services.pagerduty import sign

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
SECRET = "a-secret-of-the-subscription"
NOW = datetime.now(UTC).replace(microsecond=0)


def deliver(server: Server, told: dict[str, Any]) -> Any:
    """Send a signed event as PagerDuty does."""
    body = json.dumps(told).encode()
    signed = {"x-pagerduty-signature": f"v1={sign(SECRET, body)}"}
    return server.ask(PAGERDUTY, "POST", content=body, headers=signed)["outcome"]


def test_a_page_at_night(tmp_path: Path, new_page: Callable[..., Page]) -> None:
    secrets = json.dumps({"local": SECRET})
    with serving(tmp_path / "home", HEADWATER_PAGERDUTY_SECRETS=secrets) as server:
        deploy = {
            "kind": "deploy",
            "title": "cart 1.2",
            "entity": "cart",
            "at": (NOW - timedelta(minutes=25)).isoformat(),
        }
        server.ask("/api/changes", "POST", json=deploy)
        incident = {
            "id": "PGR0VU2",
            "type": "incident",
            "status": "triggered",
            "title": "Checkout times out",
            "created_at": (NOW - timedelta(minutes=20)).isoformat(),
            "service": {"id": "PF9KMXH", "summary": "cart"},
            "priority": {"summary": "P1"},
        }
        event = {"id": "01", "event_type": "incident.triggered", "data": incident}
        told = {"event": event | {"occurred_at": NOW.isoformat()}}
        assert [deliver(server, told), deliver(server, told)] == ["created", "repeated"]

        page = new_page()
        page.goto(f"{server.address}/incidents")  # the page's own link, before any other
        expect(page.get_by_text("Checkout times out").first).to_be_visible()
        expect(page.get_by_text("▼ 1 deploy").first).to_be_visible()
        press_to(page, "o", re.compile(r"\?incident=1$"))
        expect(page.get_by_text("PagerDuty PGR0VU2").first).to_be_visible()
        expect(page.get_by_text("5 min before").first).to_be_visible()
        expect(page.get_by_text("Nobody has said yet what it was.").first).to_be_visible()
        press(page, "a")
        expect(page.get_by_text("Acknowledged incident 1").first).to_be_visible()
        press(page, "b")
        expect(page).to_have_url(re.compile(r"/incidents$"))
        bar = page.locator(".js-plotly-plot .bars .point path").first
        expect(bar).to_be_visible()
        page.wait_for_timeout(1_000)  # the chart is drawn anew once its container has its width
        box = bar.bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        expect(page).to_have_url(re.compile(r"\?incident=1$"))
        page.go_back()
        expect(page).to_have_url(re.compile(r"/incidents$"))
