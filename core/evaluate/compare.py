"""Two models on the same rows: what each finds, whether the difference is more than chance, and what to do about it.

Every figure of both models and every difference come from the same replicates of `core.evaluate.bootstrap`, so the
test is paired. McNemar's test on the decisions stands beside it, and says how many more labels would decide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from core.contracts import Bools, Floats
from core.errors import InvalidInputError
from core.evaluate.bootstrap import LEVEL, REPLICATES, Interval, Weights, intervals

TARGET = "f1"
LEAST = 0.02
"""The smallest difference of the target that is worth a change of model."""
LIKELY = 0.75
"""Share of the disagreements that a clearly better model wins: Cohen's g = 0.25, a large effect."""
POWER = 0.8
HIGHEST = 20
"""How many of the highest-ranked rows somebody has the time to look at."""
TAIL = 0.01
"""The p-value at which a calibrated model alarms on one normal row in a hundred."""


@dataclass(frozen=True, eq=False)
class Judge:
    """One model's say: p-values (n_entity, n_time), calibrated, and the rows on which it raises an alarm."""

    p_values: Floats
    alarms: Bools


@dataclass(frozen=True, eq=False)
class Truth:
    """What people said of the rows, both (n_entity, n_time): which are known, and which of those are real."""

    known: Bools
    real: Bools


@dataclass(frozen=True)
class McNemar:
    """Rows that one model got right and the other wrong, and how likely so uneven a split is by chance.

    effect : Cohen's g, the challenger's share of them less one half; 0.05 small, 0.15 medium, 0.25 large
    """

    champion_right: int
    challenger_right: int
    p: float
    effect: float


@dataclass(frozen=True)
class Verdict:
    """`word` is deploy, reject or inconclusive; `because` is better, worse, small effect, need more data, no labels.

    labels        : further labels that would decide, given on the rows where the models disagree; 0 when decided
    labels_random : the same, given on rows drawn at random
    disagreements : rows on which the models disagree and nobody said who is right
    """

    word: str
    because: str
    labels: int
    labels_random: int
    disagreements: int


@dataclass(frozen=True, eq=False)
class Comparison:
    """Every figure of both models by name, the challenger's less the champion's, the paired test and the verdict."""

    champion: Mapping[str, Interval]
    challenger: Mapping[str, Interval]
    difference: Mapping[str, Interval]
    both: Mapping[str, Interval]
    mcnemar: McNemar | None
    verdict: Verdict


def compare(
    champion: Judge,
    challenger: Judge,
    *,
    seen: Bools,
    truth: Truth | None = None,
    cluster: NDArray[np.intp] | None = None,
    highest: int = HIGHEST,
    replicates: int = REPLICATES,
    level: float = LEVEL,
    block: int | None = None,
    seed: int = 0,
    per_day: float = 1.0,
) -> Comparison:
    """Set two models side by side on the rows of a panel.

    seen    : (n_entity, n_time) rows that were observed; no other counts
    truth   : what is known of them; without a known real row nothing but their alarms can be compared
    cluster : (n_entity,) entities that rise and fall together; each on its own when absent
    highest : k of precision@k
    per_day : periods in a day, for what is told a day

    Raises InvalidInputError for shapes that differ.
    """
    shape = seen.shape
    for name, values in (
        ("champion", champion.p_values),
        ("champion", champion.alarms),
        ("challenger", challenger.p_values),
        ("challenger", challenger.alarms),
        *((("truth", truth.known), ("truth", truth.real)) if truth is not None else ()),
    ):
        if values.shape != shape:
            raise InvalidInputError.of("compare", f"the {name}", f"of shape {shape}", values.shape)
    judges = {"champion": champion, "challenger": challenger}
    cluster = np.arange(shape[0]) if cluster is None else cluster
    labelled = truth is not None and bool((truth.real & truth.known & seen).any())

    def figures(weights: Weights) -> dict[str, Floats]:
        found = {
            f"{who}.{name}": values
            for who, judge in judges.items()
            for name, values in _alone(weights, judge, seen, per_day).items()
        }
        if truth is not None and labelled:
            found |= {
                f"{who}.{name}": values
                for who, judge in judges.items()
                for name, values in _against(weights, judge, seen, truth, highest, per_day).items()
            }
        found |= {
            f"difference.{name.removeprefix('champion.')}": found[
                name.replace("champion", "challenger", 1)
            ]
            - values
            for name, values in found.items()
            if name.startswith("champion.")
        }
        return found | {
            f"both.{name}": values
            for name, values in _together(weights, champion, challenger, seen).items()
        }

    with np.errstate(divide="ignore", invalid="ignore"):
        found = intervals(
            figures, cluster, shape[1], replicates=replicates, level=level, block=block, seed=seed
        )
    parts: dict[str, dict[str, Interval]] = {
        part: {
            name.removeprefix(f"{part}."): held
            for name, held in found.items()
            if name.startswith(f"{part}.")
        }
        for part in ("champion", "challenger", "difference", "both")
    }
    mcnemar = _decisions(champion, challenger, seen, truth) if truth is not None else None
    apart = seen & (champion.alarms != challenger.alarms)
    open_rows = int(apart.sum() if truth is None else (apart & ~truth.known).sum())
    judged = 0 if truth is None else int((truth.known & seen).sum())
    verdict = decide(parts["difference"].get(TARGET), mcnemar, open_rows, judged, 1.0 - level)
    return Comparison(**parts, mcnemar=mcnemar, verdict=verdict)


