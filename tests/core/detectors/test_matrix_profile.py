from __future__ import annotations

import numpy as np
import pytest

from core.contracts import Panel, Periods
from core.detectors.matrix_profile import MatrixProfile, MatrixProfileParams, _profile

HOUR = np.timedelta64(1, "h")


def series(values, start=0):
    values = np.atleast_2d(np.asarray(values, dtype=float))
    labels = np.datetime64("2026-01-01", "s") + (start + np.arange(values.shape[1])) * HOUR
    names = tuple(f"machine:{number}" for number in range(len(values)))
    return Panel(values[:, :, None], names, ("load",), Periods(labels, HOUR))


def beats(n_time, seed=0):
    """A jagged cycle of 25 periods with a little noise."""
    rng = np.random.default_rng(seed)
    cycle = np.random.default_rng(9).normal(size=25).cumsum()
    return np.tile(cycle - cycle.mean(), n_time // 25 + 1)[:n_time] + 0.1 * rng.normal(size=n_time)


def by_hand(values, window, normalised, ahead, memory=10**9):
    """Every pair of windows, two by two."""
    cut = np.lib.stride_tricks.sliding_window_view(values, window)
    if normalised:
        cut = (cut - cut.mean(axis=1, keepdims=True)) / cut.std(axis=1, keepdims=True)
    apart = np.sqrt(((cut[:, None] - cut[None]) ** 2).mean(axis=2))
    lag = np.subtract.outer(np.arange(len(cut)), np.arange(len(cut)))
    allowed = np.abs(lag) if ahead else lag
    apart[(allowed < -(-window // 4)) | (allowed > memory)] = np.inf
    nearest = apart.min(axis=1)
    if not ahead:
        nearest[:window] = np.nan
    return nearest


@pytest.mark.parametrize("distance", ["raw", "normalised"])
@pytest.mark.parametrize("align", ["trailing", "centre"])
def test_every_window_has_its_nearest(distance, align):
    values = np.random.default_rng(1).normal(size=150)
    params = MatrixProfileParams(distance=distance, align=align, memory=60)
    ahead = align == "centre"
    expected = by_hand(values, 12, distance == "normalised", ahead, 10**9 if ahead else 60)
    assert _profile(values, 12, params) == pytest.approx(expected, nan_ok=True)


@pytest.mark.slow
def test_it_is_the_profile_of_stumpy():
    """Slow, as that one compiles for a minute in every process."""
    stumpy = pytest.importorskip("stumpy")
    values = np.concatenate([beats(300), np.zeros(60), beats(200, seed=1)])
    params = MatrixProfileParams(distance="normalised", align="centre")
    theirs = stumpy.stump(values, m=20)[:, 0].astype(float)
    assert _profile(values, 20, params) * 20**0.5 == pytest.approx(theirs, abs=1e-5)


def test_flat_windows_are_alike():
    values = np.concatenate([np.zeros(40), np.random.default_rng(2).normal(size=40)])
    params = MatrixProfileParams(distance="normalised", align="centre")
    assert _profile(values, 8, params)[:30] == pytest.approx(0.0)


def test_an_odd_cycle_stands_out():
    usual, odd = beats(500), beats(500, seed=1)
    odd[300:325] = odd[300:325][::-1]
    fitted = MatrixProfile().fit(series(usual))
    assert fitted.state["window"].tolist() == [25]
    scores = fitted.score(series(odd))[0]
    assert 300 <= scores.argmax() < 350
    around = MatrixProfile(MatrixProfileParams(align="centre")).fit(series(usual))
    assert 295 <= around.score(series(odd))[0].argmax() < 330


def test_what_happened_in_training_is_known_afterwards():
    """A rare cycle, once in training, once after it: the second is no discord where the first is remembered."""
    whole = beats(1_000)
    for start in (400, 800):
        whole[start : start + 25] = beats(25)[::-1]
    early, late = series(whole[:600]), series(whole[600:], start=600)
    fitted = MatrixProfile().fit(early)
    remembered = fitted.score(late)[0]
    forgotten = fitted.score(series(whole[600:]))[0]
    assert forgotten[200:230].max() > 3 * remembered[200:230].max()
    assert remembered[:50].min() > -5
    assert (forgotten[:25] == 0).all()


def test_an_entity_that_was_not_there_remembers_nothing():
    both = series(np.stack([beats(300), beats(300, seed=1)]))
    fitted = MatrixProfile().fit(both.select(entities=["machine:0"]))
    later = series(np.stack([beats(300), beats(300, seed=1)]), start=300)
    scores = fitted.score(later)
    assert (scores[1, :25] == 0).all()
    assert (scores[0, :25] != 0).any()


def test_the_default_sees_size_and_the_normalised_does_not():
    usual, small = beats(500), beats(500, seed=1)
    small[300:400] = 0.4 * beats(100, seed=2)
    over = {}
    for distance in ("raw", "normalised"):
        fitted = MatrixProfile(MatrixProfileParams(distance=distance)).fit(series(usual))
        scores = fitted.score(series(small))[0]
        # the first window that lies within the small cycles
        over[distance] = (scores > scores[324]).mean()
    assert over["raw"] < 0.05
    assert over["normalised"] > 0.05
