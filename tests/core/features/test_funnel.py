from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from core.cases import Graph
from core.contracts import Panel
from core.errors import NotEnoughDataError
from core.features.funnel import CHANNELS, FUNNEL, expected, fit_baseline, residuals
from core.features.maturity import Maturity
from tests.core.ads_world import account

SHAPE = (2, 2, 4, 2, 6)


@pytest.fixture(scope="module")
def normal() -> tuple[Panel, Graph, Panel]:
    panel, graph = account(shape=SHAPE)
    return panel, graph, residuals(panel, fit_baseline(panel, graph=graph))


def level(panel: Panel, name: str) -> list[int]:
    return [row for row, entity in enumerate(panel.entities) if entity.startswith(f"{name}:")]


@pytest.mark.parametrize("name", ["portfolio", "campaign", "ad_group", "keyword"])
@pytest.mark.parametrize("channel", CHANNELS)
def test_residuals_are_about_standard_normal_on_normal_days(normal, name, channel):
    z = normal[2].metric(channel)[level(normal[2], name)]
    z = z[np.isfinite(z)]
    assert abs(z.mean()) < 0.25
    assert 0.8 < z.std() < 1.2
    assert (np.abs(z) > 4).mean() < 0.005


@pytest.mark.parametrize(
    ("node", "faults"),
    [
        ("campaign:0.0.1", {"impressions": 0.45}),
        ("ad_group:1.0.2.1", {"ctr": 2.5}),
        ("campaign:1.1.0", {"cvr": 0.3}),
        ("keyword:0.1.3.0.2", {"cpc": 1.6}),
        ("ad_group:0.1.1.0", {"aov": 1.3}),
    ],
)
def test_a_broken_link_shows_in_its_own_channel_only(node, faults):
    panel, graph = account(shape=SHAPE, faults={node: faults}, onset=70)
    z = (
        residuals(panel, fit_baseline(panel, graph=graph))
        .values[panel.row_of[node], 70:]
        .mean(axis=0)
    )
    (channel, factor), *_ = faults.items()
    hit = CHANNELS.index(channel)
    assert abs(z[hit]) > 3
    assert np.sign(z[hit]) == np.sign(factor - 1)
    # a keyword's day may be too thin for orders
    assert (np.nan_to_num(np.abs(np.delete(z, hit))) < 2).all()


def test_an_incident_stays_visible_for_two_weeks():
    panel, graph = account(shape=SHAPE, faults={"campaign:0.0.1": {"impressions": 0.5}}, onset=61)
    z = residuals(panel, fit_baseline(panel, graph=graph)).metric("impressions")
    assert (z[panel.row_of["campaign:0.0.1"], 61:] < -3).all()


def test_the_newest_two_weeks_change_nothing_of_what_is_expected(normal):
    panel, graph, _ = normal
    baseline = fit_baseline(panel, graph=graph)
    spoiled = panel.with_values(panel.values.copy())
    spoiled.values[:, -14:] *= 7.0
    other = fit_baseline(spoiled, graph=graph)
    for before, after in zip(baseline.rates, other.rates, strict=True):
        np.testing.assert_array_equal(before, after)


def test_no_day_is_judged_by_a_later_one(normal):
    panel, graph, _ = normal
    whole = fit_baseline(panel, graph=graph)
    cut = fit_baseline(panel.select(times=slice(None, 70)), graph=graph)
    # what is learned once for all days, the noise and how far siblings differ, moves a little
    np.testing.assert_allclose(cut.rates[0][:, 30:], whole.rates[0][:, 30:70], rtol=0.02)


def test_days_too_early_or_too_thin_stay_silent(normal):
    assert np.isnan(normal[2].values[:, :25]).all()
    panel, graph = account(shape=(1, 1, 2, 2, 3), impressions=3.0)
    z = residuals(panel, fit_baseline(panel, graph=graph))
    assert np.isnan(z.metric("aov")[level(z, "keyword")]).mean() > 0.95


