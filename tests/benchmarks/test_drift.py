"""The drift benchmark at a small size: its anchor, its bound, and the figures it must show."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import drift


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "LEVELS", 4)
    monkeypatch.setattr(drift, "METRICS", 20)
    monkeypatch.setattr(drift, "HISTORY", 182)
    monkeypatch.setattr(drift, "YEAR", 91)
    monkeypatch.setattr(drift, "WINDOWS", (7,))


def test_calm_stays_calm_where_the_rule_fires_at_every_check() -> None:
    rows = drift.run(lambda *_: True, years=2, trials=3)
    calm = rows[0]
    assert calm["met"] and calm["false_drifts_a_year"] <= 1
    assert calm["peer_checks_with_a_false_alarm"] == 1.0 and calm["peer_features_flagged"] > 0.3
    assert calm["memory_estimated"] == pytest.approx(0.95, abs=0.02)
    found = {row["name"]: row for row in rows[1:]}
    assert found["0.5 sd: every metric up"]["trials"] == 3
    single = found["0.5 sd: one metric of one series"]
    assert single["found_within_3_windows"] <= 0.05 and not single["met"]


def test_no_test_could_find_half_a_deviation_in_one_series_of_such_memory() -> None:
    assert drift.bound(14, 0.05) < 0.6
    assert drift.bound(14, 1e-5) < 0.01


def test_the_rule_is_that_of_the_specification() -> None:
    rng = np.random.default_rng(0)
    independent = rng.normal(size=(2000, 300))
    share = drift.rule(independent[:, :200], independent[:, 200:]).mean()
    assert share == pytest.approx(0.045, abs=0.015)  # seldom a false alarm, were days independent
