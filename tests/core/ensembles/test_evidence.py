"""Parts testify together: weights count, state comes back whole, and the sum sees what one part misses."""

from __future__ import annotations

import numpy as np

from core.artifact import pack, unpack
from core.contracts import Panel, Periods
from core.ensembles.evidence import JOINT, TABLE, Part, learn, ready, surprises, weighed
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
    witnesses = ready(TABLE, learn(TABLE, panel))
    assert [witness.part.name for witness in witnesses] == ["cuts", "slants", "neighbours"]
    total = sum(witness.surprise(panel)[:, 0] for witness in witnesses)
    assert auc_roc(np.asarray(total), labels) > 0.95


def test_metrics_that_part_company_stand_out_though_each_stays_in_its_range() -> None:
    rng = np.random.default_rng(4)
    driver = np.cumsum(rng.standard_normal(3_000)) * 0.05
    driver = np.sin(driver)
    values = driver[:, None] * np.linspace(0.5, 1.5, 8) + 0.02 * rng.standard_normal((3_000, 8))
    values[2_700:2_720, 2] = -values[2_700:2_720, 2]
    train, test = series(values[:2_000]), series(values[2_000:])
    witnesses = ready(JOINT, learn(JOINT, train))
    total = np.asarray(
        sum(witness.part.weight * witness.surprise(test)[0] for witness in witnesses)
    )
    assert 700 <= int(total.argmax()) < 730
    shares = witnesses[0].detector.attribute(test)[0, 700:720].sum(axis=0)  # type: ignore[attr-defined]
    assert int(shares.argmax()) == 2


def test_what_was_learned_comes_back_from_its_bytes() -> None:
    panel = table(np.random.default_rng(0).standard_normal((200, 4)))
    state = learn(TABLE, panel)
    again = unpack(pack(state))
    for first, second in zip(ready(TABLE, state), ready(TABLE, again), strict=True):
        np.testing.assert_array_equal(first.surprise(panel), second.surprise(panel))


def test_a_weight_counts_as_so_many_parts() -> None:
    panel = table(np.random.default_rng(0).standard_normal((200, 4)))
    parts = (Part("tails", "ecod", 3.0), Part("far", "robust-z"))
    found = surprises(panel, ready(parts, learn(parts, panel)))
    expected = (3 * found["tails"] + found["far"]) / 4
    np.testing.assert_allclose(weighed(parts, found), expected)
