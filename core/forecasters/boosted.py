"""Boosted trees over the lags, rolling and calendar features of all series: LightGBM and XGBoost."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.contracts import Blob, Floats, OnStep, State, Tags, param, report
from core.errors import PersistenceError
from core.forecasters.pooled import PooledForecaster, PooledParams, Question, Sample

if TYPE_CHECKING:
    import lightgbm
    import xgboost

Rows = NDArray[np.float32]

BEND = 1.0
"""Mean changes beyond which an error counts by its size, no longer by its square."""
SPANS = (3, 7, 14, 28, 56)
"""Latest lags whose mean and standard deviation are features."""


@dataclass(frozen=True)
class BoostedParams(PooledParams):
    windows: int = param(
        30_000, help="Training windows drawn from all series", low=8, high=1_000_000
    )
    rounds: int = param(200, help="Trees", low=1, high=10_000)
    leaves: int = param(127, help="Most leaves of a tree", low=2, high=4_096)
    rate: float = param(0.1, help="Share of each tree that is added", low=1e-4, high=1.0)
    least: int = param(50, help="Rows that a leaf must hold", low=1, high=100_000)
    share: float = param(
        0.5, help="Share of the features that each tree may ask", low=0.05, high=1.0
    )


class Boosted(PooledForecaster):
    """Trees over tables of features, whichever library grows them."""

    Params = BoostedParams
    asked = 4
    refits = True
    cheap = {"rounds": 30, "leaves": 8, "windows": 500, "rate": 0.2}

    @abstractmethod
    def _grow(self, rows: Rows, answer: Rows, on_step: OnStep | None) -> State:
        """Trees that answer rows, on one thread: sums of several are rounded as the threads happen to end."""

    @abstractmethod
    def _climb(self, model: Any, rows: Rows) -> NDArray[Any]:
        """(n_row,) answers."""

    def _learn(self, training: Sample, validation: Sample, on_step: OnStep | None) -> State:
        answer = training.answer.ravel()
        known = ~np.isnan(answer)
        rows = features(training.question)[known]
        return self._grow(rows, answer[known].astype(np.float32), on_step)

    def _ahead(self, model: Any, question: Question) -> Floats:
        answer = self._climb(model, features(question))
        return answer.reshape(question.asked.shape[:2]).astype(np.float64)

    def _grown(self, on_step: OnStep | None, trees: int) -> None:
        report(self.name, on_step, "train", trees / self.params.rounds, {})


class LightGbm(Boosted):
    """LightGBM over the windows of all series, each scaled by its own recent past.

    One row per window and period ahead: the latest lags, their rolling means and standard deviations,
    the values of the same phase in earlier seasons, the steps ahead and the calendar. Missing values
    stay missing, the trees have a branch for them. Errors are counted in mean changes of the series, large ones by
    their size, small ones by their square (Huber 1964).

    Good for: many series that behave alike; seasons and calendar effects; sudden regime switches.
    Bad for: trends beyond what was seen in training; a handful of short series.
    An entity never seen in training is forecast from its own history. Intervals are conformal, from the
    errors in a held-out latest fifth of the periods.
    Units: those of the panel. Cost: about 0.1 ms per period forecast.

    Source: Ke et al., LightGBM (NeurIPS 2017), sections 2–4; one model for all series after Montero-Manso
    & Hyndman, Principles and Algorithms for Forecasting Groups of Time Series (2021), section 3.
    """

    name = "lightgbm"
    source = "Ke et al., LightGBM: A Highly Efficient Gradient Boosting Decision Tree (NeurIPS 2017), sections 2–4"
    tags = Tags(stochastic=True, min_times=15, extra="forecasters", modules=("lightgbm",))

    def _grow(self, rows: Rows, answer: Rows, on_step: OnStep | None) -> State:
        import lightgbm

        grown = lightgbm.train(
            {
                "objective": "huber",
                "alpha": BEND,
                "num_leaves": self.params.leaves,
                "learning_rate": self.params.rate,
                "min_data_in_leaf": self.params.least,
                "feature_fraction": self.params.share,
                "bagging_fraction": 0.7,
                "bagging_freq": 1,
                "seed": self.params.seed,
                "deterministic": True,
                "force_row_wise": True,
                "num_threads": 1,
                "verbosity": -1,
            },
            lightgbm.Dataset(rows, answer),
            self.params.rounds,
            callbacks=[lambda step: self._grown(on_step, step.iteration + 1)],
        )
        return {"trees": grown.model_to_string()}

    def _load(self, state: State) -> lightgbm.Booster:
        import lightgbm

        return lightgbm.Booster(model_str=str(state["trees"]))

    def _climb(self, model: lightgbm.Booster, rows: Rows) -> NDArray[Any]:
        return np.asarray(model.predict(rows))


class XgBoost(Boosted):
    """XGBoost over the windows of all series, each scaled by its own recent past.

    The rows and the intervals are those of `lightgbm`; the loss is the absolute error, and leaves are
    penalised by their number and size.

    Good for: many series that behave alike; seasons and calendar effects; sudden regime switches.
    Bad for: trends beyond what was seen in training; a handful of short series.
    An entity never seen in training is forecast from its own history. Intervals are conformal, from the
    errors in a held-out latest fifth of the periods.
    Units: those of the panel. Cost: about 10 µs per period forecast.

    Source: Chen & Guestrin, XGBoost: A Scalable Tree Boosting System (KDD 2016), sections 2–3.
    """

    name = "xgboost"
    source = "Chen & Guestrin, XGBoost: A Scalable Tree Boosting System (KDD 2016), sections 2–3"
    tags = Tags(stochastic=True, min_times=15, extra="forecasters", modules=("xgboost",))

    def _grow(self, rows: Rows, answer: Rows, on_step: OnStep | None) -> State:
        import xgboost

        told = self._grown

        class Report(xgboost.callback.TrainingCallback):
            def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
                told(on_step, epoch + 1)
                return False

        grown = xgboost.train(
            {
                "objective": "reg:absoluteerror",
                "tree_method": "hist",
                "grow_policy": "lossguide",
                "max_leaves": self.params.leaves,
                "max_depth": 0,
                "eta": self.params.rate,
                "min_child_weight": self.params.least,
                "colsample_bytree": self.params.share,
                "subsample": 0.7,
                "seed": self.params.seed,
                "nthread": 1,
                "verbosity": 0,
            },
            xgboost.DMatrix(rows, answer, nthread=1),
            self.params.rounds,
            callbacks=[Report()],
        )
        return {"trees": Blob("ubj", bytes(grown.save_raw("ubj")))}

    def _load(self, state: State) -> xgboost.Booster:
        import xgboost

        trees = state["trees"]
        if not isinstance(trees, Blob):
            raise PersistenceError.of(self.name, "the trees", "a Blob", type(trees).__name__)
        try:
            return xgboost.Booster(model_file=bytearray(trees.data))
        except xgboost.core.XGBoostError as error:
            reason = str(error).partition("\n")[0]
            raise PersistenceError.of(self.name, "the trees", "whole ubj", reason) from error

    def _climb(self, model: xgboost.Booster, rows: Rows) -> NDArray[Any]:
        return np.asarray(model.inplace_predict(rows))


def features(question: Question) -> Rows:
    """(n · k, n_feature): the lags, their rolling means and deviations, the seasons and what is asked."""
    n, k = question.asked.shape[:2]
    spans = [question.recent[:, :span] for span in SPANS if span <= question.recent.shape[1]]
    rolling = [part for span in spans for part in _moments(span)]
    window = np.concatenate([question.recent, np.stack(rolling, axis=1)], axis=1)
    step = np.concatenate(
        [question.seasons, np.stack(_moments(question.seasons), axis=-1), question.asked], axis=2
    )
    rows = np.empty((n, k, window.shape[1] + step.shape[2]), dtype=np.float32)
    rows[..., : window.shape[1]] = window[:, None]
    rows[..., window.shape[1] :] = step
    return rows.reshape(n * k, -1)


def _moments(values: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation along the last axis, NaN left out; NaN where nothing is known."""
    known = ~np.isnan(values)
    count = known.sum(axis=-1)
    least, unknown = np.maximum(count, 1), np.where(count > 0, 0.0, np.nan)
    mean = np.where(known, values, 0.0).sum(axis=-1) / least + unknown
    apart = np.where(known, values - mean[..., None], 0.0)
    return mean, np.sqrt((apart**2).sum(axis=-1) / least) + unknown
