"""What an experiment measures, unit by unit, and what that says: before it starts, and at every look."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from core.cases import Graph
from core.contracts import Bools, Floats
from core.domains import local_day
from core.errors import InvalidInputError, NotEnoughDataError, UnknownNameError
from core.evaluate import experiment
from core.evaluate.experiment import Arm, Difference
from data.label_store import Episode
from workbench.services import labelled
from workbench.services.findings import lasting
from workbench.services.scene import Judged, Scene

ENTITY = "entity"
"""The unit that is no level: every entity on its own."""
LEAST_UNITS = 20
"""Units that an experiment takes at least: with fewer the normal theory of its test means little."""
LONGEST = 365
"""Days of the longest experiment that is looked for when a shorter one cannot find its effect."""
Design = Literal["paired", "arms"]


@dataclass(frozen=True)
class Metric:
    """A target metric.

    better : 1 where more is better, −1 where less is
    design : paired = decided in shadow, where both models judge every row; arms = on the last rung of the canary
    scale  : what a share is multiplied by to be shown in `unit`
    """

    name: str
    label: str
    unit: str
    better: int
    design: Design
    scale: float
    help: str


METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            "alert-rate",
            "Alerts per 1,000 entity-days",
            "alerts per 1,000 entity-days",
            -1,
            "paired",
            1000.0,
            "Fewer is better: choose it only where what is lost is known to be noise",
        ),
        Metric(
            "precision",
            "Precision on labelled alerts",
            "% of labelled alerts",
            1,
            "arms",
            100.0,
            "Of the alerts that an arm raised and people labelled, those that were real",
        ),
        Metric(
            "agreement",
            "Agreement with labels",
            "% of labelled alerts",
            1,
            "paired",
            100.0,
            "A model is right to alert where people said real, and to keep silent where they said it is not",
        ),
    )
}


def metric(name: str) -> Metric:
    """The target metric of that name."""
    try:
        return METRICS[name]
    except KeyError:
        rule = f"one of {', '.join(METRICS)}"
        raise UnknownNameError.of("experiments", "the metric", rule, name) from None


@dataclass(frozen=True, eq=False)
class Tally:
    """Sums by unit, each (n_unit,): rows, and what counts of them by each model's word.

    treated : whether the treatment decides for the unit
    days    : days that were counted
    """

    treated: Bools
    rows: Floats
    control: Floats
    treatment: Floats
    days: int


# ── By unit: what was seen ───────────────────────────────────────────────────────────────────────


def units_of(graph: Graph, entities: Sequence[str], level: str, levels: Sequence[str]) -> list[str]:
    """The unit of each entity: itself, or the first node of `level` that it is or lies below; "" above it."""
    if level == ENTITY:
        return list(entities)
    if level not in levels:
        rule = f"one of {', '.join((ENTITY, *levels))}"
        raise UnknownNameError.of("experiments", "the unit", rule, level)
    owner: dict[str, str] = {}
    for node in sorted(node for node in graph.net if graph.level(node) == level):
        owner.setdefault(node, node)
        for below in graph.descendants(node, hops=len(levels)):
            owner.setdefault(below, node)
    return [owner.get(entity, "") for entity in entities]


@dataclass(frozen=True, eq=False)
class Observed:
    """What both models say of the days that are judged, (n_entity, n_day), and who decides for whom.

    Periods shorter than a day are folded: a day's p-value is its lowest, and it holds an alarm where any period does.

    units       : (n_entity,) index of each entity's unit in `names`, −1 where it has none
    whole       : the first day of which all is known, where an alert that starts there surely starts
    measured    : where there was anything to judge; seen : of these, where the model that decides gave a score
    *_starts    : alerts that start there
    """

    entities: tuple[str, ...]
    days: NDArray[np.datetime64]
    names: tuple[str, ...]
    units: NDArray[np.intp]
    treated: Bools
    whole: date
    measured: Bools
    seen: Bools
    control_p: Floats
    treatment_p: Floats
    control_alarm: Bools
    treatment_alarm: Bools
    control_starts: NDArray[np.int64]
    treatment_starts: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        scene: Scene,
        control: Judged,
        treatment: Judged,
        units: Sequence[str],
        treated: Bools,
    ) -> Observed:
        """What two models said of a scene; an entity-day counts where the model that decides gave it a score."""
        names = tuple(sorted(set(units) - {""}))
        place = {name: index for index, name in enumerate(names)}
        newest = slice(-scene.reach, None)
        labels = scene.panel.periods.labels[newest]
        days, first = np.unique(labels.astype("datetime64[D]"), return_index=True)
        judged = (control, treatment)
        p = [one.p_values[:, newest] for one in judged]
        measured = np.isfinite(scene.residual.values[:, newest]).any(axis=2)
        seen = measured & np.isfinite(np.where(treated[:, None], p[1], p[0]))
        pause = int(scene.domain.pause / scene.domain.step)
        alarms = [
            seen & lasting(values <= one.alpha, scene.domain)
            for values, one in zip(p, judged, strict=True)
        ]
        begun = [
            np.add.reduceat(starts(alarm, pause), first, axis=1, dtype=np.int64) for alarm in alarms
        ]
        # what goes on from before what was judged may have begun there
        known = labels[min(pause + 1, len(labels) - 1)].astype("datetime64[D]")
        partly = int(np.searchsorted(days, known)) + int(len(days) < len(labels))
        folded = [np.logical_or.reduceat(alarm, first, axis=1) for alarm in alarms]
        lowest = [np.fmin.reduceat(values, first, axis=1) for values in p]
        return cls(
            scene.panel.entities,
            days,
            names,
            np.array([place.get(unit, -1) for unit in units], dtype=np.intp),
            treated,
            days[min(partly, len(days) - 1)].item(),
            np.logical_or.reduceat(measured, first, axis=1),
            np.logical_or.reduceat(seen, first, axis=1),
            *lowest,
            *folded,
            *begun,
        )

    def exposures(self, since: date) -> dict[str, Any]:
        """Columns by unit and day from `since` on: rows, and alerts that start there by each model's word."""
        late = self.days >= np.datetime64(since)
        kept = self.units >= 0

        def summed(cells: NDArray[Any]) -> NDArray[np.int64]:
            sums = np.zeros((len(self.names), int(late.sum())), dtype=np.int64)
            np.add.at(sums, self.units[kept], cells[kept][:, late])
            return sums

        rows = summed(self.seen)
        sides = [summed(begun) for begun in (self.control_starts, self.treatment_starts)]
        unit, day = np.nonzero(rows)
        treated = np.zeros(len(self.names), dtype=bool)
        treated[self.units[kept]] = self.treated[kept]
        return {
            "unit": np.array(self.names, dtype=object)[unit],
            "day": self.days[late][day],
            "treated": treated[unit],
            "rows": rows[unit, day],
            "control_alerts": sides[0][unit, day],
            "treatment_alerts": sides[1][unit, day],
        }

    def alarms(self, since: date) -> dict[str, Any]:
        """Columns by entity and day from `since` on, where at least one model raised an alarm."""
        either = (self.control_alarm | self.treatment_alarm) & (self.units >= 0)[:, None]
        row, day = np.nonzero(either & (self.days >= np.datetime64(since)))
        return {
            "entity": np.array(self.entities, dtype=object)[row],
            "unit": np.array(self.names, dtype=object)[self.units[row]],
            "day": self.days[day],
            "treated": self.treated[row],
            "control_p": self.control_p[row, day],
            "treatment_p": self.treatment_p[row, day],
            "control_alarm": self.control_alarm[row, day],
            "treatment_alarm": self.treatment_alarm[row, day],
        }


