"""Champion and challenger on the same days: which is better, how sure that is, and what would change.

Both score the scene that detection looks at, on days that neither learned from. Nothing is written but the comparison
itself; what the streaming parts have learned stays as it is.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import catalog
from core.cases import Alarm
from core.contracts import Bools
from core.domains import DOMAINS, local_day
from core.errors import InvalidInputError, NotFoundError
from core.evaluate import compare as evaluate
from core.evaluate.bootstrap import Interval
from core.evaluate.compare import Judge, Truth, Verdict
from core.severity import SEVERITIES
from data import alert_feed, comparison_store, label_store, proposal_store, run_store
from data.finding_store import SAME_EPISODE
from data.label_store import Episode
from data.model_records import Comparison
from data.records import ACTIVE
from models.footprint import footprint
from models.ports import CHALLENGER, CHAMPION, VersionRow
from models.serve import Served
from workbench.context import Context
from workbench.plain import plain
from workbench.services import labelled, scorer
from workbench.services import scene as scenes
from workbench.services.comparison import (
    SEVERE,
    AlertChange,
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
from workbench.services.findings import Sighting, sightings_of, stakes_of
from workbench.services.scene import Judged, Question, Scene

Raised = Mapping[str, Mapping[str, Seen]]
"""The episodes that each model raises, by entity."""
ALARMS = "alarms"
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
        who: {entity: Seen.told(seen) for entity, seen in found.items()}
        for who, found in alarms["raised"].items()
    }
    last = date.fromisoformat(told["last"])
    standing, changed = _changes(ctx, tenant, kept.domain, last, raised, alarms["names"])
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
    return kept if kept is not None and ALARMS in kept.report else None


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
    days, notices = _unseen_days(scene, [one.learned_until for one in contenders.values()])
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
    )
    calendar = scene.panel.periods.labels.astype("datetime64[D]").astype(date)
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
        sentence=sentence(compared.verdict, compared.difference.get(evaluate.TARGET)),
        slices=(
            *_by_level(scene, seen, judges, truth),
            *_by_type(scene, episodes, judges, late),
        ),
        dots=_dots(scene, judges, seen),
        cuts={who: _surprise(one.alpha) for who, one in judged.items()},
        costs={who: evaluate.cost_curve(judge, seen, truth, CUTS) for who, judge in judges.items()},
        running={who: _running(scene, model) for who, model in models.items()},
        incidents=_incidents(scene, episodes, judges[CHALLENGER], late),
        causes=_causes(scene, episodes, judged[CHALLENGER], days),
        errors=_errors(ctx, tenant, scene.domain.name),
        raised={who: _raised(scene, one) for who, one in judged.items()},
        names={
            entity: (scene.graph.name(entity), scene.graph.level(entity))
            for entity in scene.panel.entities
        },
        notices=(
            *notices,
            *(f"The {who}: {one.deaf}" for who, one in judged.items() if one.deaf),
        ),
    )


def _contender(ctx: Context, tenant: str, row: VersionRow) -> Contender:
    until = ctx.registry.manifest(tenant, row.id).training.end[:10]
    return Contender(
        row.id, row.name, row.digest, row.created_at, row.created_by, date.fromisoformat(until)
    )


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


def _unseen_days(scene: Scene, learned_until: Sequence[date]) -> tuple[int, tuple[str, ...]]:
    """How many of the newest days neither model learned from; the window where those are too few, and a word on it."""
    days = scene.panel.periods.labels.astype("datetime64[D]")
    fresh = int((days > np.datetime64(max(learned_until))).sum())
    if fresh >= min(scene.domain.window, len(days)):
        return fresh, ()
    window = min(scene.domain.window, len(days))
    return window, (
        f"One of the models learned from {window - fresh} of these {window} days: what it says of them flatters it. "
        "Compare again once more days have come, or train on an earlier window.",
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
    localizer: Any = catalog.make(scene.domain.defaults["localizer"])
    panel = scene.panel.select(times=slice(-days, None))
    confirmed: dict[tuple[str, int], Episode] = {}
    for episode in episodes:
        told = episode.confirmed and labelled.judged(episode) == labelled.REAL
        if told and labelled.cells(panel, [episode]).any():
            confirmed.setdefault(episode.subject, episode)
    some = list(confirmed.values())[-CAUSES:]
    hits = 0
    for episode in some:
        (row,) = np.flatnonzero(labelled.cells(panel, [episode]).any(axis=1))
        last = int(np.flatnonzero(labelled.cells(panel, [episode])[row])[-1])
        alarm = Alarm(episode.entity, panel.periods.labels[last])
        causes = localizer.find(scene.case(judged, Question((alarm,))))
        told = {scene.domain.now(one) for one in (episode.cause, *(c.type for c in causes[:1]))}
        hits += bool(causes) and len(told) == 1
    return Counted(hits, len(some))


def _running(scene: Scene, model: Any) -> Running:
    """Measured here and now: the newest window of up to `TIMED` entities scored again and again."""
    residual = scenes.heard(scene.residual.select(entities=scene.panel.entities[:TIMED]), model)
    thousand_days = len(residual.entities) * scene.domain.window / 1000
    taken: list[float] = []
    while len(taken) < 5 or (len(taken) < REPEATS and sum(taken) < PATIENCE):
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


# ── The open alerts ──────────────────────────────────────────────────────────────────────────────


def _raised(scene: Scene, judged: Judged) -> dict[str, Seen]:
    """The episode of every entity that a model would raise an alert on, as detection does."""
    everyone = np.ones(len(scene.panel.entities), dtype=bool)
    sightings: list[Sighting] = sightings_of(scene, judged, everyone)
    stakes = stakes_of(scene, judged, sightings)
    days = scene.panel.periods.labels.astype("datetime64[D]").astype(date)
    return {
        seen.entity: Seen(
            days[seen.first],
            days[seen.last],
            SEVERITIES[stakes.severity[place]],
            float(stakes.money[place]) * (seen.last - seen.first + 1),
            str(scene.graph.net.nodes[seen.entity].get("currency") or ""),
        )
        for place, seen in enumerate(sightings)
    }


def with_alerts(ctx: Context, tenant: str, view: ComparisonView) -> ComparisonView:
    """The comparison beside the alerts as they stand now: which would change, and which dot is which alert."""
    standing, changed = _changes(ctx, tenant, view.domain, view.last, view.raised, view.names)
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


def _changes(
    ctx: Context,
    tenant: str,
    domain: str,
    last: date,
    raised: Raised,
    names: Mapping[str, Sequence[str]],
) -> tuple[list[Any], tuple[AlertChange, ...]]:
    """The active alerts near the days that end `last`, and what a promotion would do to them."""
    window = timedelta(days=DOMAINS[domain].window) + SAME_EPISODE
    since = datetime.combine(last, datetime.min.time(), ctx.clock().tzinfo) - window
    alerts: dict[str, list[Any]] = {}
    for alert in ctx.records.read(
        tenant, lambda session: alert_feed.near(session, tenant=tenant, domain=domain, since=since)
    ):
        alerts.setdefault(alert.entity, []).append(alert)
    standing = [alert for rows in alerts.values() for alert in rows if alert.status in ACTIVE]
    changed = [*_gone(raised, names, alerts), *_new(raised, names, alerts)]
    order = ("vanish", "severity", "appear")
    changed.sort(key=lambda one: (one.muted, order.index(one.kind), -one.spend_at_risk, one.entity))
    return standing, tuple(changed)


def _gone(
    raised: Raised, names: Mapping[str, Sequence[str]], alerts: Mapping[str, Sequence[Any]]
) -> Iterator[AlertChange]:
    """Open alerts of episodes that the champion raises and the challenger does not."""
    for entity, rows in alerts.items():
        before, after = (raised[who].get(entity) for who in (CHAMPION, CHALLENGER))
        if before is None:
            continue
        alert = _meant(rows, before)
        if alert is not None and alert.status in ACTIVE and not (after and _near(alert, after)):
            yield _change("vanish", entity, names[entity], alert, before)


def _new(
    raised: Raised, names: Mapping[str, Sequence[str]], alerts: Mapping[str, Sequence[Any]]
) -> Iterator[AlertChange]:
    """Episodes that the challenger raises: as another severity, or where there is no alert yet."""
    for entity, after in raised[CHALLENGER].items():
        alert, before = _meant(alerts.get(entity, ()), after), raised[CHAMPION].get(entity)
        if alert is None:
            known = before is not None and before.first <= after.last and after.first <= before.last
            if not known:
                yield _change("appear", entity, names[entity], None, after)
        elif alert.status in ACTIVE and alert.severity != after.severity:
            yield _change("severity", entity, names[entity], alert, after)


def _meant(rows: Sequence[Any], seen: Seen) -> Any | None:
    """The alert that a run would take the episode for: of those near, an active one first, else the latest."""
    near = [alert for alert in rows if _near(alert, seen)]
    return max(near, key=lambda alert: (alert.status in ACTIVE, alert.last_seen), default=None)


def _near(alert: Any, seen: Seen) -> bool:
    first, last = local_day(alert.onset), local_day(alert.last_seen)
    return first - SAME_EPISODE <= seen.last and seen.first <= last + SAME_EPISODE


def _change(
    kind: str, entity: str, called: Sequence[str], alert: Any | None, seen: Seen
) -> AlertChange:
    name, level = called
    return AlertChange(
        kind=kind,
        alert=None if alert is None else alert.id,
        entity=entity,
        name=name,
        level=level,
        before="" if alert is None else alert.severity,
        after="" if kind == "vanish" else seen.severity,
        spend_at_risk=seen.spend_at_risk,
        currency=seen.currency,
        muted=alert is not None and alert.muted_by is not None,
    )


# ── In words ─────────────────────────────────────────────────────────────────────────────────────


def sentence(verdict: Verdict, target: Interval | None) -> str:
    """Why the verdict is what it is, and what would decide."""
    if verdict.because == "no labels":
        if not verdict.disagreements:
            return "Nobody has judged an alert of these days, and both models raise the same ones."
        return (
            f"Nobody has judged an alert of these days, so no figure says who is right. The models differ on "
            f"{verdict.disagreements:,} entity-days: judging {min(verdict.labels, verdict.disagreements)} of them "
            "would tell a clearly better model."
        )
    shift = _shift(target) if target else ""
    said = {
        "better": f"The challenger is better: {shift}, and it wins most of the days on which they differ.",
        "worse": f"The challenger is worse: {shift}, and it loses most of the days on which they differ.",
        "small effect": f"Both are about as good: {shift}, less than would be worth a change.",
    }
    if verdict.because in said:
        return said[verdict.because]
    known = f"{shift}, which chance could have made. " if target and np.isfinite(target.low) else ""
    more = (
        f"{known}About {verdict.labels:,} more judged entity-days on which they differ would decide"
    )
    if verdict.labels > verdict.disagreements:
        return f"{more}; these days hold {verdict.disagreements:,}, so later ones are needed too."
    return f"{more} ({verdict.labels_random:,} if drawn at random)."


def _shift(target: Interval) -> str:
    value, low, high = (
        f"{one:+.2f}".replace("-", "−") for one in (target.value, target.low, target.high)
    )
    return f"F1 {value} ({low} to {high})"
