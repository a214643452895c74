from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from core.artifact import pack, unpack
from core.contracts import Panel, Periods
from core.ensembles.calibrated import (
    CalibratedEnsemble,
    CalibratedEnsembleParams,
    calibrated,
)
from core.errors import CancelledError, InvalidInputError, NotEnoughDataError

QUICK = "robust-z=0.6, half-space-trees=0.4"


def noise(entities: int = 150, days: int = 60, seed: int = 1) -> Panel:
    """Standardised residuals of a world without incidents."""
    values = np.random.default_rng(seed).normal(size=(entities, days, 5))
    labels = (np.datetime64("2026-01-01") + np.arange(days)).astype("datetime64[s]")
    return Panel(
        values,
        tuple(f"keyword:{row}" for row in range(entities)),
        ("impressions", "ctr", "cpc", "cvr", "aov"),
        Periods(labels, np.timedelta64(1, "D")),
    )


def fitted(
    parts: str = QUICK, combination: str = "harmonic", panel: Panel | None = None
) -> CalibratedEnsemble:
    params = CalibratedEnsembleParams(parts=parts, combination=combination)
    return CalibratedEnsemble(params).fit(noise() if panel is None else panel)


@pytest.fixture(scope="module")
def ensemble() -> CalibratedEnsemble:
    return fitted()


@pytest.mark.parametrize("combination", ["harmonic", "fisher", "vote"])
def test_p_values_keep_their_promise_on_new_normal_days(combination):
    p = fitted(combination=combination).p_values(noise(entities=400, days=30, seed=2))[:, 14:]
    assert stats.kstest(p.ravel()[::7], "uniform").pvalue > 0.001
    for alpha in (0.1, 0.01):
        assert (p <= alpha).mean() == pytest.approx(alpha, rel=0.35)


def test_every_part_is_calibrated_alone(ensemble):
    parts = ensemble.part_p_values(noise(entities=300, days=30, seed=3))
    assert set(parts) == {"robust-z", "half-space-trees"}
    for p in parts.values():
        assert (p[:, 14:] <= 0.05).mean() == pytest.approx(0.05, rel=0.35)


def test_a_planted_shift_stands_out(ensemble):
    panel = noise(seed=4)
    panel.values[7, -3:, 3] -= 8.0
    p = ensemble.p_values(panel)
    assert (p[7, -3:] < 1e-3).all()
    assert p[:, -1].argmin() == 7


def test_the_score_is_minus_log10_of_p(ensemble):
    panel = noise(seed=5)
    np.testing.assert_allclose(ensemble.score(panel), -np.log10(ensemble.p_values(panel)))


def test_only_the_newest_days_may_be_judged(ensemble):
    panel = noise(seed=5)
    p, parts = ensemble.judge(panel, last=10)
    assert p.shape == panel.values.shape[:2]
    assert (p[:, :-10] == 1.0).all()
    for name, part in parts.items():
        assert (part[:, :-10] == 1.0).all(), name
    # the streaming part starts later, so it has learned a little less
    whole = ensemble.p_values(panel)[:, -10:]
    assert np.corrcoef(np.log(p[:, -10:]).ravel(), np.log(whole).ravel())[0, 1] > 0.99
    np.testing.assert_array_equal(
        parts["robust-z"][:, -10:], ensemble.part_p_values(panel)["robust-z"][:, -10:]
    )


def test_what_nobody_observed_is_never_odd(ensemble):
    panel = noise(seed=6)
    panel.values[3] = np.nan
    assert (ensemble.p_values(panel)[3] == 1.0).all()
    assert (ensemble.score(panel)[3] == 0.0).all()


def test_a_part_that_is_not_warm_is_left_out_and_named():
    params = CalibratedEnsembleParams(parts=QUICK, settings="half-space-trees.window=1000000")
    ensemble = CalibratedEnsemble(params).fit(noise())
    assert ensemble.left_out == {
        "half-space-trees": "half-space-trees: not warm, 1% of its first window is filled"
    }
    assert ensemble.weights == {"robust-z": 1.0}
    assert set(ensemble.part_p_values(noise(seed=2))) == {"robust-z"}


