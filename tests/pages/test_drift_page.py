"""The Drift page: with nothing there, calm, with something moved, with proposals, and through bad links."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import streamlit as st

from core.drift.performance import Performance
from tests.conftest import TENANT
from tests.pages.test_pages import press, visit, words
from tests.pages.test_train import shown
from tests.workbench import small_account
from tests.workbench.services.test_retraining import END, report
from workbench.context import Context
from workbench.services import drift, retraining
from workbench.services.drift_report import CellReport, DriftReport, Part
from workbench.ui import drift_charts, theme
from workbench.ui.state import Key

LEVELS, METRICS = ("profile", "campaign", "keyword"), ("cost", "cpc", "orders")


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    st.cache_resource.clear()


@pytest.fixture
def here(open_home: Callable[[Path], Context], detected: Path) -> Iterator[Context]:
    """An account with a champion that nobody has checked for drift."""
    with shown(open_home(detected)) as context:
        yield context


def cells(**states: str) -> tuple[CellReport, ...]:
    """Cells of three metrics and levels, calm but for those named `campaign_cpc="drift"`."""
    found = []
    for level in LEVELS:
        for metric in METRICS:
            state: Any = states.get(f"{level}_{metric}", "calm")
            lean = 1.4 if state == "drift" else 0.1
            numbers: Any = (lean, (lean, lean, lean), 0.5, lean, 0.9, 0.001, 0.004, 0.62, 0.31)
            if state == "untested":
                numbers = (None, (None, None, None), *(None,) * 7)
            days = () if state == "untested" else tuple([0.0] * 49 + [lean] * 21)
            shares = () if state == "untested" else tuple([1 / 32] * 32)
            found.append(CellReport(level, metric, state, 12, *numbers, shares, shares, days))
    return tuple(found)


def checked(context: Context, performance: Performance | None = None, **states: str) -> DriftReport:
    """Keep a check of these cells, and what follows from it."""
    base = report()
    first = END - timedelta(days=69)
    spans = tuple(
        (END - timedelta(days=7 * back + 6), END - timedelta(days=7 * back)) for back in (2, 1, 0)
    )
    metrics = Part(
        name="metrics",
        reference=(first, END - timedelta(days=21)),
        windows=spans,
        days=tuple(first + timedelta(days=day) for day in range(70)),
        cells=cells(**states),
        wholes=(),
        memory=4.0,
        false_per_year=1.0,
    )
    made = dataclasses.replace(
        base, metrics=metrics, performance=performance or base.performance, id=0
    )
    kept = drift.keep(context, TENANT, made)
    retraining.follow(context, TENANT, kept, actor="ana")
    return kept


# ── nothing there ────────────────────────────────────────────────────────────────────────────────


def test_without_data_it_sends_to_the_data_page(tmp_path: Path) -> None:
    with small_account.opened(tmp_path, data=False):
        assert "No data yet. Import report files to begin." in words(visit("drift"))


def test_too_few_days_say_how_many_are_needed_and_there(tmp_path: Path) -> None:
    with small_account.opened(tmp_path):
        said = words(visit("drift"))
        assert "A check needs 63 whole days of history, six weeks to compare with" in said
        assert "there are 14. It is made by itself from " in said


def test_before_the_first_check_it_offers_one(here: Context) -> None:
    test = visit("drift")
    assert "Enough history is here, nothing was compared yet." in words(test)
    assert [button.label for button in test.button] == ["Check now"]


# ── something there ──────────────────────────────────────────────────────────────────────────────


def test_calm_is_the_answer_with_what_could_have_been_seen(here: Context) -> None:
    checked(here)
    test = visit("drift")
    said = words(test)
    assert "No.**] Nothing moved among 9 metrics by level." in said
    assert "The middle metric must shift by 0.62 sd to be found with 80 % probability" in said
    assert "At most 1 false drift a year" in said
    assert "Nothing is proposed." in said and "Scores: too short" in said
    values = {metric.label: metric.value for metric in test.metric}
    assert values == {
        "Metrics that moved": "0",
        "Scores and alerts that moved": "–",
        "AUC on labels": "–",
        "Data complete": "100.0 %",
    }


def test_what_moved_is_the_answer_listed_and_looked_at_first(here: Context) -> None:
    checked(here, campaign_cpc="drift", keyword_cost="watch", profile_orders="untested")
    test = visit("drift")
    said = words(test)
    assert "Yes.**] 1 figure moved, most Cost per click (Campaign) by +1.4 sd." in said
    assert "**CPC at campaign level** · ▲ Moved" in said
    assert "one of 0.5 sd with 31 %" in said
    assert test.selectbox(Key.CELL).value == "campaign.cpc"
    listed = test.dataframe[0].value
    assert list(listed["What"]) == ["CPC at campaign level", "Spend at keyword level"]
    assert list(listed["State"]) == ["▲ Moved", "◆ Watch"]


def test_another_cell_can_be_looked_at_and_goes_into_the_link(here: Context) -> None:
    checked(here, campaign_cpc="drift")
    test = visit("drift", cell="profile.orders")
    assert "**Orders at profile level** · Calm" in words(test)
    test.selectbox(Key.CELL).set_value("keyword.cost").run()
    assert not test.exception and test.query_params["cell"] == "keyword.cost"
    assert "**Spend at keyword level**" in words(test)


def test_an_older_check_can_be_opened(here: Context) -> None:
    first = checked(here, campaign_cpc="drift")
    checked(here)
    assert "No.**]" in words(visit("drift"))
    assert "Yes.**]" in words(visit("drift", check=str(first.id)))


def test_a_chart_can_be_read_as_a_table(here: Context) -> None:
    checked(here)
    test = visit("drift")
    choice = next(choice for choice in test.segmented_control if choice.options == ["Table"])
    choice.set_value("Table").run()
    table = test.dataframe[0].value
    assert len(table) == 9 and "Smallest found" in table.columns


# ── what to do about it ──────────────────────────────────────────────────────────────────────────


def test_a_proposal_is_dismissed_and_told(here: Context) -> None:
    checked(here, campaign_cpc="drift")
    test = visit("drift")
    assert "**Proposal 1** · 1 figure moved" in words(test)
    press(test, "Dismiss")
    assert test.toast[0].value == "Dismissed proposal 1."
    assert "The proposal was decided." in words(test)
    (row,) = retraining.proposals(here, TENANT)
    assert (row.state, row.decided_by) == ("dismissed", "ana")


def test_a_proposal_is_accepted_and_a_training_starts(here: Context) -> None:
    checked(here, campaign_cpc="drift")
    test = press(visit("drift"), "Accept")
    assert test.toast[0].value == "Started proposal 1."
    (row,) = retraining.proposals(here, TENANT)
    assert row.state == "accepted" and row.job_id
    table = test.dataframe[-1].value
    assert list(table["Outcome"]) == ["Training queued"]


def test_the_window_leads_to_the_train_page(here: Context) -> None:
    checked(here, campaign_cpc="drift")
    test = visit("drift")
    (button,) = [one for one in test.button if one.label == "Retrain with this window"]
    button.click().run()
    assert not test.exception
    window = {"from": "2026-01-12", "to": "2026-03-08"}
    assert test.query_params == {"domain": "ads", "proposal": "1", **window}


def test_the_rules_of_retraining_are_kept(here: Context) -> None:
    checked(here)
    test = visit("drift")
    (weekly,) = [one for one in test.toggle if one.label == "Propose one every week"]
    weekly.set_value(True)
    press(test, "Save")
    assert retraining.policy(here, TENANT).weekly
    assert test.toast[0].value == "The rules of retraining were kept."


@pytest.mark.parametrize(
    ("advice", "told", "offered"),
    [
        ("fine", "As right as before", False),
        ("monitor", "the drop is not sure, 30 more labels would tell", False),
        ("retrain", "Retrain", False),
        ("fall back", "Fall back", True),
    ],
)
def test_performance_says_what_it_asks_for(
    here: Context, advice: Any, told: str, offered: bool
) -> None:
    said = Performance(0.9, 0.7, 0.2, 0.1, (40, 40), (50, 50), 30, advice)
    checked(here, said)
    test = visit("drift")
    assert told in words(test) and "AUC 0.90 → 0.70" in words(test)
    labels = [button.label for button in test.button]
    assert ("Fall back to the rule" in labels) is offered


def test_falling_back_lets_the_rule_score_at_once(here: Context) -> None:
    checked(here, Performance(0.9, 0.55, 0.35, 0.2, (40, 40), (50, 50), 0, "fall back"))
    before = here.serve.champion(TENANT, "ads").version.id
    test = press(visit("drift"), "Fall back to the rule")
    assert test.toast[0].value == "The fallback scores from now on."
    assert here.serve.champion(TENANT, "ads").version.id != before


# ── bad links ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("given", ["999", "", "-1", "1e3", "٣", "1; drop table", "9" * 40])
def test_a_link_to_no_check_says_so(here: Context, given: str) -> None:
    checked(here)
    (error,) = visit("drift", check=given).error
    assert error.value == f"Check {given[:40] or 'without a number'} not found."


def test_a_link_to_no_cell_shows_the_one_that_matters(here: Context) -> None:
    checked(here, campaign_cpc="drift", profile_orders="untested")
    for given in ("galaxy.luck", "profile.orders", "<b>"):
        assert "**CPC at campaign level**" in words(visit("drift", cell=given))


# ── pictures ─────────────────────────────────────────────────────────────────────────────────────


def test_the_heatmap_diverges_about_zero_and_marks_what_counts(here: Context) -> None:
    part = checked(here, campaign_cpc="drift", keyword_cost="watch").metrics
    chart = drift_charts.heat(part, theme.LIGHT, "campaign.cpc")
    grid, marks = chart.data
    assert (grid.zmin, grid.zmid, grid.zmax) == (-2.0, 0, 2.0)
    assert grid.z[1][1] == 1.4 and list(grid.x) == ["Profile", "Campaign", "Keyword"]
    glyphs = dict(zip([key for key, _ in marks.customdata], marks.text, strict=True))
    assert glyphs["campaign.cpc"] == "▲" and glyphs["keyword.cost"] == "◆"
    assert glyphs["profile.cost"] == ""
    framed = [colour for colour in marks.marker.color if colour == theme.LIGHT.primary]
    assert len(framed) == 1
