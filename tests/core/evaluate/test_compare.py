"""Two models on the same rows: the figures, the paired test, the verdict, and the labels that are missing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score
from statsmodels.stats.contingency_tables import mcnemar as reference

from core.contracts import Bools
from core.errors import InvalidInputError
from core.evaluate import compare as comparing
from core.evaluate.bootstrap import Interval
from core.evaluate.compare import Judge, Truth, compare, cost_curve, decide, labels_to_tell, mcnemar

CUT = 0.01


def model(
    rng: np.random.Generator, real: Bools, *, power: float, cut: float = CUT, also: float = 1.0
) -> Judge:
    """p-values that are uniform on normal rows and small on real ones, the smaller the more `power`."""
    normal = rng.random(real.shape) ** also
    p_values = np.where(real, stats.norm.sf(rng.normal(power, 1.0, real.shape)), normal)
    return Judge(p_values, p_values <= cut)


def world(
    rng: np.random.Generator, *, entities: int = 150, days: int = 28, incidents: int = 30
) -> Bools:
    """Episodes of three days on single entities."""
    real = np.zeros((entities, days), dtype=bool)
    for entity in rng.choice(entities, incidents, replace=False):
        start = int(rng.integers(days - 3))
        real[entity, start : start + 3] = True
    return real


def everything(real: Bools) -> Truth:
    return Truth(np.ones_like(real), real)


def test_the_figures_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    real = world(rng)
    champion, challenger = model(rng, real, power=2.5), model(rng, real, power=3.0)
    found = compare(
        champion,
        challenger,
        seen=np.ones_like(real),
        truth=everything(real),
        highest=50,
        replicates=100,
    )
    for judge, figures in ((champion, found.champion), (challenger, found.challenger)):
        flat, said = real.ravel(), judge.alarms.ravel()
        assert figures["pr_auc"].value == pytest.approx(
            average_precision_score(flat, -judge.p_values.ravel())
        )
        assert figures["precision"].value == pytest.approx(precision_score(flat, said))
        assert figures["recall"].value == pytest.approx(recall_score(flat, said))
        assert figures["f1"].value == pytest.approx(f1_score(flat, said))
        best = np.argsort(judge.p_values.ravel())[:50]
        assert figures["precision_at_k"].value == pytest.approx(flat[best].mean())
        assert figures["false_alarms_a_day"].value == pytest.approx((said & ~flat).sum() / 28)
        assert figures["alarms_a_day"].value == pytest.approx(said.sum() / 28)
    difference = found.challenger["f1"].value - found.champion["f1"].value
    assert found.difference["f1"].value == pytest.approx(difference)


def test_average_precision_takes_rows_of_one_p_value_together() -> None:
    real = np.array([[True, False, True, False]])
    p_values = np.array([[0.1, 0.1, 0.3, 0.3]])
    judge = Judge(p_values, p_values <= 0.1)
    found = compare(judge, judge, seen=np.ones_like(real), truth=everything(real), replicates=100)
    expected = average_precision_score(real[0], -p_values[0])
    assert found.champion["pr_auc"].value == pytest.approx(expected)
    assert found.champion["pr_auc"].value == 0.5


def test_rows_not_seen_or_not_judged_count_for_nothing() -> None:
    rng = np.random.default_rng(2)
    real = world(rng)
    champion, challenger = model(rng, real, power=2.0), model(rng, real, power=3.0)
    seen = rng.random(real.shape) < 0.9
    known = rng.random(real.shape) < 0.5
    found = compare(champion, challenger, seen=seen, truth=Truth(known, real), replicates=100)
    rows = seen & known
    assert found.champion["f1"].value == pytest.approx(f1_score(real[rows], champion.alarms[rows]))
    assert found.champion["alarm_share"].value == pytest.approx(champion.alarms[seen].mean())
    same = (champion.alarms == challenger.alarms)[seen].mean()
    assert found.both["agreement"].value == pytest.approx(same)


def test_a_clearly_better_challenger_is_deployed_and_the_other_way_round_rejected() -> None:
    rng = np.random.default_rng(3)
    real = world(rng)
    weak, strong = model(rng, real, power=2.0), model(rng, real, power=4.0)
    ask = {"seen": np.ones_like(real), "truth": everything(real)}
    up = compare(weak, strong, **ask)  # type: ignore[arg-type]
    assert (up.verdict.word, up.verdict.because) == ("deploy", "better")
    assert up.difference["f1"].low > 0 and up.mcnemar is not None and up.mcnemar.effect > 0.15
    down = compare(strong, weak, **ask)  # type: ignore[arg-type]
    assert (down.verdict.word, down.verdict.because) == ("reject", "worse")


def test_the_same_model_twice_has_a_small_effect() -> None:
    rng = np.random.default_rng(4)
    real = world(rng)
    judge = model(rng, real, power=2.5)
    found = compare(judge, judge, seen=np.ones_like(real), truth=everything(real), replicates=200)
    assert (found.verdict.word, found.verdict.because) == ("inconclusive", "small effect")
    assert found.both["agreement"].value == found.both["kappa"].value == 1.0
    assert found.difference["f1"].value == found.difference["f1"].high == 0.0


def test_without_labels_only_the_alarms_are_compared_and_the_verdict_says_so() -> None:
    rng = np.random.default_rng(5)
    real = world(rng)
    champion, challenger = model(rng, real, power=2.5), model(rng, real, power=3.0)
    found = compare(champion, challenger, seen=np.ones_like(real), replicates=200)
    assert set(found.difference) == {"alarm_share", "alarms_a_day", "tail"}
    apart = int((champion.alarms != challenger.alarms).sum())
    verdict = found.verdict
    assert (verdict.word, verdict.because) == ("inconclusive", "no labels")
    assert (verdict.labels, verdict.disagreements) == (labels_to_tell(0.75), apart)


def test_a_tail_of_one_is_what_a_calibrated_model_promises() -> None:
    rng = np.random.default_rng(6)
    real = np.zeros((400, 28), dtype=bool)
    honest, loud = model(rng, real, power=0.0), model(rng, real, power=0.0, also=2.0)
    found = compare(honest, loud, seen=np.ones_like(real), replicates=300)
    assert found.champion["tail"].low < 1.0 < found.champion["tail"].high
    assert found.champion["tail"].value == pytest.approx(1.0, abs=0.3)
    # p² is at most 0.01 where p is at most 0.1
    assert found.challenger["tail"].value == pytest.approx(10.0, rel=0.15)


def test_a_few_labels_decide_nothing_and_say_how_many_are_missing() -> None:
    rng = np.random.default_rng(7)
    real = world(rng, incidents=4)
    known = real.copy()
    known[:, :2] = True
    weak, strong = model(rng, real, power=1.5), model(rng, real, power=3.0)
    found = compare(weak, strong, seen=np.ones_like(real), truth=Truth(known, real))
    assert (found.verdict.word, found.verdict.because) == ("inconclusive", "need more data")
    assert 0 < found.verdict.labels < found.verdict.labels_random
    assert found.verdict.disagreements == int(((weak.alarms != strong.alarms) & ~known).sum())


def test_other_shapes_are_refused() -> None:
    judge = Judge(np.ones((3, 4)), np.zeros((3, 4), dtype=bool))
    with pytest.raises(InvalidInputError, match="the champion must be of shape"):
        compare(judge, judge, seen=np.ones((3, 5), dtype=bool))


# ── McNemar and the labels that are missing ──────────────────────────────────────────────────────


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (3, 0), (5, 12), (40, 61), (7, 7)])
def test_mcnemar_is_that_of_statsmodels(lost: int, won: int) -> None:
    ours = mcnemar(lost, won)
    assert (ours.champion_right, ours.challenger_right) == (lost, won)
    expected = reference([[10, lost], [won, 10]], exact=True).pvalue if lost + won else 1.0
    assert ours.p == pytest.approx(expected)
    assert ours.effect == pytest.approx(won / (lost + won) - 0.5 if lost + won else 0.0)


@pytest.mark.parametrize("share", [0.6, 0.65, 0.75, 0.35])
def test_so_many_labels_tell_at_80_percent_power(share: float) -> None:
    n = labels_to_tell(share)
    wins = np.arange(n + 1)
    told = np.array([abs(2 * k - n) / math.sqrt(n) >= stats.norm.isf(0.025) for k in wins])
    power = float(stats.binom.pmf(wins, n, share)[told].sum())
    assert power == pytest.approx(0.8, abs=0.06)


def test_labels_to_tell_against_connors_formula() -> None:
    """Connor 1987, given discordant pairs: p 0.75 against 0.5, 5 %, power 80 % asks for 29."""
    assert labels_to_tell(0.75) == 29
    assert labels_to_tell(0.5) == 29
    assert labels_to_tell(0.55) == 783


def interval(value: float, half: float, p: float) -> Interval:
    return Interval(value, value - half, value + half, p, half / 2, 30.0)


@pytest.mark.parametrize(
    ("target", "split", "word", "because"),
    [
        (interval(0.1, 0.05, 0.001), (5, 25), "deploy", "better"),
        (interval(-0.1, 0.05, 0.001), (25, 5), "reject", "worse"),
        # only one of the two tests is sure
        (interval(0.1, 0.05, 0.001), (2, 4), "inconclusive", "need more data"),
        (interval(0.1, 0.2, 0.3), (5, 25), "inconclusive", "need more data"),
        # both are sure and contradict each other
        (interval(0.1, 0.05, 0.001), (25, 5), "inconclusive", "need more data"),
        (interval(0.0, 0.01, 0.9), (5, 5), "inconclusive", "small effect"),
        (interval(float("nan"), 0.0, float("nan")), (0, 3), "inconclusive", "need more data"),
    ],
)
def test_both_tests_must_agree(
    target: Interval, split: tuple[int, int], word: str, because: str
) -> None:
    verdict = decide(target, mcnemar(*split), 10, 100)
    assert (verdict.word, verdict.because) == (word, because)


def test_rows_of_few_incidents_ask_for_many_more_labels_than_mcnemar_alone() -> None:
    """240 rows of three incidents: McNemar is sure, the interval is not; it must shrink (2.80 · 0.2 / 0.06)²-fold."""
    verdict = decide(Interval(-0.06, -0.27, 0.51, 0.8, 0.2, 3.0), mcnemar(166, 74), 0, 17_000)
    assert verdict.because == "need more data"
    assert verdict.labels == pytest.approx(240 * (2.8016 * 0.2 / 0.06) ** 2 - 240, rel=1e-3)


def level(trials: int, days: int, rho: float) -> float:
    """How often two equal models are told apart: odd days make either wrong for whole campaigns at once."""
    rng = np.random.default_rng(30)
    told = 0
    for trial in range(trials):
        real = world(rng, entities=60, days=days, incidents=40)
        cluster: NDArray[np.intp] = np.arange(60) // 3
        judges = []
        for _ in range(2):
            odd = np.empty(days)
            odd[0] = rng.standard_normal()
            for day in range(1, days):
                odd[day] = rho * odd[day - 1] + math.sqrt(1 - rho**2) * rng.standard_normal()
            campaign = rng.standard_normal((20, 1))[cluster]
            noise = 0.6 * odd + 0.6 * campaign + 0.5 * rng.standard_normal(real.shape)
            p_values = stats.norm.sf(noise + 2.5 * real)
            judges.append(Judge(p_values, p_values <= 0.05))
        found = compare(
            *judges,
            seen=np.ones_like(real),
            truth=everything(real),
            cluster=cluster,
            replicates=300,
            seed=trial,
        )
        told += found.verdict.word != "inconclusive"
    return told / trials


def test_equal_models_are_seldom_told_apart_although_days_depend_on_each_other() -> None:
    assert level(40, 28, 0.7) <= 0.1


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("days", "rho", "most"), [(14, 0.5, 0.06), (28, 0.7, 0.06), (60, 0.8, 0.10)]
)
def test_the_test_keeps_its_level_in_many_worlds(days: int, rho: float, most: float) -> None:
    """5 % promised; at AR(.8) it is 8 %, for 60 such days are seven independent ones."""
    assert level(400, days, rho) <= most


# ── Cost ─────────────────────────────────────────────────────────────────────────────────────────


def test_the_best_cut_is_the_one_that_trying_all_finds() -> None:
    rng = np.random.default_rng(9)
    real = world(rng)
    judge = model(rng, real, power=2.0)
    cuts = np.geomspace(1e-5, 0.5, 60)
    curve = cost_curve(judge, np.ones_like(real), everything(real), cuts)
    for ratio in (0.5, 5.0, 50.0):
        tried = [
            (
                ratio * (real & (judge.p_values > cut)).sum()
                + (~real & (judge.p_values <= cut)).sum()
            )
            / 28
            for cut in cuts
        ]
        np.testing.assert_allclose(curve.cost(ratio), tried)
        assert curve.best(ratio) == int(np.argmin(tried))
    assert curve.best(50.0) > curve.best(0.5)


def test_without_labels_a_cut_has_alarms_but_no_cost() -> None:
    rng = np.random.default_rng(10)
    real = np.zeros((50, 10), dtype=bool)
    judge = model(rng, real, power=0.0)
    curve = cost_curve(judge, np.ones_like(real), None, np.array([0.1, 1.0]))
    assert list(curve.alarms) == [(judge.p_values <= 0.1).sum() / 10, 50.0]
    assert np.isnan(curve.cost(5.0)).all()


def test_the_names_that_the_verdict_uses_are_figures() -> None:
    rng = np.random.default_rng(11)
    real = world(rng)
    judge = model(rng, real, power=2.0)
    found = compare(judge, judge, seen=np.ones_like(real), truth=everything(real), replicates=100)
    assert comparing.TARGET in found.difference
