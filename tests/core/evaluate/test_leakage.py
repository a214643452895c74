"""Each kind of leak is planted and found; honest data passes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from core.contracts import Floats, Panel, Periods
from core.errors import InvalidInputError
from core.evaluate.leakage import (
    entity_overlap,
    future_features,
    label_in_features,
    time_overlap,
)
from core.evaluate.splits import time_split
from core.features.funnel import fit_baseline, residuals
from tests.core.ads_world import account

DAY = np.timedelta64(1, "D")


def made(**metrics: Floats) -> Panel:
    values = np.stack(list(metrics.values()), axis=2)
    n_entity, n_time, _ = values.shape
    days = np.datetime64("2026-01-01", "s") + np.arange(n_time) * np.timedelta64(86400, "s")
    names = tuple(f"campaign:{row}" for row in range(n_entity))
    return Panel(values, names, tuple(metrics), Periods(days, DAY))


def clicks(seed: int = 1, n_entity: int = 30, n_time: int = 90) -> Floats:
    """Daily clicks with a weekly cycle, a slow level and noise; some days are missing."""
    draws = np.random.default_rng(seed)
    level = np.exp(np.cumsum(draws.normal(0, 0.05, (n_entity, n_time)), axis=1) + 4)
    week = 1 + 0.3 * np.sin(2 * np.pi * np.arange(n_time) / 7)
    values = draws.poisson(level * week).astype(float)
    values[draws.random(values.shape) < 0.03] = np.nan
    return values


def ahead(values: Floats, lead: int) -> Floats:
    shifted = np.full_like(values, np.nan)
    shifted[:, :-lead] = values[:, lead:]
    return shifted


def mean_of(values: Floats, first: int, last: int) -> Floats:
    """The mean over days `first` … `last` from each day on."""
    edges = np.pad(values, ((0, 0), (7, 7)), constant_values=np.nan)
    n_time = values.shape[1]
    parts = [edges[:, 7 + step : 7 + step + n_time] for step in range(first, last + 1)]
    return np.mean(parts, axis=0)


# ── an entity on both sides ──────────────────────────────────────────────────────────────────────


def test_an_entity_on_both_sides_is_found() -> None:
    train = [f"campaign:{row}" for row in range(80)]
    held_out = [f"campaign:{row}" for row in range(75, 100)]
    (finding,) = entity_overlap(train, held_out)
    assert finding.kind == "entity on both sides"
    assert finding.what == "campaign:75, campaign:76, campaign:77 and 2 more"
    assert finding.message.startswith("5 entities")
    assert entity_overlap(train, held_out[5:]) == []


@pytest.mark.parametrize(("purge", "late"), [(0, 0), (1, 1), (14, 14)])
def test_days_nearer_than_the_purge_are_found(purge: int, late: int) -> None:
    days = np.datetime64("2026-01-01", "s") + np.arange(100) * np.timedelta64(86400, "s")
    split = time_split(100, validation=0.2, purge=0)
    found = time_overlap(days[split.train], days[split.validation], purge * DAY)
    assert len(found) == bool(late)
    assert all(finding.message.startswith(f"{late} periods") for finding in found)
    honest = time_split(100, validation=0.2, purge=purge)
    assert time_overlap(days[honest.train], days[honest.validation], purge * DAY) == []


def test_a_split_that_is_none_is_found() -> None:
    days = np.datetime64("2026-01-01", "s") + np.arange(100) * np.timedelta64(86400, "s")
    (finding,) = time_overlap(days[::2], days[1::2], 0 * DAY)
    assert (finding.kind, finding.what) == ("time on both sides", "2026-01-03T00:00:00")


# ── the label in the features ────────────────────────────────────────────────────────────────────


def labels_of(values: Floats) -> np.ndarray:
    labels = np.zeros(values.shape, bool)
    labels[3, 40:44] = labels[11, 60:65] = labels[20, 10:13] = True
    return labels


@pytest.mark.parametrize(
    ("plant", "told_by"),
    [
        (lambda labels, noise: labels + 0.1 * noise, "its value"),
        (lambda labels, noise: -5.0 * labels + noise / 10, "its value"),
        (lambda labels, noise: np.where(labels, noise, np.nan), "whether it is missing"),
        (lambda labels, noise: np.where(labels, np.nan, noise), "whether it is missing"),
    ],
)
def test_the_label_under_another_name_is_found(
    plant: Callable[[Floats, Floats], Floats], told_by: str
) -> None:
    values = clicks()
    labels = labels_of(values)
    noise = np.random.default_rng(3).random(values.shape)
    panel = made(
        clicks=values,
        ticket=plant(labels.astype(float) if told_by == "its value" else labels, noise),
    )
    (finding,) = label_in_features(panel, labels)
    assert (finding.kind, finding.what) == ("label in features", "ticket")
    assert told_by in finding.message


def test_a_symptom_is_no_leak() -> None:
    values = clicks()
    labels = labels_of(values)
    values[labels] *= 0.4
    noise = np.random.default_rng(3).normal(size=values.shape)
    assert label_in_features(made(clicks=values, symptom=noise + 3 * labels), labels) == []


def test_few_labels_prove_nothing() -> None:
    values = clicks(n_entity=3, n_time=12)
    labels = np.zeros(values.shape, bool)
    labels[1, 3] = True
    assert label_in_features(made(copy=labels.astype(float)), labels) == []
    assert label_in_features(made(copy=np.ones(values.shape)), np.ones(values.shape, bool)) == []
    with pytest.raises(InvalidInputError, match="of shape"):
        label_in_features(made(clicks=values), labels[:, :-1])


# ── a feature that knows the future ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "plant",
    [
        pytest.param(lambda values: ahead(values, 1), id="tomorrow"),
        pytest.param(lambda values: -3.0 * ahead(values, 7), id="the same day next week"),
        pytest.param(lambda values: mean_of(values, 1, 3), id="the mean of the next three days"),
        pytest.param(lambda values: mean_of(values, -3, 3), id="a centred week"),
    ],
)
def test_a_feature_that_knows_the_future_is_found(plant: Callable[[Floats], Floats]) -> None:
    values = clicks()
    noise = np.random.default_rng(9).normal(0, 0.01, values.shape)
    panel = made(clicks=values, spend=clicks(2), peek=plant(values) + noise)
    (finding,) = future_features(panel, measured=("clicks", "spend"))
    assert (finding.kind, finding.what) == ("future feature", "peek")
    assert "clicks to come" in finding.message


@pytest.mark.parametrize(
    "derive",
    [
        pytest.param(lambda values: mean_of(values, -6, 0), id="the mean of the last week"),
        pytest.param(lambda values: mean_of(values, -1, -1), id="yesterday"),
        pytest.param(lambda values: 2.0 * values, id="the same day"),
        pytest.param(lambda values: clicks(5), id="something else"),
    ],
)
def test_what_is_made_of_days_that_passed_is_no_leak(derive: Callable[[Floats], Floats]) -> None:
    values = clicks()
    panel = made(clicks=values, spend=clicks(2), feature=derive(values))
    assert future_features(panel, measured=("clicks", "spend")) == []


def test_a_lag_among_measured_metrics_is_one_of_two_leaks() -> None:
    values = clicks()
    (finding,) = future_features(made(clicks=values, copy=mean_of(values, -1, -1)))
    assert finding.what == "clicks"
    assert "copy is its delayed copy" in finding.message


def test_constants_gaps_and_short_histories_prove_nothing() -> None:
    values = clicks(n_entity=4)
    empty = np.full_like(values, np.nan)
    assert future_features(made(a=values, b=np.ones_like(values), c=empty)) == []
    assert future_features(made(a=values[:, :10], b=ahead(values, 1)[:, :10])) == []


def test_an_honest_account_and_its_residuals_pass() -> None:
    panel, graph = account()
    residual = residuals(panel, fit_baseline(panel, graph=graph))
    labels = np.zeros(panel.values.shape[:2], bool)
    labels[5, 50:60] = True
    for honest in (panel, residual):
        assert future_features(honest) == []
        assert label_in_features(honest, labels) == []
