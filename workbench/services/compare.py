"""Champion and challenger on the same days: which is better, how sure that is, and what would change.

Both score the scene that detection looks at, on days that neither learned from. Nothing is written but the comparison
itself; what the streaming parts have learned stays as it is.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import catalog
from core.contracts import DAY, Bools
from core.errors import InvalidInputError, NotFoundError
from core.evaluate import compare as evaluate
from core.evaluate.bootstrap import Interval
from core.evaluate.compare import Judge, Truth, Verdict
from data import comparison_store, label_store, proposal_store, run_store
from data.label_store import Episode
from data.model_records import Comparison
from models.footprint import footprint
from models.ports import CHALLENGER, CHAMPION, VersionRow
from models.serve import Served
from workbench.context import Context
from workbench.plain import plain
from workbench.services import labelled, preview, scorer
from workbench.services import scene as scenes
from workbench.services.comparison import (
    SEVERE,
    ComparisonView,
    Contender,
    Counted,
    Dot,
    Figure,
    Labels,
    Running,
    Seen,
    Slice,
)
from workbench.services.findings import Sighting, answered
from workbench.services.scene import Judged, Scene

ALARMS = "episodes"
"""What a kept report holds beside its answer."""
FRESH = timedelta(hours=1)
"""How long a comparison may be used again for a decision, on the same data."""
CUTS = np.geomspace(1e-8, 0.2, 60)
DOTS = 2000
ENOUGH_CLUSTERS = 8
REPEATS, LEAST, PATIENCE = 20, 2, 2.0
"""At most so many timed repeats, and no more once so many seconds have passed and the least are done."""
TIMED = 5000
ERRORS_OF = timedelta(days=30)
CAUSES = 200
"""Confirmed causes that are looked for again; more would take minutes."""


def pair(
    ctx: Context, tenant: str, *, domain: str, champion: str = "", challenger: str = ""
) -> tuple[VersionRow, VersionRow]:
    """The two versions meant: those named, else what the aliases mean.

    Raises NotFoundError for a version or an alias that does not exist, InvalidInputError where both are the same.
    """
    store = ctx.registry.store
    rows = []
    for alias, given in ((CHAMPION, champion), (CHALLENGER, challenger)):
        meant = store.alias(tenant, domain, alias)
        if not given and meant is None:
            hint = "Run: headwater detect" if alias == CHAMPION else "Run: headwater train"
            raise NotFoundError.of("compare", f"a {alias}", f"there for {domain}", None, hint)
        row = store.get(tenant, given or meant.version_id)  # type: ignore[union-attr]
        if row.domain != domain:
            raise InvalidInputError.of("compare", f"the {alias}", f"of {domain}", row.domain)
        rows.append(row)
    if rows[0].id == rows[1].id:
        hint = "Train a challenger first: headwater train"
        raise InvalidInputError.of(
            "compare", "the versions", "two different ones", rows[0].id, hint
        )
    return rows[0], rows[1]


def compare(
    ctx: Context,
    tenant: str,
    *,
    domain: str = "ads",
    champion: str = "",
    challenger: str = "",
    actor: str,
) -> ComparisonView:
    """Compare two versions, the champion with the challenger unless others are named, and keep the report.

    Raises what `pair` raises, NotEnoughDataError without data, and the PersistenceError of a version that is refused.
    """
    rows = pair(ctx, tenant, domain=domain, champion=champion, challenger=challenger)
    view, kept = _compared(ctx, tenant, rows, actor)
    return dataclasses.replace(view, id=int(kept.id))


def newest(
    ctx: Context,
    tenant: str,
    *,
    domain: str = "ads",
    champion: str = "",
    challenger: str = "",
    actor: str,
) -> dict[str, Any]:
    """The report of a pair beside the alerts as they stand now, with its number, and when and by whom it was made.

    The one that was kept last where figures, labels and detection have stood still since, for an hour: so long its
    speed counts as measured now. Else a new one, which raises what `compare` raises.
    """
    rows = pair(ctx, tenant, domain=domain, champion=champion, challenger=challenger)
    kept = _kept(ctx, tenant, rows) or _compared(ctx, tenant, rows, actor)[1]
    told = dict(kept.report)
    alarms = told.pop(ALARMS)
    raised = {
        who: {entity: tuple(map(Seen.told, seen)) for entity, seen in found.items()}
        for who, found in alarms["raised"].items()
    }
    last = date.fromisoformat(told["last"])
    standing, changed = preview.changes(ctx, tenant, kept.domain, last, raised, alarms["names"])
    made = {"id": int(kept.id), "at": kept.at, "by": kept.actor}
    return plain({**made, **told, **_open(standing), "changed": changed})


def _compared(
    ctx: Context, tenant: str, rows: tuple[VersionRow, VersionRow], actor: str
) -> tuple[ComparisonView, Comparison]:
    """A new comparison, and how it is kept: with the alarms of both models, so that alerts can be put beside it later."""
    champion, challenger = rows
    scene = scenes.look(ctx, tenant, domain=champion.domain)
    view = with_alerts(ctx, tenant, _measured(ctx, tenant, scene, *rows))
    now, holds = ctx.clock(), holds_for(ctx, tenant, champion.domain)
    names = {entity: view.names[entity] for found in view.raised.values() for entity in found}
    kept = ctx.records.write(
        tenant,
        lambda session: comparison_store.add(
            session,
            tenant=tenant,
            domain=champion.domain,
            champion=champion.id,
            challenger=challenger.id,
            data_version=holds,
            verdict=view.verdict.word,
            report=report(view) | {ALARMS: plain({"raised": view.raised, "names": names})},
            actor=actor,
            now=now,
        ),
    )
    return view, kept


def _kept(ctx: Context, tenant: str, rows: tuple[VersionRow, VersionRow]) -> Comparison | None:
    """The newest comparison of a pair that still holds; None where there is none."""
    champion, challenger = rows
    holds, since = holds_for(ctx, tenant, champion.domain), ctx.clock() - FRESH
    kept = ctx.records.read(
        tenant,
        lambda session: comparison_store.newest(
            session,
            tenant=tenant,
            domain=champion.domain,
            champion=champion.id,
            challenger=challenger.id,
            data_version=holds,
            since=since,
        ),
    )
    # an earlier release kept less
    return kept if kept is not None and {ALARMS, "unit"} <= kept.report.keys() else None


def data_version(ctx: Context, tenant: str) -> str:
    """Another text whenever figures, labels or what people added to the graph change."""
    said = ctx.records.read(
        tenant,
        lambda session: (
            label_store.revision(session, tenant=tenant),
            proposal_store.revision(session, tenant=tenant),
        ),
    )
    return hashlib.sha256(f"{ctx.metrics.version(tenant)}/{said}".encode()).hexdigest()


def holds_for(ctx: Context, tenant: str, domain: str) -> str:
    """What a comparison holds for: figures, labels, and the newest run, which moves the streaming parts on."""
    run = ctx.records.read(
        tenant, lambda session: run_store.latest(session, tenant=tenant, domain=domain)
    )
    told = f"{data_version(ctx, tenant)}/{run and (run.id, run.state)}"
    return hashlib.sha256(told.encode()).hexdigest()


def report(view: ComparisonView) -> dict[str, Any]:
    """The comparison as plain JSON values, without what only a chart needs."""
    left_out = ("dots", "raised", "names", "id")
    names = (spec.name for spec in dataclasses.fields(view) if spec.name not in left_out)
    return {name: plain(getattr(view, name)) for name in names}


# ── Both models on the same days ─────────────────────────────────────────────────────────────────


def _measured(
    ctx: Context, tenant: str, scene: Scene, champion: VersionRow, challenger: VersionRow
) -> ComparisonView:
    contenders = {
        who: _contender(ctx, tenant, row)
        for who, row in ((CHAMPION, champion), (CHALLENGER, challenger))
    }
    models = {
        who: _ready(ctx, tenant, row)
        for who, row in ((CHAMPION, champion), (CHALLENGER, challenger))
    }
    days, notices = _unseen_days(
        scene, [_learned_until(ctx, tenant, row) for row in (champion, challenger)]
    )
    judged = {who: scenes.judge(scene, model, last=days) for who, model in models.items()}
    late = slice(-days, None)
    seen = np.isfinite(scene.residual.values[:, late]).any(axis=2)
    judges = {who: _said(one, late) for who, one in judged.items()}
    episodes = labelled.episodes(ctx, tenant, scene.domain.name)
    truth, labels = _truth(scene, episodes, seen, judges, late)
    compared = evaluate.compare(
        judges[CHAMPION],
        judges[CHALLENGER],
        seen=seen,
        truth=truth,
        cluster=_clusters(scene),
        per_day=float(DAY / scene.domain.step),
    )
    calendar = scene.panel.periods.labels.astype("datetime64[D]").astype(date)
    unit = judged[CHAMPION].unit
    return ComparisonView(
        domain=scene.domain.name,
        champion=contenders[CHAMPION],
        challenger=contenders[CHALLENGER],
        first=calendar[late][0],
        last=calendar[-1],
        entities=len(scene.panel.entities),
        entity_days=int(seen.sum()),
        labels=dataclasses.replace(labels, open=compared.verdict.disagreements),
        figures=tuple(
            Figure(name, compared.champion[name], compared.challenger[name], difference)
            for name, difference in compared.difference.items()
        ),
        agreement=compared.both["agreement"],
        kappa=compared.both["kappa"],
        mcnemar=compared.mcnemar,
        verdict=compared.verdict,
        sentence=sentence(compared.verdict, compared.difference.get(evaluate.TARGET), unit),
        slices=(
            *_by_level(scene, seen, judges, truth),
            *_by_type(scene, episodes, judges, late),
        ),
        dots=_dots(scene, judges, seen),
        cuts={who: _surprise(one.alpha) for who, one in judged.items()},
        costs={
            who: evaluate.cost_curve(judge, seen, truth, CUTS, float(DAY / scene.domain.step))
            for who, judge in judges.items()
        },
        running={who: _running(scene, model) for who, model in models.items()},
        incidents=_incidents(scene, episodes, judges[CHALLENGER], late),
        causes=_causes(scene, episodes, judged[CHALLENGER], days),
        errors=_errors(ctx, tenant, scene.domain.name),
        raised={who: preview.raised(scene, one) for who, one in judged.items()},
        names={
            entity: (scene.graph.name(entity), scene.graph.level(entity))
            for entity in scene.panel.entities
        },
        notices=(
            *notices,
            *(f"The {who}: {one.deaf}" for who, one in judged.items() if one.deaf),
        ),
        unit=unit,
    )


def _contender(ctx: Context, tenant: str, row: VersionRow) -> Contender:
    until = _learned_until(ctx, tenant, row).astype("datetime64[D]").item()
    return Contender(row.id, row.name, row.digest, row.created_at, row.created_by, until)


def _learned_until(ctx: Context, tenant: str, row: VersionRow) -> np.datetime64:
    """The last period that taught a version."""
    return np.datetime64(ctx.registry.manifest(tenant, row.id).training.end, "s")


def _ready(ctx: Context, tenant: str, row: VersionRow) -> Any:
    """A version as it would score now, its streaming parts as the last run left them; nothing of it is changed."""
    algorithm = ctx.serve.load(row)
    if not hasattr(algorithm, "judge"):
        raise InvalidInputError.of(
            "compare",
            f"version {row.id}",
            "a calibrated ensemble, as only that can score a domain",
            row.name,
            "Train it as a part of the champion: headwater train --part",
        )
    return scorer.resumed(ctx, tenant, Served(row, algorithm))


def _unseen_days(
    scene: Scene, learned_until: Sequence[np.datetime64]
) -> tuple[int, tuple[str, ...]]:
    """How many of the newest periods neither model learned from; the window where they are too few, and a word on it."""
    fresh = int((scene.panel.periods.labels > max(learned_until)).sum())
    window = min(scene.domain.window, len(scene.panel.periods))
    if fresh >= window:
        return fresh, ()
    learned, all_ = (periods * scene.domain.step / DAY for periods in (window - fresh, window))
    told = f"{learned:.0f} of these {all_:.0f} days"
    if scene.domain.step < DAY:
        told = f"{24 * learned:.1f} of these {24 * all_:.0f} hours"
    return window, (
        f"One of the models learned from {told}: what it says of them flatters it. "
        "Compare again once more has come, or train on an earlier window.",
    )


def _said(judged: Judged, late: slice) -> Judge:
    p_values = judged.p_values[:, late]
    return Judge(p_values, p_values <= judged.alpha)


def _truth(
    scene: Scene,
    episodes: Sequence[Episode],
    seen: Bools,
    judges: Mapping[str, Judge],
    late: slice,
) -> tuple[Truth, Labels]:
    """Verdicts of people; a day on which neither model nor any alert saw anything counts as normal.

    An alarm that nobody judged counts neither for nor against the model that raised it.
    """
    said = labelled.said(scene.panel.select(times=late), episodes)
    quiet = ~said.doubtful & ~np.any([judge.alarms for judge in judges.values()], axis=0)
    known = said.real | said.normal | quiet
    labels = Labels(int((said.real & seen).sum()), int((said.normal & seen).sum()), 0)
    return Truth(known, said.real), labels


def _clusters(scene: Scene) -> NDArray[np.intp]:
    """Entities that rise and fall together: all below one node of the highest level that has enough nodes."""
    levels = Counter(scene.graph.level(entity) for entity in scene.panel.entities)
    ordered = [name for name in scene.domain.levels if levels[name] >= ENOUGH_CLUSTERS]
    top = ordered[0] if ordered else ""

    def root(entity: str) -> str:
        if scene.graph.level(entity) == top:
            return entity
        above = scene.graph.ancestors(entity, len(scene.domain.levels))
        return next((node for node in above if scene.graph.level(node) == top), entity)

    _, cluster = np.unique([root(entity) for entity in scene.panel.entities], return_inverse=True)
    return np.asarray(cluster, dtype=np.intp)


def _surprise(p_value: float) -> float:
    return float(-np.log10(p_value)) if p_value > 0 else float("inf")


# ── Parts of the days ────────────────────────────────────────────────────────────────────────────


def _by_level(scene: Scene, seen: Bools, judges: Mapping[str, Judge], truth: Truth) -> list[Slice]:
    levels = np.array([scene.graph.level(entity) for entity in scene.panel.entities])
    found = []
    for level in scene.domain.levels:
        rows = seen & (levels == level)[:, None]
        if rows.any():
            alarms = [rows & judges[who].alarms for who in (CHAMPION, CHALLENGER)]
            real = rows & truth.known & truth.real
            found.append(_slice("level", level, rows, alarms, real))
    return found


def _by_type(
    scene: Scene, episodes: Sequence[Episode], judges: Mapping[str, Judge], late: slice
) -> list[Slice]:
    """By type of cause, an episode at a time: found where any of its days raises an alarm."""
    panel = scene.panel.select(times=late)
    kinds: dict[str, list[tuple[bool, bool, bool]]] = {}
    for episode in episodes:
        cells = labelled.cells(panel, [episode])
        if cells.any() and labelled.judged(episode) not in (labelled.NORMAL, labelled.FAULTY):
            found = [bool((cells & judges[who].alarms).any()) for who in (CHAMPION, CHALLENGER)]
            real = labelled.judged(episode) == labelled.REAL
            kind = scene.domain.now(episode.cause or "unknown")
            kinds.setdefault(kind, []).append((found[0], found[1], real))
    sliced = []
    for name, rows in sorted(kinds.items(), key=lambda item: -len(item[1])):
        first, second, real = np.array(rows).T
        sliced.append(_slice("type", name, np.ones(len(rows), dtype=bool), [first, second], real))
    return sliced


def _slice(kind: str, name: str, rows: Bools, alarms: Sequence[Bools], real: Bools) -> Slice:
    first, second = alarms
    counts = (rows, first, second, first & second, real, first & real, second & real)
    return Slice(kind, name, *(int(count.sum()) for count in counts))


def _dots(scene: Scene, judges: Mapping[str, Judge], seen: Bools) -> tuple[Dot, ...]:
    """Each entity's oddest day for either model; of very many, the oddest and an even thinning of the rest."""
    lowest = [
        np.where(seen, judges[who].p_values, 1.0).min(axis=1) for who in (CHAMPION, CHALLENGER)
    ]
    first, second = (-np.log10(np.maximum(one, 1e-300)) + 0.0 for one in lowest)
    order = np.argsort(-np.maximum(first, second), kind="stable")
    if len(order) > DOTS:
        rest = order[DOTS // 2 :]
        order = np.concatenate([order[: DOTS // 2], rest[:: -(-len(rest) * 2 // DOTS)]])
    return tuple(
        Dot(
            entity := scene.panel.entities[row],
            scene.graph.name(entity),
            scene.graph.level(entity),
            float(first[row]),
            float(second[row]),
        )
        for row in order
    )


# ── What a promotion would need to know ──────────────────────────────────────────────────────────


def _incidents(scene: Scene, episodes: Sequence[Episode], judge: Judge, late: slice) -> Counted:
    """F1 by incident: a real one is found where any of its days raises an alarm, a normal one is a false alarm so."""
    panel = scene.panel.select(times=late)
    groups: dict[tuple[str, int], list[Episode]] = {}
    for episode in episodes:
        if labelled.judged(episode) in (labelled.REAL, labelled.NORMAL):
            groups.setdefault(episode.subject, []).append(episode)
    counts = Counter(
        (
            any(labelled.judged(one) == labelled.REAL for one in members),
            bool((cells & judge.alarms).any()),
        )
        for members in groups.values()
        if (cells := labelled.cells(panel, members)).any()
    )
    hits, missed, false = counts[True, True], counts[True, False], counts[False, True]
    judged = counts.total()
    return Counted(judged * 2 * hits / max(2 * hits + missed + false, 1), judged)


def _causes(scene: Scene, episodes: Sequence[Episode], judged: Judged, days: int) -> Counted:
    """Of the real incidents whose cause a person confirmed, those whose first candidate is of that type."""
    localizer = catalog.localizer(scene.domain.defaults["localizer"])
    panel = scene.panel.select(times=slice(-days, None))
    before = len(scene.panel.periods) - days
    confirmed: dict[tuple[str, int], Episode] = {}
    for episode in episodes:
        told = episode.confirmed and labelled.judged(episode) == labelled.REAL
        if told and labelled.cells(panel, [episode]).any():
            confirmed.setdefault(episode.subject, episode)
    some = list(confirmed.values())[-CAUSES:]
    hits = 0
    for episode in some:
        row = panel.row_of[episode.entity]
        columns = before + np.flatnonzero(labelled.cells(panel, [episode])[row])
        worst = columns[np.argmin(np.nan_to_num(judged.p_values[row, columns], nan=1.0))]
        ends = (int(column) for column in (columns[0], columns[-1], worst))
        (asked,) = scene.outbreaks([Sighting(episode.entity, row, *ends)])
        causes = answered(scene, judged, asked.questions, localizer)
        told = {scene.domain.now(one) for one in (episode.cause, *(c.type for c in causes[:1]))}
        hits += bool(causes) and len(told) == 1
    return Counted(hits, len(some))


def _running(scene: Scene, model: Any) -> Running:
    """Measured here and now: the newest window of up to `TIMED` entities scored again and again."""
    residual = scenes.heard(scene.residual.select(entities=scene.panel.entities[:TIMED]), model)
    thousand_days = len(residual.entities) * scene.domain.window / 1000
    taken: list[float] = []
    while len(taken) < LEAST or (len(taken) < REPEATS and sum(taken) < PATIENCE):
        started = time.perf_counter()
        model.judge(residual, last=scene.domain.window)
        taken.append(time.perf_counter() - started)
    each = 1000 * np.array(taken) / thousand_days
    return Running(
        float(np.median(each)), float(np.quantile(each, 0.95)), len(taken), footprint(model)
    )


def _errors(ctx: Context, tenant: str, domain: str) -> Counted:
    since = ctx.clock() - ERRORS_OF
    states = ctx.records.read(
        tenant,
        lambda session: run_store.outcomes(session, tenant=tenant, domain=domain, since=since),
    )
    ended = {state: many for state, many in states.items() if state != "running"}
    return Counted(ended.get("failed", 0), sum(ended.values()))


# ── Beside the open alerts ────────────────────────────────────────────────────────────────────────


def with_alerts(ctx: Context, tenant: str, view: ComparisonView) -> ComparisonView:
    """The comparison beside the alerts as they stand now: which would change, and which dot is which alert."""
    standing, changed = preview.changes(
        ctx, tenant, view.domain, view.last, view.raised, view.names
    )
    live = {alert.entity: alert for alert in standing}
    return dataclasses.replace(
        view,
        **_open(standing),
        changed=changed,
        dots=tuple(
            dataclasses.replace(
                dot,
                alert=live[dot.entity].id if dot.entity in live else None,
                severity=live[dot.entity].severity if dot.entity in live else "",
            )
            for dot in view.dots
        ),
    )


def _open(standing: Sequence[Any]) -> dict[str, int]:
    severe = sum(alert.severity in SEVERE for alert in standing)
    return {"open_alerts": len(standing), "open_severe": severe}


# ── In words ─────────────────────────────────────────────────────────────────────────────────────


def sentence(verdict: Verdict, target: Interval | None, unit: str = "day") -> str:
    """Why the verdict is what it is, and what would decide; `unit` is what a period is called."""
    if verdict.because == "no labels":
        if not verdict.disagreements:
            return "Nobody has judged an alert of these days, and both models raise the same ones."
        return (
            f"Nobody has judged an alert of these days, so no figure says who is right. The models differ on "
            f"{verdict.disagreements:,} entity-{unit}s: judging {min(verdict.labels, verdict.disagreements)} of them "
            "would tell a clearly better model."
        )
    shift = _shift(target) if target else ""
    said = {
        "better": f"The challenger is better: {shift}, and it wins most of the {unit}s on which they differ.",
        "worse": f"The challenger is worse: {shift}, and it loses most of the {unit}s on which they differ.",
        "small effect": f"Both are about as good: {shift}, less than would be worth a change.",
    }
    if verdict.because in said:
        return said[verdict.because]
    known = f"{shift}, which chance could have made. " if target and np.isfinite(target.low) else ""
    wanted = f"{verdict.labels:,} more judged entity-{unit}s on which they differ"
    more = f"{known}About {wanted} would decide"
    if verdict.labels > verdict.disagreements:
        return f"{more}; these days hold {verdict.disagreements:,}, so later ones are needed too."
    return f"{more} ({verdict.labels_random:,} if drawn at random)."


def _shift(target: Interval) -> str:
    value, low, high = (
        f"{one:+.2f}".replace("-", "−") for one in (target.value, target.low, target.high)
    )
    return f"F1 {value} ({low} to {high})"
