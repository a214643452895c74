"""Figures of what was foretold, beside scikit-learn's average precision, with planted leads and false alarms."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from core.evaluate.failures import Part, difference, judged
from core.foresight import coming, onsets

HORIZON, GAP = 20, 5


def part(name: str, n_time: int, *events: int) -> Part:
    failing = np.zeros((1, n_time), dtype=bool)
    for event in events:
        failing[0, event : event + 4] = True
    return Part(name, coming(failing, HORIZON, GAP)[0], onsets(failing, GAP)[0])


PARTS = (part("a", 600, 100, 300, 500), part("b", 400, 200, 350))


def random_scores(seed: int, worth: float) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(0, 1, len(one.codes)) + worth * (one.codes == 1) for one in PARTS]


def test_average_precision_is_scikit_learns_over_the_quiet_periods() -> None:
    scores = [np.round(told, 1) for told in random_scores(1, 1.0)]
    found = judged(PARTS, scores, 3.0, HORIZON).figures
    codes, values = np.concatenate([one.codes for one in PARTS]), np.concatenate(scores)
    kept = codes >= 0
    expected = average_precision_score(codes[kept] == 1, values[kept])
    assert found["average_precision"] == pytest.approx(expected, rel=1e-9)
    assert found["base_rate"] == pytest.approx((codes[kept] == 1).mean())
    low, high = found["ci"]["average_precision"]
    assert low < expected < high
    assert "accuracy" not in found


def test_leads_and_false_alarms_are_those_planted() -> None:
    scores = [np.zeros(len(one.codes)) for one in PARTS]
    scores[0][[90, 95, 285, 400]] = 1.0  # 10 and 15 before the first two, one for nothing
    scores[1][195] = 1.0  # 5 before the first
    found = judged(PARTS, scores, 0.5, HORIZON).figures
    assert found["events"] == 5
    assert found["caught"] == pytest.approx(3 / 5)
    assert found["lead"] == {"q1": 7.5, "median": 10.0, "q3": 12.5}
    quiet = sum(int((one.codes == 0).sum()) for one in PARTS)
    assert found["false_alarms_per_1000"] == pytest.approx(1000 / quiet)


def test_knowing_nothing_is_worth_the_base_rate() -> None:
    found = judged(PARTS, [np.zeros(len(one.codes)) for one in PARTS], 1.0, HORIZON).figures
    assert found["average_precision"] == pytest.approx(found["base_rate"])
    assert found["lift"] == pytest.approx(1.0)
    assert found["ci"]["lift"] == pytest.approx([1.0, 1.0])
    assert found["caught"] == 0.0
    assert np.isnan(found["lead"]["median"])


def test_methods_are_compared_on_the_same_replicates() -> None:
    good = judged(PARTS, random_scores(1, 3.0), 3.0, HORIZON)
    poor = judged(PARTS, random_scores(2, 0.0), 3.0, HORIZON)
    better = difference(good, poor)
    assert better["average_precision"] > 0.3
    assert better["ci"][0] > 0
    assert difference(good, good) == {"average_precision": 0.0, "ci": [0.0, 0.0]}


def test_a_part_without_events_leaves_the_figures_undefined() -> None:
    calm = [part("calm", 100)]
    found = judged(calm, [np.arange(100.0)], 50.0, HORIZON).figures
    assert found["events"] == 0
    assert np.isnan(found["average_precision"])
    assert np.isnan(found["caught"])
