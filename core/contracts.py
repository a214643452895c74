"""The contracts: what flows (`Panel`) and what acts on it (`Algorithm` and its kinds).

Everything is found by name, never by position; a score is higher when more anomalous; NaN means missing.
"""

from __future__ import annotations

import dataclasses
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Protocol, Self, final
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from core import lifecycle
from core.errors import (
    CancelledError,
    InvalidInputError,
    NotEnoughDataError,
    NotFittedError,
    PredictionError,
    UnknownNameError,
    differences,
)

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Times = NDArray[np.datetime64]
Labels = NDArray[Any]
"""(n_entity, n_time): bool = known anomaly, or the class as text, "" where nobody said."""
Words = Mapping[str, NDArray[np.str_]]
"""Text by column: (n_entity,) for what an entity is, (n_entity, n_time) for what changes; "" = not known."""


# ── Panel ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class Periods:
    """Regular periods by their local start.

    labels : (n_time,) datetime64[s], wall-clock start of each period in the entity's own zone
    step   : nominal length; a local day of 23 or 25 hours is still one period
    """

    labels: Times
    step: np.timedelta64

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, times: slice) -> Periods:
        return Periods(self.labels[times], self.step)


@dataclass(frozen=True, eq=False)
class Panel:
    """Metrics of many entities over the same periods.

    values  : (n_entity, n_time, n_metric) float64, NaN = missing
    padded  : (n_entity, n_time) bool, True where a short history was filled, not observed
    zones   : IANA zone per entity, or one for all
    words   : what is known in words, in columns of other names than the metrics; classifiers read them
    """

    values: Floats
    entities: tuple[str, ...]
    metrics: tuple[str, ...]
    periods: Periods
    padded: Bools | None = None
    zones: tuple[str, ...] = ("UTC",)
    words: Words = field(default_factory=dict)

    def __post_init__(self) -> None:
        expected = (len(self.entities), len(self.periods), len(self.metrics))
        if self.values.shape != expected:
            raise InvalidInputError.of("Panel", "values", f"of shape {expected}", self.values.shape)
        for name, column in self.words.items():
            found = np.asarray(column)
            shaped = found.shape in (expected[:1], expected[:2])
            if not shaped or found.dtype.kind != "U" or name in self.metrics:
                rule = f"text of shape {expected[:1]} or {expected[:2]}, and no metric's name"
                got = f"{found.dtype} {found.shape}"
                raise InvalidInputError.of("Panel", f"the column {name}", rule, got)

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Entity id → row."""
        return {entity: row for row, entity in enumerate(self.entities)}

    def metric(self, name: str) -> Floats:
        """One metric, (n_entity, n_time)."""
        return self.values[:, :, self._column(name)]

    def select(
        self,
        *,
        entities: Sequence[str] | None = None,
        metrics: Sequence[str] | None = None,
        times: slice = slice(None),
    ) -> Panel:
        """The same panel cut to the named entities and metrics, in that order, and to a time slice."""
        rows = None if entities is None else self.rows(entities)
        columns = None if metrics is None else [self._column(name) for name in metrics]
        values = self.values[:, times]
        padded = None if self.padded is None else self.padded[:, times]
        zones = self.zones
        words = {
            name: column[:, times] if column.ndim == 2 else column
            for name, column in self.words.items()
        }
        if rows is not None:
            values = values[rows]
            words = {name: column[rows] for name, column in words.items()}
            padded = None if padded is None else padded[rows]
            zones = zones if len(zones) == 1 else tuple(zones[row] for row in rows)
        if columns is not None:
            values = values[:, :, columns]
        return Panel(
            values,
            self.entities if entities is None else tuple(entities),
            self.metrics if metrics is None else tuple(metrics),
            self.periods[times],
            padded,
            zones,
            words,
        )

    def rows(self, entities: Iterable[str]) -> NDArray[np.intp]:
        """Rows of the named entities; an unknown one is refused by name."""
        try:
            return np.array([self.row_of[entity] for entity in entities], dtype=np.intp)
        except KeyError as error:
            raise UnknownNameError.of(
                "Panel", "entity", f"one of its {len(self.entities)}", error.args[0]
            ) from None

    def with_values(self, values: Floats, metrics: Sequence[str] | None = None) -> Panel:
        """The same entities and periods with other values (and metric names)."""
        names = self.metrics if metrics is None else tuple(metrics)
        return dataclasses.replace(self, values=values, metrics=names)

    def _column(self, name: str) -> int:
        try:
            return self.metrics.index(name)
        except ValueError:
            raise UnknownNameError.of(
                "Panel", "metric", f"one of {', '.join(self.metrics)}", name
            ) from None


# ── Parameters, tags, state ──────────────────────────────────────────────────────────────────────


def param(
    default: Any,
    *,
    help: str,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[Any, ...] = (),
    unit: str = "",
) -> Any:
    """Declare one parameter; the check, the form, the API and the docs read this one line."""
    return field(
        default=default,
        metadata={"help": help, "low": low, "high": high, "choices": choices, "unit": unit},
    )


@dataclass(frozen=True)
class Params:
    """Base of every parameter set: frozen, checked when made."""

    seed: int = param(0, help="Seed of every random choice", low=0, high=2**31 - 1)

    def __post_init__(self) -> None:
        for spec in dataclasses.fields(self):
            value, rules = getattr(self, spec.name), spec.metadata
            _check_type(type(self).__name__, spec.name, spec.default, value)
            if rules["choices"] and value not in rules["choices"]:
                rule = f"one of {', '.join(map(repr, rules['choices']))}"
                raise InvalidInputError.of(type(self).__name__, spec.name, rule, value)
            low, high = rules["low"], rules["high"]
            if (low is not None and not value >= low) or (high is not None and not value <= high):
                rule = f"in [{'-∞' if low is None else low}, {'∞' if high is None else high}]"
                raise InvalidInputError.of(type(self).__name__, spec.name, rule, value)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Params from names and values, e.g. a form or `-p key=value`; text is converted."""
        specs = {spec.name: spec for spec in dataclasses.fields(cls)}
        for name in values:
            if name not in specs:
                raise UnknownNameError.of(
                    cls.__name__, "parameter", f"one of {', '.join(specs)}", name
                )
        return cls(**{name: _convert(cls, specs[name], value) for name, value in values.items()})


