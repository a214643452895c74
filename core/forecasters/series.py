"""One small model per series: what the statistical forecasters share around their recursion."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from core.contracts import (
    DAY,
    Bools,
    Floats,
    Forecaster,
    Labels,
    OnStep,
    Panel,
    State,
    param,
    report,
)
from core.entities import row_of, rows_of
from core.features.cycle import WEEK, cycle
from core.forecasters.intervals import IntervalParams, interval, learned

Integers = NDArray[np.int64]

LEAST = 3
"""Known values of a series that can stand for others."""
OWN = 7
"""Errors that a series' spread is told by; until it has them, its metric's usual share stands in."""
FLOOR = 0.05
"""Least spread, as a share of the usual one: a series flat so far may still move."""
EARLY = 14
"""First periods that tell the level and spread of a series never seen in training."""
ORIGINS = 24
"""Times in the latter half of the history from which the periods after are forecast once more."""
STEPS = 48
"""Most periods ahead whose errors are learned."""
SAMPLE = 400
"""Entities whose errors some periods ahead are looked at; their quantiles are pooled anyway."""
ENOUGH = 1_000
"""Latest periods that tell a series' ways; older ones cost more than they teach."""
CELLS = 2_000_000
"""Cells followed at once."""


@dataclass(frozen=True)
class SeriesParams(IntervalParams):
    period: int = param(
        0,
        help="Periods after which a pattern repeats; 0 takes a day of hours, a week of days, a year of weeks",
        low=0,
        high=10_000,
    )
    long_period: int = param(
        0,
        help="A second, longer one, 1 for none; 0 takes a week where the first is a day",
        low=0,
        high=100_000,
    )
    history: int = param(
        0,
        help=f"Latest periods learned from; 0 takes {ENOUGH}, or six of the longer period",
        low=0,
        high=1_000_000,
        unit="periods",
    )
    models: int = param(
        100_000,
        help="Most entities that get models of their own, evenly among them; the others borrow",
        low=1,
        high=10_000_000,
    )
    memory: int = param(
        56,
        help="Latest periods whose errors tell a series' spread",
        low=2,
        high=1_000,
        unit="periods",
    )


class Cycles(NamedTuple):
    """Periods after which a series repeats itself, 1 where it does not."""

    short: int
    long: int

    def seen(self, n_time: int) -> Cycles:
        """Those that so many periods hold three times."""
        return Cycles(*(length if 3 * length <= n_time else 1 for length in self))


class Model(NamedTuple):
    """What is learned of one series: the form of its recursion and the numbers in it."""

    orders: tuple[int, ...]
    weights: Floats


