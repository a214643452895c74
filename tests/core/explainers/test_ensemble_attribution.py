from __future__ import annotations

import numpy as np
import pytest

from core import catalog
from core.artifact import pack
from core.contracts import Panel
from core.ensembles.calibrated import CalibratedEnsemble, CalibratedEnsembleParams
from core.errors import InvalidInputError, UnknownNameError
from core.explainers.ensemble_attribution import EnsembleAttribution, _coalitions, _shapley_weights
from tests.core.ensembles.test_calibrated import noise

PARTS = "half-space-trees=0.3, isolation-forest=0.2, lstm-autoencoder=0.5"
SHORT = "lstm-autoencoder.epochs=6, lstm-autoencoder.windows=3000, isolation-forest.trees=50"


@pytest.fixture(scope="module")
def ensemble() -> CalibratedEnsemble:
    params = CalibratedEnsembleParams(parts=PARTS, settings=SHORT)
    return CalibratedEnsemble(params).fit(noise(entities=200))


@pytest.fixture(scope="module")
def planted() -> tuple[Panel, list[tuple[str, int, str, int]]]:
    """Forty entities, each with one metric far off on one of its last days."""
    panel = noise(entities=200, days=30, seed=21)
    rng = np.random.default_rng(22)
    causes = []
    for row in range(40):
        metric, day = int(rng.integers(5)), int(rng.integers(27, 30))
        panel.values[row, day, metric] = rng.choice([-1, 1]) * rng.uniform(6, 10)
        causes.append((panel.entities[row], day, panel.metrics[metric], day))
    return panel, causes


def test_planted_causes_are_named_by_metric_and_day(ensemble, planted):
    panel, causes = planted
    found = EnsembleAttribution().explain(
        ensemble, panel, [(entity, at) for entity, at, _, _ in causes]
    )
    hits = []
    for attribution, (_, _, metric, day) in zip(found, causes, strict=True):
        best_day, best_metric = np.unravel_index(
            attribution.shares.argmax(), attribution.shares.shape
        )
        hits.append(
            attribution.metrics[best_metric] == metric
            and attribution.days[best_day] == panel.periods.labels[day]
        )
    assert np.mean(hits) >= 0.9


def test_a_shift_of_several_days_is_spread_over_them(ensemble):
    panel = noise(entities=60, days=30, seed=23)
    panel.values[5, -3:, 1] -= 6.0
    (attribution,) = EnsembleAttribution().explain(ensemble, panel, [("keyword:5", 29)])
    assert attribution.shares[-3:, 1].sum() > 0.7 * attribution.shares.sum()
    assert (attribution.shares[-3:, 1] > 0.05 * attribution.shares.sum()).all()


def test_shares_base_and_gap_make_the_score_for_every_part_and_the_total(ensemble, planted):
    panel, causes = planted
    at = [(entity, time) for entity, time, _, _ in causes]
    whole_p, p = ensemble.judge(panel, last=3)
    scores = -np.log10(whole_p)
    for (entity, time), total in zip(
        at, EnsembleAttribution().explain(ensemble, panel, at), strict=True
    ):
        row = panel.row_of[entity]
        assert total.score == pytest.approx(scores[row, time], abs=1e-4)
        assert set(total.parts) == set(p)
        for name, attribution in [("", total), *total.parts.items()]:
            summed = attribution.shares.sum() + attribution.base + attribution.gap
            assert summed == pytest.approx(attribution.score, abs=1e-9)
            if name:
                assert attribution.score == pytest.approx(-np.log10(p[name][row, time]), abs=1e-3)
        # parts that see no further than the window leave no gap
        assert total.parts["isolation-forest"].gap == pytest.approx(0, abs=1e-6)
        assert total.parts["lstm-autoencoder"].gap == pytest.approx(0, abs=1e-3)
        assert abs(total.gap) < 0.1 * total.score


def test_explaining_teaches_nothing(ensemble, planted):
    panel, causes = planted
    before = ensemble.score(panel)
    first = EnsembleAttribution().explain(ensemble, panel, [causes[0][:2]])
    second = EnsembleAttribution().explain(ensemble, panel, [causes[0][:2]])
    np.testing.assert_array_equal(first[0].shares, second[0].shares)
    np.testing.assert_array_equal(ensemble.score(panel), before)


def test_missing_cells_take_no_share(ensemble):
    panel = noise(entities=40, days=30, seed=24)
    panel.values[2, -1, 0] = 9.0
    panel.values[2, :, 3] = np.nan
    (attribution,) = EnsembleAttribution().explain(ensemble, panel, [("keyword:2", 29)])
    assert attribution.shares[:, 3].sum() == pytest.approx(0, abs=1e-9)
    assert attribution.shares[:, 0].sum() > 0.8 * attribution.shares.sum()


def test_a_young_entity_is_explained_over_the_days_it_has(ensemble):
    panel = noise(entities=40, days=5, seed=25)
    panel.values[1, -1, 2] = 9.0
    (attribution,) = EnsembleAttribution().explain(ensemble, panel, [("keyword:1", 4)])
    assert attribution.days[-1] == panel.periods.labels[4]
    assert attribution.shares.shape == (14, 5)
    assert attribution.shares[:9].sum() == pytest.approx(0, abs=1e-9)


def test_any_detector_is_explained_in_its_own_score(ensemble, planted):
    panel, causes = planted
    forest = ensemble.scorer.members["isolation-forest"]
    entity, time, metric, _ = causes[0]
    (attribution,) = EnsembleAttribution().explain(forest, panel, [(entity, time)])
    assert attribution.score == forest.score(panel)[panel.row_of[entity], time]
    assert attribution.metrics[attribution.shares.sum(axis=0).argmax()] == metric
    assert attribution.parts == {}


def test_every_streaming_detector_of_the_catalogue_is_explained_without_learning(planted):
    panel, _ = planted
    streaming = [name for name, kind in catalog.entries("detector") if kind.tags.streaming]
    assert {"half-space-trees", "ewma"} <= set(streaming)
    for name in streaming:
        detector = catalog.make(name, **catalog.get(name).cheap).fit(panel)
        before = pack(detector.state)
        at = [(panel.entities[0], len(panel.periods) - 1)]
        (found,) = EnsembleAttribution().explain(detector, panel, at)
        assert found.shares.sum() + found.base + found.gap == pytest.approx(found.score)
        assert pack(detector.state) == before


def test_shapley_weights_split_a_known_game():
    # the glove game: a left glove (0) and two right ones (1, 2) are worth 1 as a pair
    plays = _coalitions(3)
    worth = (plays[:, 0] & (plays[:, 1] | plays[:, 2])).astype(float)
    np.testing.assert_allclose(_shapley_weights(plays) @ worth, [4 / 6, 1 / 6, 1 / 6])


def test_nothing_asked_is_nothing_answered(ensemble, planted):
    assert EnsembleAttribution().explain(ensemble, planted[0], []) == []


def test_unknown_entities_and_days_are_refused(ensemble, planted):
    panel, _ = planted
    with pytest.raises(UnknownNameError, match="entity must be one of"):
        EnsembleAttribution().explain(ensemble, panel, [("keyword:none", 3)])
    with pytest.raises(InvalidInputError, match=r"a time must be in \[0, 29\]"):
        EnsembleAttribution().explain(ensemble, panel, [("keyword:1", 30)])
