"""Headwater's own detector on series with one planted anomaly each, and what it promises of its p-values."""

from __future__ import annotations

import numpy as np
import pytest

from core.artifact import pack, unpack
from core.contracts import Floats, Panel, Periods
from core.ensembles.headwater import Headwater, HeadwaterParams
from core.ensembles.residual import phase_median, regression
from core.ensembles.series import _faded
from core.ensembles.shape import discrepancy, nearest, novelty, plateau
from core.ensembles.surprise import running_surprise, surprise
from core.errors import NotEnoughDataError

N, SEASON = 1_200, 24
AT = 900


def waves(n: int = N, seed: int = 0, noise: float = 0.1) -> Floats:
    rng = np.random.default_rng(seed)
    return 5.0 + np.sin(2 * np.pi * np.arange(n) / SEASON) + noise * rng.standard_normal(n)


def panel(*rows: Floats) -> Panel:
    hours = np.datetime64("2026-01-05", "s") + np.arange(len(rows[0])) * np.timedelta64(3_600, "s")
    names = tuple(f"series:{number}" for number in range(len(rows)))
    return Panel(
        np.stack(rows)[:, :, None], names, ("value",), Periods(hours, np.timedelta64(1, "h"))
    )


def spike(values: Floats) -> Floats:
    values[AT] += 2.0
    return values


def broken_shape(values: Floats) -> Floats:
    values[AT : AT + SEASON] = values[AT : AT + SEASON][::-1]
    return values


def level_shift(values: Floats) -> Floats:
    values[AT : AT + 2 * SEASON] += 1.5
    return values


PLANTED = pytest.mark.parametrize("plant", [spike, broken_shape, level_shift])


def record() -> Headwater:
    return Headwater(HeadwaterParams(align="centre"))


# ── What is planted is found ─────────────────────────────────────────────────────────────────────


@PLANTED
def test_a_finished_record_peaks_at_what_was_planted(plant):
    one = panel(plant(waves()))
    scores = record().fit(one).score(one)[0]
    assert AT - SEASON <= scores.argmax() <= AT + 3 * SEASON


@pytest.mark.parametrize("plant", [spike, level_shift])
def test_a_stream_tells_it_as_it_begins_and_once(plant):
    one = panel(plant(waves()))
    scores = Headwater().fit(one.select(times=slice(0, 400))).score(one)[0]
    assert AT <= scores[400:].argmax() + 400 <= AT + 400 // 15
    told = 400 + np.flatnonzero(scores[400:] > 0.5 * scores[400:].max())
    assert set(told) <= set(range(AT, AT + 2 * SEASON + 30))
    assert len(told) <= 5


def test_each_series_of_a_panel_is_judged_by_itself():
    both = panel(spike(waves()), broken_shape(waves(seed=1)))
    scores = record().fit(both).score(both)
    alone = record().fit(both).score(both.select(entities=("series:1",)))
    assert np.array_equal(scores[1:], alone)
    assert scores[0].argmax() == AT


def test_parts_tell_who_spoke():
    shape, point = panel(broken_shape(waves())), panel(spike(waves()))
    parts = record().fit(shape).part_p_values(shape)
    assert set(parts) == {"shape", "place", "point"}
    assert parts["shape"][0, AT : AT + SEASON].min() < parts["point"][0, AT + 4 : AT + 20].min()
    assert record().fit(point).part_p_values(point)["point"][0].argmin() == AT


# ── What the panel looks like decides ────────────────────────────────────────────────────────────


def test_regimes_follow_the_look_of_the_panel():
    long, short = panel(waves()), panel(waves(90), waves(90, seed=1))
    assert Headwater().fit(long).regime == "stream"
    assert record().fit(long).regime == "record"
    assert Headwater().fit(short).regime == record().fit(short).regime == "pool"


def test_a_stream_never_looks_ahead():
    learned = Headwater().fit(panel(waves(400)))
    values = waves()
    wild = values.copy()
    wild[800:] *= 7.0
    one, other = (learned.score(panel(row))[0, :800] for row in (values, wild))
    assert np.array_equal(one, other)
    assert np.array_equal(one, learned.score(panel(values[:800]))[0])
    p, q = (learned.p_values(panel(row))[0, :800] for row in (values, wild))
    assert np.array_equal(p, q)


def test_a_single_period_has_a_score_but_no_p_value_where_several_were_learned() -> None:
    learned = panel(waves(200))
    detector = Headwater().fit(learned)
    alone = learned.select(times=slice(-1, None))
    with pytest.raises(NotEnoughDataError, match="periods to judge must be at least 2"):
        detector.judge(alone)
    assert detector.score(alone).shape == (1, 1)


def test_what_was_learned_is_remembered_before_the_scored_panel():
    whole = panel(spike(waves()))
    late = whole.select(times=slice(400, None))
    learned = Headwater().fit(whole.select(times=slice(0, 400)))
    assert max(learned.p_values(late)[0, AT - 400], learned.p_values(whole)[0, AT]) < 1e-3
    assert learned.score(late)[0].argmax() == AT - 400
    unknown = Panel(late.values, ("series:new",), late.metrics, late.periods)
    assert np.isfinite(learned.score(unknown)).all()


def test_saved_and_opened_it_scores_the_same():
    one = panel(broken_shape(waves()))
    for detector in (record().fit(one), Headwater().fit(one)):
        opened = Headwater(detector.params, state=unpack(pack(detector.state)))
        assert np.array_equal(opened.score(one), detector.score(one))


