"""Which kind of cause is behind a case, learned from cases that people labelled, with reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.classifiers.calibrated import CalibratedTrees, CalibratedTreesParams
from core.contracts import OnStep
from core.errors import InvalidInputError, NotEnoughDataError
from core.rootcause.case_features import Row, columns, spoken, table


@dataclass(frozen=True)
class Reason:
    """One column of a case: its value, and how much it adds to the probability."""

    column: str
    value: float
    share: float


@dataclass(frozen=True)
class Diagnosis:
    """One kind of cause with its calibrated probability and what speaks most for and against it."""

    cause: str
    probability: float
    reasons: tuple[Reason, ...]


class Causes(CalibratedTrees):
    """The kinds of causes that people gave incidents, told from the alarm and what lies one hop upstream.

    Calibrated trees on the columns of `core.rootcause.case_features`, a row for every labelled case.

    Good for: faults of a kind that happened before. Bad for: a kind that nobody labelled yet, which it takes for one
    that it knows, though with less probability. Answer: probabilities. Cost: trees · depth per case.

    Source: features limited by the graph as in causRCA (CIRPe 2025); Geurts et al., Extremely Randomized Trees
    (Machine Learning 2006), calibrated as in Guo et al. (ICML 2017), section 4.2.
    """

    name = "causes"
    source = "causRCA (CIRPe 2025), section 4; Geurts et al., Extremely Randomized Trees (2006), section 2"


def learn(
    rows: Sequence[Row],
    causes: Sequence[str],
    params: CalibratedTreesParams | None = None,
    on_step: OnStep | None = None,
    names: Sequence[str] = (),
) -> Causes:
    """Trees taught by rows of `case_features.described` and the cause of each.

    names : the columns, where others than those that differ between these rows

    Raises NotEnoughDataError for fewer than two causes or where no column tells two rows apart.
    """
    if len(rows) != len(causes):
        rule = f"one for each of {len(rows)} rows"
        raise InvalidInputError.of("diagnosis", "causes", rule, len(causes))
    names = names or columns(rows)
    if not names:
        rule = "at least 1 that differs between the cases"
        raise NotEnoughDataError.of("diagnosis", "columns", rule, 0)
    trees = Causes(params)
    return trees.fit(table(rows, names), np.array(causes, dtype=np.str_)[:, None], on_step)


def surest(trees: Causes, rows: Sequence[Row]) -> Row:
    """Of the rows of one case, each around another suspect, the one that names a cause with the highest probability."""
    shares = trees.predict_proba(table(rows, str(trees.state["metrics"]).split("\n")))
    return rows[int(shares[:, 0].max(axis=1).argmax())]


def diagnose(trees: Causes, rows: Sequence[Row], top: int = 5) -> list[list[Diagnosis]]:
    """For every row all causes, the likeliest first, each with its `top` reasons."""
    names = tuple(str(trees.state["metrics"]).split("\n"))
    asked = table(rows, names)
    shares, reasons = trees.predict_proba(asked)[:, 0], trees.reasons(asked)
    return [
        [
            Diagnosis(
                trees.classes[place],
                float(shares[row, place]),
                tuple(
                    Reason(spoken(names[column]), float(values[column]), float(weights[column]))
                    for column in np.argsort(-np.abs(weights), kind="stable")[:top].tolist()
                ),
            )
            for place in np.argsort(-shares[row], kind="stable").tolist()
            for weights in (reasons[row, place],)
        ]
        for row, values in enumerate(asked.values[:, 0])
    ]
