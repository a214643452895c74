"""Has the data moved away from what the champion knows: metrics, its scores, its alerts, and how right it is."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.contracts import DAY, Bools, Floats, OnStep
from core.domains import DOMAINS
from core.drift import windows
from core.drift.check import (
    COMPLETE,
    FALSE_PER_YEAR,
    Cell,
    Findings,
    Reference,
    Watched,
    joined,
)
from core.drift.performance import Performance, performance
from core.drift.windows import Rhythm
from core.errors import CancelledError, NotEnoughDataError, NotFoundError, PersistenceError
from data import drift_store
from data.label_store import Episode
from models.ports import CHAMPION, VersionRow
from models.serve import Served
from workbench.context import Context
from workbench.plain import plain
from workbench.services import labelled, retraining, scorer
from workbench.services import scene as scenes
from workbench.services.drift_report import (
    CellReport,
    CheckRow,
    DriftReport,
    Part,
    State,
    WholeReport,
    revived,
)
from workbench.services.scene import ALPHA, Scene

log = logging.getLogger(__name__)

DAYS = 420
"""Days that are looked at: a year to compare with, and the windows."""
SERIES = 50
"""The largest entities of a level stand for it: more see no smaller shift, since they share their days."""
SETTLED = 0.6
"""Share of a figure that must have arrived before it is scaled up to its whole."""
WATCH = 0.05
SCORE, ALERTS = "score", "alert_rate"


def check(
    ctx: Context,
    tenant: str,
    *,
    domain: str = "ads",
    actor: str,
    on_step: OnStep | None = None,
) -> DriftReport:
    """Compare the newest windows with what the champion learned from, keep the report, and propose what follows.

    Raises NotEnoughDataError, with the days needed and those there are, CancelledError where `on_step` says so.
    """

    def step(stage: str, share: float) -> None:
        if on_step is not None and on_step(stage, share, {}) is False:
            raise CancelledError.of("drift", "the check", "let finish", "a cancel")

    version, learned = _champion(ctx, tenant, domain)
    served = None if version is None else _served(ctx, tenant, domain)
    told = labelled.episodes(ctx, tenant, domain)
    stand: list[str] = []

    def seen(scene: Scene) -> _Seen:
        step("reading the data", 0.0)
        # the newest look says who stands for a level
        stand.extend(() if stand else (scene.panel.entities[row] for row in _largest(scene)))
        return _seen(ctx, tenant, scene, stand, served, told)

    step("reading the data", 0.0)
    looks = scenes.each(ctx, tenant, seen, domain=domain, days=DAYS)
    step("metrics", 0.4)
    until = None if learned is None else np.datetime64(learned[1])
    watched = joined([look.metrics for look in looks])
    metrics = _part("metrics", watched, until)
    step("scores", 0.7)
    scores, no_scores, said = None, "No model scores this domain yet.", _unknown()
    judged = [look.scores for look in looks if look.scores is not None]
    if judged:
        most: dict[int, float] = {}
        for look in looks:
            most |= {at: max(one, most.get(at, 0.0)) for at, one in look.surprise.items()}
        said = _performance(told, most, metrics.windows[0][0])
        try:
            scores, no_scores = _part("scores", joined(judged), until), ""
        except NotEnoughDataError as error:
            no_scores = f"{error.context['thing']} must be {error.context['needed']}; there are {error.context['got']}."
    step("keeping the report", 0.95)
    report = DriftReport(
        domain=domain,
        model_version="" if version is None else version.id,
        at=ctx.clock(),
        actor=actor,
        newest=watched.times[-1].astype("datetime64[D]").item(),
        complete=_complete(watched, metrics.windows),
        metrics=metrics,
        scores=scores,
        no_scores=no_scores,
        performance=said,
        learned=learned,
        notes=(*_notes(metrics, learned), *filter(None, (looks[0].deaf,))),
    )
    kept = keep(ctx, tenant, report)
    retraining.follow(ctx, tenant, kept, actor=actor)
    return kept


def keep(ctx: Context, tenant: str, report: DriftReport) -> DriftReport:
    """Store a report; it comes back with its number."""
    reference, spans = report.metrics.reference, report.metrics.windows
    told = plain(report)
    row = ctx.records.write(
        tenant,
        lambda session: drift_store.add_check(
            session,
            tenant=tenant,
            domain=report.domain,
            model_version=report.model_version,
            reference_start=reference[0],
            reference_end=reference[1],
            window_start=spans[0][0],
            window_end=spans[-1][1],
            tested=sum(cell.state != "untested" for cell in report.metrics.cells),
            drifted=sum(len(part.drifted) for part in report.parts),
            report=told,
            at=report.at,
            actor=report.actor,
        ),
    )
    return revived(told, id=int(row.id))


def latest(ctx: Context, tenant: str, *, domain: str = "ads") -> DriftReport | None:
    """The newest check; None when nobody ever looked."""
    row = ctx.records.read(
        tenant, lambda session: drift_store.latest_check(session, tenant=tenant, domain=domain)
    )
    return None if row is None else revived(row.report, id=int(row.id))


def get(ctx: Context, tenant: str, check_id: int) -> DriftReport:
    """One check; NotFoundError for a number that the tenant has not."""
    row = ctx.records.read(
        tenant, lambda session: drift_store.get_check(session, tenant=tenant, check_id=check_id)
    )
    return revived(row.report, id=int(row.id))


def history(ctx: Context, tenant: str, *, domain: str = "ads") -> list[CheckRow]:
    """The newest checks, without their figures."""
    rows = ctx.records.read(
        tenant, lambda session: drift_store.checks(session, tenant=tenant, domain=domain)
    )
    return [CheckRow(*row) for row in rows]


def due(ctx: Context, tenant: str, *, domain: str = "ads") -> bool:
    """Whether a first check is possible, or a window has closed or another model serves since the last one: windows
    are fixed, so that is all.
    """
    newest = scenes.newest(ctx, tenant, domain=domain)
    if newest is None:
        return False
    champion = ctx.registry.store.alias(tenant, domain, CHAMPION)
    row = ctx.records.read(
        tenant, lambda session: drift_store.latest_check(session, tenant=tenant, domain=domain)
    )
    if row is None:
        return wait(ctx, tenant, domain=domain) is None
    if row.model_version != (champion.version_id if champion else ""):
        return True
    length = ((row.window_end - row.window_start).days + 1) // windows.PERSISTENCE
    return (newest.date() - row.window_end).days > length


@dataclass(frozen=True)
class Wait:
    """What a first check waits for: days of history that there are, and that it needs; what those hold, in words;
    and the day on which it can be made, if nothing older is imported.
    """

    days: int
    needed: int
    compared: str
    ready: date


def wait(ctx: Context, tenant: str, *, domain: str = "ads") -> Wait | None:
    """What is missing for a first check; None where nothing is, or nothing is known yet."""
    spec, span = windows.rhythm(DOMAINS[domain].step), _span(ctx, tenant, domain)
    if span is None:
        return None
    first, end = span
    ready: date = spec.ready(np.datetime64(first)).astype("datetime64[D]").item()
    if ready <= end:
        return None
    return Wait(max((end - first).days, 0), spec.needed, spec.compared, ready)


def _span(ctx: Context, tenant: str, domain: str) -> tuple[date, date] | None:
    """The first whole day that is known, and the day after the last; None where nothing is."""
    spec = DOMAINS[domain]
    if spec.step < DAY:
        moments = ctx.metrics.samples.span(tenant, spec)
        if moments is None:
            return None
        first, last = moments
        begun = first.hour or first.minute or first.second
        return first.date() + timedelta(days=1 if begun else 0), last.date()
    known = [row.day for row in ctx.metrics.coverage(tenant, spec) if row.state != "missing"]
    return (min(known), max(known) + timedelta(days=1)) if known else None


# ── What is seen ─────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class _Seen:
    """What one look at a domain shows, without the figures behind it.

    scores   : what the champion says of it, None where none can be trusted
    surprise : of the episodes that people were told of, by place, the most that the champion said
    deaf     : which metrics the champion does not judge, in words
    """

    metrics: Watched
    scores: Watched | None = None
    surprise: Mapping[int, float] = field(default_factory=dict)
    deaf: str = ""


def _seen(
    ctx: Context,
    tenant: str,
    scene: Scene,
    stand: Sequence[str],
    served: Served | None,
    told: Sequence[Episode],
) -> _Seen:
    odd = labelled.known_odd(ctx, tenant, scene.domain.name, scene.panel)
    rows = [scene.panel.row_of[entity] for entity in stand if entity in scene.panel.row_of]
    chosen = np.array(rows, dtype=np.intp)
    metrics = folded(metrics_of(scene, chosen, odd))
    if served is None:
        return _Seen(metrics)
    model = scorer.resumed(ctx, tenant, served)
    p_values: Floats = model.p_values(scenes.heard(scene.residual, model))
    surprise = -np.log10(np.clip(p_values, 1e-12, 1.0))
    most = {
        place: float(surprise[cells].max())
        for place, episode in enumerate(told)
        if labelled.judged(episode) in (labelled.REAL, labelled.NORMAL)
        and (cells := labelled.cells(scene.panel, [episode])).any()
    }
    scores = folded(scores_of(scene, p_values, chosen, odd))
    return _Seen(metrics, scores, most, scenes.deaf(scene.residual, model))


# ── What is watched ──────────────────────────────────────────────────────────────────────────────


def metrics_of(scene: Scene, chosen: NDArray[np.intp], odd: Bools) -> Watched:
    """Every metric and ratio of every level as logarithms, scaled up to what has yet to arrive.

    odd : (n_entity, n_time) known anomalies, which are no drift
    """
    whole = {name: _whole(scene, name) for name in scene.observed.metrics}
    series: dict[str, Floats] = {
        name: np.sign(values) * np.log1p(np.abs(values)) for name, values in whole.items()
    }
    for ratio in scene.domain.ratios:
        if ratio.numerator in whole and ratio.denominator in whole:
            above, below = whole[ratio.numerator], whole[ratio.denominator]
            positive = (above > 0) & (below > 0)
            with np.errstate(divide="ignore", invalid="ignore"):
                series[ratio.name] = np.where(positive, np.log(above / below), np.nan)
    return _watched(
        scene, chosen, {name: np.where(odd, np.nan, all_) for name, all_ in series.items()}
    )


def scores_of(scene: Scene, p_values: Floats, chosen: NDArray[np.intp], odd: Bools) -> Watched:
    """What the champion says: −log₁₀ p of the entities, and the share of each level that it would alert on."""
    seen = np.isfinite(scene.residual.values).any(axis=2) & ~odd
    surprise = np.where(seen, -np.log10(np.clip(p_values, 1e-12, 1.0)), np.nan)
    watched = _watched(scene, chosen, {SCORE: np.log1p(surprise)})
    rates, cells = [], []
    for level in scene.domain.levels:
        rows = _of_level(scene, level)
        count = seen[rows].sum(axis=0)
        alerts = ((p_values[rows] <= ALPHA) & seen[rows]).sum(axis=0)
        if len(rows):
            # the square root makes a rate's noise the same everywhere
            rates.append(np.where(count > 0, np.sqrt(alerts / np.maximum(count, 1)), np.nan))
            cells.append(Cell(level, ALERTS))
    first = int(np.argmax(seen.any(axis=0)))
    return Watched(
        np.concatenate([watched.values, rates])[:, first:],
        np.concatenate([watched.member, len(watched.cells) + np.arange(len(cells))]),
        (*watched.cells, *cells),
        watched.times[first:],
        watched.rhythm,
        (*watched.names, *(cell.level for cell in cells)),
    )


def folded(watched: Watched) -> Watched:
    """What is watched with the mean of each day or hour, however short a period is."""
    times, first = np.unique(watched.times, return_index=True)
    if len(times) == len(watched.times):
        return watched
    known = np.isfinite(watched.values)
    total = np.add.reduceat(np.where(known, watched.values, 0.0), first, axis=1)
    count = np.add.reduceat(known.astype(np.int64), first, axis=1)
    means = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return replace(watched, values=means, times=times)


def _watched(scene: Scene, chosen: NDArray[np.intp], series: dict[str, Floats]) -> Watched:
    level = np.array([scene.graph.level(scene.panel.entities[row]) for row in chosen])
    cells = [Cell(name, metric) for metric in series for name in scene.domain.levels]
    values, member, names = [], [], []
    for place, cell in enumerate(cells):
        rows = chosen[level == cell.level]
        values.append(series[cell.metric][rows])
        member.append(np.full(len(rows), place))
        names += [scene.panel.entities[row] for row in rows]
    rhythm = windows.rhythm(scene.domain.step)
    return Watched(
        np.concatenate(values),
        np.concatenate(member),
        tuple(cells),
        _times(scene, rhythm),
        rhythm,
        tuple(names),
    )


def _whole(scene: Scene, metric: str) -> Floats:
    settled = scene.settled(metric)
    values = scene.panel.metric(metric)
    return np.where(settled >= SETTLED, values / np.maximum(settled, SETTLED), np.nan)


def _largest(scene: Scene) -> NDArray[np.intp]:
    """Rows of the entities that stand for their level: those that spend most, or see most where none spends."""
    by = scene.domain.spend or scene.panel.metrics[0]
    size = np.nansum(scene.panel.metric(by), axis=1)
    rows = [
        of_level[np.argsort(-size[of_level], kind="stable")[:SERIES]]
        for level in scene.domain.levels
        if len(of_level := _of_level(scene, level))
    ]
    return np.concatenate(rows)


def _of_level(scene: Scene, level: str) -> NDArray[np.intp]:
    return np.flatnonzero([scene.graph.level(entity) == level for entity in scene.panel.entities])


# ── What is found ────────────────────────────────────────────────────────────────────────────────


def _part(name: Any, watched: Watched, until: np.datetime64 | None) -> Part:
    """One family of cells compared; NotEnoughDataError with the days needed and those there are."""
    known = np.isfinite(watched.values).any(axis=0)
    watched = watched.until(len(known) - int(np.argmax(known[::-1])))
    rhythm = watched.rhythm
    schedule = windows.schedule(watched.times, rhythm, known_until=until)
    reference = Reference.learn(watched, schedule)
    findings = reference.check(watched, schedule)
    days = watched.times.astype("datetime64[D]")
    compared = np.concatenate([days[schedule.reference], days[schedule.span]])
    first = [schedule.first + schedule.length * place for place in range(windows.PERSISTENCE)]
    return Part(
        name=name,
        reference=(days[schedule.start].item(), days[schedule.stop - 1].item()),
        windows=tuple(
            (days[begin].item(), days[begin + schedule.length - 1].item()) for begin in first
        ),
        days=tuple(day.item() for day in np.unique(compared)),
        cells=tuple(
            _cells(findings, np.bincount(reference.member, minlength=len(watched.cells)), compared)
        ),
        wholes=tuple(
            WholeReport(one.level, one.cells, one.lean, one.p, one.adjusted, one.drifts)
            for one in findings.whole
        ),
        memory=float(np.median(reference.memory.correlation_time)),
        false_per_year=FALSE_PER_YEAR,
        unit=rhythm.unit,
    )


def _cells(
    findings: Findings, series: NDArray[np.intp], days: NDArray[np.datetime64]
) -> list[CellReport]:
    """The cells as they are told; `days` (n_time,) are those of the values compared."""
    daily = _by_day(findings.course, days)

    def number(values: Floats, place: int) -> float | None:
        return None if not np.isfinite(values[place]) else round(float(values[place]), 6)

    def coarse(shares: Floats) -> tuple[float, ...]:
        return tuple(shares.reshape(-1, 2).sum(axis=1).round(4).tolist())

    return [
        CellReport(
            level=cell.level,
            metric=cell.metric,
            state=_state(findings, place),
            series=int(series[place]),
            lean=number(findings.lean, place),
            by_window=tuple(number(one, place) for one in findings.by_window.T),
            ks=number(findings.distance[0], place),
            wasserstein=number(findings.distance[1], place),
            psi=number(findings.distance[2], place),
            p=number(findings.p, place),
            adjusted=number(findings.adjusted, place),
            smallest=number(findings.smallest, place),
            power=number(findings.power, place),
            before=coarse(findings.before[place]) if findings.tested[place] else (),
            after=coarse(findings.after[place]) if findings.tested[place] else (),
            daily=tuple(number(daily[place].round(3), day) for day in range(daily.shape[1]))
            if findings.tested[place]
            else (),
        )
        for place, cell in enumerate(findings.cells)
    ]


def _by_day(course: Floats, days: NDArray[np.datetime64]) -> Floats:
    """(n_cell, n_day) means of what is known of each day, NaN where nothing is."""
    _, first = np.unique(days, return_index=True)
    known = np.isfinite(course)
    total = np.add.reduceat(np.where(known, course, 0.0), first, axis=1)
    count = np.add.reduceat(known.astype(np.int64), first, axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _state(findings: Findings, place: int) -> State:
    if not findings.tested[place]:
        return "untested"
    if findings.drifts[place]:
        return "drift"
    return "watch" if findings.adjusted[place] <= WATCH and findings.large[place] else "calm"


# ── The champion ─────────────────────────────────────────────────────────────────────────────────


def _champion(
    ctx: Context, tenant: str, domain: str
) -> tuple[VersionRow | None, tuple[date, date] | None]:
    """The version that scores, and the days it learned from; None where none can be read."""
    served = ctx.registry.store.served(tenant, domain, CHAMPION)
    if served is None:
        return None, None
    version = served[1]
    try:
        training = ctx.registry.manifest(tenant, version.id).training
    except PersistenceError as error:
        log.warning("What %s learned from cannot be read: %s", version.id, error.message)
        return version, None
    if not training.start:
        return version, None
    first, last = (datetime.fromisoformat(day).date() for day in (training.start, training.end))
    return version, (first, last)


def _served(ctx: Context, tenant: str, domain: str) -> Served | None:
    """The champion; None while no model can be trusted."""
    try:
        return ctx.serve.champion(tenant, domain)
    except (NotFoundError, PersistenceError) as error:
        log.warning("No champion of %s scores for tenant %s: %s", domain, tenant, error)
        return None


def _performance(
    told: Sequence[Episode], surprise: Mapping[int, float], since: date
) -> Performance:
    """How well the champion ranks what people judged before `since`, and what they judged after."""
    scores: tuple[list[float], list[float]] = ([], [])
    truth: tuple[list[bool], list[bool]] = ([], [])
    for place, most in surprise.items():
        late = int(told[place].last_seen.astimezone(UTC).date() >= since)
        scores[late].append(most)
        truth[late].append(labelled.judged(told[place]) == labelled.REAL)
    parts = [
        (np.array(score), np.array(real, dtype=bool))
        for score, real in zip(scores, truth, strict=True)
    ]
    return performance(*parts[0], *parts[1])


def _unknown() -> Performance:
    nothing = np.zeros(0)
    return performance(nothing, nothing > 0, nothing, nothing > 0)


# ── Completeness, words ──────────────────────────────────────────────────────────────────────────


def _complete(watched: Watched, spans: tuple[tuple[date, date], ...]) -> float:
    """Share of the windows in which something is known of each entity that was known before."""
    days = watched.times.astype("datetime64[D]")
    span = (days >= np.datetime64(spans[0][0])) & (days <= np.datetime64(spans[-1][1]))
    names, row = np.unique(watched.names, return_inverse=True)
    known = np.zeros((len(names), len(days)), dtype=bool)
    np.logical_or.at(known, row, np.isfinite(watched.values))
    existing = known[:, days < np.datetime64(spans[0][0])].any(axis=1)
    return float(known[existing][:, span].mean()) if existing.any() else 0.0


def _notes(metrics: Part, learned: tuple[date, date] | None) -> tuple[str, ...]:
    notes = []
    reference = metrics.reference
    if learned and reference and learned[1] > reference[1]:
        notes.append(
            f"The champion has also learned from days up to {learned[1]}, inside the windows: its scores of "
            "them are milder than those of new days."
        )
    untested = sum(cell.state == "untested" for cell in metrics.cells)
    if untested:
        notes.append(
            f"{untested} of {len(metrics.cells)} cells were not tested: fewer than {COMPLETE:.0%} of their "
            "days are known, or they never change."
        )
    return tuple(notes)


def _times(scene: Scene, rhythm: Rhythm) -> NDArray[np.datetime64]:
    """(n_time,) the day or hour that each period lies in."""
    unit = np.datetime_data(rhythm.step)[0]
    return scene.panel.periods.labels.astype(f"datetime64[{unit}]")
