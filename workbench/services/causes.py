"""Kinds of causes learned from incidents that people labelled, and suggested with reasons for those without a label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from core.cases import Alarm, Case, Cause, Graph
from core.contracts import OnStep
from core.domain import Domain
from core.domains import DOMAINS
from core.errors import InvalidInputError, NotEnoughDataError, NotFoundError, PersistenceError
from core.rootcause.case_features import described, table
from core.rootcause.diagnosis import Causes, Diagnosis, diagnose, learn, surest
from data import incident_store
from data.records import Alert, Incident
from models.manifest import Training
from models.ports import VersionRow
from models.train import panel_digest
from workbench.context import Context
from workbench.services import incidents, snapshots, taxonomy
from workbench.services.labelled import naive
from workbench.services.scene import Scene
from workbench.services.taxonomy import Taxonomy

LABELLED = ("labeled", "validated")
UNKNOWN = "unknown"
"""A label that says that nobody knows: nothing to learn from."""
MOST = 2_000
"""Labelled incidents that are learned from, the latest."""
LEAST = 2
"""Labels of a cause before it is learned."""
LACKING = (
    "Label more incidents, on the Label page or with: headwater labels import FILE. "
    "Those without measurements around them teach nothing."
)
SURE = 0.7
"""Probability from which a taught word stands above the localizer's."""
BEFORE, AFTER = timedelta(minutes=40), timedelta(minutes=6)
"""What is looked at around the onset."""
NORMAL, APART = timedelta(hours=8), timedelta(hours=1)
"""What it is compared with, and how long before the onset that ends."""
FEWEST = 30
"""Periods of measurements before which nothing is called normal."""


@dataclass(frozen=True)
class Taught:
    """A version that was learned, how many incidents of each cause taught it, and which could not and why."""

    version: str
    labels: Mapping[str, int]
    left_out: Mapping[int, str]


@dataclass(frozen=True)
class Suggestion:
    """What the newest version says of an incident: every cause it knows, the likeliest first, with its reasons.

    words : cause → its display word
    """

    version: str
    causes: tuple[Diagnosis, ...]
    words: Mapping[str, str]


def teach(
    ctx: Context, tenant: str, *, domain: str, actor: str, on_step: OnStep | None = None
) -> Taught:
    """Learn the causes of all labelled incidents into a new signed version of "causes".

    Raises NotEnoughDataError where fewer than two causes have two incidents with measurements around them.
    """
    spec = _measured(domain)
    words = taxonomy.of(ctx, tenant, domain)
    known = snapshots.graphs(ctx, tenant, domain)
    rows, causes = [], []
    left_out: dict[int, str] = {}
    for incident, alerts in _labelled(ctx, tenant, domain):
        cause = words.now(incident.root_cause)
        if cause == UNKNOWN:
            left_out[incident.id] = "its cause is unknown"
            continue
        try:
            graph = known(incident.onset)
            hit = incidents.affected(incident, alerts, graph)
            case = _case(ctx, tenant, spec, graph, hit, incident.onset)
            rows.append(described(case, suspect=incident.component or incident.root_entity))
            causes.append(cause)
        except NotEnoughDataError as error:
            left_out[incident.id] = error.message
    counts = Counter(causes)
    kept = [at for at, cause in enumerate(causes) if counts[cause] >= LEAST]
    labels = {cause: count for cause, count in sorted(counts.items()) if count >= LEAST}
    if len(labels) < 2:
        rule = f"at least 2 with {LEAST} labelled incidents and measurements around them"
        told = ", ".join(f"{cause} {count}" for cause, count in counts.most_common()) or "none"
        raise NotEnoughDataError.of("causes", "the causes", rule, told, LACKING)
    trees = learn([rows[at] for at in kept], [causes[at] for at in kept], on_step=on_step)
    panel = table([rows[at] for at in kept], str(trees.state["metrics"]).split("\n"))
    row = ctx.registry.publish(
        tenant,
        domain=domain,
        algorithm=trees,
        probes=panel,
        training=Training(
            entities=len(kept),
            periods=1,
            snapshot_digest=panel_digest(panel),
            seed=trees.params.seed,
        ),
        metrics={"labels": float(len(kept)), "causes": float(len(labels))},
        actor=actor,
    )
    return Taught(row.id, labels, left_out)


