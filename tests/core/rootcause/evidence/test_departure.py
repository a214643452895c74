"""What is normal does not depend on what else was asked, and is what its definition says."""

from __future__ import annotations

import numpy as np
import pytest

from core.contracts import Panel, Periods
from core.rootcause.evidence.departure import departure, onsets, quantiles, usual
from core.rootcause.evidence.metric_kinds import Kind

MINUTE = np.timedelta64(60, "s")
KINDS = (Kind("latency", 1), Kind("traffic", 0), Kind("latency", 1), Kind("success", -1))
WIDTH = 4


def normal(seed: int = 0) -> Panel:
    """Forty rows with gaps; the last row lacks a metric."""
    rng = np.random.default_rng(seed)
    values = rng.gamma(4.0, 2.0, (40, 200, len(KINDS)))
    values[rng.random(values.shape) < 0.03] = np.nan
    values[-1, :, 1] = np.nan
    labels = np.datetime64("2026-03-02", "s") + np.arange(200) * MINUTE
    names = tuple(f"n{row}" for row in range(40))
    return Panel(values, names, ("a", "b", "c", "d"), Periods(labels, MINUTE))


def test_rows_asked_one_by_one_are_those_asked_together() -> None:
    together, alone = normal(), normal()
    whole = usual(together, np.arange(40), WIDTH, KINDS)
    for row in np.random.default_rng(1).permutation(40):
        one = usual(alone, np.array([row]), WIDTH, KINDS)
        for name in ("median", "scale", "edge", "fall", "crowd"):
            np.testing.assert_array_equal(getattr(one, name)[0], getattr(whole, name)[row], name)


def test_the_edge_is_the_98th_percentile_of_windows_in_the_bad_direction() -> None:
    panel = normal()
    known = usual(panel, np.arange(40), WIDTH, KINDS)
    for column, way in ((0, 1.0), (1, 1.0), (3, -1.0)):
        series = panel.values[7, :, column]
        z = way * (series - known.median[7, column]) / known.scale[7, column]
        windows = [
            np.sort(w[np.isfinite(w)])[-2:]
            for w in np.lib.stride_tricks.sliding_window_view(z, WIDTH)
        ]
        best = [w.mean() for w in windows if len(w)]
        assert known.edge[7, column] == pytest.approx(max(np.quantile(best, 0.98), 3.0))
    assert np.isnan(known.scale[-1, 1]) and known.crowd[-1, 1] == 1.0


def test_a_window_of_normal_periods_at_their_edge_is_not_beyond_it() -> None:
    panel = normal()
    known = usual(panel, np.arange(40), WIDTH, KINDS)
    strengths = np.array(
        [
            departure(panel.values, known, slice(at, at + WIDTH), KINDS, local=False).strength
            for at in range(0, 200 - WIDTH, 3)
        ]
    )
    assert 0.0 < (strengths > 1.0).mean() < 0.03


def test_the_onset_is_where_the_run_of_bad_periods_began() -> None:
    panel = normal()
    known = usual(panel, np.arange(40), WIDTH, KINDS)
    values = np.tile(known.median[:, None], (1, 20, 1))
    values[0, 13:, 0] += 50.0 * known.scale[0, 0]
    values[1, 17:, 0] += 50.0 * known.scale[1, 0]
    window = slice(15, 19)
    found = departure(values, known, window, KINDS, local=False)
    begun = onsets(values, known, found.strength, window, KINDS)
    assert begun[:3].tolist() == [13, 17, 15]


def test_quantiles_are_those_of_numpy_with_and_without_gaps() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(3, 40, 2))
    whole = quantiles(values, (0.25, 0.98))
    values[0, :17, 1] = np.nan
    values[1, :, 0] = np.nan
    gaps = quantiles(values, (0.25, 0.98))
    for place, share in enumerate((0.25, 0.98)):
        assert np.allclose(whole[place][2], np.quantile(values[2], share, axis=0))
        assert np.allclose(gaps[place][[0, 2]], np.nanquantile(values[[0, 2]], share, axis=1))
        assert np.isnan(gaps[place][1, 0])