def starts(alarm: Bools, pause: int) -> Bools:
    """(n_entity, n_time) periods in which an alert starts: alarms with no other up to a pause before."""
    before = np.zeros_like(alarm)
    for lag in range(1, min(pause + 2, alarm.shape[1])):
        before[:, lag:] |= alarm[:, :-lag]
    return alarm & ~before


def rate_tally(units: Mapping[str, NDArray[Any]], days: int) -> Tally:
    """Alerts and entity-days by unit, from the routing log's sums."""
    names = ("treated", "rows", "control", "treatment")
    return Tally(*(np.asarray(units[name]) for name in names), days)


def label_tally(
    name: str, alarms: Iterable[Mapping[str, Any]], episodes: Iterable[Episode], days: int
) -> Tally:
    """Labelled alerts by unit: those real (precision), or those each model was right about (agreement).

    An alert counts where either model raised an alarm in its days; for the precision the one that decides must have.
    """
    raised: dict[str, list[Mapping[str, Any]]] = {}
    for alarm in alarms:
        raised.setdefault(alarm["entity"], []).append(alarm)
    sums: dict[tuple[str, bool], list[float]] = {}
    for episode in episodes:
        verdict = labelled.judged(episode)
        if verdict not in (labelled.REAL, labelled.NORMAL):
            continue
        first, last = (local_day(moment) for moment in (episode.onset, episode.last_seen))
        within = [row for row in raised.get(episode.entity, ()) if first <= row["day"] <= last]
        if not within:
            continue
        said = [any(row[f"{side}_alarm"] for row in within) for side in ("control", "treatment")]
        treated, real = bool(within[0]["treated"]), verdict == labelled.REAL
        if name == "precision":
            if not said[treated]:
                continue
            right = (real, real)
        else:
            right = (said[0] == real, said[1] == real)
        entry = sums.setdefault((within[0]["unit"], treated), [0.0, 0.0, 0.0])
        for index, value in enumerate((1.0, *right)):
            entry[index] += value
    numbers = np.array(list(sums.values()), dtype=np.float64).reshape(len(sums), 3)
    return Tally(np.array([treated for _, treated in sums], dtype=bool), *numbers.T, days)


