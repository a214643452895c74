"""The Validation page: nothing there, nobody looked, a report with its cures, and the list of what is expected."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import streamlit as st

from core.domains.services import SERVICES
from tests.pages.test_data_page import empty, systems  # noqa: F401 - fixtures
from tests.pages.test_pages import press, visit, words
from workbench.context import Context
from workbench.services import validation
from workbench.ui import runs, state, theme, validation_view


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    st.cache_resource.clear()
    runs._latest.clear()


def test_the_data_page_leads_there_before_anybody_looked(systems: Context) -> None:  # noqa: F811
    told = words(visit("data"))
    assert "Nobody looked yet." in told
    test = visit("validation", domain="services")
    assert "Nobody looked at these data yet" in words(test)
    press(test, "Check now")
    assert runs._latest["acme"].ended.wait(60)
    assert validation.latest(systems, "acme") is not None


def test_every_check_stands_with_state_figure_rule_and_cure(systems: Context) -> None:  # noqa: F811
    report = validation.validate(systems, "acme", actor="ana")
    test = visit("validation", domain="services")
    told = words(test)
    assert "▲ Fails" in told and "✓ Passes" in told and "· Not asked" in told
    for check in report.checks:
        assert check.title in told and check.message in told and f"Rule: {check.rule}" in told
        assert check.cure in told
    assert "What is there when" in told and "by ana" in told
    assert "▲ Fails" in words(visit("data"))


def test_there_is_nothing_to_look_at_without_data(systems: Context) -> None:  # noqa: F811
    assert "No data yet. Import report files to begin." in words(visit("validation", domain="ads"))


def test_what_is_expected_can_be_chosen_and_a_conflict_is_told(
    systems: Context,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[tuple[str, bool]] = []
    monkeypatch.setattr(state, "notify", lambda text, *, failed=False: told.append((text, failed)))
    monkeypatch.setattr(state, "who", lambda: (systems, "acme", "bob"))
    validation_view._expect("services", ["up", "http_request_duration_seconds"], 0)
    chosen = validation.expected(systems, "acme")
    assert (chosen.metrics, chosen.version) == (("up", "http_request_duration_seconds"), 1)
    validation_view._expect("services", [metric.name for metric in SERVICES.metrics], 0)
    assert [failed for _, failed in told] == [False, True]
    assert "version 1" in told[1][0]


def test_the_picture_shows_missing_and_partly_with_a_glyph(
    systems: Context,  # noqa: F811
) -> None:
    there = validation.validate(systems, "acme").picture
    chart = validation_view.chart(there, theme.LIGHT)
    (cells,) = chart.data
    row = list(cells.y).index("CPU used")
    assert set(cells.text[row]) == {"▲"}
    row = list(cells.y).index("Latency (p95)")
    assert set(cells.text[row]) == {""}
    table = validation_view.table(there)
    assert list(table.columns[:2]) == ["From", "CPU used, node"]


def test_a_finding_names_the_metric_as_people_do_and_keeps_its_signs(
    systems: Context,  # noqa: F811
) -> None:
    report = validation.validate(systems, "acme", actor="ana")
    (missing,) = [check for check in report.checks if check.name == "completeness"]
    assert "grpc_requests_total" in [found.where for found in missing.findings]
    test = visit("validation", domain="services")
    lines = [part for line in test.markdown for part in line.value.split("  \n")]
    assert r"**gRPC requests, grpc\_requests\_total** · was never measured" in lines
    assert any("▲ completeness" in line and "· labels" in line for line in lines)