# ── Figures ──────────────────────────────────────────────────────────────────────────────────────


def _alone(weights: Weights, judge: Judge, seen: Bools, per_day: float) -> dict[str, Floats]:
    """What needs no label: how often a model alarms, and whether its tail is as thin as it promises.

    tail : share of the rows with p ≤ 0.01, divided by 0.01; 1 on normal rows of a calibrated model
    """
    rows = weights.sums(seen)
    days = weights.days.sum(axis=1) / per_day
    alarms = weights.sums(seen & judge.alarms)
    return {
        "alarm_share": alarms / rows,
        "alarms_a_day": alarms / days,
        "tail": weights.sums(seen & (judge.p_values <= TAIL)) / rows / TAIL,
    }


def _together(
    weights: Weights, champion: Judge, challenger: Judge, seen: Bools
) -> dict[str, Floats]:
    """How often two models say the same, and Cohen's κ: the same beyond what chance gives."""
    rows = weights.sums(seen)
    agree = weights.sums(seen & (champion.alarms == challenger.alarms)) / rows
    first = weights.sums(seen & champion.alarms) / rows
    second = weights.sums(seen & challenger.alarms) / rows
    chance = first * second + (1.0 - first) * (1.0 - second)
    return {"agreement": agree, "kappa": (agree - chance) / (1.0 - chance)}


def _against(
    weights: Weights, judge: Judge, seen: Bools, truth: Truth, highest: int, per_day: float
) -> dict[str, Floats]:
    """What labels say. Rows that nobody judged count for nothing."""
    known = seen & truth.known
    real = known & truth.real
    hits = weights.sums(real & judge.alarms)
    false = weights.sums(known & ~real & judge.alarms)
    misses = weights.sums(real & ~judge.alarms)
    average, first = _ranked(weights, judge.p_values, known, real, highest)
    return {
        "pr_auc": average,
        "precision": hits / (hits + false),
        "recall": hits / (hits + misses),
        "f1": 2.0 * hits / (2.0 * hits + false + misses),
        "precision_at_k": first,
        "false_alarms_a_day": per_day * false / weights.days.sum(axis=1),
    }


def _ranked(
    weights: Weights, p_values: Floats, known: Bools, real: Bools, highest: int
) -> tuple[Floats, Floats]:
    """Average precision and precision of the `highest` rows, of weighted rows ranked by p-value.

    Rows of one p-value enter together; those that only partly fit among the highest count in part.
    """
    # recall grows at the p-values of real rows only, so the rows between two of them enter as one
    cuts = np.unique(p_values[real])
    reached = known & (p_values <= cuts[-1])
    alarms, hits = (
        np.cumsum(_counted(weights, rows, np.searchsorted(cuts, p_values[rows]), len(cuts)), axis=1)
        for rows in (reached, reached & real)
    )
    precision = np.where(alarms > 0, hits / alarms, 0.0)
    average = np.sum(np.diff(hits, prepend=0.0) * precision, axis=1) / hits[:, -1]
    # among so many of the highest rows, as many as are asked for are drawn almost surely
    enough = np.unique(np.sort(p_values[known])[: 20 * highest])
    top = known & (p_values <= enough[-1])
    entered, found = (
        np.cumsum(_counted(weights, rows, np.searchsorted(enough, p_values[rows]), len(enough)), 1)
        for rows in (top, top & real)
    )
    first = [
        np.interp(highest, np.append(0.0, many), np.append(0.0, right))
        for many, right in zip(entered, found, strict=True)
    ]
    return average, np.array(first) / np.minimum(highest, entered[:, -1])


def _counted(weights: Weights, rows: Bools, group: NDArray[np.intp], groups: int) -> Floats:
    entities, days = np.nonzero(rows)
    return weights.counts(entities, days, group, groups)


# ── Test and verdict ─────────────────────────────────────────────────────────────────────────────


