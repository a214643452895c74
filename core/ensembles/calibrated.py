"""Detectors that vote with calibrated p-values, so that their scores need no common scale."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from core.contracts import (
    Bools,
    Detector,
    Floats,
    Forecaster,
    OnStep,
    Panel,
    Params,
    State,
    Tags,
    param,
)
from core.detectors.forecast_residual import residual_detector
from core.errors import (
    InvalidInputError,
    MissingExtraError,
    NotEnoughDataError,
    UnknownNameError,
)
from core.parts import above, progress, settings, under
from core.threshold import Threshold

VALIDATION = 0.2
"""Latest share of the periods, which calibrates and never trains."""
Combination = Callable[[Floats, Floats], Floats]
"""p-values (n_part, …) and weights (n_part,) summing to 1 → evidence (…), higher = more anomalous."""


def _majority(p: Floats, weights: Floats) -> Floats:
    """The least level that parts of more than half of the weight stay below: of three equals, two."""
    order = np.argsort(p, axis=0)
    agreed = np.cumsum(weights[order], axis=0) > 0.5 + 1e-9
    level = np.take_along_axis(p, order, axis=0)
    return np.asarray(-np.log10(np.take_along_axis(level, agreed.argmax(axis=0)[None], axis=0)[0]))


COMBINATIONS: Mapping[str, Combination] = {
    # Wilson, The harmonic mean p-value for combining dependent tests (PNAS 2019), equation 1
    "harmonic": lambda p, weights: np.log10(np.tensordot(weights, 1.0 / p, axes=1)),
    # Fisher, Statistical Methods for Research Workers (1932), section 21.1, weighted as by Good (1955)
    "fisher": lambda p, weights: np.tensordot(weights, -np.log10(p), axes=1),
    # the specification's weighted vote Σ w·(1 − p) = 1 − Σ w·p, on a scale that does not end at 1
    "vote": lambda p, weights: -np.log10(np.tensordot(weights, p, axes=1)),
    "majority": _majority,
}


@dataclass(frozen=True)
class CalibratedEnsembleParams(Params):
    parts: str = param(
        "lstm-autoencoder=0.5, half-space-trees=0.3, isolation-forest=0.2",
        help="Detectors by catalogue name, with their weights; a forecaster votes by its residual",
    )
    settings: str = param("", help="Parameters of the parts, e.g. lstm-autoencoder.epochs=5")
    combination: str = param(
        "harmonic", help="How the p-values of the parts become one", choices=tuple(COMBINATIONS)
    )


@dataclass(frozen=True, eq=False)
class Votes:
    """An opened ensemble: the parts that vote, what their scores mean, and what their sum means."""

    members: Mapping[str, Detector]
    weights: Floats
    thresholds: Mapping[str, Threshold]
    threshold: Threshold
    combine: Combination

    def part_p(self, panel: Panel, last: int) -> Floats:
        """p-values of the newest periods, (n_part, n_entity, last); 1 where nothing was observed."""
        seen = np.isfinite(panel.values[:, -last:]).any(axis=2)

        def heard(name: str) -> Floats:
            scores = self.members[name].score(panel, last=last)
            return np.where(seen, self.thresholds[name].p_values(scores), 1.0)

        # compiled loops and torch leave the interpreter's lock alone, so the parts share the cores
        with ThreadPoolExecutor(len(self.members)) as pool:
            return np.array(list(pool.map(heard, self.members)))

    def p(self, part_p: Floats) -> Floats:
        """The ensemble's p-value from those of its parts; all 1 gives 1."""
        p = self.threshold.p_values(self.combine(part_p, self.weights))
        return np.where((part_p >= 1.0).all(axis=0), 1.0, p)