def test_days_that_were_not_delivered_stay_missing():
    panel, graph = account(shape=SHAPE)
    panel.values[3, 65] = np.nan
    z = residuals(panel, fit_baseline(panel, graph=graph)).values
    assert np.isnan(z[3, 65]).all()
    assert np.isfinite(z[3, 66]).any()


def test_a_paused_campaign_is_far_below_and_says_nothing_of_its_rates():
    panel, graph = account(shape=SHAPE, faults={"campaign:0.0.1": {"impressions": 0.0}}, onset=72)
    z = residuals(panel, fit_baseline(panel, graph=graph))
    row = panel.row_of["campaign:0.0.1"]
    assert (z.metric("impressions")[row, 72:] == -15.0).all()
    assert np.isnan(z.values[row, 72:, 1:]).all()


def test_sales_still_on_their_way_are_no_anomaly():
    panel, graph = account(shape=SHAPE, impressions=2000.0)
    curve = np.array([0.5, 0.6, 0.75, 0.85, 0.9, 0.95, 1.0])
    maturity = Maturity((), ("orders", "sales"), np.tile(curve, (1, 2, 1)))
    age = np.arange(75, 0, -1)
    arrived = np.append(curve, 1.0)[np.minimum(age, 7)]
    for column in (3, 4):
        panel.values[:, :, column] *= arrived
    panel.values[:, :, 3] = np.round(panel.values[:, :, 3])
    rows = level(panel, "campaign")
    blind = residuals(panel, fit_baseline(panel, graph=graph)).metric("cvr")[rows, -1]
    aware = fit_baseline(panel, graph=graph, maturity=maturity)
    assert blind.mean() < -2
    assert abs(residuals(panel, aware).metric("cvr")[rows, -1].mean()) < 1
    due = expected(panel, aware)[0].metric("orders")[rows, -1].sum()
    assert due == pytest.approx(panel.metric("orders")[rows, -1].sum(), rel=0.1)


def test_an_announced_promotion_does_not_alarm_but_a_loss_during_it_does():
    node = "campaign:0.0.1"
    panel, graph = account(shape=SHAPE, faults={node: {"impressions": 2.0, "cvr": 0.3}}, onset=70)
    days = np.zeros(panel.values.shape[:2], dtype=bool)
    row = panel.row_of[node]
    days[row, 70:] = True
    baseline = fit_baseline(panel, graph=graph, expected_days=days)
    z = residuals(panel, baseline)
    assert np.isnan(z.metric("impressions")[row, 70:]).all()
    assert (z.metric("cvr")[row, 70:] < -3).all()
    middle = expected(panel, baseline)[0].metric("impressions")
    np.testing.assert_array_equal(middle[row, 70:], panel.metric("impressions")[row, 70:])


def test_past_incidents_do_not_become_normal():
    clean, graph = account(shape=SHAPE)
    ill, _ = account(shape=SHAPE, faults={"campaign:0.0.1": {"impressions": 0.05}}, onset=40)
    row = clean.row_of["campaign:0.0.1"]
    ill.values[:, 46:] = clean.values[:, 46:]
    middle = fit_baseline(ill, graph=graph).rates[0][row, -5:]
    np.testing.assert_allclose(
        middle, fit_baseline(clean, graph=graph).rates[0][row, -5:], rtol=0.1
    )


def test_what_lasts_becomes_normal():
    node = "campaign:0.0.1"
    panel, graph = account(shape=SHAPE, days=150, faults={node: {"impressions": 0.5}}, onset=60)
    z = residuals(panel, fit_baseline(panel, graph=graph)).metric("impressions")[panel.row_of[node]]
    assert (z[60:74] < -4).all()
    assert (np.abs(z[-10:]) < 3).all()