def suggest(ctx: Context, tenant: str, incident_id: int, *, top: int = 5) -> Suggestion:
    """The causes of one incident by the newest version, each with its `top` reasons.

    Raises NotFoundError where nothing was learned yet, NotEnoughDataError where nothing was measured around it.
    """

    def read(session: Any) -> tuple[Incident, list[Alert]]:
        about: dict[str, Any] = {"tenant": tenant, "incident_id": incident_id}
        return incident_store.get(session, **about), incident_store.alerts(session, **about)

    incident, alerts = ctx.records.read(tenant, read)
    spec = _measured(incident.domain)
    newest = latest(ctx, tenant, incident.domain)
    if newest is None:
        rule = "learned from labelled incidents first"
        hint = f"headwater incidents learn --domain {incident.domain}"
        raise NotFoundError.of("causes", "a version", rule, "none", hint)
    trees: Any = ctx.serve.load(newest)
    known = snapshots.graph(ctx, tenant, incident.domain, at=incident.onset)
    hit = incidents.affected(incident, alerts, known)
    case = _case(ctx, tenant, spec, known, hit, incident.onset)
    suspects = [incident.root_entity] if incident.root_entity else hit
    rows = [described(case, suspect=suspect) for suspect in suspects]
    (told,) = diagnose(trees, [surest(trees, rows)], top)
    words = taxonomy.of(ctx, tenant, incident.domain)
    found = _today(told, words)
    labels = {one.name: one.label for one in ctx.metrics.samples.metrics(tenant, spec)}
    return Suggestion(
        newest.id,
        tuple(_worded(one, labels) for one in found),
        {one.cause: words.label(one.cause) for one in found},
    )


@dataclass(frozen=True, eq=False)
class Wording:
    """What a taught version calls a cause that was found in a scene, where it is surer than the localizer may be."""

    ctx: Context
    tenant: str
    scene: Scene
    version: str
    trees: Any
    words: Taxonomy
    until: datetime | None

    def __call__(self, found: Sequence[Cause], alerted: Sequence[str]) -> Sequence[Cause]:
        """The causes of one outbreak, the first under its taught word; as they are where that stays in doubt.

        alerted : the entities in trouble
        """
        root, *others = found
        graph = self.scene.graph
        parts = dict.fromkeys((root.node, *alerted))
        above = [one for part in parts for one in (part, *self.scene.above(part))]
        services = [one for one in above if one in graph.net and graph.level(one) == "service"]
        onset = root.onset.astype("datetime64[s]").item().replace(tzinfo=UTC)
        hit = tuple(dict.fromkeys((*services, *parts)))
        spec = _measured(self.scene.domain.name)
        try:
            case = _case(self.ctx, self.tenant, spec, graph, hit, onset, self.until)
        except NotEnoughDataError:
            return found
        (told,) = diagnose(self.trees, [described(case, suspect=root.node)], 0)
        best = _today(told, self.words)[0]
        if best.probability < SURE:
            return found
        said = (
            f"Called so by version {self.version}, learned from labels: {best.probability:.0%} sure"
        )
        return replace(root, type=best.cause, evidence=(*root.evidence, said)), *others


def wording(
    ctx: Context, tenant: str, scene: Scene, *, until: datetime | None
) -> tuple[Wording | None, str]:
    """How the newest taught version words causes, None before the first; and why it has no say, where it is broken.

    until : what was measured later is not looked at
    """
    newest = latest(ctx, tenant, scene.domain.name)
    if newest is None:
        return None, ""
    try:
        trees = ctx.serve.load(newest)
    except PersistenceError as broken:
        return None, f"Version {newest.id}, learned from labels, was refused: {broken.message}"
    words = taxonomy.of(ctx, tenant, scene.domain.name)
    return Wording(ctx, tenant, scene, newest.id, trees, words, until), ""