# ── What it says ─────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class Measured:
    """A comparison: the metric of either side, their difference, and Cohen's d with its interval."""

    control: float
    treatment: float
    difference: Difference
    d: tuple[float, float, float]


def measured(tally: Tally, design: Design, alpha: float) -> Measured | None:
    """The comparison; None while a side has fewer than 2 units."""
    if design == "paired":
        if len(tally.rows) < 2:
            return None
        by_unit = tally.treatment - tally.control
        total = float(tally.rows.sum())
        return Measured(
            float(tally.control.sum()) / total,
            float(tally.treatment.sum()) / total,
            experiment.paired(by_unit, tally.rows),
            experiment.cohens_d_paired(Arm.of(by_unit / tally.rows.mean()), 1.0 - alpha),
        )
    sides = (~tally.treated, tally.treated)
    if min(np.count_nonzero(side) for side in sides) < 2:
        return None
    control, treatment = (
        Arm.of(experiment.per_unit(hits[side], tally.rows[side]))
        for hits, side in zip((tally.control, tally.treatment), sides, strict=True)
    )
    return Measured(
        float(control.mean),
        float(treatment.mean),
        experiment.welch(control, treatment),
        experiment.cohens_d(control, treatment, 1.0 - alpha),
    )


@dataclass(frozen=True)
class Outlook:
    """What an experiment can find, from what the newest days were like. Effects are shares, as in `Tally`.

    units, available : how many units it needs, and how many there are
    detectable       : the smallest effect that all of them show in these days; NaN where none
    enough_days      : days in which they would show the effect, None where more days never do
    usual, icc, rows : the metric now, how alike the rows of a unit are, and rows of a unit and day
    """

    metric: str
    effect: float
    days: int
    alpha: float
    power: float
    units: int
    available: int
    detectable: float
    enough_days: int | None
    usual: float
    icc: float
    rows: float

    @property
    def hopeless(self) -> bool:
        """Whether it would need more units than there are."""
        return self.units > self.available


