"""How many labels the queue saves, with a simulated labeler who errs: against labelling at random, in the same run.

Half of every labelled table is asked about, the other half is only scored on. After each batch a forest learns what
was said so far. The queue gets no more labels than random labelling has at half its budget.

Public tables are read from the folder that `HEADWATER_LABELLED` names, `../shared/data` when absent.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.metrics import average_precision_score, f1_score
from sklearn.neighbors import NearestNeighbors

from core import active
from core.active import Draw, Pool
from core.contracts import Floats, OnStep
from core.errors import InvalidInputError
from core.evaluate.suspects import held_out, self_confidence, worth_asking
from data import cause_suites, labelled

SEEDS = 10
ERRS = 0.05
"""Share of the simulated labeler's answers that are wrong."""
TAUGHT = 20
"""Labels from which on a committee learns, as in the product; before, it is the detectors."""
POOL, HELD_OUT = 800, 1200
WIDEST = 100
"""Columns above which a table is left out: its forests take longer than all the others together."""
ALPHA = 0.05
LEVEL = 0.95
DRAWS = 2000
Rows = list[dict[str, Any]]
Codes = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class World:
    """One labelled table: features (n, n_feature), answers (n,), detectors' p-values (n_detector, n).

    asked : its first rows are the pool, the others are scored on
    """

    name: str
    features: Floats
    answers: Codes
    p_values: Floats
    asked: int

    @property
    def classes(self) -> int:
        return int(self.answers.max()) + 1


@dataclass(frozen=True)
class Plan:
    """How many labels random labelling gets, how many come at a time, and how a table is dealt out by seed."""

    labels: int
    batch: int
    deal: Callable[[np.random.Generator], World]


def run(on_step: OnStep, seeds: int = SEEDS, only: str = "") -> Rows:
    """One row per table, then the whole: labels needed for random labelling's score, and the estimate of precision."""
    plans = {name: plan for name, plan in suites(folder()).items() if only in name}
    if not plans:
        raise InvalidInputError.of("bench active", "a labelled table", "in the folder", only)
    rows, told = [], []
    for index, (name, plan) in enumerate(plans.items()):
        runs = []
        for seed in range(seeds):
            on_step(name, (index + seed / seeds) / len(plans), {})
            runs.append(Run.of(plan, seed))
        told.append(runs)
        rows.append({"suite": name, "seeds": seeds, **_against(plan, runs), **_estimated(runs)})
    return [*rows, _whole(list(plans.values()), told)] if len(plans) > 1 else rows


