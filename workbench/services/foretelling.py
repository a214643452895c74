"""Alerts before anything is wrong: services that look as they did shortly before earlier incidents.

What is foretold is learned anew in every run from the incidents of the history that the scene holds, cut in time: the
earlier part teaches, the later one sets the alarm threshold and shows whether foretelling is worth more than knowing
nothing. Where it is not, nothing is foretold, and the run says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from core.contracts import DAY, Bools, Floats, Panel
from core.errors import NotEnoughDataError
from core.evaluate.failures import Part, judged
from core.features.precursors import precursors
from core.foresight import (
    LEAST,
    LEFT_OUT,
    QUIET,
    Codes,
    alarms,
    chances,
    coming,
    learned,
    onsets,
    threshold,
)
from data import incident_store
from data.foretold import HORIZON
from data.records import Incident, NewAlert
from workbench.context import Context
from workbench.services import snapshots
from workbench.services.findings import Sighting, affected
from workbench.services.labelled import naive
from workbench.services.scene import Scene

LEVEL = "service"
"""What is foretold: trouble that people feel."""
TAUGHT = 0.6
"""Share of the history that teaches; the rest sets the threshold."""
AHEAD = np.timedelta64(int(HORIZON.total_seconds()), "s")
CELLS = 200_000
"""Entity-periods whose signs are held at once."""
QUIETS = 100_000
"""Quiet entity-periods that are learned from, evenly picked."""
MOST = 10_000
"""Incidents that are looked at, the latest first."""
REPLICATES = 200
"""Of the bootstrap that tells whether it is worth more than knowing nothing."""
SEVERITY = "medium"
"""Nothing has happened yet, so it is never worse."""


@dataclass(frozen=True)
class Foretold:
    """What a run foretells, and what it has to say about that."""

    alerts: list[NewAlert] = field(default_factory=list)
    notes: tuple[str, ...] = ()


def foretell(
    context: Context,
    tenant: str,
    scene: Scene,
    chosen: Bools,
    sightings: Sequence[Sighting],
    model_version: str,
) -> Foretold:
    """Failures of the chosen entities within the next hour, but for those that the run saw in trouble within the last.

    Nothing where the domain foretells nothing; a note where too few incidents were told to learn from, or where
    what was learned is worth no more than the base rate.
    """
    predictor = scene.domain.defaults.get("predictor")
    rows = [
        row
        for row, entity in enumerate(scene.panel.entities)
        if predictor and entity in scene.graph.net and scene.graph.level(entity) == LEVEL
    ]
    if predictor is None or not rows:
        return Foretold()
    deviations = scene.residual.select(entities=[scene.panel.entities[row] for row in rows])
    failing = _failing(context, tenant, scene, deviations)
    outlook = _Outlook(deviations, failing, max(1, int(AHEAD / scene.domain.step)))
    try:
        sight = outlook.learned(predictor)
    except NotEnoughDataError as error:
        return Foretold(notes=(f"Nothing is foretold: {error.message}",))
    if sight.low_lift <= 1.0 or not np.isfinite(sight.cut):
        return Foretold(
            notes=(
                f"Nothing is foretold: on the {sight.events} latest events average precision is "
                f"{sight.precision:.2f}, which is not surely above the base rate of {sight.base:.2f}.",
            )
        )
    recent = failing.shape[1] - outlook.horizon
    troubled = {seen.row for seen in sightings if seen.last >= recent}
    found = [
        _alert(scene, row, at, chance, predictor, sight, outlook, model_version)
        for place, at, chance in outlook.standing(sight)
        if chosen[row := rows[place]] and row not in troubled
    ]
    return Foretold(found)


# ── What came before ─────────────────────────────────────────────────────────────────────────────


def _failing(context: Context, tenant: str, scene: Scene, panel: Panel) -> Bools:
    """(n_entity, n_time) where an incident was under way, whoever told of it."""
    labels = panel.periods.labels
    after: datetime = (labels[-1] + panel.periods.step).astype("datetime64[s]").item()
    known = context.records.read(
        tenant,
        lambda session: incident_store.before(
            session,
            tenant=tenant,
            domain=scene.domain.name,
            onset=after.replace(tzinfo=UTC),
            limit=MOST,
        ),
    )
    failing = np.zeros(panel.values.shape[:2], dtype=bool)
    for incident in known:
        over = snapshots.ended(incident) or incident.onset
        first = int(np.searchsorted(labels, np.datetime64(naive(incident.onset))))
        last = int(np.searchsorted(labels, np.datetime64(naive(over)), "right"))
        if last == 0 or first >= len(labels):
            continue
        for entity in _hit(incident, scene):
            if (row := panel.row_of.get(entity)) is not None:
                failing[row, first : max(last, first + 1)] = True
    return failing


def _hit(incident: Incident, scene: Scene) -> Iterator[str]:
    yield from filter(None, snapshots.resolve(scene.graph, incident.services).values())
    yield incident.root_entity


# ── What comes ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class _Sight:
    """What was learned, and what it was worth on the later part of the history.

    quiet : (n,) scores of its quiet periods, ascending     lead : periods from the first alarm to the event, median
    """

    model: Any
    cut: float
    precision: float
    base: float
    low_lift: float
    events: int
    caught: float
    lead: float
    quiet: Floats

    def p_value(self, score: float) -> float:
        """How often a quiet period looks as much like trouble ahead."""
        reached = len(self.quiet) - int(np.searchsorted(self.quiet, score))
        return (reached + 1) / (len(self.quiet) + 1)


@dataclass(frozen=True, eq=False)
class _Outlook:
    """The history of all services, (n_entity, n_time), and how far ahead they are looked at, in periods."""

    deviations: Panel
    failing: Bools
    horizon: int

    @property
    def codes(self) -> Codes:
        return coming(self.failing, self.horizon, self.horizon)

    @property
    def onsets(self) -> Bools:
        return onsets(self.failing, self.horizon)

    @property
    def cut(self) -> int:
        """Where the later part begins."""
        return int(TAUGHT * self.failing.shape[1])

    def learned(self, predictor: str) -> _Sight:
        """NotEnoughDataError where an earlier or later part holds too few events."""
        late = slice(self.cut, None)
        early = slice(0, max(self.cut - self.horizon, 0))
        for part in (early, late):
            told = int(self.onsets[:, part].sum())
            if told < LEAST:
                when = "before" if part is early else "after"
                moment = str(self.deviations.periods.labels[self.cut].astype("datetime64[m]"))
                raise NotEnoughDataError.of(
                    "foresight",
                    f"the incidents of services that began {when} {moment.replace('T', ' ')} UTC",
                    f"at least {LEAST}",
                    told,
                )
        codes = self.codes
        thin = max(1, int((codes[:, early] == QUIET).sum()) // QUIETS)
        rows, answers = [], []
        for some, signs in self._signs():
            known = codes[some, early].ravel()
            kept = known != LEFT_OUT
            kept[np.flatnonzero(known == QUIET)[np.arange((known == QUIET).sum()) % thin > 0]] = (
                False
            )
            rows.append(signs[:, early].reshape(len(known), -1)[kept])
            answers.append(known[kept])
        model = learned(predictor, np.concatenate(rows), np.concatenate(answers))
        scores = list(self._scores(model, late))
        parts = [
            Part(entity, codes[row, late], self.onsets[row, late])
            for row, entity in enumerate(self.deviations.entities)
        ]
        cut = threshold(scores, [part.codes for part in parts], self.horizon)
        found = judged(parts, scores, cut, self.horizon, replicates=REPLICATES).figures
        lead = found["lead"]["median"]
        return _Sight(
            model,
            cut,
            found["average_precision"],
            found["base_rate"],
            found["ci"]["lift"][0],
            found["events"],
            found["caught"],
            lead if np.isfinite(lead) else self.horizon / 2,
            np.sort(np.concatenate(scores)[codes[:, late].ravel() == QUIET]),
        )

    def standing(self, sight: _Sight) -> Iterator[tuple[int, int, float]]:
        """Entity, period and chance of each alarm that may still come true; none where it happens already."""
        start = max(self.failing.shape[1] - 2 * self.horizon, 0)
        scores = self._scores(sight.model, slice(start, None))
        codes = self.codes[:, start:]
        for place, told in enumerate(scores):
            raised = alarms(
                np.where(codes[place] == LEFT_OUT, -np.inf, told), sight.cut, self.horizon
            )
            if not len(raised) or codes[place, -1] == LEFT_OUT:
                continue
            at = int(raised[-1])
            if at + self.horizon >= len(told):
                yield place, start + at, float(told[at])

    def _scores(self, model: Any, span: slice) -> Floats:
        """(n_entity, n_time) chances within a span."""
        found = []
        for _, signs in self._signs():
            held = signs[:, span]
            found.append(chances(model, held.reshape(-1, held.shape[2])).reshape(held.shape[:2]))
        return np.concatenate(found)

    def _signs(self) -> Iterator[tuple[slice, Floats]]:
        """The signs of some entities at a time."""
        n_entity, n_time = self.failing.shape
        step = max(1, CELLS // n_time)
        day = max(1, int(DAY / self.deviations.periods.step))
        for first in range(0, n_entity, step):
            some = slice(first, first + step)
            panel = self.deviations.select(entities=self.deviations.entities[some])
            signs = precursors(panel, self.onsets[some], day=day, horizon=self.horizon)
            yield some, signs.values


# ── What is said ─────────────────────────────────────────────────────────────────────────────────


def _alert(
    scene: Scene,
    row: int,
    at: int,
    chance: float,
    predictor: str,
    sight: _Sight,
    outlook: _Outlook,
    model_version: str,
) -> NewAlert:
    labels = scene.panel.periods.labels
    onset: datetime = labels[at].astype("datetime64[s]").item().replace(tzinfo=UTC)
    lead = sight.lead * HORIZON / outlook.horizon
    entity = scene.panel.entities[row]
    p_value = sight.p_value(chance)
    return NewAlert(
        domain=scene.domain.name,
        entity=entity,
        entity_name=scene.graph.name(entity),
        level=LEVEL,
        onset=onset,
        last_seen=onset,
        day=onset.date(),
        score=float(-np.log10(p_value)),
        p_value=p_value,
        threshold=float(-np.log10(sight.p_value(sight.cut))),
        severity=SEVERITY,
        detector=predictor,
        sentence=_sentence(scene, row, at, onset + lead, onset + HORIZON, sight),
        model_version=model_version,
        predicted_for=onset + lead,
        lead_minutes=lead / timedelta(minutes=1),
        services=affected(scene.graph, (entity,), "service"),
    )


def _sentence(
    scene: Scene, row: int, at: int, expected: datetime, last: datetime, sight: _Sight
) -> str:
    metrics: Sequence[str] = scene.metrics_of(row, slice(max(at - 30, 0), at + 1))
    off = f" Furthest off now: {scene.word(metrics[0])}." if metrics else ""
    return (
        f"A failure is expected about {expected:%H:%M} UTC, by {last:%H:%M} if at all: it looks as services did "
        f"before earlier incidents.{off} Such alerts came before {100 * sight.caught:.0f} % of the latest {sight.events} "
        f"incidents (average precision {sight.precision:.2f}, base rate {sight.base:.2f})."
    )
