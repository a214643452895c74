"""Elliptic envelope: robust covariance."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.contracts import Floats, State, param
from core.detectors.rows import RowDetector, RowParams

HALF = 0.5
"""Share of equal rows from which the covariance of all rows is taken, not that of the usual half."""


@dataclass(frozen=True)
class EllipticEnvelopeParams(RowParams):
    pool: int = param(
        10_000, help="Rows that it learns from at most, drawn at random", low=8, high=1_000_000
    )
    directions: int = param(
        20,
        help="Longer rows are first turned onto so many principal directions, and what is left over",
        low=2,
        high=200,
    )


class EllipticEnvelope(RowDetector):
    """How far from the centre a row lies, in the units of the ellipse that holds the usual half of the rows.

    The half of the rows whose covariance has the smallest determinant gives centre and covariance; the
    score is the squared Mahalanobis distance. That half does not notice anomalies, however far out.

    A covariance needs many more rows than columns. Longer rows (windows) are therefore turned onto their
    principal directions, and the length of what these leave over is one more column.

    Good for: one cloud of correlated metrics; broken relations between them.
    Bad for: several regimes; columns with the same value in half of the rows, whose spread is then nothing.
    Score: squared distance, about the number of columns on normal rows. Cost: learning is some thousand
    covariances of a few hundred rows, judging rows · columns · directions.

    Source: Rousseeuw & Van Driessen, A Fast Algorithm for the Minimum Covariance Determinant Estimator
    (Technometrics 1999), section 3; centre and covariance are those of scikit-learn's EllipticEnvelope.
    """

    name = "elliptic-envelope"
    source = (
        "Rousseeuw & Van Driessen, A Fast Algorithm for the Minimum Covariance Determinant Estimator "
        "(Technometrics 1999), section 3"
    )
    Params = EllipticEnvelopeParams
    # wild rows bent together would be the half that lies closest
    reach = np.inf

    def _learn(self, rows: Floats) -> State:
        from sklearn.covariance import EmpiricalCovariance, MinCovDet
        from sklearn.decomposition import PCA

        turn = {"mean": np.zeros(rows.shape[1]), "axes": np.zeros((0, rows.shape[1]))}
        if rows.shape[1] > self.params.directions:
            count = min(self.params.directions, len(rows) - 1)
            analysis = PCA(count, svd_solver="full").fit(rows)
            turn = {"mean": analysis.mean_, "axes": analysis.components_}
        turned = _turned(turn, rows)
        equal = np.isclose(turned, np.median(turned, axis=0)).all(axis=1).mean()
        # more than half of the rows are one and the same: the usual half has no spread at all
        robust = MinCovDet(random_state=self.params.seed)
        with warnings.catch_warnings():
            # a column in which half of the rows are equal has none; the pseudo-inverse leaves it out
            warnings.simplefilter("ignore")
            estimate = (robust if equal < HALF else EmpiricalCovariance()).fit(turned)
        return {**turn, "location": estimate.location_, "precision": estimate.precision_}

    def _judge(self, scorer: Any, rows: Floats) -> Floats:
        apart = _turned(scorer, rows) - scorer["location"]
        # einsum, not a matrix product, so that threads do not decide on the last bit
        return np.asarray(
            np.einsum("ij,ij->i", np.einsum("ij,jk->ik", apart, scorer["precision"]), apart)
        )


def _turned(turn: Any, rows: Floats) -> Floats:
    """Rows along the principal axes, and how long what these leave over is; as they are where there are no axes."""
    mean, axes = turn["mean"], turn["axes"]
    if not len(axes):
        return rows
    centred = rows - mean
    along = np.einsum("ij,kj->ik", centred, axes)
    left = (centred**2).sum(axis=1) - (along**2).sum(axis=1)
    return np.column_stack([along, np.sqrt(np.maximum(left, 0.0))])