def _check_type(who: str, name: str, default: Any, value: Any) -> None:
    kind: type | tuple[type, ...] = (int, float) if isinstance(default, float) else type(default)
    if not isinstance(value, kind) or (isinstance(value, bool) and not isinstance(default, bool)):
        raise InvalidInputError.of(who, name, f"of type {type(default).__name__}", value)


def _convert(cls: type[Params], spec: dataclasses.Field[Any], value: Any) -> Any:
    if not isinstance(value, str) or isinstance(spec.default, str):
        return value
    if isinstance(spec.default, bool):
        if value.lower() in ("true", "false"):
            return value.lower() == "true"
    else:
        try:
            kind: Any = type(spec.default)
            return kind(value)
        except ValueError:
            pass
    rule = f"of type {type(spec.default).__name__}"
    raise InvalidInputError.of(cls.__name__, spec.name, rule, value)


@dataclass(frozen=True)
class Tags:
    """What an algorithm promises; the checks, the catalogue and the forms read it.

    pooled       : one model over all entities (else one per entity, scored by name)
    causal       : the score at t never looks past t
    streaming    : offers `update`
    stochastic   : another seed gives another result
    trained      : learns; False for pure rules
    needs_labels : refuses to fit without
    min_times    : periods needed to fit
    extra        : pyproject extra that must be installed, "" for none
    modules      : modules that must be importable
    tolerance    : largest difference of answers after saving, whatever the threads, relative to the larger of
                   value and 1; 0 = bit for bit
    skip         : {check name: reason} → strict expected failure
    """

    pooled: bool = True
    causal: bool = True
    streaming: bool = False
    stochastic: bool = False
    trained: bool = True
    needs_labels: bool = False
    min_times: int = 2
    extra: str = ""
    modules: tuple[str, ...] = ()
    tolerance: float = 0.0
    skip: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Blob:
    """Bytes of a data-only format that `core.artifact` lists: "ubj", the trees of xgboost."""

    format: str
    data: bytes