def test_a_burst_where_nothing_was_to_be_expected_is_heard():
    panel, graph = account(shape=SHAPE)
    row = panel.row_of["keyword:0.0.0.0.0"]
    panel.values[row] = 0.0
    panel.values[row, 72] = (800.0, 40.0, 30.0, 0.0, 0.0)
    z = residuals(panel, fit_baseline(panel, graph=graph)).metric("impressions")[row]
    assert z[72] > 4
    assert np.isnan(z[:72]).all()


def test_excluded_days_do_not_teach():
    panel, graph = account(shape=SHAPE)
    excluded = np.zeros(panel.values.shape[:2], dtype=bool)
    excluded[:, 30:50] = True
    loud = panel.with_values(panel.values.copy())
    loud.values[:, 30:50] *= 3.0
    base, other = (fit_baseline(p, graph=graph, excluded=excluded) for p in (panel, loud))
    np.testing.assert_allclose(base.rates[0][:, -1], other.rates[0][:, -1])


def test_expected_figures_and_their_band_hold_what_comes(normal):
    panel, graph, _ = normal
    middle, spread = expected(panel, fit_baseline(panel, graph=graph))
    assert middle.metrics == FUNNEL
    rows = level(panel, "campaign")
    for index, metric in enumerate(FUNNEL):
        off = (panel.metric(metric) - middle.metric(metric))[rows, 40:] / spread[rows, 40:, index]
        assert (np.abs(off) < 1.2816).mean() == pytest.approx(0.8, abs=0.08), metric


def test_a_weekly_rhythm_is_expected():
    panel, graph = account(shape=SHAPE, days=90, unrest=0.02)
    weekend = (panel.periods.labels.astype("datetime64[D]").astype(int) + 3) % 7 >= 5
    panel.values[:, weekend] *= 0.6
    z = residuals(panel, fit_baseline(panel, graph=graph)).metric("impressions")[
        level(panel, "campaign"), 60:
    ]
    assert abs(z[:, weekend[60:]].mean() - z[:, ~weekend[60:]].mean()) < 0.6


def test_thin_entities_lean_on_their_parents():
    panel, graph = account(shape=SHAPE, impressions=60.0)
    baseline = fit_baseline(panel, graph=graph)
    rows, above = level(panel, "keyword"), {}
    for row in rows:
        above[row] = panel.row_of[graph.parents(panel.entities[row])[0]]
    # days that taught the last one
    clicks, orders = (panel.metric(m)[rows, 20:60].sum(axis=1) for m in ("clicks", "orders"))
    own = orders / np.maximum(clicks, 1)
    parent = baseline.rates[3][[above[row] for row in rows], -1]
    pulled = baseline.rates[3][rows, -1]
    assert np.isfinite(pulled).all()
    assert np.abs(pulled - parent).mean() < 0.5 * np.nanmean(np.abs(own - parent))


def test_without_a_graph_every_entity_stands_alone(normal):
    panel, _, _ = normal
    z = residuals(panel, fit_baseline(panel)).metric("impressions")
    assert 0.8 < np.nanstd(z) < 1.2


def test_a_month_of_history_is_enough_to_begin():
    panel, graph = account(
        shape=SHAPE, days=31, faults={"campaign:0.0.1": {"impressions": 0.4}}, onset=29
    )
    z = residuals(panel, fit_baseline(panel, graph=graph)).metric("impressions")
    assert z[panel.row_of["campaign:0.0.1"], -1] < -3


def test_a_week_is_not():
    panel, graph = account(shape=(1, 1, 1, 1, 1), days=7)
    with pytest.raises(
        NotEnoughDataError, match=r"days of figures must be at least 8, better 60\. Got 7"
    ):
        fit_baseline(panel, graph=graph)


def test_entities_outside_the_graph_are_accepted():
    panel, _ = account(shape=(1, 1, 2, 1, 2))
    empty = Graph(nx.DiGraph())
    assert residuals(panel, fit_baseline(panel, graph=empty)).metrics == CHANNELS
