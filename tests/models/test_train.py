"""One training run: what is fitted, what is measured, what an ensemble says of its parts."""

from __future__ import annotations

import numpy as np
import pytest

from core.contracts import Detector, Forecaster, Panel
from core.errors import NotEnoughDataError
from core.evaluate.held_out import figures, unlike, with_truth
from models.registry import Registry, digest_of
from models.train import panel_digest, publish, train

PARTS = {"parts": "isolation-forest=0.6, half-space-trees=0.4"}


def test_an_ensemble_names_its_parts_by_digest_and_loads_bit_for_bit(
    registry: Registry, panel: Panel
) -> None:
    trained = train(panel, name="ensemble", params=PARTS)
    version = publish(registry, "acme", "ads", trained, panel, actor="ana")
    manifest = registry.manifest("acme", version.id)
    assert manifest.kind == version.kind == "ensemble"
    assert set(manifest.members) == {"isolation-forest", "half-space-trees"}
    loaded = registry.load("acme", version.id)
    assert isinstance(loaded, Detector)
    assert isinstance(trained.algorithm, Detector)
    np.testing.assert_array_equal(loaded.score(panel), trained.algorithm.score(panel))
    again = {name: digest_of(part) for name, part in loaded.scorer.members.items()}
    assert again == manifest.members
    # of standard normal noise that it never saw: 12 days of 40 entities, near the promised 1 in 100
    assert manifest.metrics["rows"] == 480
    assert 0 <= manifest.metrics["alarm_share"] < 0.03


def test_a_training_tells_what_of_planted_deviations_it_sees(panel: Panel) -> None:
    """A histogram's score ends with its range, and a forecast takes for usual what lasts."""
    far = panel.values.copy()
    far[0, 3] = -40.0
    told = {
        part: train(panel.with_values(far), params={"parts": f"{part}=1"}).metrics
        for part in ("robust-z", "hbos", "seasonal-naive")
    }
    assert told["robust-z"]["planted_first"] == told["robust-z"]["planted_last"] == 1.0
    assert told["hbos"]["planted_last"] < 0.5
    assert told["seasonal-naive"]["planted_first"] > 0.5


def test_what_is_held_out_neither_teaches_nor_calibrates(panel: Panel) -> None:
    wild = panel.values.copy()
    wild[:, 48:] *= 50.0
    calm, loud = (
        train(panel.with_values(values), name="ensemble", params=PARTS)
        for values in (panel.values, wild)
    )
    assert calm.members == loud.members
    assert isinstance(calm.algorithm, Detector)
    assert isinstance(loud.algorithm, Detector)
    np.testing.assert_array_equal(calm.algorithm.score(panel), loud.algorithm.score(panel))
    assert loud.metrics["alarm_share"] > 0.9
    # 60 days: 12 held out, and the 14 before them that a score may look back on
    assert (calm.training.periods, calm.training.end) == (34, "2026-02-03T00:00:00")
    assert calm.predictions is not None
    assert str(calm.predictions.periods[0]) == "2026-02-18T00:00:00"


def test_figures_can_be_made_again_from_the_predictions(panel: Panel) -> None:
    labels = np.zeros(panel.values.shape[:2], bool)
    labels[4, 50:53] = labels[30, 20:25] = True
    shifted = panel.values.copy()
    shifted[labels] += 6.0
    trained = train(panel.with_values(shifted), name="ensemble", params=PARTS, labels=labels)
    assert trained.predictions is not None
    assert unlike(trained.metrics, trained.predictions) == {}
    assert trained.metrics["labelled"] == 0, "what does not teach is not thereby known to be odd"
    real = labels[:, -trained.predictions.score.shape[1] :]
    told = figures(with_truth(trained.predictions, real, np.zeros_like(real)))
    assert told["labelled"] == 3
    assert told["auc_roc"] > 0.95
    bare = train(panel, name="robust-z")
    assert bare.predictions is not None
    assert bare.predictions.p_value is None
    assert unlike(bare.metrics, bare.predictions) == {}


def test_with_nothing_held_out_everything_teaches_and_nothing_is_measured(panel: Panel) -> None:
    trained = train(panel, name="robust-z", held_out=0.0)
    assert trained.predictions is None
    assert set(trained.metrics) == {"fit_seconds"}
    assert trained.training.periods == 60


def test_a_history_too_short_to_hold_anything_out_says_how_long_it_must_be(panel: Panel) -> None:
    short = panel.select(times=slice(20))
    with pytest.raises(NotEnoughDataError, match="of which 14 are left out at each cut"):
        train(short, name="ensemble", params=PARTS)
    assert train(short, name="ensemble", params=PARTS, held_out=0.0).training.periods == 20


def test_the_same_data_and_seed_give_the_same_parts(panel: Panel) -> None:
    first, second = (train(panel, name="ensemble", params=PARTS) for _ in range(2))
    assert first.members == second.members
    assert first.training == second.training
    other = train(panel, name="ensemble", params=PARTS | {"seed": 1})
    assert other.members["isolation-forest"] != first.members["isolation-forest"]


def test_a_forecaster_is_published_and_forecasts_the_same(registry: Registry, panel: Panel) -> None:
    trained = train(panel, name="seasonal-naive")
    version = publish(registry, "acme", "ads", trained, panel, actor="ana")
    loaded = registry.load("acme", version.id)
    assert isinstance(loaded, Forecaster)
    assert isinstance(trained.algorithm, Forecaster)
    np.testing.assert_array_equal(loaded.forecast(panel, 3), trained.algorithm.forecast(panel, 3))


def test_the_snapshot_digest_tells_any_change_of_the_data(panel: Panel) -> None:
    changed = panel.values.copy()
    changed[3, 4, 1] += 1e-12
    renamed = panel.select(entities=panel.entities)
    assert panel_digest(renamed) == panel_digest(panel)
    assert panel_digest(panel.with_values(changed)) != panel_digest(panel)
    names = ("impressions", "ctr", "cpc", "aov", "cvr")
    assert panel_digest(panel.with_values(panel.values, names)) != panel_digest(panel)
