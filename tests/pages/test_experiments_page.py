"""The Experiments page: with nothing there, planning what can and cannot succeed, climbing, stopping, and bad links."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st

from data import experiment_store
from tests.conftest import TENANT, _opened
from tests.pages.test_pages import press, visit, words
from tests.pages.test_train import shown
from tests.workbench.conftest import Tried, tried  # noqa: F401 - a fixture
from workbench.context import Context
from workbench.services import detect, experiments, targets, trial
from workbench.services.experiments import ExperimentView
from workbench.ui import experiment_charts, theme
from workbench.ui.state import Key


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    st.cache_resource.clear()


@pytest.fixture
def here(open_home: Callable[[Path], Context], tried: Tried) -> Iterator[Context]:  # noqa: F811
    """An account with a champion and three more versions."""
    with shown(open_home(tried.home)) as context:
        yield context


def planned(context: Context, treatment: str, **options: Any) -> ExperimentView:
    asked = {"metric": "alert-rate", "mde": 25.0, "unit": "keyword", "name": "Calmer", **options}
    return experiments.plan(context, TENANT, actor="ana", treatment=treatment, **asked)


def looked(context: Context, number: int, looks: int, lift: float) -> None:
    """Put looks at a rung of two models, the treatment of which raises fewer alerts by `lift`."""
    row = context.records.read(
        TENANT, lambda session: experiment_store.get(session, tenant=TENANT, number=number)
    )
    draws = np.random.default_rng(1)
    units, taken = 120, []
    control, treatment = np.zeros(units), np.zeros(units)
    for look in range(looks):
        raised = draws.random(units) < 0.05
        control += raised
        treatment += raised & (draws.random(units) > lift)
        rows = np.full(units, look + 1.0)
        tally = targets.Tally(np.zeros(units, dtype=bool), rows, control, treatment, 1)
        at = datetime(2026, 3, 15, tzinfo=UTC) + timedelta(hours=look)
        taken.append(
            {
                "at": at.isoformat(),
                "run": look,
                "stage": row.stage,
                "share": row.share,
                "since": "2026-03-14",
                "day": "2026-03-14",
                "seconds": [0.5, 0.5],
                "alerts": [9, 5],
                "missing": 0.0,
                **trial.measure(row, tally, 1),
            }
        )
    changes = {"looks": taken, "guardrails": trial.guardrails(taken, row)}
    if taken[-1]["word"] == "deploy":
        changes["verdict"] = "deploy"
    context.records.write(
        TENANT,
        lambda session: experiment_store.move(
            session,
            tenant=TENANT,
            number=number,
            verb="look",
            changes=changes,
            actor="headwater",
            now=context.clock(),
        ),
    )


def button(test: Any, label: str) -> Any:
    (found,) = [each for each in test.button if each.label == label]
    return found


# ── nothing there ────────────────────────────────────────────────────────────────────────────────


def test_without_data_it_sends_to_the_data_page(tmp_path: Path) -> None:
    with _opened(tmp_path / "home") as context, shown(context):
        assert "No data yet. Import report files to begin." in words(visit("experiments"))


def test_without_another_version_it_offers_to_train_one(
    open_home: Callable[[Path], Context], detected: Path
) -> None:
    with shown(open_home(detected)):
        said = words(visit("experiments"))
    assert "No experiment yet. A version is tried in shadow first" in said
    assert "There is no version beside the champion." in said


@pytest.mark.parametrize("given", ["999", "-1", "1e3", "٣", "1; drop table experiment", "9" * 40])
def test_a_link_to_no_experiment_says_so_and_leads_back(here: Context, given: str) -> None:
    (error,) = visit("experiments", id=given).error
    assert error.value == f"Experiment {given[:40]} not found."


# ── planning ─────────────────────────────────────────────────────────────────────────────────────


def test_the_form_says_what_it_takes_and_starts_what_can_succeed(
    here: Context,
    tried: Tried,  # noqa: F811
) -> None:
    test = visit("experiments", treatment=tried.versions["twin"])
    # six campaigns are too few for any effect
    assert "there are **6**" in words(test)
    assert "It cannot succeed." in test.warning[0].value
    assert button(test, "Try it in shadow").disabled
    test.selectbox(key=Key.UNIT).select("keyword").run()
    said = words(test)
    assert "there are **120**" in said
    assert "with a chance of 80 %" in said
    assert not test.warning
    press(test, "Try it in shadow")
    (view,) = experiments.listing(here, TENANT)
    assert (view.state, view.unit, view.treatment) == ("running", "keyword", tried.versions["twin"])
    assert "● Running" in words(test)
    assert "The next detection run takes the first look at this rung." in words(test)


def test_an_effect_beyond_what_there_is_is_refused_in_words(here: Context) -> None:
    test = visit("experiments")
    test.number_input(key=f"{Key.EFFECT}:alert-rate:campaign").set_value(900.0).run()
    assert "no larger than what there is to lose" in test.warning[0].value


def test_precision_without_labels_asks_for_labels(here: Context) -> None:
    test = visit("experiments")
    test.selectbox(key=Key.TARGET).select("precision").run()
    assert "Label some alerts first." in test.warning[0].value


def test_a_hopeless_plan_is_shown_with_what_would_help(here: Context, tried: Tried) -> None:  # noqa: F811
    number = planned(here, tried.versions["twin"], mde=0.2, days=1).id
    test = visit("experiments", id=str(number))
    assert "It cannot succeed. With 120 units:" in test.warning[0].value
    assert button(test, "Start in shadow").disabled
    assert "○ Planned" in words(test)
    press(test, "Discard the plan")
    assert experiments.listing(here, TENANT) == []
    assert "No experiment yet." in words(test)


# ── climbing and stopping ────────────────────────────────────────────────────────────────────────


def test_a_run_looks_and_the_page_tells_what_it_waits_for(here: Context, tried: Tried) -> None:  # noqa: F811
    number = planned(here, tried.versions["twin"]).id
    experiments.start(here, TENANT, number, actor="ana")
    detect.detect(here, TENANT, actor="ana", explain=False, cause=False)
    test = visit("experiments")
    said = words(test)
    assert "Inconclusive: need more data." in said
    assert ":green[✓] Errors: the treatment failed to score in 0 of 1 runs" in said
    assert "The target metric is decided on this rung, and it has not been yet." in said
    assert button(test, "Climb").disabled


def test_a_decided_one_climbs_and_can_be_stopped_with_a_reason(
    here: Context,
    tried: Tried,  # noqa: F811
) -> None:
    number = planned(here, tried.versions["quiet"]).id
    experiments.start(here, TENANT, number, actor="ana")
    looked(here, number, looks=30, lift=0.6)
    test = visit("experiments", id=str(number))
    assert "**Deploy. −" in words(test)
    (chart,) = test.get("plotly_chart")
    assert "confidence sequence" in str(chart.proto)
    press(test, "Climb to canary 1 %")
    assert "● Canary 1 %" in words(test)
    assert experiments.get(here, TENANT, number).stage == "canary"
    press(test, "Stop the experiment")
    assert experiments.get(here, TENANT, number).state == "running"
    test.text_input(key=Key.STOPPING).input("seen enough").run()
    press(test, "Stop the experiment")
    assert experiments.get(here, TENANT, number).reason == "Stopped by ana: seen enough"
    assert "▲ Ended early" in words(test)


# ── pictures and words ───────────────────────────────────────────────────────────────────────────


def test_the_picture_holds_every_look_and_both_lines(here: Context, tried: Tried) -> None:  # noqa: F811
    number = planned(here, tried.versions["quiet"]).id
    experiments.start(here, TENANT, number, actor="ana")
    looked(here, number, looks=12, lift=0.6)
    view = experiments.get(here, TENANT, number)
    known = experiment_charts.measured(view)
    chart = experiment_charts.confidence(view, theme.LIGHT)
    band, line = chart.data
    assert len(line.y) == len(known) <= 12
    assert line.y[-1] == pytest.approx(1000 * known[-1]["value"])
    assert band.y[len(known) - 1] == pytest.approx(1000 * known[-1]["high"])
    assert [shape.y0 for shape in chart.layout.shapes] == [0.0, -25.0]
    assert experiment_charts.look_rows(view)["Difference"].iloc[0] == pytest.approx(line.y[-1])
    assert experiment_charts.ladder(view).startswith(":primary[**● Shadow, decides**]")