StateValue = NDArray[Any] | str | Blob
State = Mapping[str, StateValue]
"""Everything learned, by role: numeric arrays, text (JSON where structured) or a `Blob`; no objects."""

OnStep = Callable[[str, float, Mapping[str, float]], bool | None]
"""`on_step(stage, share done 0…1, numbers)`; returning False asks the algorithm to stop."""


def report(
    who: str, on_step: OnStep | None, stage: str, share: float, numbers: Mapping[str, float]
) -> None:
    """Tell whoever listens how far learning is; CancelledError where the listener wants it to stop."""
    if on_step is not None and on_step(stage, share, numbers) is False:
        reached = f"a stop at {stage}, {share:.0%} done"
        raise CancelledError.of(who, "learning", "allowed to go on", reached)


# ── Algorithms ───────────────────────────────────────────────────────────────────────────────────


class Algorithm(ABC):
    """Base of everything in the catalogue: parameters, learning, state.

    A subclass writes `_fit` (pure: returns the state) and, where opening the state is work, `_open`.
    """

    name: ClassVar[str]
    kind: ClassVar[str]
    source: ClassVar[str]
    tags: ClassVar[Tags] = Tags()
    Params: ClassVar[type[Params]] = Params
    cheap: ClassVar[Mapping[str, Any]] = {}
    """Parameters that let the check-suite fit it in a moment."""

    def __init__(self, params: Any = None, *, state: State | None = None) -> None:
        self.params: Any = self.Params() if params is None else params
        self.model_id = uuid4().hex
        self._state = state
        self._status = "trained" if self.fitted else "new"
        if not isinstance(self.params, self.Params):
            rule = f"a {self.Params.__name__}"
            raise InvalidInputError.of(self.name, "params", rule, type(self.params).__name__)

    @property
    def fitted(self) -> bool:
        return self._state is not None or not self.tags.trained

    @property
    def status(self) -> str:
        """ "new", "training", "trained" or "failed"; after a failed fit nothing of it is left."""
        return self._status

    @property
    def state(self) -> State:
        """What was learned; refused before `fit`."""
        if self._state is None and self.tags.trained:
            raise NotFittedError.of(
                self.name,
                "the model",
                "fitted before it scores",
                "an unfitted one",
                "Call fit first.",
            )
        return self._state or {}

    @final
    def fit(
        self, panel: Panel, labels: Labels | None = None, on_step: OnStep | None = None
    ) -> Self:
        """Learn from a panel; `labels` say what is known of its cells. Returns self."""
        self._state, self._status = None, "training"
        self.__dict__.pop("scorer", None)
        try:
            with self._operation("fit", panel):
                self._check_teachable(panel, labels)
                state = self._fit(panel, labels, on_step)
        except BaseException:
            self._status = "failed"
            raise
        self._state = {"metrics": "\n".join(panel.metrics), **state}
        self._status = "trained"
        return self

    @cached_property
    def scorer(self) -> Any:
        """The opened state, made once."""
        return self._open(self.state)

    def _fit(self, panel: Panel, labels: Labels | None, on_step: OnStep | None) -> State:
        """Learn and return the state; the default learns nothing."""
        return {}

    def _open(self, state: State) -> Any:
        """Turn the state into what scoring needs."""
        return state

    def _operation(self, operation: str, panel: Panel) -> AbstractContextManager[None]:
        """Listeners hear of the block, and its errors say where they happened."""
        entities, times = panel.values.shape[:2]
        return lifecycle.operation(
            self.name, self.model_id, operation, entities, times, self.tags.extra
        )

    def _check_teachable(self, panel: Panel, labels: Labels | None) -> None:
        for name in (*panel.entities, *panel.metrics):
            if "\n" in name:
                # states keep names a line each
                raise InvalidInputError.of(self.name, "a name", "on one line", name)
        if len(panel.periods) < self.tags.min_times:
            raise NotEnoughDataError.of(
                self.name, "periods", f"at least {self.tags.min_times}", len(panel.periods)
            )
        if self.tags.needs_labels and labels is None:
            raise InvalidInputError.of(self.name, "labels", "given", None)
        if labels is not None and np.shape(labels) != panel.values.shape[:2]:
            rule = f"of shape {panel.values.shape[:2]}, one per entity and period"
            raise InvalidInputError.of(self.name, "labels", rule, np.shape(labels))

    def _check_metrics(self, panel: Panel) -> None:
        known = str(self.state.get("metrics", "")).split("\n")
        if self.tags.trained and tuple(known) != panel.metrics:
            rule = f"the ones it was fitted on, in that order: {', '.join(known)}"
            wrong = "; ".join(differences(known, panel.metrics))
            raise InvalidInputError.of(self.name, "metrics", rule, wrong)