@pytest.mark.parametrize("align", ["trailing", "centre"])
def test_gaps_and_flat_stretches_are_lived_with(align):
    values = spike(waves())
    values[100:130] = np.nan
    values[0:5] = np.nan
    flat, empty = np.full(N, 3.0), np.full(N, np.nan)
    three = panel(values, flat, empty)
    detector = Headwater(HeadwaterParams(align=align)).fit(three)
    scores, p = detector.score(three), detector.p_values(three)
    assert abs(scores[0, 200:].argmax() + 200 - AT) <= 2
    assert scores[1].max() <= 1.0
    assert (p[2] == 1.0).all()
    assert (p[0, 100:130] == 1.0).all()


def test_labelled_cells_are_not_learned():
    values = waves()
    values[300:310] += 100.0
    labels = np.zeros((1, N), dtype=bool)
    labels[0, 300:310] = True
    state = Headwater().fit(panel(values), labels).state
    assert np.asarray(state["values"]).max() < 10.0


# ── Promises ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("align", ["trailing", "centre"])
def test_alarms_come_as_often_as_promised(align):
    quiet = panel(*(waves(3_000, seed=seed) for seed in range(4)))
    detector = Headwater(HeadwaterParams(align=align)).fit(quiet.select(times=slice(0, 1_000)))
    p = detector.p_values(quiet)[:, 1_000:]
    assert np.mean(p <= 0.05) == pytest.approx(0.05, rel=0.3)
    assert 0.005 < np.mean(p <= 0.01) < 0.02


def test_running_surprise_is_the_rank_among_the_past():
    scores = np.random.default_rng(0).permutation(50).astype(float)
    told = running_surprise(scores, 0)
    assert (told[:30] == 0).all()
    middle = next(t for t in range(30, 50) if scores[t] < np.sort(scores[:t])[-12])
    rank = (np.sum(scores[:middle] >= scores[middle]) + 1) / (middle + 1)
    assert told[middle] == pytest.approx(-np.log10(rank))


def test_surprise_of_an_exponential_is_its_decades():
    scores = np.random.default_rng(1).exponential(size=200_000)
    # p(20) = e^-20, against the median's 1/2
    at = surprise(np.append(scores, 20.0))[-1]
    assert at == pytest.approx((20.0 - np.log(2)) / np.log(10), rel=0.02)
    assert (surprise(np.full(10, 2.0)) == 0).all()


# ── Windows ──────────────────────────────────────────────────────────────────────────────────────


def test_nearest_is_the_nearest_of_all_pairs():
    values = np.random.default_rng(2).standard_normal(400)
    length = 15
    found = nearest(values, length)
    windows = np.lib.stride_tricks.sliding_window_view(values, length)
    centred = windows - windows.mean(axis=1, keepdims=True)
    shaped = centred / np.sqrt(windows.var(axis=1, keepdims=True) + 0.1**2)
    far = np.abs(np.subtract.outer(np.arange(386), np.arange(386))) >= length
    for reading, rows in enumerate((windows, centred, shaped)):
        apart = np.sqrt(((rows[:, None] - rows) ** 2).mean(axis=-1))
        apart = np.where(far, apart, np.inf)
        assert np.allclose(found.distance[reading], apart.min(axis=1))
        assert np.array_equal(found.index[reading], apart.argmin(axis=1))


def test_windows_that_share_a_period_are_no_match():
    values = np.random.default_rng(3).standard_normal(60)
    found = nearest(values, 20)
    starts = np.arange(41)
    assert (np.abs(found.index[0] - starts)[found.index[0] >= 0] >= 20).all()
    # a window in the middle of 60 has no other to be compared with beyond 20 periods
    assert np.array_equal(found.index[0] < 0, (starts < 20) & (starts > 20))


def test_discrepancy_points_at_the_odd_value():
    values = waves(noise=0.01)
    values[AT] += 1.0
    assert (discrepancy(values, nearest(values, SEASON)).argmax(axis=1) == AT).all()


def test_plateau_is_the_mean_of_the_windows_that_hold_a_period():
    assert plateau(np.array([1.0, 3.0, 8.0]), 2).tolist() == [1.0, 2.0, 5.5, 8.0]


def test_novelty_is_the_distance_to_the_nearest_earlier_row():
    rows = np.array([[0.0], [1.0], [5.0], [0.5], [9.0]])
    assert novelty(rows, 1).tolist() == [0.0, 0.0, 5.0, 0.5, 4.0]


# ── Points ───────────────────────────────────────────────────────────────────────────────────────


def test_regression_leaves_the_spike():
    values = waves(noise=0.02)
    values[AT] += 1.0
    rest = regression(values, [*range(1, 6), *range(-5, 0)])
    assert rest.argmax() == AT
    assert np.median(rest) < 0.05


def test_phase_median_is_that_of_the_season():
    values = np.tile(np.arange(6.0), 30)
    values[90] = 50.0
    assert np.array_equal(phase_median(values, 6), np.tile(np.arange(6.0), 30))


def test_rare_events_spread_and_frequent_ones_do_not():
    rare, frequent = np.zeros(4_000), np.zeros(4_000)
    rare[2_000] = frequent[::20] = 30.0
    assert _faded(rare)[2_006] == pytest.approx(30.0 * 0.5 ** (6 / 6.0))
    assert _faded(frequent)[5:15].max() < 1e-6