class CalibratedEnsemble(Detector):
    """Several detectors, each heard by how seldom a normal day scores as high.

    Every part learns on the first 80 % of the periods. Its scores on the latest 20 % turn its scores
    into p-values; the p-values are combined by weight, and the combination is calibrated once more on
    the same periods, which makes it a p-value again although the parts depend on each other. A part that
    cannot learn yet (too little history, a first window that is not full) or whose library is not installed
    is left out, the weights of the others grow to 1, and `left_out` says why. Cells labelled as anomalies
    neither train nor calibrate.

    Good for: one alarm rate over unlike detectors. Bad for: validation days full of unlabelled incidents,
    which pass for normal. Let it score at least 14 periods before those that matter.
    Score: −log10 p, 0 and up; 3 = one normal entity-day in a thousand. Cost: that of the parts.

    Source: conformal p-values (see core/threshold.py); Wilson, The harmonic mean p-value for combining
    dependent tests (PNAS 2019), equation 1.
    """

    name = "ensemble"
    kind = "ensemble"
    source = (
        "Wilson, The harmonic mean p-value for combining dependent tests (PNAS 2019), equation 1"
    )
    # a part in single precision, through the slope of a tail and a logarithm
    tags = Tags(
        stochastic=True,
        min_times=10,
        tolerance=1e-3,
        skip={
            "entities_apart": "its streaming part learns from all entities, so each is judged among them",
        },
    )
    Params = CalibratedEnsembleParams
    cheap = {
        "settings": "lstm-autoencoder.hidden=8, lstm-autoencoder.latent=4, lstm-autoencoder.windows=200,"
        " lstm-autoencoder.epochs=3, lstm-autoencoder.rate=0.03, half-space-trees.trees=25,"
        " half-space-trees.window=60, isolation-forest.trees=20, isolation-forest.sample=256"
    }

    context: ClassVar[int] = 14
    """Periods before those to be scored that a part may look back on."""

    @classmethod
    def of(
        cls,
        members: Mapping[str, Detector],
        thresholds: Mapping[str, Threshold],
        threshold: Threshold,
        weights: Mapping[str, float],
        params: Any = None,
        left_out: Mapping[str, str] | None = None,
    ) -> Self:
        """An ensemble of already fitted members, e.g. loaded one by one from the registry."""
        if not members or not set(members) <= set(thresholds) & set(weights):
            rule = "one or more, each with a threshold and a weight"
            raise InvalidInputError.of(cls.name, "members", rule, tuple(members))
        ensemble = cls(params)
        share = _shares([weights[name] for name in members])
        combine = COMBINATIONS[ensemble.params.combination]
        votes = Votes(dict(members), share, dict(thresholds), threshold, combine)
        metrics = next(iter(members.values())).state["metrics"]
        ensemble._state = {"metrics": metrics, **_closed(votes, left_out or {})}
        ensemble.__dict__["scorer"] = votes
        return ensemble

    @property
    def left_out(self) -> dict[str, str]:
        """Parts that do not vote, each with the reason."""
        reasons: dict[str, str] = json.loads(str(self.state["left_out"]))
        return reasons

    @property
    def weights(self) -> dict[str, float]:
        """Weights of the parts that vote; they sum to 1."""
        return dict(zip(self.scorer.members, self.scorer.weights.tolist(), strict=True))

    def p_values(self, panel: Panel) -> Floats:
        """(n_entity, n_time) calibrated p-values; 1 where nothing was observed."""
        return self.judge(panel)[0]

    def part_p_values(self, panel: Panel) -> dict[str, Floats]:
        """Calibrated p-values of each part that votes, (n_entity, n_time) by name."""
        return self.judge(panel)[1]

    def judge(self, panel: Panel, last: int | None = None) -> tuple[Floats, dict[str, Floats]]:
        """p-values of the whole and of each part, in one pass over the parts.

        last : judge only the newest `last` periods, from a panel of any length; those before are 1.
               The parts look back `context` periods further, as they did when they were calibrated.
        """
        with self._operation("score", panel):
            self._check_metrics(panel)
            votes: Votes = self.scorer
            n_time = len(panel.periods)
            start = 0 if last is None else max(0, n_time - last)
            part_p = np.ones((len(votes.members), len(panel.entities), n_time))
            late = panel.select(times=slice(max(0, start - self.context), None))
            part_p[:, :, start:] = votes.part_p(late, n_time - start)
        return votes.p(part_p), dict(zip(votes.members, part_p, strict=True))

    def refitted(
        self,
        name: str,
        params: Mapping[str, Any],
        panel: Panel,
        labels: Bools | None = None,
        on_step: OnStep | None = None,
    ) -> Self:
        """This ensemble with one of its parts learned anew, from `params` and the panel.

        The other parts stay as they are; the new part's scores and the whole are calibrated on the latest
        days of the panel, which the part does not learn from. Raises UnknownNameError for a part that does not
        vote here and NotEnoughDataError where it cannot learn.
        """
        votes: Votes = self.scorer
        if name not in votes.members:
            rule = f"one of {', '.join(votes.members)}"
            raise UnknownNameError.of(self.name, "the part", rule, name)
        early, late, seen = self._apart(panel, labels)
        part = _detector(name, {key: str(value) for key, value in params.items()})
        with self._operation("fit", panel):
            self._check_metrics(panel)
            threshold = _learned(part, early, late, seen, progress(self.name, on_step, name, 0, 1))
            members = {**votes.members, name: part}
            thresholds = {**votes.thresholds, name: threshold}
            votes = dataclasses.replace(votes, members=members, thresholds=thresholds)
            together = votes.combine(votes.part_p(late, seen.shape[1]), votes.weights)
            whole = Threshold.fit(together[seen])
        chosen = {f"{name}.{key}": value for key, value in dataclasses.asdict(part.params).items()}
        kept = settings(self.name, "settings", self.params.settings)
        told = ", ".join(f"{key}={value}" for key, value in {**kept, **chosen}.items())
        return type(self).of(
            members,
            thresholds,
            whole,
            self.weights,
            dataclasses.replace(self.params, settings=told),
            self.left_out,
        )

    def _apart(self, panel: Panel, labels: Bools | None) -> tuple[Panel, Panel, Bools]:
        """The days to learn from, the latest ones to calibrate on (with what parts look back on), and which
        of those, (n_entity, n_late), were observed. Known anomalies are in neither."""
        values = panel.values
        if labels is not None:
            values = np.where(labels[:, :, None], np.nan, values)
        # a baseline says nothing of its first weeks; they are no history to be split
        first = int(np.isfinite(values).any(axis=(0, 2)).argmax())
        panel = panel.with_values(values).select(times=slice(first, None))
        if len(panel.periods) < self.tags.min_times:
            rule = f"at least {self.tags.min_times}"
            raise NotEnoughDataError.of(self.name, "observed periods", rule, len(panel.periods))
        cut = len(panel.periods) - max(2, round(VALIDATION * len(panel.periods)))
        early = panel.select(times=slice(None, cut))
        late = panel.select(times=slice(max(0, cut - self.context), None))
        return early, late, np.asarray(np.isfinite(panel.values[:, cut:]).any(axis=2))

    def _fit(self, panel: Panel, labels: Bools | None, on_step: OnStep | None) -> State:
        early, late, seen = self._apart(panel, labels)
        weights = settings(self.name, "parts", self.params.parts, float)
        members: dict[str, Detector] = {}
        thresholds: dict[str, Threshold] = {}
        left_out: dict[str, str] = {}
        for index, name in enumerate(weights):
            try:
                part = self._part(name)
                told = progress(self.name, on_step, name, index, len(weights))
                thresholds[name] = _learned(part, early, late, seen, told)
            except (NotEnoughDataError, MissingExtraError) as error:
                left_out[name] = f"{error.message} {error.hint}".strip()
                continue
            members[name] = part
        if not members:
            reasons = "; ".join(left_out.values())
            raise NotEnoughDataError.of(self.name, "parts able to learn", "at least 1", 0, reasons)

        share = _shares([weights[name] for name in members])
        combine = COMBINATIONS[self.params.combination]
        unscaled = Votes(members, share, thresholds, next(iter(thresholds.values())), combine)
        together = combine(unscaled.part_p(late, seen.shape[1]), share)
        votes = dataclasses.replace(unscaled, threshold=Threshold.fit(together[seen]))
        return _closed(votes, left_out)

    def _open(self, state: State) -> Votes:
        return _opened(state, COMBINATIONS[self.params.combination])

    def _score(self, scorer: Any, panel: Panel) -> Floats:
        return self._score_last(scorer, panel, len(panel.periods))

    def _score_last(self, scorer: Any, panel: Panel, last: int) -> Floats:
        # + 0.0 turns the −0.0 of p = 1 into 0
        return np.asarray(-np.log10(scorer.p(scorer.part_p(panel, last))) + 0.0)

    def _part(self, name: str) -> Detector:
        chosen = {"seed": str(self.params.seed)}
        for key, value in settings(self.name, "settings", self.params.settings).items():
            part, _, setting = key.partition(".")
            if part == name:
                chosen[setting] = value
        return _detector(name, chosen)