def outlook(
    tally: Tally, name: str, *, effect: float, days: int, alpha: float, power: float
) -> Outlook:
    """What an experiment on units like these can find in that many days; an effect has the sign it is hoped to have."""
    chosen = metric(name)
    total, available = float(tally.rows.sum()), len(tally.rows)
    if available < 4 or total <= 0:
        rule = "at least 4 with rows"
        hint = "Label some alerts first." if name != "alert-rate" else "Choose a lower level."
        raise NotEnoughDataError.of("experiments", "units", rule, available, hint)
    rows = total / available / tally.days
    usual = float(tally.control.sum()) / total
    # alerts may come several a day, so that only what is hoped to grow has an end above
    if usual + effect < 0 or usual + max(effect, 0.0) > max(usual, 1.0):
        rule = f"no larger than what there is to {'gain' if effect > 0 else 'lose'}, now {usual * chosen.scale:.3g} {chosen.unit}"
        raise InvalidInputError.of(
            "experiments", "the smallest effect", rule, round(abs(effect) * chosen.scale, 6)
        )
    icc = _icc(tally)
    target, ratio = _target(tally, chosen, usual, icc, rows * days)

    def needed(length: int) -> int:
        per_unit = rows * length
        planned, _ = _target(tally, chosen, usual, icc, per_unit)
        found = experiment.needed(planned, effect, ratio=ratio, alpha=alpha, power=power)
        units = (1 if chosen.design == "paired" else 2) * math.ceil(found / per_unit)
        return max(units, LEAST_UNITS)

    have = available if chosen.design == "paired" else available // 2
    detectable = experiment.detectable(
        target,
        have * rows * days,
        sign=1 if effect > 0 else -1,
        ratio=ratio,
        alpha=alpha,
        power=power,
    )
    lengths = range(1, LONGEST + 1)
    # the longer it runs the fewer units it takes
    place = bisect_left(lengths, True, key=lambda length: needed(length) <= available)
    return Outlook(
        metric=name,
        effect=effect,
        days=days,
        alpha=alpha,
        power=power,
        units=needed(days),
        available=available,
        detectable=detectable,
        enough_days=lengths[place] if place < LONGEST else None,
        usual=usual,
        icc=icc,
        rows=rows,
    )


def _target(
    tally: Tally, chosen: Metric, usual: float, icc: float, per_unit: float
) -> tuple[experiment.Target, float]:
    """The target of a plan and how many rows the treatment has for one of the control."""
    total = float(tally.rows.sum())
    if chosen.design == "paired":
        # at least one row of disagreement: none seen so far is not none ever
        squares = max(float(((tally.treatment - tally.control) ** 2).sum()), 1.0)
        return experiment.Target(0.0, sd=math.sqrt(squares / total)), math.inf
    if not 0 < usual < 1:
        rule = "above 0 and below all of them"
        hint = "There is nothing to compare yet: label more alerts, or take another metric."
        raise NotEnoughDataError.of(
            "experiments", "labelled alerts that were real", rule, usual, hint
        )
    return experiment.Target(usual, design=experiment.design_effect(max(per_unit, 1.0), icc)), 1.0


def _icc(tally: Tally) -> float:
    """How alike the rows of a unit are; 0 where no unit has two."""
    if float(tally.rows.sum()) <= np.count_nonzero(tally.rows):
        return 0.0
    return experiment.intraclass(np.minimum(tally.control, tally.rows), tally.rows)


def first_day(scene: Scene) -> date:
    """The newest day of a scene: what an experiment counts from when it steps on a rung."""
    newest: date = scene.panel.periods.labels[-1].astype("datetime64[D]").item()
    return newest


def span(first: date, last: date) -> int:
    """Days from the first to the last, both counted."""
    return (last - first + timedelta(days=1)).days