def _today(found: Sequence[Diagnosis], words: Taxonomy) -> list[Diagnosis]:
    """By what each cause counts as today, the likeliest first; those merged since are one, with the likeliest's reasons.

    found : the likeliest first
    """
    merged: dict[str, Diagnosis] = {}
    for one in found:
        cause = words.now(one.cause)
        first = merged.setdefault(cause, replace(one, cause=cause, probability=0.0))
        merged[cause] = replace(first, probability=first.probability + one.probability)
    return sorted(merged.values(), key=lambda one: -one.probability)


def _worded(diagnosis: Diagnosis, labels: Mapping[str, str]) -> Diagnosis:
    """The same with metrics by their labels."""
    return replace(
        diagnosis,
        reasons=tuple(
            replace(
                reason,
                column=" ".join(labels.get(word, word) for word in reason.column.split(" ")),
            )
            for reason in diagnosis.reasons
        ),
    )


def latest(ctx: Context, tenant: str, domain: str) -> VersionRow | None:
    """The newest version of what was learned in a domain, None before the first."""
    rows = ctx.registry.store.versions(tenant, domain, Causes.name)
    return max(rows, key=lambda row: row.id, default=None)


def _measured(domain: str) -> Domain:
    spec = DOMAINS.get(domain)
    if spec is None or spec.step >= np.timedelta64(1, "D"):
        rule = "one whose measurements are of moments, such as services"
        raise InvalidInputError.of("causes", "the domain", rule, domain)
    return spec


def _labelled(ctx: Context, tenant: str, domain: str) -> list[tuple[Incident, list[Alert]]]:
    def read(session: Any) -> list[tuple[Incident, list[Alert]]]:
        about: dict[str, Any] = {"tenant": tenant}
        past = incident_store.before(
            session, **about, domain=domain, onset=datetime.max.replace(tzinfo=UTC), limit=MOST
        )
        return [
            (one, incident_store.alerts(session, **about, incident_id=one.id))
            for one in past
            if one.label_status in LABELLED and one.root_cause
        ]

    return ctx.records.read(tenant, read)


def _case(
    ctx: Context,
    tenant: str,
    spec: Domain,
    known: Graph,
    hit: Sequence[str],
    onset: datetime,
    until: datetime | None = None,
) -> Case:
    """What was measured around an onset, by `until` at most, at the entities hit and one hop upstream of them."""
    if not hit:
        rule = "at least 1 that the dependency graph knows"
        raise NotEnoughDataError.of("causes", "affected entities", rule, 0)
    alarms = tuple(Alarm(entity, np.datetime64(naive(onset), "s")) for entity in hit)
    near = Case(known, alarms[0], alarms=alarms[1:]).hops(1)
    samples = ctx.metrics.samples
    last = onset + AFTER if until is None else min(onset + AFTER, until)
    around = samples.panel(tenant, spec, start=onset - BEFORE, end=last)
    around = around.select(entities=[entity for entity in near if entity in around.row_of])
    seen = np.isfinite(around.values).any(axis=(0, 1))
    around = around.select(
        metrics=[name for name, has in zip(around.metrics, seen, strict=True) if has]
    )
    end = onset - APART
    normal = samples.panel(
        tenant,
        spec,
        start=end - NORMAL,
        end=end,
        entities=around.entities,
        metrics=around.metrics,
    )
    for thing, panel in (("before it", normal), ("around it", around)):
        periods = int(np.isfinite(panel.values).any(axis=(0, 2)).sum())
        fewest = FEWEST if panel is normal else 1
        if periods < fewest:
            rule = f"measured in at least {fewest} periods"
            raise NotEnoughDataError.of("causes", f"what was {thing}", rule, periods)
    return Case(known, alarms[0], panel=around, normal=normal, alarms=alarms[1:])