def calibrated(name: str, **params: Any) -> CalibratedEnsemble:
    """One detector alone under the same calibration: its scores as p-values."""
    chosen = ", ".join(f"{name}.{key}={value}" for key, value in params.items())
    return CalibratedEnsemble(CalibratedEnsembleParams(parts=f"{name}=1", settings=chosen))


def _learned(
    part: Detector, early: Panel, late: Panel, seen: Bools, on_step: OnStep | None
) -> Threshold:
    """Fit a part on the early days; what its scores mean, from the observed cells of the late ones."""
    part.fit(early, on_step=on_step)
    warm = float(getattr(part, "warm", 1.0))
    if warm < 1.0:
        reason = f"{part.name}: not warm, {warm:.0%} of its first window is filled"
        raise NotEnoughDataError(reason)
    return Threshold.fit(part.score(late, last=seen.shape[1])[seen])


# ── State: the parts' own, each role under the part's name ───────────────────────────────────────


def _closed(votes: Votes, left_out: Mapping[str, str]) -> dict[str, Any]:
    state: dict[str, Any] = {"left_out": json.dumps(left_out, sort_keys=True)}
    described = []
    for (name, member), weight in zip(votes.members.items(), votes.weights, strict=True):
        chosen = {key: str(value) for key, value in dataclasses.asdict(member.params).items()}
        described.append({"name": name, "weight": float(weight), "params": chosen})
        state |= above(member.state, name)
        state |= above(votes.thresholds[name].to_state(), f"{name}.threshold")
    state |= above(votes.threshold.to_state(), "threshold")
    return {**state, "parts": json.dumps(described, sort_keys=True)}


