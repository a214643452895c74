"""One training run: what is fitted, what is measured, what an ensemble says of its parts."""

from __future__ import annotations

import numpy as np

from core.contracts import Detector, Forecaster, Panel
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
    assert 0 < manifest.metrics["alarm_share"] < 0.05


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