def test_a_part_without_enough_history_is_left_out_and_named():
    panel = noise(entities=20, days=12)
    ensemble = fitted("lstm-autoencoder=0.5, robust-z=0.5", panel=panel)
    assert list(ensemble.left_out) == ["lstm-autoencoder"]
    assert "must be" in ensemble.left_out["lstm-autoencoder"]


def test_when_no_part_can_learn_the_reasons_are_given():
    with pytest.raises(NotEnoughDataError, match=r"parts able to learn must be at least 1\. Got 0"):
        CalibratedEnsemble(
            CalibratedEnsembleParams(
                parts="half-space-trees=1", settings="half-space-trees.window=1000000"
            )
        ).fit(noise())


def test_weeks_without_residuals_are_no_history():
    panel, late = noise(days=80), noise(days=80)
    late.values[:, :40] = np.nan
    observed = panel.select(times=slice(40, None))
    probe = noise(seed=2)
    np.testing.assert_array_equal(
        fitted(panel=late).score(probe), fitted(panel=observed).score(probe)
    )
    late.values[:, :72] = np.nan
    with pytest.raises(NotEnoughDataError, match=r"observed periods must be at least 10\. Got 8"):
        fitted(panel=late)


def test_labelled_incidents_neither_train_nor_calibrate():
    panel = noise(seed=8)
    labels = np.zeros(panel.values.shape[:2], dtype=bool)
    labels[:30, -8:] = True
    panel.values[labels] += 9.0
    probe = noise(seed=9)
    probe.values[0, -1] += 9.0
    taught = CalibratedEnsemble(CalibratedEnsembleParams(parts="robust-z=1")).fit(panel, labels)
    spoiled = CalibratedEnsemble(CalibratedEnsembleParams(parts="robust-z=1")).fit(panel)
    assert taught.p_values(probe)[0, -1] < 1e-4
    assert spoiled.p_values(probe)[0, -1] > 1e-3


def test_the_same_seed_gives_the_same_scores():
    panel = noise(seed=10)
    np.testing.assert_array_equal(fitted().score(panel), fitted().score(panel))


def test_the_state_survives_packing(ensemble):
    again = CalibratedEnsemble(ensemble.params, state=unpack(pack(ensemble.state)))
    panel = noise(seed=11)
    np.testing.assert_array_equal(again.score(panel), ensemble.score(panel))
    assert again.weights == ensemble.weights


def test_loaded_members_make_the_same_ensemble(ensemble):
    votes = ensemble.scorer
    again = CalibratedEnsemble.of(
        votes.members, votes.thresholds, votes.threshold, ensemble.weights, ensemble.params
    )
    panel = noise(seed=12)
    np.testing.assert_array_equal(again.score(panel), ensemble.score(panel))
    reopened = CalibratedEnsemble(again.params, state=again.state)
    np.testing.assert_array_equal(reopened.score(panel), ensemble.score(panel))


def test_a_lone_detector_is_calibrated_in_its_own_order():
    alone = calibrated("robust-z", largest=2).fit(noise())
    panel = noise(seed=13)
    raw, p = alone.scorer.members["robust-z"].score(panel), alone.p_values(panel)
    assert alone.scorer.members["robust-z"].params.largest == 2
    assert (np.diff(p.ravel()[np.argsort(raw.ravel())]) <= 1e-12).all()


def test_progress_covers_all_parts_and_can_stop():
    shares = []
    params = CalibratedEnsembleParams(parts=QUICK)
    CalibratedEnsemble(params).fit(
        noise(), on_step=lambda stage, share, numbers: shares.append(share)
    )
    assert shares[0] == 0.0
    assert shares == sorted(shares)
    with pytest.raises(CancelledError):
        CalibratedEnsemble(params).fit(noise(), on_step=lambda *_: False)


@pytest.mark.parametrize("parts", ["robust-z", "robust-z=heavy", "=1"])
def test_parts_that_are_not_name_and_weight_are_refused(parts):
    with pytest.raises(InvalidInputError, match="parts must be name=value"):
        fitted(parts)


def test_weights_must_be_positive():
    with pytest.raises(InvalidInputError, match="weights must be above 0"):
        fitted("robust-z=-1")