def _opened(state: State, combine: Combination) -> Votes:
    members: dict[str, Detector] = {}
    thresholds: dict[str, Threshold] = {}
    described = json.loads(str(state["parts"]))
    for part in described:
        own = under(state, part["name"])
        thresholds[part["name"]] = Threshold.from_state(under(own, "threshold"))
        roles = {role: value for role, value in own.items() if not role.startswith("threshold.")}
        members[part["name"]] = _detector(part["name"], part["params"], roles)
    weights = np.array([part["weight"] for part in described])
    threshold = Threshold.from_state(under(state, "threshold"))
    return Votes(members, weights, thresholds, threshold, combine)


def _detector(name: str, params: Mapping[str, str], state: State | None = None) -> Detector:
    from core import catalog

    made = catalog.make(name, **params)
    if isinstance(made, Forecaster):
        made = residual_detector(type(made))(made.params)
    if not isinstance(made, Detector):
        raise InvalidInputError.of("ensemble", "a part", "a detector or a forecaster", name)
    return made if state is None else type(made)(made.params, state=state)


def _shares(weights: list[float]) -> Floats:
    values = np.array(weights, dtype=np.float64)
    if not (values > 0).all():
        raise InvalidInputError.of("ensemble", "weights", "above 0", weights)
    return np.asarray(values / values.sum())
