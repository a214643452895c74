"""A feature table: fitted once on training rows, saved, and from then on the same transformation for ever."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from core.contracts import Bools, Floats, Panel, Params, State, Words, param
from core.errors import InvalidInputError, differences
from core.features.encoding import Categories, calendar
from core.features.rolling import filled, lagged, rolling, shape
from core.features.scaling import Scale

REACH = 12.0
"""Robust standard deviations beyond which a feature is cut: further out, one value is as odd as another."""


@dataclass(frozen=True)
class FeatureParams(Params):
    lags: str = param("5, 10, 30, 60", help="Values of so many periods before")
    spans: str = param("5, 10, 30", help="Periods of rolling mean, std, min and max")
    shapes: str = param("60", help="Periods of rolling skew and kurtosis")
    changes: str = param("1", help="Differences from so many periods before")
    ratios: str = param("", help="Metrics to divide, e.g. cost / clicks, orders / clicks")
    products: str = param("", help="Metrics to multiply, e.g. clicks * cvr")
    calendar: bool = param(True, help="Hour, weekday, month and place in the month")
    categories: str = param(
        "code",
        help="Words as one column of codes or one of 0 and 1 each",
        choices=("code", "one-hot"),
    )
    missing: str = param(
        "forward",
        help="Fill a gap with the last value, with the line to the next (looks ahead), or drop its row",
        choices=("forward", "interpolate", "drop"),
    )
    scaling: str = param(
        "robust",
        help="Features in robust standard deviations, or as they are",
        choices=("robust", "none"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("lags", "spans", "shapes", "changes"):
            self.numbers(name)
        for name, sign in (("ratios", "/"), ("products", "*")):
            self.pairs(name, sign)

    def numbers(self, name: str) -> tuple[int, ...]:
        """The periods of one parameter, e.g. `lags`."""
        words = [word.strip() for word in getattr(self, name).split(",") if word.strip()]
        if not all(word.isdigit() and 1 <= int(word) <= 10_000 for word in words):
            rule = "whole numbers from 1 to 10,000, divided by commas"
            raise InvalidInputError.of(type(self).__name__, name, rule, getattr(self, name))
        return tuple(map(int, words))

    def pairs(self, name: str, sign: str) -> tuple[tuple[str, str], ...]:
        """The pairs of metrics of one parameter, e.g. `ratios`."""
        pairs = []
        for item in filter(str.strip, getattr(self, name).split(",")):
            left, found, right = (word.strip() for word in item.partition(sign))
            if not (left and found and right):
                rule = f"metric {sign} metric, divided by commas"
                raise InvalidInputError.of(type(self).__name__, name, rule, item)
            pairs.append((left, right))
        return tuple(pairs)


@dataclass(frozen=True)
class Schema:
    """What goes in and what comes out, by name, unit and order.

    inputs : metrics, then columns of words; "words" is the unit of the latter
    step   : length of a period in seconds
    """

    inputs: tuple[tuple[str, str], ...]
    step: int
    features: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, panel: Panel, units: Mapping[str, str]) -> Schema:
        words = tuple((name, "words") for name in panel.words)
        step = int(panel.periods.step / np.timedelta64(1, "s"))
        return cls((*((name, units.get(name, "")) for name in panel.metrics), *words), step)

    def check(self, given: Schema) -> None:
        """Refuse anything but the inputs of training, and name each that differs."""
        known, got = dict(self.inputs), dict(given.inputs)
        wrong = differences(tuple(known), tuple(got))
        if not wrong and given.step != self.step:
            wrong = [f"periods of {given.step:,} s instead of {self.step:,} s"]
        wrong += [
            f"{name} in {got[name]!r} instead of {unit!r}"
            for name, unit in known.items()
            if got.get(name, unit) != unit
        ]
        if wrong:
            rule = "those of training: names, units, order and period"
            raise InvalidInputError.of("features", "the inputs", rule, "; ".join(wrong))


@dataclass(frozen=True, eq=False)
class Features:
    """What `transform` gives.

    values : (n_entity, n_time, n_feature), finite: what cannot be known stands at the centre of training
    filled : (n_entity, n_time, n_metric) True where the metric was missing
    kept   : (n_entity, n_time) False where missing rows are dropped and this one has a gap
    """

    values: Floats
    filled: Bools
    kept: Bools
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Lags, rolling statistics, changes, ratios, products, calendar and words of a panel, robustly scaled.

    What it learns (centre and spread of each feature, the words of each column) comes from the training rows
    alone; every feature looks only back, with `missing="interpolate"` as the one stated exception.
    """

    params: FeatureParams
    schema: Schema
    scale: Scale
    words: Mapping[str, Categories]

    @classmethod
    def fit(
        cls,
        panel: Panel,
        params: FeatureParams,
        *,
        units: Mapping[str, str] | None = None,
        rows: Bools | None = None,
    ) -> FeatureTable:
        """Learn from the training rows of a panel.

        units : of the metrics, "" where not given
        rows  : (n_entity, n_time) True for a training row; all of them by default
        """
        rows = np.ones(panel.values.shape[:2], dtype=bool) if rows is None else rows
        texts = _texts(panel)
        words = {name: Categories.learn(text, rows) for name, text in texts.items()}
        closed, gaps = filled(panel.values, params.missing)
        used = rows & _kept(gaps, params)
        learned, outputs = [], []
        for feature in _features(panel, closed, texts, words, params, units or {}):
            learned.append(_scale(feature, used))
            outputs.append((feature.name, feature.unit))
        inputs = Schema.of(panel, units or {})
        schema = Schema(inputs.inputs, inputs.step, tuple(outputs))
        return cls(params, schema, Scale(*np.array(learned).T), words)

    def transform(self, panel: Panel, *, units: Mapping[str, str] | None = None) -> Features:
        """The features of every entity and period.

        Raises InvalidInputError where a metric, a column, a unit or the length of a period is not that of
        training; the message names what is missing, extra, renamed or out of order.
        """
        units = dict(self.schema.inputs) if units is None else units
        self.schema.check(Schema.of(panel, units))
        texts = _texts(panel)
        closed, gaps = filled(panel.values, self.params.missing)
        robust = self.params.scaling == "robust"
        values = np.empty((*closed.shape[:2], len(self.names)))
        made = _features(panel, closed, texts, self.words, self.params, units)
        for column, feature in enumerate(made):
            centre, spread = self.scale.centre[column], self.scale.spread[column]
            known = np.where(np.isnan(feature.values), centre, feature.values)
            if feature.measured and robust:
                known = ((known - centre) / spread).clip(-REACH, REACH)
            values[:, :, column] = known
        return Features(values, gaps, _kept(gaps, self.params), self.names)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features, in order."""
        return tuple(name for name, _ in self.schema.features)

    @property
    def state(self) -> dict[str, Any]:
        """Arrays and JSON that `of` turns back."""
        own = {name: getattr(self.params, name) for name in FeatureParams.__dataclass_fields__}
        words = {name: list(known.words) for name, known in self.words.items()}
        schema = {"params": own, "words": words, **asdict(self.schema)}
        return {"schema": json.dumps(schema), **self.scale.state}

    @classmethod
    def of(cls, state: State) -> FeatureTable:
        """From what `state` gave."""
        saved = json.loads(str(state["schema"]))
        schema = Schema(_pairs(saved["inputs"]), saved["step"], _pairs(saved["features"]))
        words = {name: Categories(tuple(known)) for name, known in saved["words"].items()}
        return cls(FeatureParams(**saved["params"]), schema, Scale.of(state), words)


@dataclass(frozen=True, eq=False)
class Feature:
    """One column in the making, (n_entity, n_time); `measured` ones may be missing, and are scaled."""

    name: str
    unit: str
    values: Floats
    measured: bool = True


def _features(
    panel: Panel,
    closed: Floats,
    texts: Words,
    words: Mapping[str, Categories],
    params: FeatureParams,
    units: Mapping[str, str],
) -> Iterator[Feature]:
    """Every feature in its fixed order; the one place that says what a feature is."""
    unit_of = [units.get(metric, "") for metric in panel.metrics]

    def each(what: str, values: Floats, unit: Sequence[str] = unit_of) -> Iterator[Feature]:
        for column, metric in enumerate(panel.metrics):
            yield Feature(f"{metric} {what}".strip(), unit[column], values[:, :, column])

    yield from each("", closed)
    for lag in params.numbers("lags"):
        yield from each(f"lag {lag}", lagged(closed, lag))
    for lag in params.numbers("changes"):
        yield from each(f"change {lag}", closed - lagged(closed, lag))
    for span in params.numbers("spans"):
        for what, values in rolling(closed, span):
            yield from each(f"{what} {span}", values)
    for span in params.numbers("shapes"):
        for what, values in shape(closed, span):
            yield from each(f"{what} {span}", values, [""] * len(unit_of))
    known = panel.with_values(closed)
    for over, under in params.pairs("ratios", "/"):
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = known.metric(over) / known.metric(under)
        unit = f"{units.get(over, '')}/{units.get(under, '')}".strip("/")
        yield Feature(f"{over} / {under}", unit, np.where(np.isfinite(ratio), ratio, np.nan))
    for left, right in params.pairs("products", "*"):
        unit = f"{units.get(left, '')}·{units.get(right, '')}".strip("·")
        yield Feature(f"{left} * {right}", unit, known.metric(left) * known.metric(right))
    if params.calendar:
        for name, values in calendar(panel.periods):
            yield Feature(name, "", np.broadcast_to(values, closed.shape[:2]), measured=False)
    for name, text in texts.items():
        for what, values in words[name].features(name, text, params.categories):
            yield Feature(what, "", values, measured=False)


def _kept(gaps: Bools, params: FeatureParams) -> Bools:
    return np.asarray(~gaps.any(axis=2) | (params.missing != "drop"))


def _scale(feature: Feature, rows: Bools) -> tuple[float, float]:
    if not feature.measured:
        return 0.0, 1.0
    scale = Scale.learn(feature.values[rows][:, None])
    return float(scale.centre[0]), float(scale.spread[0])


def _texts(panel: Panel) -> Words:
    """Every column of words as (n_entity, n_time)."""
    shape = panel.values.shape[:2]
    return {
        name: np.broadcast_to(column if column.ndim == 2 else column[:, None], shape)
        for name, column in panel.words.items()
    }


def _pairs(listed: Sequence[Sequence[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name, unit) for name, unit in listed)
