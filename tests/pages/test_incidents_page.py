"""Incidents: empty, full, filtered through the URL, opened, moved, brought in; and changes on every time line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit import config as streamlit_config
from streamlit.testing.v1 import AppTest

from data import label_store
from data.records import NewLabel
from tests.findings import NOW
from tests.pages.test_pages import alert_of, press, visit, words
from tests.workbench import small_account
from tests.workbench.services import services_world
from tests.workbench.services.services_world import FAULT
from tests.workbench.small_account import BROKEN, TENANT
from workbench.context import Context, shared
from workbench.services import alerts, changes, incidents
from workbench.settings import Settings
from workbench.ui import runs

MINUTE = timedelta(minutes=1)
HOSTILE = "<b>*x*</b> | `q` $y$ [l](javascript:x) 'é☃"


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    st.cache_resource.clear()
    runs._latest.clear()


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Context]:
    settings = Settings(home=tmp_path / "home", user="ana", tenant=TENANT)
    streamlit_config.set_option("server.address", "127.0.0.1")
    with shared(settings, clock=lambda: NOW) as context:
        yield context
    streamlit_config.set_option("server.address", None)


@pytest.fixture
def full(empty: Context) -> Context:
    """Three incidents in a measured system: a labelled one, one that went on an hour, an open one by hand."""
    services_world.load(empty, TENANT)
    known: dict[str, Any] = {"severity": "high", "services": ["cart"], "actor": "ana"}
    incidents.record(
        empty,
        TENANT,
        title="Cart timeouts",
        onset=FAULT[0] - 300 * MINUTE,
        ended_at=FAULT[0] - 270 * MINUTE,
        **known,
    )
    incidents.record(
        empty,
        TENANT,
        title="Timeouts at the cart",
        description="Customers wait.",
        onset=FAULT[0],
        ended_at=FAULT[1],
        regions=["eu"],
        **known,
    )
    incidents.record(
        empty, TENANT, title=HOSTILE, onset=NOW - 5 * MINUTE, **known | {"severity": "low"}
    )
    label = NewLabel(incident_id=1, entity="", disposition="real", cause="memory_leak")
    empty.records.write(
        TENANT, lambda s: label_store.add(s, tenant=TENANT, label=label, actor="ana", now=NOW)
    )
    changes.record(
        empty,
        TENANT,
        kind="deploy",
        at=FAULT[0] - 5 * MINUTE,
        title="cart 1.2",
        entity="service:cart",
        actor="ben",
    )
    changes.record(
        empty,
        TENANT,
        kind="config",
        at=FAULT[0] - 4 * MINUTE,
        title="pool of the office",
        entity="service:office",
        actor="ben",
    )
    return empty


def listed(test: AppTest) -> list[str]:
    frame = next(one.value for one in test.dataframe if "Incident" in one.value.columns)
    return list(frame["Incident"])


def marks(test: AppTest) -> list[str]:
    """What hovers over the change marks of each chart on the page."""
    charts = [json.loads(chart.proto.spec) for chart in test.get("plotly_chart")]
    traces = [trace for chart in charts for trace in chart["data"] if trace.get("name") == "Change"]
    return [story for trace in traces for story in trace["customdata"]]


def test_without_an_incident_it_says_where_they_come_from(empty: Context) -> None:
    test = visit("incidents")
    assert "No incident yet. They come from PagerDuty" in words(test)
    assert "The webhook is closed until it has the secret" in words(test)
    assert not test.dataframe and not test.get("plotly_chart")


def test_the_list_shows_what_happened_when_and_what_it_was(full: Context) -> None:
    test = visit("incidents")
    assert listed(test) == ["Timeouts at the cart", "Cart timeouts", HOSTILE]
    table = test.dataframe[0].value
    assert table["Root cause"].tolist() == ["–", "Memory leak", "–"]
    assert table["Lasted"].tolist() == ["60 min", "30 min", "–"]
    assert table["Services"].tolist() == ["cart"] * 3
    assert [story.split(" · ")[1:3] for story in marks(test)] == [
        ["cart", "cart 1.2"],
        ["office", "pool of the office"],
    ]
    assert "▼ 1 deploy · ◆ 1 configuration change" in words(test)
    assert "Customers wait." in "\n".join(text.value for text in test.text)


@pytest.mark.parametrize(
    ("parameters", "left"),
    [
        ({"labelled": "labeled"}, ["Cart timeouts"]),
        ({"status": "open"}, [HOSTILE]),
        ({"severity": "high", "text": "at the"}, ["Timeouts at the cart"]),
        ({"domain": "services", "span": "day", "source": "hand"}, 3),
        ({"severity": "awful", "span": "x' or 1", "domain": "weather"}, 3),
    ],
)
def test_filters_come_from_the_link(
    full: Context, parameters: dict[str, str], left: int | list[str]
) -> None:
    found = listed(visit("incidents", **parameters))
    assert found == left if isinstance(left, list) else len(found) == left


def test_a_choice_of_a_filter_becomes_the_link(full: Context) -> None:
    test = visit("incidents")
    test.selectbox(key="labelled").set_value("unlabeled").run()
    assert test.query_params["labelled"] == "unlabeled"
    assert listed(test) == ["Timeouts at the cart", HOSTILE]
    test.selectbox(key="domain").set_value("ads").run()
    assert "No incident matches these filters." in words(test)


def test_one_incident_is_opened_with_all_that_happened_around_it(full: Context) -> None:
    test = press(visit("incidents"), "Open")
    assert test.query_params["incident"] == "2"
    said = words(test)
    assert "Timeouts at the cart" in test.subheader[0].value
    assert "lasted 60 min · at cart · in eu · resolved" in said
    assert "▼ **5 min before** · cart 1.2" in said and "1 change elsewhere not shown" in said
    assert "**Memory leak**" in said and "also at cart" in said  # the past one, with its label
    table = test.dataframe[0].value
    assert table["Where"].tolist() == ["Cart", "cart-1"]
    latency, memory = table.to_dict("records")
    assert latency["Before"].endswith(" ms") and latency["During"].endswith(" s")
    assert latency["Change"] == "× 15"
    assert memory["Before"].endswith(" MB") and memory["Change"].startswith("+")
    assert len(latency["Curve"]) == 60 and "Latency of Cart" in said.replace(" (p95)", "")
    assert {story.split(" · ")[2] for story in marks(test)} == {"cart 1.2"}


def test_it_is_resolved_undone_commented_and_corrected(full: Context) -> None:
    test = press(visit("incidents", incident="3"), "Resolve")
    assert incidents.get(full, TENANT, 3).incident.status == "resolved"
    press(test, "Undo")
    assert incidents.get(full, TENANT, 3).incident.status == "open"
    (field,) = [one for one in test.text_input if one.label == "Comment"]
    field.set_value("looking")
    press(test, "Comment")
    assert incidents.get(full, TENANT, 3).comments[0].body == "looking"
    (field,) = [one for one in test.text_input if one.label == "Services"]
    field.set_value("pay, cart")
    press(test, "Correct")
    assert incidents.get(full, TENANT, 3).incident.services == ["pay", "cart"]
    assert press(test, "Incidents").query_params.get("incident") is None


def test_one_that_headwater_found_too_says_so_and_is_parted(full: Context) -> None:
    services_world.found(full, TENANT)
    test = visit("incidents", incident="4")  # the number of what was found leads to what was told
    assert "Timeouts at the cart" in test.subheader[0].value
    said = words(test)
    assert "found by Headwater too" in said
    assert "Headwater found **CPU saturation** at **Name of service:cart**" in said
    test = press(test, "Part")
    assert "found by Headwater too" not in words(test)
    assert incidents.get(full, TENANT, 4).incident.source == "headwater"
    press(test, "Undo")
    assert incidents.get(full, TENANT, 4).incident.id == 2


def test_one_is_recorded_by_hand_and_opened(empty: Context) -> None:
    texts = {"What happened": "Disk full", "Services": "db"}
    test = press(fill(visit("incidents"), **texts), "Record")
    assert test.query_params["incident"] == "1"
    row = incidents.get(empty, TENANT, 1).incident
    assert (row.title, row.services, row.source, row.status) == (
        "Disk full",
        ["db"],
        "hand",
        "open",
    )
    assert "No metrics of that time are stored" in words(test)


def fill(test: AppTest, **texts: str) -> AppTest:
    for field in test.text_input:
        if field.label in texts:
            field.set_value(texts[field.label])
    return test


def test_its_onset_is_what_people_write_and_nonsense_is_refused(empty: Context) -> None:
    texts = {"What happened": "Disk full", "Began (UTC)": "2026-11-19 23:10"}
    press(fill(visit("incidents"), **texts), "Record")
    row = incidents.get(empty, TENANT, 1).incident
    assert (row.onset.day, row.onset.hour, row.onset.minute) == (19, 23, 10)
    test = press(fill(visit("incidents"), **texts | {"Began (UTC)": "tea time"}), "Record")
    assert "the moment must be a time such as" in test.toast[0].value
    (written,) = [field.value for field in test.text_input if field.label == "What happened"]
    assert written == "Disk full"  # what was refused is there to be mended


def test_a_form_is_empty_again_once_its_change_is_taken_in(empty: Context) -> None:
    texts = {"What was done": "cart 1.3", "To what": "service:cart"}
    test = press(fill(visit("incidents"), **texts), "Record the change")
    assert {field.value for field in test.text_input if field.label in texts} == {""}


def test_a_change_is_recorded_by_hand(empty: Context) -> None:
    texts = {"What was done": "cart 1.3", "To what": "service:cart"}
    press(fill(visit("incidents"), **texts), "Record the change")
    asked: dict[str, Any] = {"start": NOW - MINUTE, "end": NOW + MINUTE}
    (event,) = changes.between(empty, TENANT, domain="services", **asked)
    assert (event.title, event.kind, event.actor, event.at) == ("cart 1.3", "deploy", "ana", NOW)


def test_a_form_without_a_title_is_refused_and_keeps_nothing(empty: Context) -> None:
    test = press(visit("incidents"), "Record")
    assert "the title must be given" in test.toast[0].value
    assert incidents.page(empty, TENANT, status="any").incidents == []


@pytest.mark.parametrize("given", ["99", "-1", "x", "1 or 1=1", "9" * 40, "<b>"])
def test_a_link_to_none_says_so_and_leads_back(full: Context, given: str) -> None:
    test = visit("incidents", incident=given)
    assert f"Incident {given[:40]} not found." in words(test)


def test_an_undone_recording_says_so(full: Context) -> None:
    incidents.record(full, TENANT, title="Wrong", severity="low", onset=NOW, actor="ana")
    alerts.undo(full, TENANT, actor="ana")
    assert "was undone" in visit("incidents", incident="4").warning[0].value
    assert "Wrong" not in listed(visit("incidents"))


# ── on the pages of alerts ───────────────────────────────────────────────────────────────────────


@pytest.fixture
def detected(tmp_path: Path) -> Iterator[Context]:
    with small_account.opened(tmp_path) as context:
        small_account.detect(context)
        onset = alert_of(context, BROKEN).onset
        told: dict[str, Any] = {"kind": "config", "domain": "ads", "actor": "ben"}
        for title, entity in (("Budget cut", BROKEN), ("Elsewhere", "campaign:other"), ("All", "")):
            changes.record(context, TENANT, at=onset - MINUTE, title=title, entity=entity, **told)
        yield context


@pytest.mark.parametrize("page", ["alert", "cause"])
def test_changes_that_reach_an_alert_are_on_its_time_lines(detected: Context, page: str) -> None:
    test = visit(page, alert=str(alert_of(detected, BROKEN).id))
    told = {story.split(" · ")[-2] for story in marks(test)}
    assert told == {"Budget cut", "All"}
    assert "◆ 2 configuration changes" in words(test)


def test_an_alert_leads_to_its_incident(detected: Context) -> None:
    alert = alert_of(detected, BROKEN)
    test = visit("alert", alert=str(alert.id))
    assert [one.label for one in test.button if one.label.startswith("Incident ")] == [
        f"Incident {alert.incident_id}"
    ]


def test_an_incident_that_others_told_opens_from_triage(detected: Context) -> None:
    incidents.record(
        detected,
        TENANT,
        title="Shop down",
        severity="critical",
        onset=small_account.NOW,
        domain="ads",
        actor="ana",
    )
    test = visit("triage")
    assert "Shop down" in words(test) and "confidence 0 %" not in words(test)