# ── One run ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class Run:
    """Scores of one seed: random labelling at half its labels and at all, the queue after each batch up to half.

    told, true, naive : the share of "yes" that the random slice tells, that there is, and that all answers would tell
    two : there are two answers
    """

    random: tuple[float, float]
    queue: Floats
    told: active.Share
    true: float
    naive: float
    two: bool

    @classmethod
    def of(cls, plan: Plan, seed: int) -> Run:
        """Deal the table out, label it both ways."""
        rng = np.random.default_rng(seed)
        world = plan.deal(rng)
        labeler = Labeler(world.answers[: world.asked], world.classes, rng)
        order = rng.permutation(world.asked)
        random = tuple(
            score(world, order[:labels], [labeler.says(row) for row in order[:labels]])
            for labels in (plan.labels // 2, plan.labels)
        )
        curve, draws, judged = _queue(world, labeler, plan, rng)
        yes = (world.answers[: world.asked] > 0).astype(np.float64)
        return cls(
            random=(random[0], random[1]),
            queue=curve,
            told=active.share(draws),
            true=float(yes.mean()),
            naive=float(yes[judged].mean()),
            two=world.classes == 2,
        )


@dataclass
class Labeler:
    """Somebody who knows the answer and errs now and then; asked again, they think again."""

    truth: Codes
    classes: int
    rng: np.random.Generator
    said: dict[int, list[int]] = field(default_factory=dict)

    def says(self, row: int) -> int:
        """An answer to one row."""
        right = int(self.truth[row])
        if self.rng.random() >= ERRS:
            return right
        return int((right + self.rng.integers(1, self.classes)) % self.classes)

    def judge(self, row: int) -> None:
        """One more answer that is kept."""
        self.said.setdefault(row, []).append(self.says(row))

    def verdicts(self) -> tuple[Codes, Codes]:
        """Rows that were judged, and the answer given most often to each, the later of two."""
        rows = np.array(sorted(self.said), dtype=np.intp)
        codes = [max(reversed(self.said[row]), key=self.said[row].count) for row in rows]
        return rows, np.array(codes, dtype=np.intp)


def _queue(
    world: World, labeler: Labeler, plan: Plan, rng: np.random.Generator
) -> tuple[Floats, list[Draw], Codes]:
    """Scores after each batch that the queue chose, the random drawings among them, and all that was judged."""
    curve, draws = [], []
    yes = (world.answers[: world.asked] > 0).astype(np.float64)
    for _ in range(plan.labels // 2 // plan.batch):
        rows, codes = labeler.verdicts()
        pool = _pool(world, labeler, rows, codes)
        picks = active.choose(plan.batch, pool, rng)
        drawn = [pick.row for pick in picks if pick.slice == "random"]
        draws.append(Draw(yes[drawn], int(pool.fresh.sum()), yes[rows]))
        for pick in picks:
            labeler.judge(pick.row)
        curve.append(score(world, *labeler.verdicts()))
    return np.array(curve), draws, labeler.verdicts()[0]


def _pool(world: World, labeler: Labeler, rows: Codes, codes: Codes) -> Pool:
    """What the product's queue knows of every row, with the same functions; no gold, as nobody checks the labeler."""
    n = world.asked
    quality, people = np.full(n, np.nan), np.zeros(n, dtype=np.intp)
    fresh = np.ones(n, dtype=bool)
    fresh[rows] = False
    people[rows] = [len(labeler.said[row]) for row in rows]
    if len(rows) >= TAUGHT and len(np.unique(codes)) > 1:
        beliefs = active.committee(world.features[:n], rows, codes, world.classes, len(rows))
        # a label is doubted by those who never saw it: who learned it believes it
        own = np.arange(len(rows))
        chances = held_out(world.features[rows], codes, own, world.classes, len(rows))
        quality[rows] = self_confidence(codes, chances)
    else:
        beliefs = active.votes(world.p_values[:, :n], ALPHA)
        quality[rows] = 1.0 - ERRS
    doubt = np.where(people < 3, 1.0 - worth_asking(quality, people, world.classes), np.nan)
    return Pool(
        fresh,
        active.hardness(beliefs),
        world.features[:n],
        doubt,
        np.zeros(n, dtype=bool),
    )


def score(world: World, rows: Codes, codes: Any) -> float:
    """On the other half: average precision of two answers, macro-F1 of more; with one answer known, a guess."""
    held, known = world.features[world.asked :], world.answers[world.asked :]
    forest = RandomForestClassifier(
        n_estimators=60, class_weight="balanced_subsample", random_state=0
    ).fit(world.features[rows], codes)
    if world.classes > 2:
        return float(f1_score(known, forest.predict(held), average="macro", zero_division=0))
    if len(forest.classes_) < 2:
        return float(known.mean())
    return float(average_precision_score(known, forest.predict_proba(held)[:, 1]))


# ── Tables ───────────────────────────────────────────────────────────────────────────────────────


def folder() -> Path:
    """Where the public labelled data lie; InvalidInputError, with the cure, where they do not."""
    root = Path(os.environ.get("HEADWATER_LABELLED", "../shared/data"))
    if not root.is_dir():
        hint = "Set HEADWATER_LABELLED to the folder that holds detection/ and services/."
        raise InvalidInputError.of("bench active", "the labelled data", "a folder", str(root), hint)
    return root


def suites(root: Path) -> dict[str, Plan]:
    """Every table that is asked about, by name."""
    found: dict[str, Plan] = {}
    for suite in labelled.suites(root / "detection"):
        if suite.layout == "table":
            for name, values, answers in _tables(suite):
                found[name] = Plan(200, 20, _dealt(name, values, answers))
    for suite in cause_suites.suites(root / "services"):
        if suite.kind == "events":
            found[suite.name] = Plan(32, 4, _events(suite))
    return found


def _tables(suite: labelled.Suite) -> Iterator[tuple[str, Floats, Codes]]:
    for series in suite.series:
        case = suite.case(series)
        values = case.panel.values[:, 0]
        if values.shape[1] <= WIDEST:
            yield f"{suite.name}/{Path(series).stem}", values, case.labels.astype(np.intp)


def _dealt(name: str, values: Floats, answers: Codes) -> Callable[[np.random.Generator], World]:
    """Rows at random, beside what three detectors say of them without any label."""

    def deal(rng: np.random.Generator) -> World:
        rows = rng.permutation(len(values))[: POOL + HELD_OUT]
        some = values[rows]
        p_values = _detected(some, int(rng.integers(2**31)))
        features = np.column_stack([some, -np.log10(p_values.T)])
        return World(name, features, answers[rows], p_values, min(POOL, len(rows) // 2))

    return deal


def _detected(values: Floats, seed: int) -> Floats:
    """(3, n) upper-tail ranks of an isolation forest, of robust deviations, and of the tenth neighbour's distance."""
    width = stats.iqr(values, axis=0) / 1.349 + 0.1 * values.std(axis=0) + 1e-9
    deviations = np.clip((values - np.median(values, axis=0)) / width, -20.0, 20.0)
    distances, _ = NearestNeighbors(n_neighbors=10).fit(deviations).kneighbors()
    scores = np.stack(
        [
            -IsolationForest(n_estimators=60, random_state=seed).fit(values).score_samples(values),
            np.sort(np.abs(deviations), axis=1)[:, -3:].mean(axis=1),
            distances[:, -1],
        ]
    )
    return 1.0 - (stats.rankdata(scores, axis=1) - 0.5) / scores.shape[1]


def _events(suite: cause_suites.CauseSuite) -> Callable[[np.random.Generator], World]:
    """Incidents of known causes: what every component had done by the time of the alarm."""
    cases = [suite.case(name) for name in suite.cases]
    words = ["+".join(suite.truth(name).classes) for name in suite.cases]
    names, answers = np.unique(words, return_inverse=True)
    features = _states(cases)
    usual = np.median(features, axis=0)
    strange = (np.abs(features - usual) > 0).mean(axis=1)
    p_values = 1.0 - (
        stats.rankdata(np.stack([strange, features.sum(axis=1)]), axis=1) - 0.5
    ) / len(cases)

    def deal(rng: np.random.Generator) -> World:
        # every cause on both sides: a third of its incidents is held out
        held = np.zeros(len(cases), dtype=bool)
        for code in range(len(names)):
            own = rng.permutation(np.flatnonzero(answers == code))
            held[own[: max(1, len(own) // 3)]] = True
        rows = np.concatenate([rng.permutation(np.flatnonzero(~held)), np.flatnonzero(held)])
        return World(
            suite.name, features[rows], answers[rows], p_values[:, rows], int((~held).sum())
        )

    return deal


def _states(cases: list[Any]) -> Floats:
    """(n_case, 2 · n_node) changes before the alarm and seconds since the last one, by component."""
    nodes = sorted({node for case in cases for node in case.events.keys})
    found = np.zeros((len(cases), 2 * len(nodes)))
    for row, case in enumerate(cases):
        events = case.events
        for place, node in enumerate(events.keys):
            span = slice(events.offsets[place], events.offsets[place + 1])
            times = events.time[span]
            before = times[times <= case.alarm.at]
            column = 2 * nodes.index(node)
            found[row, column] = len(before)
            if len(before):
                found[row, column + 1] = 1.0 / (
                    1.0 + (case.alarm.at - before[-1]) / np.timedelta64(1, "s")
                )
    return found


# ── Figures ──────────────────────────────────────────────────────────────────────────────────────


def _against(plan: Plan, runs: list[Run]) -> dict[str, Any]:
    """Scores both ways, the difference at half the labels, and labels needed, each with a 95 % interval over seeds."""
    random = np.array([run.random for run in runs])
    queue = np.array([run.queue for run in runs])
    low, high = _t_interval(queue[:, -1] - random[:, 1])
    needed = _needed(plan, random[:, 1].mean(), queue.mean(axis=0))
    rng = np.random.default_rng(0)
    some = rng.integers(len(runs), size=(DRAWS, len(runs)))
    again = [_needed(plan, random[row, 1].mean(), queue[row].mean(axis=0)) for row in some]
    return {
        "labels": plan.labels,
        f"random_at_{plan.labels // 2}": round(float(random[:, 0].mean()), 3),
        f"random_at_{plan.labels}": round(float(random[:, 1].mean()), 3),
        f"queue_at_{plan.labels // 2}": round(float(queue[:, -1].mean()), 3),
        "difference": [round(low, 3), round(high, 3)],
        "share_of_labels": needed,
        "share_interval": [float(np.quantile(again, part)) for part in (0.025, 0.975)],
    }


def _needed(plan: Plan, aim: float, curve: Floats) -> float:
    """The share of random labelling's labels at which the queue reaches its score; 1 where half of them did not do."""
    reached = np.flatnonzero(curve >= aim)
    return float((reached[0] + 1) * plan.batch / plan.labels) if len(reached) else 1.0


def _estimated(runs: list[Run]) -> dict[str, Any]:
    """How far the estimate from the random slice is off on average, and how far the mean of all answers is.

    Of tables with two answers; of several causes there is no share of one.
    """
    runs = [run for run in runs if run.two]
    if not runs:
        return {}
    errors = np.array([run.told.value - run.true for run in runs])
    naive = np.array([run.naive - run.true for run in runs])
    held = [run.told.low <= run.true <= run.told.high for run in runs]
    return {
        "share_true": round(float(np.mean([run.true for run in runs])), 3),
        "estimate_off": round(float(errors.mean()), 4),
        "estimate_off_interval": [round(value, 4) for value in _t_interval(errors)],
        "estimate_held": float(np.mean(held)),
        "all_answers_off": round(float(naive.mean()), 4),
    }


def _whole(plans: list[Plan], told: list[list[Run]]) -> dict[str, Any]:
    """The median share of labels over tables and how many of them need at most half, with the same seeds drawn again."""

    def shares(row: Codes) -> Floats:
        return np.array(
            [
                _needed(
                    plan,
                    float(np.mean([runs[seed].random[1] for seed in row])),
                    np.mean([runs[seed].queue for seed in row], axis=0),
                )
                for plan, runs in zip(plans, told, strict=True)
            ]
        )

    seeds = len(told[0])
    observed = shares(np.arange(seeds))
    rng = np.random.default_rng(0)
    again = np.array([shares(row) for row in rng.integers(seeds, size=(DRAWS // 4, seeds))])
    medians = np.median(again, axis=1)
    within = (again <= 0.5).sum(axis=1)
    return {
        "suite": "all",
        "suites": len(plans),
        "share_of_labels": float(np.median(observed)),
        "share_interval": [float(np.quantile(medians, part)) for part in (0.025, 0.975)],
        "at_most_half": int((observed <= 0.5).sum()),
        "at_most_half_interval": [int(np.quantile(within, part)) for part in (0.025, 0.975)],
        **_estimated([run for runs in told for run in runs]),
    }


def _t_interval(values: Floats) -> tuple[float, float]:
    reach = stats.t.ppf(0.5 + LEVEL / 2, len(values) - 1) * stats.sem(values)
    return float(values.mean() - reach), float(values.mean() + reach)


if __name__ == "__main__":
    for line in run(lambda what, share, _: print(f"{share:.0%} {what}", file=sys.stderr) or True):
        print(json.dumps(line))