def _decisions(champion: Judge, challenger: Judge, seen: Bools, truth: Truth) -> McNemar:
    known = seen & truth.known
    right = [known & (judge.alarms == truth.real) for judge in (champion, challenger)]
    return mcnemar(int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum()))


def mcnemar(champion_right: int, challenger_right: int) -> McNemar:
    """McNemar's test, exact: the rows that one alone got right, split as by a fair coin (Psychometrika 12, 1947)."""
    apart = champion_right + challenger_right
    p = float(stats.binomtest(challenger_right, apart).pvalue) if apart else 1.0
    effect = challenger_right / apart - 0.5 if apart else 0.0
    return McNemar(champion_right, challenger_right, p, effect)


def labels_to_tell(share: float, *, alpha: float = 0.05, power: float = POWER) -> int:
    """Disagreements to label until a model that wins `share` of them is told from one that wins half.

    ∞ is never given: a share of one half asks for what tells `LIKELY`. Source: Connor, Sample size for testing
    differences in proportions for the paired-sample design, Biometrics 43(1), 1987, given the discordant pairs.
    """
    share = share if abs(share - 0.5) > 1e-9 else LIKELY
    z_alpha, z_beta = stats.norm.isf(alpha / 2.0), stats.norm.isf(1.0 - power)
    spread = z_alpha * 0.5 + z_beta * math.sqrt(share * (1.0 - share))
    return math.ceil(float(spread / (share - 0.5)) ** 2)


def decide(
    target: Interval | None,
    paired: McNemar | None,
    disagreements: int,
    judged: int,
    alpha: float = 1.0 - LEVEL,
) -> Verdict:
    """The verdict: both tests must agree for a change, else it says what is missing.

    target        : the difference of the target figure; None where no labels are
    disagreements : rows on which the models disagree and nobody said who is right
    judged        : rows that somebody judged
    """
    if target is None or paired is None:
        return Verdict(
            "inconclusive", "no labels", labels_to_tell(LIKELY, alpha=alpha), 0, disagreements
        )
    sure = target.p <= alpha and paired.p <= alpha
    if sure and target.value > 0 and paired.effect > 0:
        return Verdict("deploy", "better", 0, 0, disagreements)
    if sure and target.value < 0 and paired.effect < 0:
        return Verdict("reject", "worse", 0, 0, disagreements)
    if target.low > -LEAST and target.high < LEAST:
        return Verdict("inconclusive", "small effect", 0, 0, disagreements)
    apart = paired.champion_right + paired.challenger_right
    # one half more on either side, so that the first few labels do not promise a certain win
    share = (paired.challenger_right + 0.5) / (apart + 1.0)
    wanted = labels_to_tell(share, alpha=alpha)
    if np.isfinite(target.value) and np.isfinite(target.se):
        # rows of one incident say nearly the same: as many more as the interval is too wide
        reach = float(stats.norm.isf(alpha / 2.0) + stats.norm.isf(1.0 - POWER)) * target.se
        wanted = max(wanted, math.ceil(apart * (reach / max(abs(target.value), LEAST)) ** 2))
    labels = max(wanted - apart, 1)
    rate = (apart + 0.5) / (judged + 1.0)
    return Verdict(
        "inconclusive", "need more data", labels, math.ceil(labels / rate), disagreements
    )


# ── Threshold and cost ───────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class CostCurve:
    """What a cut at each p-value would bring a day, (n_cut,); misses and false alarms are NaN without labels."""

    cuts: Floats
    alarms: Floats
    misses: Floats
    false: Floats

    def cost(self, ratio: float) -> Floats:
        """Expected cost a day of each cut, in false alarms, where a missed anomaly costs `ratio` of them."""
        return ratio * self.misses + self.false

    def best(self, ratio: float) -> int:
        """The cheapest cut, as an index; of equal ones the one that alarms least."""
        return int(np.nanargmin(self.cost(ratio)))


def cost_curve(
    judge: Judge, seen: Bools, truth: Truth | None, cuts: Floats, per_day: float = 1.0
) -> CostCurve:
    """What every cut would bring on the rows that were seen; `cuts` ascend, `per_day` periods make a day."""
    days = seen.shape[1] / per_day

    def reached(rows: Bools) -> Floats:
        ascending = np.sort(judge.p_values[rows])
        return np.asarray(np.searchsorted(ascending, cuts, side="right") / days)

    alarms = reached(seen)
    if truth is None or not (truth.real & truth.known & seen).any():
        nothing = np.full(len(cuts), np.nan)
        return CostCurve(cuts, alarms, nothing, nothing)
    real = seen & truth.known & truth.real
    false = reached(seen & truth.known & ~truth.real)
    return CostCurve(cuts, alarms, real.sum() / days - reached(real), false)
