"""Parts testify together: weights count, state comes back whole, and the sum sees what one part misses."""

from __future__ import annotations

import numpy as np
import pytest

from core.artifact import pack, unpack
from core.contracts import Panel, Periods
from core.ensembles.evidence import JOINT, TABLE, Part, learn, ready
from core.errors import CancelledError
from core.evaluate.ranking import auc_roc

DAY = np.timedelta64(86_400, "s")


def table(values: np.ndarray) -> Panel:
    """Rows as entities with one time."""
    n, m = values.shape
    when = Periods(np.array(["2026-01-01"], dtype="datetime64[s]"), DAY)
    return Panel(
        values[:, None],
        tuple(f"row:{row}" for row in range(n)),
        tuple(f"c{c}" for c in range(m)),
        when,
    )


def series(values: np.ndarray) -> Panel:
    """One entity with many metrics."""
    n, m = values.shape
    when = Periods(np.datetime64("2026-01-01", "s") + np.arange(n) * np.timedelta64(60, "s"), DAY)
    return Panel(values[None], ("server:1",), tuple(f"m{c}" for c in range(m)), when)


def test_a_table_is_judged_by_cuts_and_neighbours() -> None:
    rng = np.random.default_rng(3)
    values = rng.standard_normal((600, 6))
    labels = np.zeros(600, dtype=bool)
    labels[:30] = True
    values[:30] += rng.choice((-4.0, 4.0), (30, 6)) * (rng.random((30, 6)) < 0.5)
    panel = table(values)
    witnesses = ready(TABLE, learn(TABLE, panel, 0, None), 0)
    assert [witness.part.name for witness in witnesses] == ["cuts", "neighbours"]
    total = sum(witness.evidence(panel, 1)[:, 0] for witness in witnesses)
    assert auc_roc(np.asarray(total), labels) > 0.95


def test_metrics_that_part_company_stand_out_though_each_stays_in_its_range() -> None:
    rng = np.random.default_rng(4)
    driver = np.cumsum(rng.standard_normal(3_000)) * 0.05
    driver = np.sin(driver)
    values = driver[:, None] * np.linspace(0.5, 1.5, 8) + 0.02 * rng.standard_normal((3_000, 8))
    values[2_700:2_720, 2] = -values[2_700:2_720, 2]
    train, test = series(values[:2_000]), series(values[2_000:])
    witnesses = ready(JOINT, learn(JOINT, train, 0, None), 0)
    total = np.asarray(sum(witness.evidence(test, 1_000)[0] for witness in witnesses))
    assert 700 <= int(total.argmax()) < 730
    shares = witnesses[0].detector.attribute(test)[0, 700:720].sum(axis=0)  # type: ignore[attr-defined]
    assert int(shares.argmax()) == 2


def test_what_was_learned_comes_back_from_its_bytes() -> None:
    panel = table(np.random.default_rng(0).standard_normal((200, 4)))
    state = learn(TABLE, panel, 0, None)
    again = unpack(pack(state))
    for first, second in zip(ready(TABLE, state, 0), ready(TABLE, again, 0), strict=True):
        np.testing.assert_array_equal(first.evidence(panel, 1), second.evidence(panel, 1))


def test_a_weight_multiplies_the_evidence() -> None:
    panel = table(np.random.default_rng(0).standard_normal((200, 4)))
    parts = (Part("once", "ecod"), Part("thrice", "ecod", 3.0))
    once, thrice = ready(parts, learn(parts, panel, 0, None), 0)
    np.testing.assert_allclose(3 * once.evidence(panel, 1), thrice.evidence(panel, 1))


def test_learning_can_be_stopped() -> None:
    panel = table(np.random.default_rng(0).standard_normal((50, 4)))
    with pytest.raises(CancelledError):
        learn(TABLE, panel, 0, lambda *_: False)
