from __future__ import annotations

import numpy as np
import pytest

from core.detectors.robust_z import RobustZ, RobustZParams
from core.samples import sample


def series(values):
    values = np.asarray(values, dtype=float)
    panel = sample(n_entity=1, n_time=len(values))
    return panel.with_values(values[None, :, None], ("impressions",))


def test_scores_worked_by_hand():
    panel = series([2.1, 2.6, 2.4, 2.5, 2.3, 2.1, 2.3, 2.6, 8.2, 8.3])
    scores = RobustZ().fit(panel).score(panel)[0]
    # median 2.45, MAD 0.15
    assert scores[-2] == pytest.approx(5.75 / (1.4826 * 0.15))
    assert scores[2] == pytest.approx(0.05 / (1.4826 * 0.15))


def test_the_largest_metrics_are_averaged():
    panel = sample()
    fitted = RobustZ(RobustZParams(largest=2)).fit(panel)
    far = np.abs(panel.values - fitted.state["centre"]) / fitted.state["spread"]
    expected = np.sort(far, axis=-1)[..., -2:].mean(axis=-1)
    assert np.allclose(fitted.score(panel), expected)


def test_a_score_is_put_down_to_the_distance_of_each_metric():
    panel = sample()
    fitted = RobustZ().fit(panel)
    shares = fitted.attribute(panel)
    assert np.array_equal(shares.max(axis=-1), fitted.score(panel))
    assert shares.shape == panel.values.shape


def test_a_table_is_rows_of_one_period():
    values = sample().values[:, :10].reshape(-1, 1, 5)
    panel = sample(n_entity=len(values), n_time=1).with_values(values)
    scores = RobustZ().fit(panel).score(panel)
    assert scores.shape == (len(values), 1)
    assert scores.std() > 0


def test_scope_entity_judges_each_by_its_own_spread_and_a_new_one_by_the_pooled():
    values = sample().values.copy()
    values[0] *= 100.0
    panel = sample().with_values(values)
    pooled = RobustZ().fit(panel)
    apart = RobustZ(RobustZParams(scope="entity")).fit(panel)
    assert pooled.score(panel)[0].mean() > 50
    assert apart.score(panel)[0].mean() < 5
    renamed = panel.select(entities=panel.entities[:1])
    new = type(panel)(renamed.values, ("keyword:new",), panel.metrics, panel.periods)
    assert np.allclose(apart.score(new), pooled.score(new))


def test_a_joint_move_of_many_metrics_is_not_seen():
    """The known weakness: each metric alone is ordinary."""
    values = sample().values.copy()
    values[3, 30] = 1.8
    panel = sample().with_values(values)
    scores = RobustZ().fit(panel).score(panel)
    assert (scores > scores[3, 30]).mean() > 0.2
