from __future__ import annotations

import numpy as np
import pytest

from core.errors import InvalidInputError
from core.features.maturity import Maturity, fit_maturity
from tests.core.features.test_windows import panel_of

# order delays of ads.md §5, days after the click
DELAYS = (0.62, 0.13, 0.07, 0.05, 0.04, 0.03, 0.02, 0.012, 0.008, 0.006, 0.005, 0.004, 0.003, 0.002)
PLANTED = np.minimum(np.cumsum(DELAYS), 1.0)


def planted(seed: int = 3, volume: int = 4000, slower: float = 1.0) -> dict[str, np.ndarray]:
    """Links of days that are followed for 14 mornings; two profiles, the second `slower`."""
    rng = np.random.default_rng(seed)
    rows = []
    for profile, curve in (("profile:1", PLANTED), ("profile:2", PLANTED**slower)):
        arrives = np.diff(curve, prepend=0.0)
        for age in range(1, 14):
            # each age is seen on its own days: none of them is final
            orders = rng.multinomial(volume, [*arrives[: age + 1], 1.0 - arrives[: age + 1].sum()])
            rows.append((profile, "orders", age, orders[:age].sum(), orders[: age + 1].sum()))
            rows.append((profile, "clicks", age, 5000 * 0.999**age, 5000 * 0.999 ** (age + 1)))
    names = ("profile", "metric", "age_days", "reported", "next_reported")
    return dict(zip(names, map(np.array, zip(*rows, strict=True)), strict=True))


def with_row(links: dict[str, np.ndarray], *row: object) -> dict[str, np.ndarray]:
    return {
        name: np.append(column, value)
        for (name, column), value in zip(links.items(), row, strict=True)
    }


def test_the_planted_delay_curve_is_recovered():
    maturity = fit_maturity(planted())
    learned = maturity.share("orders", np.arange(1, 15), "profile:1")
    np.testing.assert_allclose(learned, PLANTED, atol=0.02)
    assert learned[0] == pytest.approx(0.62, abs=0.02)


def test_curves_never_fall_and_end_at_one():
    learned = fit_maturity(planted(volume=30)).share("orders", np.arange(0, 40))
    assert (np.diff(learned) >= 0).all()
    assert learned[-1] == 1.0


def test_each_profile_keeps_its_own_pace():
    maturity = fit_maturity(planted(slower=1.6))
    assert maturity.share("orders", 1, "profile:2") == pytest.approx(0.62**1.6, abs=0.03)
    assert maturity.share("orders", 1, "profile:2") < maturity.share("orders", 1, "profile:1") - 0.1


def test_a_profile_nobody_saw_is_given_the_pooled_curve():
    maturity = fit_maturity(planted())
    assert maturity.share("orders", 1, "profile:new") == pytest.approx(0.62, abs=0.03)


def test_a_tiny_profile_leans_on_the_others():
    links = with_row(planted(), "profile:3", "orders", 1, 1.0, 9.0)
    assert fit_maturity(links).share("orders", 1, "profile:3") == pytest.approx(0.62, abs=0.03)


def test_figures_that_shrink_later_count_as_complete():
    assert fit_maturity(planted()).share("clicks", 1, "profile:1") == 1.0


def test_metrics_without_restatements_are_final_at_once():
    assert fit_maturity(planted()).share("impressions", [0, 1, 2]).tolist() == [1, 1, 1]
    assert Maturity().share("orders", 1) == 1.0
    nothing = {name: column[:0] for name, column in planted().items()}
    assert fit_maturity(nothing).share("orders", 0) == 1.0


def test_shares_of_a_panel_follow_the_age_of_its_days():
    panel = panel_of(np.ones((2, 30, 1)))
    shares = fit_maturity(planted(slower=1.6)).shares(
        panel, "orders", np.datetime64("2026-01-31"), ("profile:1", "profile:2")
    )
    assert shares.shape == (2, 30)
    assert shares[0, -1] == pytest.approx(0.62, abs=0.02)
    assert shares[1, -1] < shares[0, -1]
    assert shares[0, 0] == 1.0


def test_negative_ages_are_refused():
    with pytest.raises(InvalidInputError, match=r"age_days must be 0 or more\. Got -1"):
        fit_maturity(with_row(planted(), "profile:1", "orders", -1, 1.0, 2.0))
