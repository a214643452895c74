from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from core.contracts import Panel, Periods
from core.detectors.rows import RowDetector, RowParams
from core.errors import NotEnoughDataError
from core.samples import sample


class Rows(RowDetector):
    """Keeps the rows that it is given; the score of a row is a weighted sum of its columns."""

    name = "rows"
    source = "none"
    reach = np.inf

    def _learn(self, rows):
        return {"rows": rows}

    def _judge(self, scorer, rows):
        return (rows * np.arange(1.0, rows.shape[1] + 1)).sum(axis=1)


def panel_of(values, metrics=("value",)):
    values = np.asarray(values, dtype=float)
    labels = np.datetime64("2026-01-05", "s") + np.arange(values.shape[1]) * np.timedelta64(60, "s")
    entities = tuple(f"entity:{row}" for row in range(len(values)))
    return Panel(values, entities, metrics, Periods(labels, np.timedelta64(60, "s")))


def counting(n_time, n_entity=1):
    """0, 1, 2 … in units that standardising leaves as they are told apart."""
    return panel_of(np.tile(np.arange(float(n_time)), (n_entity, 1))[..., None])


def test_a_row_is_the_window_that_ends_at_its_period_oldest_first():
    panel = counting(50)
    fitted = Rows(RowParams(window=3)).fit(panel)
    scale = (panel.values[0, :, 0] - fitted.state["centre"]) / fitted.state["spread"]
    assert np.allclose(fitted.state["rows"][0], scale[:3])
    assert len(fitted.state["rows"]) == 48
    assert fitted.score(panel)[0, 20] == pytest.approx(scale[18:21] @ [1, 2, 3])


def test_centred_scores_are_those_of_the_windows_around_and_the_ends_repeat():
    panel = counting(50)
    for length in (4, 5):
        trailing = Rows(RowParams(window=length)).fit(panel).score(panel)[0]
        centred = Rows(RowParams(window=length, align="centre")).fit(panel)
        whole = trailing[length - 1 :]
        before, after = -(-(length - 1) // 2), (length - 1) // 2
        expected = np.concatenate([[whole[0]] * before, whole, [whole[-1]] * after])
        assert np.array_equal(centred.score(panel)[0], expected)
        assert np.array_equal(centred.score(panel, last=7)[0], expected[-7:])


def test_the_window_is_the_period_of_one_metric_and_one_period_of_several():
    wave = np.sin(2 * np.pi * np.arange(400) / 24)
    noise = np.random.default_rng(0).normal(0, 0.1, (3, 400, 1))
    one = panel_of(wave[:, None] + noise)
    assert Rows().fit(one).state["window"] == 24
    assert Rows().fit(sample()).state["window"] == 1
    short = one.select(times=slice(0, 20))
    assert Rows().fit(short).state["window"] == 5
    assert Rows().fit(one.select(times=slice(0, 1))).state["window"] == 1


def test_a_table_of_one_period_is_judged():
    table = panel_of(np.random.default_rng(0).normal(size=(100, 1, 6)), tuple("abcdef"))
    assert Rows().fit(table).score(table).shape == (100, 1)


def test_missing_values_count_as_expected_and_unobserved_periods_are_not_learned():
    panel = sample()
    values = panel.values.copy()
    values[0, 10:20], values[1, 5, 2] = np.nan, np.nan
    fitted = Rows().fit(panel.with_values(values))
    assert len(fitted.state["rows"]) == 24 * 42 - 10
    assert (fitted.score(panel.with_values(values))[0, 10:20] == 0).all()


def test_a_row_that_reaches_back_before_the_first_observed_period_is_usual():
    panel = sample()
    values = panel.values.copy()
    values[0, :10] = np.nan
    padded = np.zeros((24, 42), dtype=bool)
    padded[1, :30] = True
    panel = dataclasses.replace(panel.with_values(values), padded=padded)
    fitted = Rows(RowParams(window=3)).fit(panel)
    assert len(fitted.state["rows"]) == 22 * 40 + 30 + 10
    scores, usual = fitted.score(panel), float(fitted.state["usual"])
    assert usual == pytest.approx(np.median(np.delete(scores, [0, 1], axis=0)), abs=0.5)
    for entity, begun in ((0, 12), (1, 32), (2, 2)):
        assert (scores[entity, :begun] == usual).all()
        assert (scores[entity, begun:] != usual).all()


def test_no_whole_row_is_refused_with_a_way_out():
    padded = np.zeros((24, 42), dtype=bool)
    padded[:, :30] = True
    panel = dataclasses.replace(sample(), padded=padded)
    with pytest.raises(NotEnoughDataError, match="rows of 40 periods must be at least 2"):
        Rows(RowParams(window=40)).fit(panel)


def test_a_value_counts_as_it_is_at_first_and_by_its_logarithm_far_out():
    class Bent(Rows):
        reach = 2.0

    panel = panel_of([[[-1.0], [-0.1], [0.0], [0.1], [1.0], [2_000.0]]])
    fitted = Bent(RowParams(window=1)).fit(panel)
    plain = (panel.values[0, :, 0] - fitted.state["centre"]) / fitted.state["spread"]
    bent = fitted.score(panel)[0]
    assert bent[2:4] == pytest.approx(plain[2:4], rel=0.01)
    assert bent[5] == pytest.approx(2 * np.log(plain[5]), rel=0.001)


def test_the_seed_draws_the_pool():
    panel = sample()
    drawn = [Rows(RowParams(pool=50, seed=seed)).fit(panel).state["rows"] for seed in (0, 0, 1)]
    assert len(drawn[0]) == 50
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


def test_one_row_is_too_few():
    with pytest.raises(NotEnoughDataError, match=r"rows of 1 periods must be at least 2\. Got 1"):
        Rows().fit(sample(n_entity=1, n_time=1))


def test_pieces_change_nothing(monkeypatch):
    panel = sample()
    fitted = Rows(RowParams(window=4)).fit(panel)
    whole = fitted.score(panel)
    monkeypatch.setattr("core.detectors.rows.CELLS", 100)
    assert np.array_equal(fitted.score(panel), whole)
