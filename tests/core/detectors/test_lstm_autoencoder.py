from __future__ import annotations

import json

import numpy as np
import pytest

from core.detectors.lstm_autoencoder import FADE, LENGTH, LstmAutoencoder, LstmAutoencoderParams
from core.detectors.robust_z import RobustZ
from core.errors import NotEnoughDataError
from core.samples import SPIKE, sample, spiked

QUICK = LstmAutoencoderParams(hidden=8, latent=4, windows=300, epochs=3, rate=0.03)


@pytest.fixture(scope="module")
def quick():
    return LstmAutoencoder(QUICK).fit(sample())


def test_cell_errors_add_up_to_the_score(quick):
    scores = quick.score(spiked())
    rows, at = [5, 0, 23], [39, 3, 41]
    cells = quick.cell_errors(spiked(), rows, at)
    assert cells.shape == (3, LENGTH, 5)
    assert (cells >= 0).all()
    assert np.allclose(cells.sum(axis=(1, 2)), scores[rows, at], rtol=1e-5)


def test_the_planted_day_owns_its_error(quick):
    cells = quick.cell_errors(spiked(), [SPIKE[0]], [SPIKE[1] + 2])[0]
    assert cells.sum(axis=1).argmax() == LENGTH - 3
    assert cells[LENGTH - 3].sum() > 0.8 * cells.sum()


def test_a_spike_fades_by_a_quarter_a_day(quick):
    values = np.zeros_like(sample().values)
    values[SPIKE] = 8.0
    scores = quick.score(sample().with_values(values))[SPIKE[0]]
    calm = quick.score(sample().with_values(np.zeros_like(values)))[SPIKE[0]]
    rise = (scores - calm)[SPIKE[1] : SPIKE[1] + 3]
    assert rise[1:] / rise[:-1] == pytest.approx([FADE, FADE], rel=0.15)


def test_padding_and_gaps_add_nothing(quick):
    values = sample().values.copy()
    values[2, :30] = np.nan
    values[3, 35] = np.nan
    scores = quick.score(sample().with_values(values))
    assert (scores[2, :30] == 0).all()
    assert (scores[2, 30:] > 0).all()
    cells = quick.cell_errors(sample().with_values(values), [2, 3], [31, 35])
    assert (cells[0, :-2] == 0).all()
    assert (cells[1, -1] == 0).all()


def test_the_last_score_alone_is_the_last_of_all(quick):
    assert np.allclose(quick.score_last(spiked()), quick.score(spiked())[:, -1], rtol=1e-5)


def related(seed):
    """60 days in which the second metric copies the first and each day leans on the one before."""
    rng = np.random.default_rng(seed)
    panel = sample(n_entity=120, n_time=60)
    values = rng.standard_normal(panel.values.shape)
    for time in range(1, 60):
        values[:, time, 0] = 0.8 * values[:, time - 1, 0] + 0.6 * values[:, time, 0]
    values[:, :, 1] = values[:, :, 0] + 0.2 * values[:, :, 1]
    return panel.with_values(values)


def test_a_broken_relation_between_ordinary_values_is_seen():
    """What robust-z cannot see: both metrics stay in their usual range but part company."""
    params = LstmAutoencoderParams(windows=4_000, epochs=14, batch=64)
    broken = related(1).values.copy()
    hit = np.arange(0, 120, 6)
    broken[hit, 50:, 1] = -broken[hit, 50:, 0]
    panel = related(1).with_values(broken)
    is_hit = np.isin(np.arange(120), hit)
    found = {}
    for detector in (LstmAutoencoder(params), RobustZ()):
        scores = detector.fit(related(0)).score(panel)[:, 54:60]
        found[detector.name] = (scores[is_hit][:, None] > scores[~is_hit]).mean()
    assert found["lstm-autoencoder"] > 0.62, found
    assert found["robust-z"] < 0.6, found


def test_the_kept_weights_are_those_of_the_best_epoch():
    steps = []
    fitted = LstmAutoencoder(QUICK).fit(
        related(0), on_step=lambda *step: steps.append(step[2]["validation"])
    )
    history = json.loads(fitted.state["history"])
    assert history["validation"] == steps
    assert history["best"] == int(np.argmin(steps))


def test_a_history_that_begins_late_in_the_panel_is_split_where_it_begins():
    values = sample().values.copy()
    values[:, :36] = np.nan
    fitted = LstmAutoencoder(QUICK).fit(sample().with_values(values))
    assert (fitted.score(sample().with_values(values))[:, 36:] > 0).all()


def test_a_panel_without_a_single_observed_window_is_refused():
    empty = sample().with_values(np.full_like(sample().values, np.nan))
    with pytest.raises(NotEnoughDataError, match="windows must be at least 1"):
        LstmAutoencoder(QUICK).fit(empty)