class Detector(Algorithm):
    """Scores every entity at every time; higher = more anomalous."""

    kind = "detector"

    @final
    def score(self, panel: Panel, last: int | None = None) -> Floats:
        """(n_entity, n_time) float64, finite; only the newest `last` columns of it where that is given."""
        n_time = len(panel.periods)
        shape = (len(panel.entities), n_time if last is None else last)
        with self._operation("score", panel):
            if last is not None and not 1 <= last <= n_time:
                raise InvalidInputError.of(self.name, "last", f"in [1, {n_time}]", last)
            self._check_metrics(panel)
            if last is None:
                scores = self._score(self.scorer, panel)
            else:
                scores = self._score_last(self.scorer, panel, last)
            if scores.shape != shape or not np.isfinite(scores).all():
                rule, wrong = f"finite and of shape {shape}", int((~np.isfinite(scores)).sum())
                got = f"{wrong:,} not finite" if wrong else scores.shape
                raise PredictionError.of(self.name, "scores", rule, got)
        return scores

    @final
    def score_last(self, panel: Panel) -> Floats:
        """(n_entity,) scores of the last period."""
        return self.score(panel, last=1)[:, 0]

    @abstractmethod
    def _score(self, scorer: Any, panel: Panel) -> Floats:
        """Pure function of params, scorer and panel."""

    def _score_last(self, scorer: Any, panel: Panel, last: int) -> Floats:
        """The newest `last` columns of `_score`; overridden where they can be had for less."""
        return self._score(scorer, panel)[:, -last:]


class StreamingDetector(Detector):
    """A detector that can also learn and score point by point, for many entities at once."""

    @abstractmethod
    def begin(self, entities: Sequence[str]) -> State:
        """The running state of entities that nothing was seen of yet."""

    def frozen(self) -> Self:
        """A copy that learns nothing while it scores; itself where scoring a panel teaches nothing anyway."""
        return self

    @final
    def update(self, running: State, points: Floats) -> tuple[State, Floats]:
        """Next points (n_entity, n_metric) → (new running state, scores (n_entity,)); pure."""
        extra = self.tags.extra
        with lifecycle.operation(self.name, self.model_id, "update", len(points), 1, extra):
            return self._update(running, points)

    @abstractmethod
    def _update(self, running: State, points: Floats) -> tuple[State, Floats]: ...


