from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from core.contracts import Panel, Periods
from core.detectors.components import PrincipalComponents
from core.evaluate.ranking import vus_pr
from core.samples import sample

DETECTION = Path(__file__).parents[4] / "shared" / "data" / "detection"


def series(values):
    labels = np.datetime64("2026-01-05", "s") + np.arange(len(values)) * np.timedelta64(60, "s")
    periods = Periods(labels, np.timedelta64(60, "s"))
    return Panel(np.asarray(values, dtype=float)[None, :, None], ("a",), ("value",), periods)


def published():
    """(file, published VUS-PR) of Sub-PCA, shortest series first."""
    files = {file.stem: file for file in (DETECTION / "tsbu").glob("*.npz")}
    if not files:
        pytest.skip("the labelled series of ../shared/data/detection/tsbu are not here")
    with (DETECTION / "tsbu_published_vus_pr.csv").open() as table:
        rows = [(files[row[""][:-4]], float(row["Sub-PCA"])) for row in csv.DictReader(table)]
    return sorted(rows, key=lambda row: (row[0].stat().st_size, row[0].name))


def measured(file):
    with np.load(file) as case:
        panel = series(case["x"])
        detector = PrincipalComponents(PrincipalComponents.Params(align="centre"))
        return vus_pr(detector.fit(panel).score(panel)[0], case["y"], int(case["window"]))


def test_three_series_score_as_published():
    for file, expected in published()[:3]:
        assert measured(file) == pytest.approx(expected, abs=0.02), file.name


@pytest.mark.slow
def test_at_least_40_of_46_series_score_as_published():
    apart = [abs(measured(file) - expected) for file, expected in published()]
    assert len(apart) == 46
    assert sum(difference <= 0.02 for difference in apart) >= 40


def test_rows_are_judged_as_by_the_library():
    pca = pytest.importorskip("pyod.models.pca")
    panel = sample()
    detector = PrincipalComponents().fit(panel)
    rows, fresh = panel.values.reshape(-1, 5), sample(seed=1)
    # the library standardises; doing so to robustly scaled rows is the same
    reference = pca.PCA(random_state=0).fit(rows)
    assert np.allclose(detector.score(panel).ravel(), reference.decision_scores_, rtol=1e-6)
    expected = reference.decision_function(fresh.values.reshape(-1, 5))
    assert np.allclose(detector.score(fresh).ravel(), expected, rtol=1e-6)


def test_a_broken_cycle_stands_out_although_no_value_does():
    values = np.sin(2 * np.pi * np.arange(1_200) / 24)
    values += np.random.default_rng(0).normal(0, 0.05, len(values))
    values[800:824] = values[800:824][::-1]
    panel = series(values)
    scores = PrincipalComponents(PrincipalComponents.Params(align="centre")).fit(panel).score(panel)
    assert 788 <= scores[0].argmax() <= 836


def test_metrics_that_say_the_same_do_not_divide_by_zero():
    values = sample().values.copy()
    values[:, :, 1] = 2 * values[:, :, 0]
    values[:, :, 2] = 7.0
    panel = sample().with_values(values)
    detector = PrincipalComponents().fit(panel)
    assert len(detector.state["shares"]) == 3
    values[4, 20, 2] += 50.0
    scores = detector.score(panel.with_values(values))
    assert np.unravel_index(scores.argmax(), scores.shape) == (4, 20)
