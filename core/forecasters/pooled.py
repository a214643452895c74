"""One model over all series of a panel: what the learned forecasters share around their model."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from core.contracts import DAY, Floats, Forecaster, Labels, OnStep, Panel, State, param
from core.errors import NotEnoughDataError
from core.features.cycle import cycle, weekday
from core.forecasters.intervals import IntervalParams, held_out, interval, learned

Indices = NDArray[np.intp]

SEASONS = 7
"""Earlier seasons whose value of the same phase is looked at."""
REACH = 100.0
"""Spreads from the level beyond which one value is as far as another."""
FLOOR = 0.01
"""Least spread of a series, as a share of the usual one: a series flat so far may still move."""
MOST_AHEAD = 48
"""Most periods forecast at once where nobody said."""
LEAST = 3
"""Known lags that a training window needs."""
CHUNK = 4_096
"""Windows answered at once: enough to fill a core, few enough to stay small."""


@dataclass(frozen=True)
class PooledParams(IntervalParams):
    period: int = param(
        0,
        help="Periods after which a pattern repeats; 0 takes a day of hours, a week of days, a year of weeks",
        low=0,
        high=10_000,
    )
    lags: int = param(56, help="Latest periods looked at one by one", low=2, high=1_000)
    ahead: int = param(
        0,
        help=f"Periods forecast at once, further ones build on them; 0 takes two seasons, {MOST_AHEAD} at most",
        low=0,
        high=1_000,
    )
    windows: int = param(
        8_000, help="Training windows drawn from all series", low=8, high=1_000_000
    )


@dataclass(frozen=True, eq=False)
class Question:
    """What is known when periods ahead are asked for: n windows, each asked for k steps.

    Values are (value − level) / spread: the level is the newest known lag (0 where not anchored), the spread
    the mean absolute change from lag to lag. NaN = missing.

    recent  : (n, n_lag), newest first
    seasons : (n, k, SEASONS) values of the asked period's phase before the origin, newest first
    asked   : (n, k, 5) steps ahead, column of the metric; share of the day gone, weekday, day of the month
    """

    recent: Floats
    seasons: Floats
    asked: Floats
    level: Floats
    spread: Floats

    def __getitem__(self, rows: slice) -> Question:
        return Question(*(getattr(self, part.name)[rows] for part in dataclasses.fields(self)))


@dataclass(frozen=True, eq=False)
class Sample:
    """Questions with their answers (n, k), in spreads from the level, NaN where unknown."""

    question: Question
    answer: Floats


@dataclass(frozen=True, eq=False)
class Series:
    """The series of a panel, one per entity and metric, with room before and after.

    values   : (n_series, room + n_time + ahead), NaN where nothing was observed
    calendar : (n_time + ahead, 3)
    usual    : (n_metric,) spread of the usual series
    """

    values: Floats
    calendar: Floats
    usual: Floats
    room: int
    n_time: int
    period: int
    lags: int
    anchored: bool

    @classmethod
    def of(
        cls, panel: Panel, usual: Floats, period: int, lags: int, ahead: int, anchored: bool
    ) -> Series:
        n_entity, n_time, n_metric = panel.values.shape
        # the phase of the farthest step lies up to a season further back than its step
        room = max(lags, SEASONS * period)
        values = np.full((n_entity * n_metric, room + n_time + ahead), np.nan)
        values[:, room : room + n_time] = panel.values.swapaxes(1, 2).reshape(-1, n_time)
        labels, step = panel.periods.labels, panel.periods.step
        later = labels[-1:] + step * np.arange(1, ahead + 1)
        calendar = _calendar(np.concatenate([labels, later]))
        return cls(values, calendar, usual, room, n_time, period, lags, anchored)

    def ask(self, rows: Indices, origins: Indices, steps: NDArray[np.int64]) -> Question:
        """Ask series rows[i] for the periods `origins[i] + steps[i] − 1`; steps (n, k) or (k,) from 1."""
        steps = np.broadcast_to(steps, (len(rows), steps.shape[-1]))
        at = origins[:, None] + self.room
        recent = self.values[rows[:, None], at - 1 - np.arange(self.lags)]
        before = at + steps - 1 - self.period * -(-steps // self.period)
        seasons = self.values[
            rows[:, None, None], before[..., None] - self.period * np.arange(SEASONS)
        ]
        known = ~np.isnan(recent)
        newest = recent[np.arange(len(rows)), known.argmax(axis=1)]
        level = newest if self.anchored else 0.0 * newest
        metric = rows % len(self.usual)
        spread = np.maximum(_mean_change(recent, self.usual[metric]), FLOOR * self.usual[metric])
        column = np.broadcast_to(metric[:, None], steps.shape)
        asked = np.stack([steps, column], axis=-1).astype(np.float64)
        times = self.calendar[origins[:, None] + steps - 1]
        return Question(
            np.clip((recent - level[:, None]) / spread[:, None], -REACH, REACH),
            np.clip((seasons - level[:, None, None]) / spread[:, None, None], -REACH, REACH),
            np.concatenate([asked, times], axis=-1),
            level,
            spread,
        )

    def draw(
        self, times: range, windows: int, asked: int, ahead: int, rng: np.random.Generator
    ) -> Sample:
        """Windows that begin in `times`, each asked for some of the next `ahead` periods of `times`."""
        known = ~np.isnan(self.values)
        lags = np.cumsum(known, axis=1)
        columns = np.arange(times.start, times.stop) + self.room
        before = lags[:, columns - 1] - np.where(
            columns > self.lags, lags[:, columns - 1 - self.lags], 0
        )
        rows, origins = np.nonzero(known[:, columns] & (before >= LEAST))
        chosen = np.sort(rng.permutation(len(rows))[:windows])
        rows, origins = rows[chosen], origins[chosen] + times.start
        every = np.tile(np.arange(1, ahead + 1), (len(rows), 1))
        steps = np.sort(rng.permuted(every, axis=1)[:, :asked], axis=1)
        question = self.ask(rows, origins, steps)
        wanted = origins[:, None] + steps - 1
        values = self.values[rows[:, None], wanted + self.room]
        answer = np.clip(
            (values - question.level[:, None]) / question.spread[:, None], -REACH, REACH
        )
        return Sample(question, np.where(wanted < times.stop, answer, np.nan))


class PooledForecaster(Forecaster):
    """One model for every series of the panel, each scaled by its own recent past.

    A subclass writes `_learn`, `_load` and `_ahead`; here are the windows, the scaling, the periods
    ahead and the intervals. The periods ahead are asked for directly, `ahead` at once, by their number of
    steps; those beyond build on the forecast so far.
    """

    anchored: ClassVar[bool] = True
    """Whether values are told from the newest known one, else from 0."""
    asked: ClassVar[int] = 16
    """Most periods ahead that one training window is asked for, drawn at random."""
    refits: ClassVar[bool] = False
    """Whether it learns again from all periods, once the errors of the latest are known."""

    @abstractmethod
    def _learn(self, training: Sample, validation: Sample, on_step: OnStep | None) -> State:
        """What the model learned."""

    @abstractmethod
    def _load(self, state: State) -> Any:
        """The model opened."""

    @abstractmethod
    def _ahead(self, model: Any, question: Question) -> Floats:
        """(n, k) answers in spreads from the level."""

    @final
    def _fit(self, panel: Panel, labels: Labels | None, on_step: OnStep | None) -> State:
        period = self.params.period or cycle(panel.periods.step)
        ahead = self.params.ahead or min(max(2 * period, 7), MOST_AHEAD)
        state: dict[str, Any] = {
            "usual": _usual(panel.values),
            "period": np.array(period),
            "ahead": np.array(ahead),
        }
        series = self._series(state, panel, ahead)
        n_time, rng = len(panel.periods), np.random.default_rng(self.params.seed)
        split = n_time - held_out(n_time)
        windows = self.params.windows
        training = series.draw(range(split), windows, min(ahead, self.asked), ahead, rng)
        late = series.draw(range(split, n_time), max(1, windows // 4), ahead, ahead, rng)
        for sample, times in ((training, f"0–{split - 1}"), (late, f"{split}–{n_time - 1}")):
            if np.isnan(sample.answer).all():
                rule = f"at least 1 with {LEAST} values before it in periods {times}"
                raise NotEnoughDataError.of(self.name, "windows", rule, 0)
        state |= self._learn(training, late, on_step)
        errors = late.answer - self._answer(self._load(state), late.question)
        # a window belongs to one metric: NaN in the columns of the others
        own = late.question.asked[:, :1, 1, None] == np.arange(len(panel.metrics))
        ratios = np.where(own, errors[..., None], np.nan)
        state["quantiles"] = learned(ratios, self.params.coverage)
        if self.refits:
            every = series.draw(range(n_time), windows, min(ahead, self.asked), ahead, rng)
            state |= self._learn(every, late, on_step)
        return state

    def _open(self, state: State) -> Any:
        return self._load(state), state

    def _forecast(self, scorer: Any, panel: Panel, horizon: int) -> Floats:
        model, state = scorer
        series, ahead = self._series(state, panel, horizon), int(state["ahead"])
        rows, n_time = np.arange(len(series.values)), len(panel.periods)
        spread = np.empty(0)
        for done in range(0, horizon, ahead):
            steps = np.arange(1, min(ahead, horizon - done) + 1)
            question = series.ask(rows, np.full(len(rows), n_time + done), steps)
            first = series.room + n_time + done
            values = question.level[:, None] + question.spread[:, None] * self._answer(
                model, question
            )
            series.values[:, first : first + len(steps)] = values
            spread = spread if done else question.spread
        middle = series.values[:, series.room + n_time :]
        return self._between(state, middle, spread[:, None], np.arange(1, horizon + 1))

    def _predict(self, scorer: Any, panel: Panel) -> Floats:
        model, state = scorer
        series, n_time = self._series(state, panel, 0), len(panel.periods)
        middle, spread = (np.empty((len(series.values), n_time)) for _ in range(2))
        n_row = max(1, CHUNK // n_time)
        for start in range(0, len(middle), n_row):
            part = slice(start, start + n_row)
            rows, times = np.indices(middle[part].shape)
            question = series.ask(rows.ravel() + start, times.ravel(), np.array([1]))
            answer = self._ahead(model, question)[:, 0]
            middle[part] = (question.level + question.spread * answer).reshape(rows.shape)
            spread[part] = question.spread.reshape(rows.shape)
        return self._between(state, middle, spread, np.ones(n_time))

    def _series(self, state: State, panel: Panel, ahead: int) -> Series:
        usual, period = np.asarray(state["usual"]), int(state["period"])  # type: ignore[arg-type]
        return Series.of(panel, usual, period, self.params.lags, ahead, self.anchored)

    def _answer(self, model: Any, question: Question) -> Floats:
        """`_ahead` in chunks."""
        n = len(question.level)
        step = max(1, CHUNK // question.asked.shape[1])
        parts = [self._ahead(model, question[at : at + step]) for at in range(0, n, step)]
        return np.concatenate(parts)

    def _between(self, state: State, middle: Floats, spread: Floats, steps: NDArray[Any]) -> Floats:
        """Intervals (n_entity, n_time, n_metric, 3) of middles and spreads by series."""
        quantiles = np.asarray(state["quantiles"])
        middle, scale = (
            part.reshape(-1, quantiles.shape[1], part.shape[1]).swapaxes(1, 2)
            for part in (middle, spread)
        )
        return interval(middle, scale, quantiles, steps)


def _calendar(labels: NDArray[Any]) -> Floats:
    """(n_time, 3): share of the day gone, weekday from Monday, day of the month from 0.

    No month: until years were seen, it is a date, and what happened then would be learned by heart.
    """
    days = labels.astype("datetime64[D]")
    monthdays = (days - labels.astype("datetime64[M]")).astype(np.int64)
    return np.stack([(labels - days) / DAY, weekday(days), monthdays], axis=-1).astype(np.float64)


def _mean_change(values: Floats, unknown: Floats) -> Floats:
    """(n, n_time) → (n,) mean absolute change between neighbours, `unknown` where no two are known."""
    change = np.abs(np.diff(values, axis=1))
    count = np.sum(~np.isnan(change), axis=1)
    return np.where(count > 0, np.nansum(change, axis=1) / np.maximum(count, 1), unknown)


def _usual(values: Floats) -> Floats:
    """(n_metric,) median spread of the entities; 1 where nothing ever changed."""
    usual = np.ones(values.shape[2])
    for metric, column in enumerate(np.moveaxis(values, 2, 0)):
        spreads = _mean_change(column, np.zeros(len(column)))
        if spreads.any():
            usual[metric] = np.median(spreads[spreads > 0])
    return usual