class Forecaster(Algorithm):
    """Low, middle and high of what comes next."""

    kind = "forecaster"

    @final
    def forecast(self, panel: Panel, horizon: int) -> Floats:
        """(n_entity, horizon, n_metric, 3): low, middle, high, in the panel's units."""
        with self._operation("forecast", panel):
            if horizon < 1:
                raise InvalidInputError.of(self.name, "horizon", "at least 1 period", horizon)
            self._check_metrics(panel)
            return self._forecast(self.scorer, panel, horizon)

    @final
    def predict(self, panel: Panel) -> Floats:
        """One-step-ahead (n_entity, n_time, n_metric, 3) of every period, each from those before it only.

        NaN where too little came before.
        """
        with self._operation("predict", panel):
            self._check_metrics(panel)
            return self._predict(self.scorer, panel)

    @abstractmethod
    def _forecast(self, scorer: Any, panel: Panel, horizon: int) -> Floats: ...

    @abstractmethod
    def _predict(self, scorer: Any, panel: Panel) -> Floats: ...


class Classifier(Algorithm):
    """Says which class each entity is in at each time, learned from labelled cells.

    A subclass writes `_learn` in place of `_fit`. Bool labels are the classes "anomaly" and "normal".
    """

    kind = "classifier"
    tags = Tags(needs_labels=True, min_times=1)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes seen in training, sorted: the order of the probabilities."""
        return tuple(json.loads(str(self.state["classes"])))

    @final
    def predict_proba(self, panel: Panel) -> Floats:
        """(n_entity, n_time, n_class) probabilities, each cell summing to 1."""
        with self._operation("classify", panel):
            self._check_metrics(panel)
            shape = (*panel.values.shape[:2], len(self.classes))
            shares = self._predict_proba(self.scorer, panel)
            if shares.shape != shape or not np.allclose(shares.sum(axis=2), 1.0):
                rule = f"probabilities of shape {shape}, each cell summing to 1"
                raise PredictionError.of(self.name, "the answer", rule, shares.shape)
        return shares

    def _fit(self, panel: Panel, labels: Labels | None, on_step: OnStep | None) -> State:
        known = np.asarray(labels)
        if known.dtype == object:
            known = np.array(known.tolist())
        if known.dtype.kind not in "bU":
            rule = 'text or bool, "" where nobody said'
            raise InvalidInputError.of(self.name, "labels", rule, known.dtype.name)
        if known.dtype == bool:
            known = np.where(known, "anomaly", "normal")
        classes, codes = np.unique(known, return_inverse=True)
        codes = codes.reshape(known.shape)
        if classes[:1] == [""]:
            classes, codes = classes[1:], codes - 1
        if len(classes) < 2:
            raise NotEnoughDataError.of(self.name, "classes", "at least 2", len(classes))
        state = self._learn(panel, codes, on_step)
        return {"classes": json.dumps(classes.tolist()), **state}

    @abstractmethod
    def _learn(self, panel: Panel, codes: NDArray[np.intp], on_step: OnStep | None) -> State:
        """The state, from the index of each cell's class, (n_entity, n_time), −1 where nobody said."""

    @abstractmethod
    def _predict_proba(self, scorer: Any, panel: Panel) -> Floats: ...


# ── Explanation ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class Attribution:
    """Shares of one score, by day and metric.

    shares : (n_day, n_metric), in the unit of the score; shares.sum() + base + gap == score
    parts  : the same per detector of an ensemble
    """

    entity: str
    days: Times
    metrics: tuple[str, ...]
    shares: Floats
    score: float
    base: float
    gap: float
    parts: Mapping[str, Attribution] = field(default_factory=dict)


class Explainer(Protocol):
    """Explains the real scorer, not a stand-in."""

    def explain(
        self, detector: Detector, panel: Panel, at: Sequence[tuple[str, int]]
    ) -> list[Attribution]:
        """One attribution per (entity, time index) of `at`."""
        ...


DAY = np.timedelta64(1, "D")