class SeriesForecaster(Forecaster):
    """A model of its own for every series, found by entity and metric.

    A subclass writes `_learn`, one series → its `Model`, and `_follow`, the recursion that runs through
    histories with it. There a missing value counts as predicted, so what comes next is nothing but missing
    values after the history. An entity never seen in training borrows the model of its metric's most
    typical series: of those with the commonest orders, the one nearest to their median.

    The interval is middle + q · scale: `scale` is the mean absolute error one step ahead over the latest
    `memory` periods; q are quantiles of error / scale, by number of steps ahead, pooled over series and
    origins in the latter half of the history.
    """

    @abstractmethod
    def _learn(self, values: Floats, phases: Integers, cycles: Cycles) -> Model:
        """The model of one series (n_time,), NaN = missing; the simplest one where it says little."""

    @abstractmethod
    def _follow(
        self, orders: tuple[int, ...], weights: Floats, values: Floats, phases: Integers
    ) -> Floats:
        """Predictions of histories (n, n_time), each period from those before it; weights (n, n_weight).

        A missing value counts as predicted. Before the first known value anything may stand.
        """

    @abstractmethod
    def _warm(self, orders: tuple[int, ...]) -> int:
        """Periods that must be known before the first prediction that means something."""

    def _lent(self, orders: Integers, weights: Floats, early: Floats) -> Floats:
        """Weights (n, n_weight) of other series, made to fit series of which the `early` values are known."""
        return weights

    @final
    def _fit(self, panel: Panel, labels: Labels | None, on_step: OnStep | None) -> State:
        cycles = self._cycles(panel)
        history = self.params.history or max(ENOUGH, 6 * cycles.long)
        panel = panel.select(times=slice(-history, None))
        phases = _phases(panel, 0)
        own = panel.select(
            entities=panel.entities[:: -(-len(panel.entities) // self.params.models)]
        )
        rows: list[list[Model]] = []
        for done, values in enumerate(own.values, start=1):
            rows.append([self._learned(column, phases, cycles) for column in values.T])
            share = done / len(own.entities)
            report(self.name, on_step, "series", share, {"entities": float(done)})
        enough = (~np.isnan(own.values)).sum(axis=1) >= LEAST
        columns = [[row[metric] for row in rows] for metric in range(len(panel.metrics))]
        state: dict[str, Any] = {
            "entities": "\n".join(own.entities),
            "orders": np.array([[model.orders for model in row] for row in rows], dtype=np.int64),
            "weights": _together([[model.weights for model in row] for row in rows]),
            "typical": np.array([_typical(*pair) for pair in zip(columns, enough.T, strict=True)]),
        }
        return {**state, **self._errors(state, panel, cycles)}

    def _learned(self, values: Floats, phases: Integers, cycles: Cycles) -> Model:
        known = np.flatnonzero(~np.isnan(values))
        if not len(known):
            return self._learn(np.zeros(1), phases[:1], Cycles(1, 1))
        first = int(known[0])
        return self._learn(values[first:], phases[first:], cycles.seen(len(values) - first))

    def _errors(self, state: State, panel: Panel, cycles: Cycles) -> State:
        """What the intervals rest on: the usual size and error of a metric, the quantiles of the errors."""
        some = panel.select(entities=panel.entities[:: max(1, len(panel.entities) // SAMPLE)])
        values, scorer = some.values, self._open(state)
        _, n_time, n_metric = values.shape
        one_ahead = values - self._middle(scorer, some, 0)
        size, error = (_mean_size(part) for part in (values, one_ahead))
        usual = _usual(size)
        share = _usual(error / np.where(size > 0, size, usual))
        scale = self._scale(values, one_ahead, usual, share)

        n_step = min(STEPS, max(2 * cycles.short, 14), max(1, n_time // 4))
        origins = np.unique(np.linspace(n_time // 2, n_time - 1, ORIGINS).astype(int))
        ratios = np.full((len(origins), len(values), n_step, n_metric), np.nan)
        for at, origin in enumerate(origins):
            past, later = some.select(times=slice(0, origin)), values[:, origin : origin + n_step]
            ahead = self._middle(scorer, past, later.shape[1])[:, origin:]
            ratios[at, :, : later.shape[1]] = (later - ahead) / scale[:, origin, None]
        quantiles = learned(ratios.reshape(-1, n_step, n_metric), self.params.coverage)
        return {"usual": usual, "share": share, "quantiles": quantiles}

    def _open(self, state: State) -> Any:
        return {**state, "row_of": row_of(state)}

    @final
    def _predict(self, scorer: Any, panel: Panel) -> Floats:
        middle = self._middle(scorer, panel, 0)
        scale = self._scale(panel.values, panel.values - middle, scorer["usual"], scorer["share"])
        steps = np.ones(len(panel.periods))
        return interval(middle, scale[:, :-1], scorer["quantiles"], steps)

    @final
    def _forecast(self, scorer: Any, panel: Panel, horizon: int) -> Floats:
        n_time = len(panel.periods)
        middle = self._middle(scorer, panel, horizon)
        errors = panel.values - middle[:, :n_time]
        scale = self._scale(panel.values, errors, scorer["usual"], scorer["share"])
        steps = np.arange(1, horizon + 1)
        return interval(middle[:, n_time:], scale[:, -1:], scorer["quantiles"], steps)

    def _middle(self, scorer: Any, panel: Panel, horizon: int) -> Floats:
        """(n_entity, n_time + horizon, n_metric): one step ahead within the panel, then what comes next.

        NaN within the panel where too little came before, and wherever nothing is known.
        """
        n_entity, n_time, n_metric = panel.values.shape
        rows = rows_of(panel.entities, scorer["row_of"])
        lent = np.repeat(rows < 0, n_metric)
        rows = np.where(rows[:, None] < 0, scorer["typical"], rows[:, None])
        orders, weights = (
            scorer[role][rows, np.arange(n_metric)].reshape(len(lent), -1)
            for role in ("orders", "weights")
        )
        values = np.full((len(lent), n_time + horizon), np.nan)
        values[:, :n_time] = panel.values.swapaxes(1, 2).reshape(-1, n_time)
        known = ~np.isnan(values)
        first, some = known.argmax(axis=1), known.any(axis=1)
        own = np.where(lent, first + EARLY, 0)
        if lent.any():
            early = np.where(np.arange(values.shape[1]) < own[:, None], values, np.nan)[lent]
            weights[lent] = self._lent(orders[lent], weights[lent], early)
        middle, times = np.full_like(values, np.nan), np.arange(values.shape[1])
        phases = _phases(panel, horizon)
        forms, form = np.unique(orders, axis=0, return_inverse=True)
        for number, orders_of in enumerate(forms.tolist()):
            alike = np.flatnonzero((form.ravel() == number) & some)
            if not len(alike):
                continue
            begin = np.maximum(first[alike] + self._warm(tuple(orders_of)), own[alike])
            for part in np.array_split(np.arange(len(alike)), 1 + values[alike].size // CELLS):
                chosen = alike[part]
                told = self._follow(tuple(orders_of), weights[chosen], values[chosen], phases)
                early = (times < begin[part, None]) & (times < n_time)
                middle[chosen] = np.where(early, np.nan, told)
        return middle.reshape(n_entity, n_metric, -1).swapaxes(1, 2)

    def _scale(self, values: Floats, errors: Floats, usual: Floats, share: Floats) -> Floats:
        """(n_entity, n_time + 1, n_metric): mean |error| of the periods before each.

        Until a series has errors of its own, the metric's usual share of its size stands in for the rest.
        """
        size, n_value = trailing(np.abs(values), self.params.memory)
        total, n_error = trailing(np.abs(errors), self.params.memory)
        size /= np.maximum(n_value, 1)
        expected = share * np.where(size > 0, size, usual)
        lacking = np.maximum(OWN - n_error, 0)
        mean = (total + lacking * expected) / (n_error + lacking)
        return np.asarray(np.maximum(mean, FLOOR * expected))

    def _cycles(self, panel: Panel) -> Cycles:
        step = panel.periods.step
        short = self.params.period or cycle(step)
        long = round(WEEK / step) if step < DAY and not self.params.period else 1
        return Cycles(short, self.params.long_period or long)


def trailing(values: Floats, memory: int) -> tuple[Floats, Floats]:
    """Sum and count of the known values among the `memory` periods before each and after the last one.

    values : (n_entity, n_time, n_metric) → twice (n_entity, n_time + 1, n_metric)
    """
    lead = np.full((len(values), memory, values.shape[2]), np.nan)
    padded = np.concatenate([lead, values], axis=1)
    known = ~np.isnan(padded)
    # sums of the window itself: running sums would let early values leave rounding behind
    total = sliding_window_view(np.where(known, padded, 0.0), memory, axis=1).sum(axis=-1)
    return total, sliding_window_view(known, memory, axis=1).sum(axis=-1, dtype=np.float64)


def _phases(panel: Panel, horizon: int) -> Integers:
    """Number of each period of the panel and of the `horizon` after it, the same for ever."""
    seconds = panel.periods.labels.astype("datetime64[s]").astype(np.int64)
    numbers = seconds // max(1, round(panel.periods.step / np.timedelta64(1, "s")))
    return np.concatenate([numbers, numbers[-1:] + np.arange(1, horizon + 1)])


def _typical(models: list[Model], enough: Bools) -> int:
    """Which of the models of a metric stands for all of them."""
    told = np.flatnonzero(enough) if enough.any() else np.arange(len(models))
    (commonest, _), *_ = Counter(models[row].orders for row in told).most_common(1)
    alike = [row for row in told if models[row].orders == commonest]
    weights = np.array([models[row].weights for row in alike])
    distance = np.abs(weights - np.median(weights, axis=0)).sum(axis=1)
    return int(alike[distance.argmin()])


def _together(weights: list[list[Floats]]) -> Floats:
    """(n_entity, n_metric, n_weight), shorter ones filled up with 0."""
    longest = max(len(one) for row in weights for one in row)
    return np.array([[np.pad(one, (0, longest - len(one))) for one in row] for row in weights])


def _mean_size(values: Floats) -> Floats:
    """(n_entity, n_time, n_metric) → (n_entity, n_metric) mean absolute value, NaN where none is known."""
    known = ~np.isnan(values)
    count = known.sum(axis=1)
    total = np.where(known, np.abs(values), 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _usual(sizes: Floats) -> Floats:
    """(n_entity, n_metric) → (n_metric,) median of those above 0, 1 where there are none."""
    columns = [column[column > 0] for column in sizes.T]
    return np.array([float(np.median(column)) if len(column) else 1.0 for column in columns])
