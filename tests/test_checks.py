"""Every check of the suite must catch an algorithm that is broken in just the way it watches for."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
import pkgutil
import time
from dataclasses import dataclass

import numpy as np
import pytest

from core import catalog, checks
from core.cases import Cause, Localizer
from core.contracts import Blob, Classifier, Forecaster, Params, StreamingDetector, Tags, param
from core.errors import CancelledError, HeadwaterError, NotEnoughDataError, UnknownNameError
from core.features.table import FeatureParams, FeatureTable
from core.samples import SPIKE, planted_classes, sample, spiked

# ── Sound algorithms: nothing to object to ───────────────────────────────────────────────────────


@dataclass(frozen=True)
class SoundParams(Params):
    reach: float = param(50.0, help="Largest distance told apart", low=1.0, high=100.0)
    side: str = param("both", help="Direction that counts", choices=("both", "up"))


class Sound(StreamingDetector):
    """Largest weighted distance from the mean.

    Good for: seeing what a check objects to. Bad for: everything else.
    """

    name = "sound"
    source = "Made for this test, section 1"
    tags = Tags(stochastic=True, min_times=3)
    Params = SoundParams

    def _fit(self, panel, labels, on_step):
        if on_step is not None and on_step("train", 1.0, {}) is False:
            raise CancelledError.of(self.name, "the run", "let finish", "stop")
        weights = np.random.default_rng(self.params.seed).uniform(1, 2, len(panel.metrics))
        spread = np.nan_to_num(np.nanstd(panel.values, axis=(0, 1)))
        return {
            "centre": np.nan_to_num(np.nanmean(panel.values, axis=(0, 1))),
            "spread": np.where(spread > 0, spread, 1.0),
            "weights": weights,
        }

    def _score(self, scorer, panel):
        return self._distance(scorer, panel.values)

    def _distance(self, scorer, values):
        with np.errstate(invalid="ignore"):
            far = np.abs(values - scorer["centre"]) / scorer["spread"]
        return np.clip(np.nan_to_num(far) * scorer["weights"], 0, self.params.reach).max(axis=-1)

    def begin(self, entities):
        return {"entities": "\n".join(entities), "count": np.zeros(1)}

    def _update(self, running, points):
        later = {**running, "count": running["count"] + 1}
        return later, self._distance(self.scorer, points)


class SoundStream(Sound):
    __doc__ = Sound.__doc__
    tags = Tags(stochastic=True, streaming=True, min_times=3)


class SoundForecaster(Forecaster):
    """The mean, whatever comes.

    Good for: seeing what a check objects to. Bad for: everything else.
    """

    name = "sound-forecaster"
    source = "Made for this test, section 2"
    tags = Tags(min_times=3)
    width = 2.0
    _fit = Sound._fit

    def _interval(self, scorer, n_entity, n_time):
        steps = np.array([-1.0, 0.0, 1.0]) * self.width
        interval = scorer["centre"][:, None] + scorer["spread"][:, None] * steps
        return np.broadcast_to(interval, (n_entity, n_time, *interval.shape)).copy()

    def _forecast(self, scorer, panel, horizon):
        return self._interval(scorer, len(panel.entities), horizon)

    def _predict(self, scorer, panel):
        return self._interval(scorer, len(panel.entities), len(panel.periods))


PLAIN = FeatureParams(
    lags="", spans="", shapes="", changes="", calendar=False, categories="one-hot", scaling="none"
)


class SoundClassifier(Classifier):
    """The class whose mean is nearest, in standard deviations.

    Good for: seeing what a check objects to. Bad for: everything else.
    """

    name = "sound-classifier"
    source = "Made for this test, section 4"

    def _learn(self, panel, codes, on_step):
        table = FeatureTable.fit(panel, PLAIN, rows=codes >= 0)
        rows = self._rows(table, panel)
        means = [rows[codes == code].mean(axis=0) for code in range(codes.max() + 1)]
        return {**table.state, "means": np.array(means)}

    def _predict_proba(self, scorer, panel):
        rows = self._rows(FeatureTable.of(scorer), panel)
        far = ((rows[:, :, None] - scorer["means"]) ** 2).sum(axis=3)
        near = np.exp(far.min(axis=2, keepdims=True) - far)
        return near / near.sum(axis=2, keepdims=True)

    def _rows(self, table, panel):
        return table.transform(panel).values.clip(-3, 3)


class SoundLocalizer(Localizer):
    """The highest anomalous ancestor reached without a break.

    Good for: seeing what a check objects to. Bad for: everything else.
    """

    name = "sound-localizer"
    source = "Made for this test, section 3"
    tags = Tags(trained=False)

    def _find(self, scorer, case):
        path = []
        node = case.alarm.node
        while case.p_values[case.panel.row_of[node], -1] < case.alpha:
            path.insert(0, node)
            if not case.graph.parents(node):
                break
            node = case.graph.parents(node)[0]
        return [self._cause(case, path)] if path else []

    def _cause(self, case, path, confidence=0.9, score=1.0):
        hops, onset = len(path) - 1, case.alarm.at
        terms = {"height": float(hops)}
        return Cause(path[0], "unknown", onset, tuple(path), hops, terms, score, confidence)


SOUND = (Sound, SoundStream, SoundForecaster, SoundClassifier, SoundLocalizer)


# ── Broken twins: check name → (the twin, other checks that must then fail too) ──────────────────

BROKEN: dict[str, tuple[type, frozenset[str]]] = {}


def breaks(check: str, *also: str):
    """Register a class as the broken twin of a check."""

    def register(twin: type) -> type:
        twin.__doc__ = twin.__dict__.get("__doc__") or twin.__mro__[1].__doc__
        BROKEN[check] = (twin, frozenset(also))
        return twin

    return register


@breaks("documented")
class Undocumented(Sound):
    """todo"""


@dataclass(frozen=True)
class MuteParams(Params):
    reach: float = param(50.0, help="", low=1.0, high=100.0)


@breaks("params_described")
class Mute(Sound):
    Params = MuteParams


@dataclass(frozen=True)
class LaxParams(SoundParams):
    def __post_init__(self):
        """Takes anything."""


@breaks("params_refuse")
class Lax(Sound):
    Params = LaxParams


@breaks("made_by_default")
class BornFitted(Sound):
    tried = False

    @property
    def fitted(self):
        return self._state is not None or not self.tried

    def _fit(self, panel, labels, on_step):
        self.tried = True
        return super()._fit(panel, labels, on_step)


@breaks("pure")
class Meddling(Sound):
    def _score(self, scorer, panel):
        scores = super()._score(scorer, panel)
        panel.values[-1, -1] += 1e-9
        return scores


@breaks("threads")
class SharedScratch(Sound):
    def _score(self, scorer, panel):
        self.scratch = panel
        time.sleep(0.01)
        return super()._score(scorer, self.scratch)


@breaks("same_seed", "cancel")
class Unseeded(Sound):
    def _fit(self, panel, labels, on_step):
        state = super()._fit(panel, labels, on_step)
        return {**state, "weights": np.random.default_rng().uniform(1, 2, len(panel.metrics))}


@breaks("fit_returns_self")
class ReturnsAnother(Sound):
    def fit(self, panel, labels=None, on_step=None):
        return copy.copy(super().fit(panel, labels, on_step))


@breaks("unfitted_refuses")
class NeverRefuses(Sound):
    @property
    def state(self):
        return self._state or {
            "metrics": "\n".join(sample().metrics),
            "centre": np.zeros(5),
            "spread": np.ones(5),
            "weights": np.ones(5),
        }


@breaks("too_short_refuses")
class TakesAnything(Sound):
    def fit(self, panel, labels=None, on_step=None):
        self._state = {"metrics": "\n".join(panel.metrics), **self._fit(panel, labels, on_step)}
        self.__dict__.pop("scorer", None)
        return self


@breaks("shortest_fits")
class NeedsMoreThanItSays(Sound):
    def _fit(self, panel, labels, on_step):
        if len(panel.periods) < 10:
            raise NotEnoughDataError.of(self.name, "periods", "at least 10", len(panel.periods))
        return super()._fit(panel, labels, on_step)


@breaks("other_metrics_refused")
class ByPosition(Sound):
    def _check_metrics(self, panel):
        """Trusts the order of the columns."""


@breaks("learns")
class LearnsNothing(Sound):
    """Rounds what it learned to powers of ten until nothing of the data is left.

    Good for: seeing what a check objects to. Bad for: everything else.
    """

    def _fit(self, panel, labels, on_step):
        state = super()._fit(panel, labels, on_step)
        spread = 10 ** np.floor(np.log10(2 * state["spread"]))
        return {
            **state,
            "spread": spread,
            "centre": spread * np.trunc(state["centre"] / spread) + 0.0,
        }


@breaks("cancel")
class Unstoppable(Sound):
    def _fit(self, panel, labels, on_step):
        def deaf(*step):
            on_step(*step)

        return super()._fit(panel, labels, on_step and deaf)


@breaks("packs")
class Smuggler(Sound):
    def _fit(self, panel, labels, on_step):
        cargo = np.frombuffer(pickle.dumps({"reach": self.params.reach}), dtype=np.uint8)
        return {**super()._fit(panel, labels, on_step), "cargo": cargo}


@breaks("damage_refused")
class Credulous(Sound):
    def _fit(self, panel, labels, on_step):
        return {**super()._fit(panel, labels, on_step), "trees": Blob("ubj", b"{U\x01aU\x01}")}


@breaks("fresh_process")
class Forgetful(Sound):
    bonus = 0.0

    def _fit(self, panel, labels, on_step):
        self.bonus = 1.0
        return super()._fit(panel, labels, on_step)

    def _score(self, scorer, panel):
        return super()._score(scorer, panel) + self.bonus


@breaks("no_peek")
class Peeking(Sound):
    def _score(self, scorer, panel):
        scores = super()._score(scorer, panel)
        return scores - scores.mean(axis=1, keepdims=True)


@breaks("entities_apart")
class Comparing(Sound):
    def _score(self, scorer, panel):
        scores = super()._score(scorer, panel)
        return scores - np.median(scores, axis=0)


@breaks("entity_order")
class OrderBound(Sound):
    def _score(self, scorer, panel):
        numbers = [int(entity.rpartition(":")[2].replace("new", "0")) for entity in panel.entities]
        falling = np.diff(numbers, prepend=-1) < 0
        return super()._score(scorer, panel) + falling[:, None]


@breaks("unseen_entity")
class Nameless(Sound):
    def _score(self, scorer, panel):
        if "keyword:new" in panel.entities:
            raise UnknownNameError.of(self.name, "the entity", "known", "another one")
        return super()._score(scorer, panel)


@breaks("constant")
class DividesByNothing(Sound):
    def _fit(self, panel, labels, on_step):
        state = super()._fit(panel, labels, on_step)
        return {**state, "spread": np.nanstd(panel.values, axis=(0, 1))}

    def _distance(self, scorer, values):
        with np.errstate(all="ignore"):
            far = np.abs(values - scorer["centre"]) / scorer["spread"] * scorer["weights"]
        return np.where(np.isnan(values), 0.0, far).max(axis=-1)


@breaks("gaps")
class GapsAreOdd(Sound):
    def _distance(self, scorer, values):
        return super()._distance(scorer, np.nan_to_num(values, nan=1e12))


@breaks("one_series")
class NeedsACrowd(Sound):
    def _fit(self, panel, labels, on_step):
        if len(panel.entities) < 2:
            raise NotEnoughDataError.of(self.name, "entities", "at least 2", 1)
        return super()._fit(panel, labels, on_step)


@breaks("ten_thousand_rows")
class Hoarder(Sound):
    def _score(self, scorer, panel):
        scores = super()._score(scorer, panel)
        pairs = np.zeros((scores.size, scores.size // 2))
        return scores + pairs[0, 0]


@breaks("scores_shaped")
class HalfPrecision(Sound):
    def _score(self, scorer, panel):
        return super()._score(scorer, panel).astype(np.float32)


@breaks("scores_vary")
class OnlySpikes(Sound):
    def _score(self, scorer, panel):
        scores = super()._score(scorer, panel)
        return np.where(scores > 9, scores, 1.0)


@breaks("last_is_last")
class LastIsFirst(Sound):
    def _score_last(self, scorer, panel, last):
        return self._score(scorer, panel)[:, :last]


@breaks("spike_on_top", "gaps", "offset_and_scale")
class UpsideDown(Sound):
    def _score(self, scorer, panel):
        return -super()._score(scorer, panel)


@breaks("offset_and_scale")
class OneUnitOnly(Sound):
    def _distance(self, scorer, values):
        return super()._distance(scorer, np.clip(values, -1e4, 1e4))


@breaks("other_seed")
class SeedBlind(Sound):
    def _fit(self, panel, labels, on_step):
        return {**super()._fit(panel, labels, on_step), "weights": np.ones(len(panel.metrics))}


@breaks("stream_is_batch")
class StreamDrifts(SoundStream):
    def _update(self, running, points):
        later, scores = super()._update(running, points)
        return later, scores * (1 + 1e-15 * later["count"])


@breaks("forecast_shaped")
class TooFar(SoundForecaster):
    def _forecast(self, scorer, panel, horizon):
        return super()._forecast(scorer, panel, 2 * horizon)


@breaks("horizon_refused")
class NoHorizon(SoundForecaster):
    def forecast(self, panel, horizon):
        return self._forecast(self.scorer, panel, horizon)


@breaks("prediction_is_forecast")
class TwoMinds(SoundForecaster):
    def _forecast(self, scorer, panel, horizon):
        return super()._forecast(scorer, panel, horizon) + 1.0


@breaks("interval_holds")
class TooSure(SoundForecaster):
    width = 0.01


@breaks("probabilities_shaped")
class Percent(SoundClassifier):
    def predict_proba(self, panel):
        return 100 * super().predict_proba(panel)


@breaks("classes_sorted")
class ByAppearance(SoundClassifier):
    @property
    def classes(self):
        return super().classes[::-1]

    def _predict_proba(self, scorer, panel):
        return super()._predict_proba(scorer, panel)[:, :, ::-1]


@breaks("rule_learned")
class HardlyKnows(SoundClassifier):
    def _rows(self, table, panel):
        return super()._rows(table, panel)[:, :, 1:]


@breaks("labels_needed")
class Guesses(SoundClassifier):
    def fit(self, panel, labels=None, on_step=None):
        if labels is None or labels.shape != panel.values.shape[:2]:
            labels = planted_classes(panel)
        return super().fit(panel, labels, on_step)


@breaks("one_class_refused")
class NeverInDoubt(SoundClassifier):
    def _fit(self, panel, labels, on_step):
        lone = labels.dtype.kind == "U" and len(np.unique(labels)) == 1
        return super()._fit(panel, planted_classes(panel) if lone else labels, on_step)


@breaks("unlabelled_ignored")
class FillsBlanks(SoundClassifier):
    def _learn(self, panel, codes, on_step):
        return super()._learn(panel, np.where(codes < 0, 0, codes), on_step)


@breaks("words_coded")
class CountsOnly(SoundClassifier):
    def _rows(self, table, panel):
        return super()._rows(table, panel)[:, :, : len(panel.metrics)]


@breaks("root_first")
class BlamesTheAlarm(SoundLocalizer):
    def _find(self, scorer, case):
        found = super()._find(scorer, case)
        return [*found, self._cause(case, [case.alarm.node], 0.1, 2.0)] if found else []


@breaks("quiet_case")
class AlwaysFinds(SoundLocalizer):
    def _find(self, scorer, case):
        return super()._find(scorer, case) or [self._cause(case, [case.alarm.node], 0.7)]


@breaks("unknown_alarm_refused")
class NotThereNotFound(SoundLocalizer):
    def find(self, case):
        return super().find(case) if case.alarm.node in case.graph.net else []


@breaks("causes_well_formed")
class TooConfident(SoundLocalizer):
    def _find(self, scorer, case):
        return [self._cause(case, cause.path, 1.5) for cause in super()._find(scorer, case)]


# ── The checks, checked ──────────────────────────────────────────────────────────────────────────


def failures(algorithm) -> set[str]:
    """Names of the checks that object to an algorithm."""
    found = set()
    for name, check in checks.yield_checks(algorithm):
        try:
            check(algorithm)
        except (AssertionError, HeadwaterError):
            found.add(name)
    return found


@pytest.mark.parametrize("algorithm", SOUND)
def test_nothing_objects_to_a_sound_algorithm(algorithm):
    assert failures(algorithm) == set()


@pytest.mark.parametrize("check", BROKEN)
def test_a_broken_algorithm_fails_its_own_check_and_no_other(check):
    twin, also = BROKEN[check]
    assert failures(twin) == {check, *also}


CHECKS = {
    name.removeprefix("check_"): check
    for module in pkgutil.iter_modules(checks.__path__, "core.checks.")
    for name, check in inspect.getmembers(importlib.import_module(module.name), inspect.isfunction)
    if name.startswith("check_")
}


def test_every_check_has_its_broken_twin():
    assert set(BROKEN) == set(CHECKS)


def test_every_check_is_called_for_by_some_kind_or_tag():
    assert {name for sound in SOUND for name, _ in checks.yield_checks(sound)} == set(BROKEN)


def test_every_check_states_its_rule_in_one_line_and_stays_short():
    for name in BROKEN:
        check = CHECKS[name]
        assert check.__doc__
        assert "\n" not in check.__doc__
        assert len(inspect.getsource(check).splitlines()) <= 20


def test_the_suite_did_not_go_silent():
    kinds = [algorithm.kind for _, algorithm in catalog.entries()]
    assert kinds.count("detector") >= 5
    assert kinds.count("forecaster") >= 1
    counts = {
        kind: min(
            len(list(checks.yield_checks(algorithm)))
            for _, algorithm in catalog.entries()
            if algorithm.kind == kind
        )
        for kind in set(kinds)
    }
    least = {"detector": 30, "ensemble": 30, "forecaster": 28, "classifier": 30, "localizer": 11}
    assert all(counts[kind] >= least[kind] for kind in counts), counts


def test_spiked_differs_from_the_sample_on_one_day_only():
    changed = (spiked().values != sample().values).any(axis=2)
    assert np.argwhere(changed).tolist() == [list(SPIKE)]
